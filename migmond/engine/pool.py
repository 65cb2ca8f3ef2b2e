"""Movers kept ready: started, their code loaded, and nobody's yet. Starting one takes 60 to 100 ms, this a fraction."""

from __future__ import annotations

import errno
import math
import os

import trio

from migmond.domain.errors import MoverError
from migmond.domain.identity import Identity
from migmond.domain.mover_slots import FIRST_SLOT
from migmond.engine.process import MoverProcess, start_mover
from migmond.engine.pulse import Pulse

SOON_S = 0.02
"""Spares are started so long after the last mover has ended: what it did is told first. As soon when what is at work
has been so for long: whoever was given a mover, to change something, may change it again."""
YOUNG_S = 2.0
"""What began less long ago may be over soon, and wants the CPU now."""
EACH_S = 1.0
"""So far apart they are started meanwhile, one at a time: each takes 80 ms of a core."""
LONGEST_PAUSE_S = 60.0
"""Between tries when they cannot be started, or die again and again."""


class MoverPool:
    """Where movers come from. Without `run`, each is started when it is wanted.

    Args:
        spare: how many `run` keeps ready.
    """

    def __init__(self, spare: int = 0) -> None:
        self._spare = spare
        self._ready: list[MoverProcess] = []
        self._nursery: trio.Nursery | None = None
        self._watched = 0
        """Movers that live, those in `_ready` included."""
        self._begun_at = -math.inf
        """When a migration, or whatever else works on one, was given its first mover."""
        self._failures = 0
        """Spares in a row that could not be started, or died while they waited."""
        self._changed = Pulse()
        """A mover was wanted, or one has ended."""

    async def start(self, slot: int, identity: Identity) -> MoverProcess:
        """Return a mover that serves `identity` from now on.

        Raises:
            MoverError: none can be started, it died, or it cannot be that user's: a daemon that is not root has only
                movers of its own.
        """
        if os.geteuid() not in (0, identity.uid):
            raise MoverError(
                f"cannot start a mover as uid {identity.uid}: {os.strerror(errno.EPERM)}",
                errno=errno.EPERM,
                hint="only a daemon that runs as root can move other users' files",
            )
        if slot == FIRST_SLOT:
            self._begun_at = trio.current_time()
        process = self._take()
        if process is None:
            self._changed.set()  # before it takes its time
            process = await start_mover()
            self._watch(process)
        self._changed.set()
        try:
            await process.serve(slot, identity)
        except BaseException:
            await process.end()
            raise
        return process

    async def run(self) -> None:
        """Keep spares ready until cancelled, and end them then."""
        try:
            async with trio.open_nursery() as self._nursery:
                while True:
                    changed = self._changed.mark()
                    with trio.move_on_after(self._pause_s()) as pause:
                        await changed.wait()
                    if pause.cancelled_caught:
                        await self._fill()
        finally:
            self._nursery = None
            with trio.CancelScope(shield=True):
                async with trio.open_nursery() as ending:
                    while self._ready:
                        ending.start_soon(self._ready.pop().end)

    def _take(self) -> MoverProcess | None:
        """Return a spare that is alive; one that is not is left to whoever watches it."""
        process = next((p for p in self._ready if p.alive), None)
        if process is not None:
            self._ready.remove(process)
            self._failures = 0
        return process

    def _pause_s(self) -> float:
        if len(self._ready) >= self._spare:
            return math.inf
        if self._failures:
            return min(LONGEST_PAUSE_S, EACH_S * 2.0 ** min(self._failures, 10))
        return EACH_S if self._young else SOON_S

    @property
    def _young(self) -> bool:
        """Whether something at work has begun lately."""
        return self._watched > len(self._ready) and trio.current_time() - self._begun_at < YOUNG_S

    async def _fill(self) -> None:
        changed = self._changed.mark()
        most = len(self._ready) + 1 if self._young else self._spare
        while len(self._ready) < most and not changed.is_set():
            try:
                process = await start_mover()
            except MoverError:  # told to whoever wants one, if it lasts
                self._failures += 1
                return
            self._ready.append(process)
            self._watch(process)

    def _watch(self, process: MoverProcess) -> None:
        if self._nursery is not None:
            self._watched += 1
            self._nursery.start_soon(self._until_it_ends, process)

    async def _until_it_ends(self, process: MoverProcess) -> None:
        try:
            await process.ended()
        finally:
            self._watched -= 1
        self._changed.set()
        if process in self._ready:
            self._ready.remove(process)
            self._failures += 1
            await process.end()
