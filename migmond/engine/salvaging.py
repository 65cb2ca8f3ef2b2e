"""What is being salvaged now: told in events, and to whoever looks at the execution."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from migmond.domain.errors import Conflict
from migmond.domain.events import SalvageProgress
from migmond.domain.units import show_duration, show_rate, show_size
from migmond.engine.bus import EventBus
from migmond.engine.process import MoverProcess
from migmond.recovery.salvage_pace import Standing


class Salvages:
    """Of all executions: a file at a time each, mostly."""

    def __init__(self) -> None:
        self._of: dict[tuple[str, str], Standing | None] = {}
        self._movers: dict[tuple[str, str], MoverProcess] = {}
        self._stopped: set[tuple[str, str]] = set()

    @contextmanager
    def running(self, execution: str, path: str) -> Iterator[None]:
        """A file is being salvaged.

        Raises:
            Conflict: it is already: two would write into one file.
        """
        if (execution, path) in self._of:
            raise Conflict(f"{path} is being salvaged already", hint=f"migmon show {execution[:6]} tells how far it is")
        self._of[execution, path] = None
        try:
            yield
        finally:
            del self._of[execution, path]
            self._movers.pop((execution, path), None)
            self._stopped.discard((execution, path))

    def begun(self, execution: str, path: str, mover: MoverProcess) -> None:
        """That mover reads it; dead already, if it was stopped before."""
        self._movers[execution, path] = mover
        if (execution, path) in self._stopped:
            mover.kill()

    def stop(self, execution: str) -> bool:
        """End those of an execution at once, whatever they are in; returns whether there were any. What was saved is
        there, and a map of it that is a few seconds old at most: they can be gone on with."""
        found = [key for key in self._of if key[0] == execution]
        for key in found:
            self._stopped.add(key)
            if (mover := self._movers.get(key)) is not None:
                mover.kill()
        return bool(found)

    def stopped(self, execution: str, path: str) -> bool:
        """Whether somebody has stopped it."""
        return (execution, path) in self._stopped

    def tell(self, bus: EventBus, execution: str, path: str, standing: Standing) -> None:
        """It has got on."""
        self._of[execution, path] = standing
        s = standing
        bus.publish(
            lambda i, at: SalvageProgress(
                i, at, execution, path, s.size, s.saved, s.failed, s.untried, s.bytes_per_s, s.seconds_remaining
            )
        )

    def why(self, execution: str) -> str:
        """Return what of an execution is being salvaged, one sentence for people; "" for nothing."""
        found = [(path, s) for (of, path), s in self._of.items() if of == execution]
        if not found:
            return ""
        path, standing = found[0]
        more = f"; and {len(found) - 1} more" if len(found) > 1 else ""
        return f"salvaging {path}{_told(standing)}{more}"


def _told(s: Standing | None) -> str:
    if s is None:
        return ""
    rate = f", {show_rate(s.bytes_per_s)}" if s.bytes_per_s is not None else ""
    lost = f", {show_size(s.failed)} cannot be read so far" if s.failed else ""
    left = f", {show_duration(s.seconds_remaining)} left of the first pass" if s.seconds_remaining is not None else ""
    return f": {show_size(s.saved)} of {show_size(s.size)} saved{lost}{rate}{left}"
