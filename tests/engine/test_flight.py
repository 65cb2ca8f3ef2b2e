"""What a mover has copied of large files that are not settled."""

from __future__ import annotations

import msgspec

from migmond.domain.entry import EntryType, Lost
from migmond.domain.execution import Tally
from migmond.domain.states import Outcome
from migmond.domain.task import Task
from migmond.engine.flight import WORTH_BYTES, Batch, Flight, Group
from migmond.wire.items import CopyResult

MIB = 1 << 20


def task(number: int, size: int) -> Task:
    return Task(number, 1, b"f%d" % number, EntryType.FILE, size, 0, 0, number, 1, 1)


def in_group(number: int, *tasks: Task) -> Group:
    group = Group(number, b"m")
    for one in tasks:
        group.add(one, CopyResult(one.number, number, Outcome.NONE, Lost.NOTHING, None, 7, one.size, None))
    return group


def of(batches: list[list[Task]], groups: list[Group]) -> Flight:
    made = Flight()
    made.batches = {n: Batch({t.number: t for t in b}, 0, 0.0) for n, b in enumerate(batches, 1)}
    made.groups = {g.journal_id: g for g in groups}
    return made


def test_the_file_at_hand_and_those_that_wait_for_a_sync() -> None:
    large, next_, copied, small = task(2, 900 * MIB), task(3, 5 * MIB), task(4, 70 * MIB), task(5, 4096)
    flight = of([[large], [next_]], [in_group(1, copied, small)])
    assert list(flight.copied(2, 333 * MIB)) == [(large, Tally(0, 333 * MIB)), (copied, Tally(1, 70 * MIB))]
    assert list(flight.copied(0, 0)) == [(copied, Tally(1, 70 * MIB))]
    assert list(flight.copied(99, MIB)) == [(copied, Tally(1, 70 * MIB))]  # it has been answered for meanwhile


def test_a_file_that_grows_is_no_more_than_it_was_planned_as() -> None:
    one = task(2, 3 * MIB)
    assert list(of([[one]], []).copied(2, 9 * MIB)) == [(one, Tally(0, 3 * MIB))]


def test_further_names_hold_no_bytes() -> None:
    name = msgspec.structs.replace(task(3, 9 * MIB), leader=2)
    assert list(of([[name]], []).copied(3, 9 * MIB)) == [(name, Tally(0, 0))]
    assert list(of([], [in_group(1, name, task(4, MIB))]).copied(0, 0)) == [
        (name, Tally(1, 0)),
        (task(4, MIB), Tally(1, MIB)),
    ]


class _Uncounted(dict[int, Task]):
    """Complains when somebody looks at each."""

    def values(self) -> None:  # type: ignore[override]
        raise AssertionError("each file of the group is looked at")


def test_a_group_of_small_files_is_not_looked_through() -> None:
    small = [task(n, 10) for n in range(2, 5000)]
    group = in_group(1, *small)
    assert group.size_bytes < WORTH_BYTES
    group.tasks = _Uncounted(group.tasks)
    assert list(of([small], [group]).copied(2, 10)) == []
