"""The daemon's own limits, shared by all executions that run: four times a second, by what each of them used."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import msgspec
import trio

from migmond.domain.activity import Activity
from migmond.domain.states import ExecutionState
from migmond.engine.crew import Crew
from migmond.engine.scope import Scope
from migmond.planning.allowances import Share
from migmond.planning.shares import Usage, Whole, budgets_of, shares_of
from migmond.planning.standing import weight_of
from migmond.ports import Clock

EVERY_S = 0.25


class Sharing:
    """Divides. Nothing is measured nor limited while the daemon has no limits.

    Args:
        whole: returns what holds now; it may change at any time.
        running: returns the scopes of what runs.
    """

    def __init__(self, clock: Clock, whole: Callable[[], Whole], running: Callable[[], Iterable[Scope]]) -> None:
        self._clock = clock
        self._whole = whole
        self._running = running
        self._seen: dict[str, _Seen] = {}
        self._sharing = False

    async def run(self) -> None:
        """Divide until cancelled."""
        while True:
            self.divide()
            await trio.sleep(EVERY_S)

    def divide(self) -> None:
        """Give everybody its share anew."""
        wall, scopes = self._clock.wall(), {s.id: s for s in self._running()}
        whole, disk = self._whole().at(wall), self._whole().of_disk_at(wall)
        limits = (whole.bytes_per_s, whole.ops_per_s, disk.bytes_per_s, disk.ops_per_s)
        if limits == (None,) * 4 and not self._sharing:
            return
        self._sharing = limits != (None,) * 4
        self._seen = {id_: seen for id_, seen in self._seen.items() if id_ in scopes}
        lately = {id_: self._lately(scope) for id_, scope in scopes.items()}
        disks = {id_: scope.disks for id_, scope in scopes.items()}
        of_bytes = budgets_of(whole.bytes_per_s, disk.bytes_per_s, disks)
        of_entries = budgets_of(whole.ops_per_s, disk.ops_per_s, disks)
        size = shares_of(of_bytes, {i: _usage(s, lately[i], of_bytes=True) for i, s in scopes.items()})
        entries = shares_of(of_entries, {i: _usage(s, lately[i], of_bytes=False) for i, s in scopes.items()})
        for id_, scope in scopes.items():
            share = Share(size.get(id_), entries.get(id_))
            scope.around = msgspec.structs.replace(scope.around, share=share)
            scope.share_limits()

    def _lately(self, scope: Scope) -> _Seen:
        """Return what its movers have done since the last look."""
        now, before = _seen(scope.crew, self._clock.monotonic()), self._seen.get(scope.id)
        self._seen[scope.id] = now
        return now.since(before) if before is not None else _Seen(0.0, 0, 0, 0)


class _Seen(msgspec.Struct, frozen=True):
    """By `at_s` of the monotonic clock, or within so many seconds."""

    at_s: float
    bytes: int
    entries: int
    waited_ns: int

    def since(self, before: _Seen) -> _Seen:
        return _Seen(
            self.at_s - before.at_s,
            max(0, self.bytes - before.bytes),
            max(0, self.entries - before.entries),
            max(0, self.waited_ns - before.waited_ns),
        )


def _seen(crew: Crew, now: float) -> _Seen:
    looks = [process.control.look() for process in crew.processes.values()]
    copying, committing = crew.spent()
    waited_ns = copying[Activity.THROTTLED] + committing[Activity.THROTTLED]
    return _Seen(now, sum(g.bytes_total for g in looks), sum(g.entries_total for g in looks), waited_ns)


def _usage(scope: Scope, lately: _Seen, *, of_bytes: bool) -> Usage:
    execution, share = scope.account.execution, scope.around.share
    limits, took_s = execution.limits, lately.at_s or EVERY_S
    waited = lately.waited_ns / 1e9 / took_s / max(1, len(scope.crew.processes))
    return Usage(
        weight_of(execution.standing),
        (lately.bytes if of_bytes else lately.entries) / took_s,
        share.bytes_per_s if of_bytes else share.ops_per_s,
        0.0 if limits.cpu_percent is not None else waited,
        limits.io_bytes_per_s if of_bytes else limits.io_ops_per_s,
        execution.state is not ExecutionState.RUNNING,
    )
