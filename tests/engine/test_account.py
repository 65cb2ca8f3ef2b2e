"""The totals and their parts agree after anything that can happen to an account."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from migmond.analytics.cube import Cube
from migmond.domain.entry import EntryType, Lost
from migmond.domain.execution import Execution, Tally, Totals
from migmond.domain.file_kinds import FileKind
from migmond.domain.states import Outcome, TaskState
from migmond.domain.task import Entry, Listing, Member, Task
from migmond.engine.account import Account
from migmond.engine.in_hand import InHand
from migmond.engine.parts import agrees
from migmond.plugin_api.conformance import execution
from part_trials import DIRECTORY, Trial


class Told:
    """An account, told in the words of a cube."""

    def __init__(self, cube: Cube) -> None:
        self.in_hand = InHand()
        begun: Execution = execution(totals=Totals(planned=Tally(2, 0)))
        self.account = Account(begun, self.in_hand, cube)

    def plan(self, listing: Listing) -> tuple[Tally, Tally]:
        before = self.account.totals
        self.account.plan_entries(listing)
        now = self.account.totals
        return less(now.planned, before.planned), less(now.skipped, before.skipped)

    def _take(self, task: Task) -> None:
        if task.state is TaskState.PENDING and task.type is not DIRECTORY:
            self.in_hand.take(task.number)
            self.in_hand.send(task.number)

    def settle(self, task: Task, state: TaskState) -> None:
        self._take(task)
        self.account.settle(task, state)

    def settle_all(self, tasks: list[Task], state: TaskState) -> Tally:
        before = self._sum(state)
        for task in tasks:
            self._take(task)
        members = {t.number: Member(t.number, 9, Outcome.COPIED, Lost.NOTHING, None, t.size) for t in tasks}
        self.account.settle_copies({t.number: t for t in tasks}, members, {}, moving=state is TaskState.DURABLE)
        return less(self._sum(state), before)

    def _sum(self, state: TaskState) -> Tally:
        return self.account.totals.durable if state is TaskState.DURABLE else self.account.totals.done

    def resize(self, task: Task, size: int) -> None:
        self.account.resize(task, size)

    def inherit(self, old: Task, heir: Task) -> None:
        self.account.inherit(old, heir)

    def reopen(self, directory: Task) -> None:
        self.account.reopen(directory)

    def read(self, found: Iterable[tuple[Task, FileKind]]) -> None:
        self.account.read(found)

    def leave_out(self, directory: Task) -> None:
        self.account.leave_out(directory)

    def cancel_rest(self, failed: list[Task]) -> None:
        self.account.cancel_rest(failed)


def less(now: Tally, before: Tally) -> Tally:
    return now.plus(-before.entries, -before.bytes)


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_totals_are_the_sums_of_their_parts_at_every_step(data: st.DataObject) -> None:
    cube = Cube()
    told = Told(cube)
    trial = Trial(data, told, cube)
    for _ in range(data.draw(st.integers(0, 25))):
        trial.step()
        assert agrees(cube, told.account.totals)
    if data.draw(st.booleans()):
        trial.cancel()
        assert agrees(cube, told.account.totals)
    trial.check()


def test_what_somebody_had_skipped_is_told_apart_from_what_need_not_be_brought() -> None:
    cube = Cube()
    told = Told(cube)
    entries = tuple(Entry(b"f%d" % n, EntryType.FILE, 10, 0, 0, 1, 1) for n in range(4))
    told.account.plan_entries(Listing(1, 1, 3, entries, {}, complete=True))
    tasks = [Task(3 + n, 1, e.name, e.type, e.size, 0, 0, 1, 1, 1) for n, e in enumerate(entries)]
    for task, outcome in zip(tasks, (Outcome.LEFT_OUT, Outcome.LEFT_OUT, Outcome.UNCHANGED), strict=False):
        told._take(task)
        told.account.settle(task, TaskState.SKIPPED, outcome)
    totals = told.account.totals
    assert (totals.skipped, totals.left_out, totals.given_up) == (Tally(3, 30), Tally(2, 20), Tally(2, 20))
    assert totals.paced == Tally(1, 0)
    left = msgspec.structs.replace(tasks[0], state=TaskState.SKIPPED, outcome=Outcome.LEFT_OUT)
    told.account.bring_back(left)
    assert (told.account.totals.skipped, told.account.totals.left_out) == (Tally(2, 20), Tally(1, 10))
    assert cube.sums().skipped == Tally(2, 20)


def test_what_an_older_version_did_not_keep_is_never_less_than_nothing() -> None:
    cube = Cube()
    told = Told(cube)
    entry = Entry(b"f", EntryType.FILE, 10, 0, 0, 1, 1)
    told.account.plan_entries(Listing(1, 1, 3, (entry,), {}, complete=True))
    task = Task(3, 1, b"f", EntryType.FILE, 10, 0, 0, 1, 1, 1)
    told.settle(task, TaskState.DURABLE)
    told.account.recounted(Tally())
    told.account.settle(msgspec.structs.replace(task, state=TaskState.DURABLE), TaskState.DONE)
    assert (told.account.totals.done, told.account.totals.durable) == (Tally(1, 10), Tally())
