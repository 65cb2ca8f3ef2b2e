"""How many movers work on a running execution: more at once; fewer as each has settled what it has in hand."""

from __future__ import annotations

import math

import trio

from migmond.engine.scope import Scope
from migmond.engine.station import Station
from migmond.engine.turns import crew_size
from migmond.wire.to_mover import Flush

_LOOK_S = 0.1
"""How often movers that are to leave are looked at when nobody says that anything has moved."""


class Staffing:
    """Changes the size of a crew that works. Args: nursery: in which the slots of the crew are served."""

    def __init__(self, scope: Scope, nursery: trio.Nursery) -> None:
        self._scope = scope
        self._nursery = nursery

    def adjust(self) -> None:
        """Let as many work as the execution is to have now."""
        scope = self._scope
        wanted = crew_size(scope.account.execution, scope.surroundings.settings, scope.around.scheduled.workers)
        if wanted == scope.crew.wanted or scope.crew.closing:
            return
        for slot in scope.crew.resize(wanted):
            self._nursery.start_soon(scope.crew.reinforce, slot)
        scope.progress.set()

    async def run(self) -> None:
        """Let those go that are to leave, when they have nothing in hand, until cancelled."""
        progress, crew = self._scope.progress, self._scope.crew
        while True:
            moved = progress.mark()
            leaving = [s for s in list(crew.stations.values()) if s.leaving]
            for station in leaving:
                await self._let_go(station)
            with trio.move_on_after(_LOOK_S if leaving else math.inf):
                await moved.wait()

    async def _let_go(self, station: Station) -> None:
        """What is copied but not durable is made so first: nobody needs to settle anything after it."""
        if station.flight.wants_flush:
            if self._scope.gate.frozen:
                return
            station.flight.flushing = True
            await station.send(Flush())
        elif not station.busy and station.leaving:
            await station.process.hang_up()
