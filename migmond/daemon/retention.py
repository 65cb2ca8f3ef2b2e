"""The journal does not grow for ever: what has ended long ago is forgotten, in pieces, beside those who work."""

from __future__ import annotations

from collections.abc import Callable

import trio

from migmond.daemon.history import Telemetry
from migmond.domain.changes import ForgetSome, PruneSessions
from migmond.domain.errors import Conflict, JournalDamaged, JournalError, NotFound
from migmond.domain.execution import Execution
from migmond.engine.manager import Engine
from migmond.engine.settings import Surroundings
from migmond.monitor.history import SteadyClock
from migmond.planning.retention import LEAST_ROWS, beyond, next_rows

LOOK_S = 60.0
"""So often it is looked whether anything is beyond what is kept; and so long after it failed, removing is tried again.
The clock must have run evenly for some minutes by then (`SteadyClock`): what is forgotten does not come back."""
_SHARE = 4.0
"""Removing pauses for so many times as long as a piece took: others have the journal for four fifths of the time."""
_LEAST_PAUSE_S = 0.01
_BETWEEN_S = 0.1
"""Between two executions that are forgotten, or looked at and kept."""

SESSIONS_KEPT = 10_000
"""How executions went is kept of so many, whether they are forgotten or not, the newest: figures without a name, 700
bytes each without their course. Forecasts learn from them what a pair of devices costs, scores what it can do, and
trends and findings about disks how that develops; reports rest on as many (`daemon.reports.MOST_RUNS`)."""
_SESSIONS_AT_ONCE = 50

RETENTION = "retention"
"""Stands for who has forgotten what was beyond the configuration's limits."""


class Retention:
    """Args:
    settings: returns how many executions that have ended are kept, and for how many seconds: what either keeps is kept.
    """

    def __init__(
        self,
        engine: Engine,
        surroundings: Surroundings,
        telemetry: Telemetry,
        settings: Callable[[], tuple[int, float]],
    ) -> None:
        self._engine = engine
        self._surroundings = surroundings
        self._journal = surroundings.journal
        self._clock = surroundings.clock
        self._telemetry = telemetry
        self._settings = settings
        self._steady = SteadyClock()
        self._more = trio.Event()
        self._failing = ""

    async def forget(self, execution: Execution, by: str, reason: str) -> Execution:
        """Forget an execution; what is left of it is removed by `run`. See `Forgetting.forget`."""
        gone = await self._engine.forgetting.forget(execution, by, reason)
        self._more.set()
        return gone

    async def run(self) -> None:
        """Forget what is beyond the limits, and remove what is left of what was forgotten, until cancelled."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._watch)
            nursery.start_soon(self._tidy)

    # --- what is beyond ----------------------------------------------------------------------------

    async def _watch(self) -> None:
        while True:
            if self._steady.is_steady(self._clock.monotonic(), self._clock.wall()):
                await self.look()
            await trio.sleep(LOOK_S)

    async def look(self) -> None:
        """Forget what is beyond the limits now, but for what is needed or unfinished."""
        keep, keep_s = self._settings()
        # Thousands are sorted beside the loop.
        old = await trio.to_thread.run_sync(beyond, self._engine.all(), keep, keep_s, self._clock.wall())
        for execution in old:
            if self._engine.run_of(execution.id) is None:
                try:
                    await self.forget(execution, RETENTION, "")
                except (Conflict, NotFound):  # it is needed, or unfinished: it is kept
                    pass
                except JournalError as e:
                    self._tell(e.message)
                    return
            await trio.sleep(_BETWEEN_S)

    # --- what is left ------------------------------------------------------------------------------

    async def _tidy(self) -> None:
        """Begin with what an earlier daemon left."""
        while True:
            self._more = trio.Event()
            try:
                await self.remove()
                self._failing = ""
                wait_s = float("inf")
            except JournalDamaged as e:
                self._tell(e.message)
                return
            except JournalError as e:
                self._tell(e.message)
                wait_s = LOOK_S
            with trio.move_on_after(wait_s):
                await self._more.wait()

    async def remove(self) -> None:
        """Remove what is left of executions that were forgotten, in pieces.

        Raises:
            JournalError: it cannot be written to now.
        """
        for key in await self._journal.forgotten():
            await self._remove_entries(key)

    async def _remove_entries(self, key: int) -> None:
        """Telemetry first: as long as entries are left, the next daemon knows of it."""
        record = await self._journal.session(key)
        if record is not None:
            await self._telemetry.forget(record.execution)
        rows, left = LEAST_ROWS, True
        while left:
            began = self._clock.monotonic()
            await self._journal.apply([ForgetSome(key, rows)])
            took_s = self._clock.monotonic() - began
            rows = next_rows(rows, took_s)
            left = await self._journal.last_number(key) > 0
            await trio.sleep(max(_LEAST_PAUSE_S, _SHARE * took_s))
        await self._journal.apply([PruneSessions(SESSIONS_KEPT, _SESSIONS_AT_ONCE)])

    def _tell(self, why: str) -> None:
        """Once, until it goes well again."""
        if why != self._failing:
            self._failing = why
            self._surroundings.log("what was forgotten could not be removed", why=why)
