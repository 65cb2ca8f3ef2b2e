"""The totals and their parts agree after anything that can happen to an account."""

from __future__ import annotations

from collections.abc import Iterable

from hypothesis import given, settings
from hypothesis import strategies as st

from migmond.analytics.cube import Cube
from migmond.domain.entry import Lost
from migmond.domain.execution import Execution, Tally, Totals
from migmond.domain.file_kinds import FileKind
from migmond.domain.states import Outcome, TaskState
from migmond.domain.task import Listing, Member, Task
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
