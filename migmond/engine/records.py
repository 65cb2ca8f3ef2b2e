"""What is on record of interventions, as far as it is needed again: which are in force, where each one belongs, and
which requests were carried out."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from migmond.domain.intervention import Intervention
from migmond.ports import Journal

_KIND = "intervention"
"""Of ids that the journal counts: those that were given out before the last execution was forgotten."""


class Records:
    """Of all executions of this daemon. Nothing here waits; what it returns is for the journal."""

    def __init__(self) -> None:
        self._last = 0
        self._executions: dict[str, str] = {}
        self._in_force: dict[str, Intervention] = {}
        self._requests: dict[tuple[str, str], str] = {}

    async def load(self, journal: Journal) -> None:
        """Take in what the journal has, before anything is changed."""
        self._last = await journal.next_id(_KIND, 0) - 1
        for execution in await journal.executions():
            lasting = {s.id for s in execution.standing} | {h.intervention for h in execution.holds}
            for record in await journal.interventions(execution.id):
                self._enter(record)
                if record.id not in lasting or record.ended_at is not None:
                    self._in_force.pop(record.id, None)

    def next_id(self) -> str:
        """Return an id that no intervention has."""
        self._last += 1
        return f"i-{self._last}"

    def add(self, record: Intervention, *, lasting: bool) -> None:
        """Remember a new one. `lasting`: it is in force until it is said to be over."""
        self._enter(record)
        if not lasting:
            del self._in_force[record.id]

    def forget(self, record: Intervention) -> None:
        """It could not be journaled: it never was."""
        self._executions.pop(record.id, None)
        self._in_force.pop(record.id, None)
        self._requests.pop((record.author, record.request_id), None)

    async def keep_ids(self, journal: Journal) -> None:
        """Have the journal remember which ids were given out, before it forgets any record: none is ever given
        twice, and `migmon undo i-41` never means another change than it did."""
        first = await journal.next_id(_KIND, 0)
        if first <= self._last:
            await journal.next_id(_KIND, self._last + 1 - first)

    def forget_execution(self, execution: str) -> None:
        """Forget all about an execution that the journal has forgotten."""
        gone = {id_ for id_, about in self._executions.items() if about == execution}
        for id_ in gone:
            del self._executions[id_]
            self._in_force.pop(id_, None)
        self._requests = {request: id_ for request, id_ in self._requests.items() if id_ not in gone}

    def _enter(self, record: Intervention) -> None:
        number = record.id.removeprefix("i-")
        if number.isdecimal():
            self._last = max(self._last, int(number))
        self._executions[record.id] = record.execution
        self._in_force[record.id] = record
        if record.request_id:
            self._requests[record.author, record.request_id] = record.id

    def over(self, ids: Iterable[str], by: str, wall: float, reason: str = "") -> list[Intervention]:
        """Take those of `ids` that are in force for over, and return them as they are to be on record.

        Args:
            by: who took them back, or `expired`.
            wall: clock seconds, now.
            reason: why, for people.
        """
        found = [self._in_force.pop(id_) for id_ in ids if id_ in self._in_force]
        return [msgspec.structs.replace(r, ended_at=wall, ended_by=by, ended_reason=reason) for r in found]

    def again(self, records: Iterable[Intervention]) -> None:
        """That they are over could not be journaled: they are in force."""
        for record in records:
            self._in_force[record.id] = msgspec.structs.replace(record, ended_at=None, ended_by="", ended_reason="")

    def in_force(self, id_: str) -> Intervention | None:
        """Return one that is in force."""
        return self._in_force.get(id_)

    def latest_of(self, author: str, executions: Iterable[str]) -> Intervention | None:
        """Return the newest that `author` made about one of `executions` and that is in force."""
        among = frozenset(executions)
        mine = [r for r in self._in_force.values() if r.author == author and r.execution in among]
        return max(mine, key=lambda r: int(r.id.removeprefix("i-")), default=None)

    def requested_in_force(self, author: str, prefix: str) -> list[Intervention]:
        """Return those that `author` asked for with a request_id that begins with `prefix` and that are in force."""
        return [r for r in self._in_force.values() if r.author == author and r.request_id.startswith(prefix)]

    def execution_of(self, id_: str) -> str | None:
        """Return the id of the execution that an intervention is about."""
        return self._executions.get(id_)

    def requested(self, author: str, request_id: str) -> str | None:
        """Return the id of the intervention that `author` asked for with `request_id`."""
        return self._requests.get((author, request_id)) if request_id else None
