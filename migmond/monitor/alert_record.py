"""What the journal has of alerts: what changes is journaled in parts, and alerts go on when it cannot be."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import trio

from migmond.breath import Breath
from migmond.domain.alert import Alert, AlertState
from migmond.domain.alert_changes import AlertChange, PutAlert, RemoveAlerts
from migmond.domain.changes import PutDelivery
from migmond.domain.errors import JournalError
from migmond.ports import Clock, Journal

_IDS_AT_A_TIME = 100
_AT_A_TIME = 500
"""Changes in one transaction: whoever else wants to write waits for it."""
_PATIENCE_S = 10.0
_MOST_OWED = 5_000
"""Alerts that are journaled as soon as that is possible again; of more, the oldest are not."""


class _Ids:
    """Numbers that never repeat over restarts, without waiting for the journal at each."""

    def __init__(self, kind: str) -> None:
        self._kind = kind
        self._next = self._limit = 0

    async def top_up(self, journal: Journal) -> None:
        """Reserve more when few are left. Only we give out this kind, so what was taken beyond is reserved after it."""
        if self._next + _IDS_AT_A_TIME // 2 > self._limit:
            count = max(_IDS_AT_A_TIME, self._next + _IDS_AT_A_TIME - self._limit)
            first = await journal.next_id(self._kind, count)
            self._next, self._limit = (self._next or first), first + count

    def make(self) -> str:
        self._next += 1
        return f"a-{self._next - 1}"


class AlertRecord:
    """Alerts on record. `start` it before anything else."""

    def __init__(self, journal: Journal, clock: Clock, log: Callable[..., None]) -> None:
        self._journal = journal
        self._clock = clock
        self._log = log
        self._ids = _Ids("alert")
        self._open: set[str] = set()
        self._owed: dict[str, PutAlert | RemoveAlerts] = {}
        self._failing = ""

    async def start(self) -> list[Alert]:
        """Return what an earlier daemon left open.

        Raises:
            JournalError: it cannot be read.
        """
        await self._ids.top_up(self._journal)
        found = await self._journal.open_alerts()
        self._open = {alert.id for alert in found}
        return found

    def make_id(self) -> str:
        """Return an id that no alert ever had."""
        return self._ids.make()

    def has(self, alert: Alert) -> bool:
        """Whether it is on record as open."""
        return alert.id in self._open

    async def apply(self, changes: Sequence[AlertChange | PutDelivery]) -> None:
        """Journal changes, in order. What cannot be is logged, once for each reason, and what it says of alerts is
        journaled with what comes next: one that has ended while the disk was full is in the history all the same. So is
        what waits too long behind others: whoever has to know that the disk hangs is not to wait for it."""
        all_of_it: list[AlertChange | PutDelivery] = [*self._owed.values(), *changes]
        try:
            with trio.fail_after(_PATIENCE_S):
                await self._ids.top_up(self._journal)
                for i in range(0, len(all_of_it), _AT_A_TIME):
                    await self._journal.apply(all_of_it[i : i + _AT_A_TIME])
        except (JournalError, trio.TooSlowError) as e:
            why = e.message if isinstance(e, JournalError) else f"it took longer than {_PATIENCE_S:g} s"
            self._owe(changes)
            if why != self._failing:
                self._failing = why
                self._log("alerts could not be journaled", why=why)
            return
        self._failing = ""
        self._owed.clear()
        breath = Breath(self._clock.monotonic)
        for change in all_of_it:
            await breath.take()
            self._note(change)

    def _owe(self, changes: Sequence[AlertChange | PutDelivery]) -> None:
        for change in changes:
            if isinstance(change, PutAlert):
                self._owed[change.alert.id] = change
            elif isinstance(change, RemoveAlerts):
                self._owed |= {id_: RemoveAlerts((id_,)) for id_ in change.ids}
        while len(self._owed) > _MOST_OWED:
            del self._owed[next(iter(self._owed))]

    async def demand(self, change: AlertChange) -> None:
        """Journal what somebody asked for; it holds only then.

        Raises:
            JournalError: it cannot be.
        """
        await self._journal.apply([change])
        self._note(change)

    def _note(self, change: AlertChange | PutDelivery) -> None:
        if isinstance(change, PutAlert):
            self._open.add(change.alert.id)
            self._owed.pop(change.alert.id, None)
            if change.alert.state is AlertState.RESOLVED:
                self._open.discard(change.alert.id)
        elif isinstance(change, RemoveAlerts):
            self._open.difference_update(change.ids)
