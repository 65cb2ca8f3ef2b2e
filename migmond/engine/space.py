"""Holds an execution for space as soon as it is certain that what is left of it cannot fit.

The scan tells how much there is; waiting until the disk is full would fill it for everybody else as well.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from migmond.domain.errors import MigmondError
from migmond.domain.hold import HoldReason
from migmond.domain.mover_slots import ROOM_SLOT
from migmond.domain.names import to_text
from migmond.domain.units import show_size
from migmond.engine.check import probe
from migmond.engine.crew import open_mover
from migmond.engine.observer import Observer
from migmond.engine.process import MoverProcess
from migmond.engine.promises import promises_of
from migmond.engine.scope import Scope
from migmond.planning.room import shortage
from migmond.wire.to_mover import Open


class SpaceWatch:
    """Looks when the scan has ended, and each time that its own hold has expired.

    Only what is certain counts (see `promises_of`); all else runs until the disk is full, and is held then.
    Somebody who lifts the hold wants it to go on all the same: it is not set again.

    Args:
        hold: sets a hold that expires by itself: (reason, note).
        observer: tells what is in flight.
        opening: returns the first message for a mover.
    """

    def __init__(
        self,
        scope: Scope,
        hold: Callable[[HoldReason, str], None],
        observer: Observer,
        opening: Callable[[], Awaitable[Open]],
    ) -> None:
        self._scope = scope
        self._hold = hold
        self._observer = observer
        self._opening = opening
        self._held_until: float | None = None

    async def look(self, process: MoverProcess) -> None:
        """Ask a mover that has nothing else to do how much is free, and hold if that is too little.

        Raises:
            MoverError: it ended.
        """
        scope = self._scope
        if scope.resumed:  # whether its target was empty at first is not known any more
            return
        targets = await probe(process)
        # What was copied since then makes less of what is left and not less of what is free: never a false alarm.
        self._observer.tick()
        short = shortage(targets, promises_of("", scope, self._observer.live))
        self._held_until = None
        if short is None or scope.gate.ending:
            return
        place = next(r.target for r, t in zip((await self._opening()).roots, targets, strict=False) if t == short.facts)
        missing, free = show_size(short.missing_bytes), show_size(short.facts.free_bytes)
        self._hold(HoldReason.SPACE, f"No space left for {missing} of what is still to be copied: {free} free at "
                   f"{to_text(place)}; make room, or resume to fill it all the same")  # fmt: skip
        ends = [h.until for h in scope.account.execution.holds if h.reason is HoldReason.SPACE and h.until is not None]
        self._held_until = max(ends, default=None)

    async def watch(self) -> None:
        """Look again whenever the hold has expired; returns when there was room, or somebody lifted the hold."""
        scope = self._scope
        while self._held_until is not None:
            if not await scope.gate.passed() or scope.wall() < self._held_until:
                return
            try:
                await self._look_again()
            except MigmondError as e:  # whoever copies will meet the same, and it is dealt with there
                scope.surroundings.log("cannot look at the room", execution=scope.id, why=e.message)
                return

    async def _look_again(self) -> None:
        pool, identity = self._scope.surroundings.pool, self._scope.account.execution.identity
        process, _ = await open_mover(pool, ROOM_SLOT, identity, await self._opening())
        try:
            await self.look(process)
        finally:
            await process.end()
