"""Movers that do not end when they are told to."""

from __future__ import annotations

from collections.abc import Callable

from migmond.engine.crew import Crew
from migmond.wire.slots import Glimpse

HANGING_LOOKS = 2
"""A sync or delete may take its time: a mover is killed for it when it has not moved for so many more looks."""


class Hanging:
    """Looks at the movers of a crew, once each time that it is asked to, and remembers what they did."""

    def __init__(self, crew: Crew, log: Callable[..., None]) -> None:
        self._crew = crew
        self._log = log
        self._looks: dict[int, tuple[Glimpse, int]] = {}
        """By pid, what was seen last and how often."""

    def kill(self) -> None:
        """Kill movers that did not give up their batches, or of which something else is wanted and that have not moved
        for HANGING_LOOKS looks."""
        seen: dict[int, tuple[Glimpse, int]] = {}
        for slot, process in self._crew.processes.items():
            station, glimpse = self._crew.stations.get(slot), process.control.look()
            if station is not None and not station.busy:
                continue
            before, count = self._looks.get(process.pid, (None, 0))
            count = count + 1 if glimpse == before else 1
            seen[process.pid] = (glimpse, count)
            if count > HANGING_LOOKS or (station is not None and station.flight.batches):
                self._log("killing a mover that does not stop", slot=slot)
                process.kill()
        self._looks = seen
