"""Things that happen at random to tasks, to a naive oracle of them, and to what counts them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Protocol

import msgspec
from hypothesis import strategies as st

from migmond.analytics.classes import SIZE_BOUNDS, SIZES, TYPES
from migmond.analytics.cube import Cube
from migmond.analytics.cube_rows import Row
from migmond.domain.entry import EntryType
from migmond.domain.execution import Tally
from migmond.domain.file_kinds import FileKind, tells_kind
from migmond.domain.states import Outcome, TaskState
from migmond.domain.task import Entry, Listing, Task, may_be_read


class Counts(Protocol):
    """What a Cube, a Recount and an Account with one have in common."""

    def plan(self, listing: Listing) -> tuple[Tally, Tally]: ...
    def settle(self, task: Task, state: TaskState) -> None: ...
    def settle_all(self, tasks: list[Task], state: TaskState) -> Tally: ...
    def resize(self, task: Task, size: int) -> None: ...
    def read(self, found: Iterable[tuple[Task, FileKind]]) -> None: ...
    def inherit(self, old: Task, heir: Task) -> None: ...
    def reopen(self, directory: Task) -> None: ...
    def leave_out(self, directory: Task) -> None: ...
    def cancel_rest(self, failed: list[Task]) -> None: ...


FILE, DIRECTORY, SYMLINK = EntryType.FILE, EntryType.DIRECTORY, EntryType.SYMLINK
STATES = {
    TaskState.DONE: "done", TaskState.FAILED: "failed", TaskState.SKIPPED: "skipped",
    TaskState.CANCELLED: "cancelled", TaskState.DURABLE: "durable",
}  # fmt: skip
SIZES_TRIED = sorted({0, 1, 1 << 40, *SIZE_BOUNDS, *(b + 1 for b in SIZE_BOUNDS)})
NAMES = (b"a.mp4", b"b.MP4", b".jpg", b"no", b"mp4", b"t.tar.gz", b"x.sqlite", b"odd.", b"\xff.\xfe", b"a.py")


KINDS = {
    FileKind.OTHER: "other", FileKind.VIDEO: "video", FileKind.TEXT: "code or text",
    FileKind.DATABASE: "database or disk image",
}  # fmt: skip


def kind_of(task: Task, read: dict[int, FileKind]) -> str:
    """Naively."""
    if task.type is not FILE:
        return {DIRECTORY: "directory", SYMLINK: "symlink"}.get(task.type, "special")
    stem, dot, extension = task.name.rpartition(b".")
    known = {
        b"mp4": "video", b"jpg": "image", b"gz": "archive", b"sqlite": "database or disk image", b"py": "code or text"
    }  # fmt: skip
    if task.number in read:
        return KINDS[read[task.number]]
    unknown = "unknown" if task.size else "other"
    return known.get(extension.lower(), unknown) if dot or stem else unknown


def size_of(task: Task) -> str:
    size = task.size if task.type is FILE else 0
    return SIZES[sum(size > bound for bound in SIZE_BOUNDS)]


class Oracle:
    """All tasks, one by one, and what the journal would have of them."""

    def __init__(self, roots: int) -> None:
        self.tasks = {n: Task(n, 0, b"", DIRECTORY, 4096, 0, 0, 1, 1, 2) for n in range(1, roots + 1)}
        self.read: dict[int, FileKind] = {}

    def owner(self, number: int) -> int:
        """With which directory the entries of `number` count."""
        chain = [number]
        while self.tasks[chain[-1]].directory:
            chain.append(self.tasks[chain[-1]].directory)
        return chain[::-1][:3][-1]

    def key(self, task: Task, kind: bool, size: bool, directory: bool) -> object:
        """Which row a task is in."""
        return (
            kind_of(task, self.read) if kind else None,
            size_of(task) if size else None,
            self.owner(task.directory or task.number) if directory else None,
        )

    def rows(self, kind: bool, size: bool, directory: bool) -> dict[object, dict[str, Tally]]:
        sums: dict[object, dict[str, Tally]] = defaultdict(lambda: defaultdict(Tally))
        for t in self.tasks.values():
            if t.outcome is Outcome.NOT_SELECTED:
                continue
            key = self.key(t, kind, size, directory)
            counted = t.size if t.type is FILE and not t.leader else 0
            for field in ("planned", STATES.get(t.state, "")):
                if field:
                    sums[key][field] = sums[key][field].plus(1, counted)
        return sums


def named(row: Row) -> tuple[object, dict[str, Tally]]:
    key = (
        None if row.kind is None else TYPES[row.kind], None if row.size is None else SIZES[row.size], row.directory
    )  # fmt: skip
    fields = {f: getattr(row, f) for f in ("planned", *STATES.values())}
    return key, {f: tally for f, tally in fields.items() if tally != Tally()}


class Trial:
    """Things happen at random to an oracle and to what counts."""

    def __init__(self, data: st.DataObject, counts: Counts, cube: Cube, *, empty: bool = False) -> None:
        self.data, self.counts, self.cube, self.oracle = data, counts, cube, Oracle(2)
        if not empty:
            cube.count(self.oracle.tasks.values())

    def step(self) -> None:
        choices = [self.list, self.settle, self.settle, self.settle_many, self.resize, self.inherit, self.reopen,
                   self.leave_out, self.look]  # fmt: skip
        self.data.draw(st.sampled_from(choices))()

    def list(self) -> None:
        tasks, draw = self.oracle.tasks, self.data.draw
        open_ = [n for n, t in tasks.items() if t.type is DIRECTORY and t.outcome is Outcome.NONE]
        if not open_:
            return
        directory, first = draw(st.sampled_from(open_)), max(tasks) + 1
        entries: list[Entry] = []
        outcomes: dict[int, Outcome] = {}
        leaders: dict[int, int] = {}
        leading = [t for t in tasks.values() if t.type is FILE and not t.leader and t.outcome is Outcome.NONE]
        for position in range(draw(st.integers(0, 4))):
            kind = draw(st.sampled_from([FILE, FILE, FILE, DIRECTORY, DIRECTORY, SYMLINK, EntryType.FIFO]))
            name, size = draw(st.sampled_from(NAMES)), draw(st.sampled_from(SIZES_TRIED))
            entry = Entry(name, kind, size, 0, 0, 1, 1)
            if kind is FILE and leading and draw(st.integers(0, 3)) == 0:
                leader = draw(st.sampled_from(leading))
                leaders[position], entry = leader.number, msgspec.structs.replace(entry, size=leader.size)
            elif draw(st.integers(0, 3)) == 0:
                outcomes[position] = draw(st.sampled_from([Outcome.NOT_SELECTED, Outcome.OTHER_FILE_SYSTEM]))
            entries.append(entry)
        kinds: dict[int, FileKind] = {}
        for position, e in enumerate(entries):
            if e.type is FILE and e.size and not tells_kind(e.name) and draw(st.integers(0, 4)) == 0:
                kinds[position] = self.oracle.read[first + position] = draw(st.sampled_from(sorted(KINDS)))
        told = self.counts.plan(Listing(directory, 1, first, tuple(entries), outcomes, True, leaders, kinds))
        planned, skipped = Tally(), Tally()
        for position, e in enumerate(entries):
            outcome = outcomes.get(position, Outcome.NONE)
            state = TaskState.SKIPPED if outcome else TaskState.PENDING
            leader_number = leaders.get(position, 0)
            number = first + position
            tasks[number] = Task(
                number, directory, e.name, e.type, e.size, 0, 0, 1, 1, 1, state, outcome, leader_number
            )  # fmt: skip
            counted = e.size if e.type is FILE and not leader_number else 0
            if outcome is not Outcome.NOT_SELECTED:
                planned = planned.plus(1, counted)
                skipped = skipped.plus(bool(outcome), counted if outcome else 0)
        assert told == (planned, skipped)

    def pick(self, *states: TaskState, kind: EntryType | None = None) -> Task | None:
        found = [t for t in self.oracle.tasks.values() if t.state in states and kind in (None, t.type)]
        return self.data.draw(st.sampled_from(found)) if found else None

    def settle(self) -> None:
        task = self.pick(TaskState.PENDING, TaskState.DURABLE)
        if task is not None:
            state = self.data.draw(st.sampled_from([TaskState.DONE, TaskState.FAILED, TaskState.DURABLE]))
            if task.state is TaskState.PENDING and self.data.draw(st.booleans()):
                state = TaskState.SKIPPED
            if state is task.state:
                return
            self.counts.settle(task, state)
            self.oracle.tasks[task.number] = msgspec.structs.replace(task, state=state)

    def settle_many(self) -> None:
        pending = [t for t in self.oracle.tasks.values() if t.state is TaskState.PENDING]
        tasks = self.data.draw(st.lists(st.sampled_from(pending), unique=True)) if pending else []
        state = self.data.draw(st.sampled_from([TaskState.DONE, TaskState.DURABLE]))
        told = self.counts.settle_all(tasks, state)
        assert told == Tally(len(tasks), sum(t.size for t in tasks if t.type is FILE and not t.leader))
        for task in tasks:
            self.oracle.tasks[task.number] = msgspec.structs.replace(task, state=state)

    def resize(self) -> None:
        task = self.pick(TaskState.PENDING, kind=FILE)
        if task is not None:
            size = self.data.draw(st.sampled_from(SIZES_TRIED))
            self.counts.resize(task, size)
            self.oracle.tasks[task.number] = msgspec.structs.replace(task, size=size)

    def look(self) -> None:
        found: dict[int, tuple[Task, FileKind]] = {}
        for _ in range(self.data.draw(st.integers(1, 3))):
            task = self.pick(TaskState.PENDING, kind=FILE)
            if task is not None and may_be_read(task):
                found[task.number] = (task, self.data.draw(st.sampled_from(sorted(KINDS))))
        self.counts.read(found.values())
        self.oracle.read |= {number: kind for number, (_, kind) in found.items()}

    def inherit(self) -> None:
        heir = self.pick(TaskState.PENDING, kind=FILE)
        if heir is None or not heir.leader:
            return
        old = self.oracle.tasks[heir.leader]
        if old.state not in (TaskState.FAILED, TaskState.SKIPPED) or old.leader:
            return
        self.counts.inherit(old, heir)
        self.oracle.tasks[heir.number] = msgspec.structs.replace(heir, leader=0)
        if old.state is TaskState.FAILED or old.outcome is Outcome.LEFT_OUT:
            self.oracle.tasks[old.number] = msgspec.structs.replace(old, leader=heir.number)

    def reopen(self) -> None:
        task = self.pick(TaskState.DONE, kind=DIRECTORY)
        if task is not None:
            self.counts.reopen(task)
            self.oracle.tasks[task.number] = msgspec.structs.replace(task, state=TaskState.PENDING)

    def leave_out(self) -> None:
        task = self.pick(TaskState.PENDING, kind=DIRECTORY)
        if task is not None:
            self.counts.leave_out(task)
            out = msgspec.structs.replace(task, state=TaskState.SKIPPED, outcome=Outcome.NOT_SELECTED)
            self.oracle.tasks[task.number] = out

    def end(self) -> None:
        """Cancel the rest, or try the failed ones again, or neither."""
        match self.data.draw(st.sampled_from(["cancel", "retry", "nothing"])):
            case "cancel":
                self.cancel()
            case "retry":
                self.cube.retry()
                for number, task in self.oracle.tasks.items():
                    if task.state is TaskState.FAILED:
                        self.oracle.tasks[number] = msgspec.structs.replace(task, state=TaskState.PENDING)

    def cancel(self) -> None:
        tasks = self.oracle.tasks
        failed = [t for t in tasks.values() if t.state is TaskState.FAILED and self.data.draw(st.booleans())]
        self.counts.cancel_rest(failed)
        for number, task in tasks.items():
            if task not in failed and task.state not in (TaskState.DONE, TaskState.SKIPPED):
                tasks[number] = msgspec.structs.replace(task, state=TaskState.CANCELLED)

    def check(self, *, directories: bool = True) -> None:
        for kind in (False, True):
            for size in (False, True):
                for directory in (False, True) if directories else (False,):
                    rows = dict(map(named, self.cube.rows(kind=kind, size=size, directory=directory)))
                    assert rows == self.oracle.rows(kind, size, directory)
        total = self.oracle.rows(kind=False, size=False, directory=False)
        assert named(self.cube.sums()) == ((None, None, None), total[None, None, None])
