"""Failed entries that become pending again, a piece at a time, and what the record of it says meanwhile: how many are
by then. Cut off between two pieces it is true."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from migmond.domain.changes import RetrySome
from migmond.domain.execution import Execution, Tally
from migmond.domain.intervention import Intervention
from migmond.domain.task import Task
from migmond.engine.account import task_bytes

RETRIED_AT_ONCE = 10_000
"""Failed entries that become pending in one transaction, for which nobody else can journal anything."""


def pieces(failed: Sequence[Task]) -> list[Sequence[Task]]:
    """Return all of them, so many at a time."""
    return [failed[i : i + RETRIED_AT_ONCE] for i in range(0, len(failed), RETRIED_AT_ONCE)]


def tally_of(tasks: Sequence[Task]) -> Tally:
    """Return how many they are, and their bytes."""
    return Tally(len(tasks), sum(map(task_bytes, tasks)))


def begun(record: Intervention) -> Intervention:
    """Return the record of a retry of which nothing is pending yet."""
    return msgspec.structs.replace(record, before="failed", after="pending", entries=0, bytes=0)


def counted(record: Intervention, piece: Sequence[Task]) -> Intervention:
    """Return the record when `piece` is pending as well."""
    more = tally_of(piece)
    entries, size = record.entries or 0, record.bytes or 0
    return msgspec.structs.replace(record, entries=entries + more.entries, bytes=size + more.bytes)


def with_fewer_failed(now: Execution, piece: Sequence[Task]) -> Execution:
    """Return an execution that nothing works on as it is when `piece` of what failed is pending."""
    gone = tally_of(piece)
    left = now.totals.failed.plus(-gone.entries, -gone.bytes)
    return msgspec.structs.replace(now, totals=msgspec.structs.replace(now.totals, failed=left))


def try_again(now: Execution, piece: Sequence[Task]) -> RetrySome:
    """Return the change by which they are pending."""
    return RetrySome(now.key, tuple(t.number for t in piece), removes(now))


def removes(execution: Execution) -> bool:
    """Whether it is a rollback that only removes copies: what it tries again is durable already."""
    undoing = execution.plan.undoes
    return undoing is not None and undoing.removing
