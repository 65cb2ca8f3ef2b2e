"""The cube says of every part what a count of the tasks one by one says, whatever happens to them, and however often it
is kept, counted anew, or merges directories."""

from __future__ import annotations

import random
import sys
from collections import defaultdict

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from migmond.analytics.classes import CELLS, SIZE_BOUNDS, SIZES, TYPES, CellsOfNames
from migmond.analytics.cube import OTHER, Cube, CubeState, Row
from migmond.analytics.recount import Recount
from migmond.domain.entry import EntryType
from migmond.domain.execution import Tally
from migmond.domain.states import Outcome, TaskState
from migmond.domain.task import Entry, Listing, Task

FILE, DIRECTORY, SYMLINK = EntryType.FILE, EntryType.DIRECTORY, EntryType.SYMLINK
STATES = {
    TaskState.DONE: "done", TaskState.FAILED: "failed", TaskState.SKIPPED: "skipped", TaskState.CANCELLED: "cancelled"
}  # fmt: skip
SIZES_TRIED = sorted({0, 1, 1 << 40, *SIZE_BOUNDS, *(b + 1 for b in SIZE_BOUNDS)})
NAMES = (b"a.mp4", b"b.MP4", b".jpg", b"no", b"mp4", b"t.tar.gz", b"x.sqlite", b"odd.", b"\xff.\xfe", b"a.py")


def kind_of(task: Task) -> str:
    """Naively."""
    if task.type is not FILE:
        return {DIRECTORY: "directory", SYMLINK: "symlink"}.get(task.type, "special")
    stem, dot, extension = task.name.rpartition(b".")
    known = {
        b"mp4": "video", b"jpg": "image", b"gz": "archive", b"sqlite": "database or disk image", b"py": "code or text"
    }  # fmt: skip
    return known.get(extension.lower(), "other") if dot or stem else "other"


def size_of(task: Task) -> str:
    size = task.size if task.type is FILE else 0
    return SIZES[sum(size > bound for bound in SIZE_BOUNDS)]


class Oracle:
    """All tasks, one by one, and what the journal would have of them."""

    def __init__(self, roots: int) -> None:
        self.tasks = {n: Task(n, 0, b"", DIRECTORY, 4096, 0, 0, 1, 1, 2) for n in range(1, roots + 1)}

    def owner(self, number: int) -> int:
        """With which directory the entries of `number` count."""
        chain = [number]
        while self.tasks[chain[-1]].directory:
            chain.append(self.tasks[chain[-1]].directory)
        return chain[::-1][:3][-1]

    def rows(self, kind: bool, size: bool, directory: bool) -> dict[object, dict[str, Tally]]:
        sums: dict[object, dict[str, Tally]] = defaultdict(lambda: defaultdict(Tally))
        for t in self.tasks.values():
            if t.outcome is Outcome.NOT_SELECTED:
                continue
            key = (
                kind_of(t) if kind else None,
                size_of(t) if size else None,
                self.owner(t.directory or t.number) if directory else None,
            )
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

    def __init__(self, data: st.DataObject, counts: Cube | Recount, roots: int = 2) -> None:
        self.data, self.counts, self.oracle = data, counts, Oracle(roots)
        for task in self.oracle.tasks.values():
            if isinstance(counts, Cube):
                counts.plan_task(task)
        self.cancelled = False

    @property
    def cube(self) -> Cube:
        return self.counts if isinstance(self.counts, Cube) else self.counts.cube

    def step(self) -> None:
        choices = [self.list, self.settle, self.settle, self.settle_many, self.resize, self.inherit, self.reopen,
                   self.leave_out]  # fmt: skip
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
        told = self.counts.plan(Listing(directory, 1, first, tuple(entries), outcomes, True, leaders))
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
            self.counts.settle(task, state)
            self.oracle.tasks[task.number] = msgspec.structs.replace(task, state=state)

    def settle_many(self) -> None:
        pending = [t for t in self.oracle.tasks.values() if t.state is TaskState.PENDING]
        tasks = self.data.draw(st.lists(st.sampled_from(pending), unique=True)) if pending else []
        told = self.counts.settle_done(tasks)
        assert told == Tally(len(tasks), sum(t.size for t in tasks if t.type is FILE and not t.leader))
        for task in tasks:
            self.oracle.tasks[task.number] = msgspec.structs.replace(task, state=TaskState.DONE)

    def resize(self) -> None:
        task = self.pick(TaskState.PENDING, kind=FILE)
        if task is not None:
            size = self.data.draw(st.sampled_from(SIZES_TRIED))
            self.counts.resize(task, size)
            self.oracle.tasks[task.number] = msgspec.structs.replace(task, size=size)

    def inherit(self) -> None:
        heir = self.pick(TaskState.PENDING, kind=FILE)
        if heir is None or not heir.leader:
            return
        old = self.oracle.tasks[heir.leader]
        if old.state not in (TaskState.FAILED, TaskState.SKIPPED) or old.leader:
            return
        self.counts.inherit(old, heir)
        self.oracle.tasks[heir.number] = msgspec.structs.replace(heir, leader=0)
        if old.state is TaskState.FAILED:
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
        tasks = self.oracle.tasks
        match self.data.draw(st.sampled_from(["cancel", "retry", "nothing"])):
            case "cancel":
                failed = [t for t in tasks.values() if t.state is TaskState.FAILED and self.data.draw(st.booleans())]
                self.counts.cancel_rest(failed)
                for number, task in tasks.items():
                    if task not in failed and task.state not in (TaskState.DONE, TaskState.SKIPPED):
                        tasks[number] = msgspec.structs.replace(task, state=TaskState.CANCELLED)
            case "retry":
                self.cube.retry()
                for number, task in tasks.items():
                    if task.state is TaskState.FAILED:
                        tasks[number] = msgspec.structs.replace(task, state=TaskState.PENDING)

    def check(self, *, directories: bool = True) -> None:
        for kind in (False, True):
            for size in (False, True):
                for directory in (False, True) if directories else (False,):
                    rows = dict(map(named, self.cube.rows(kind=kind, size=size, directory=directory)))
                    assert rows == self.oracle.rows(kind, size, directory)
        total = self.oracle.rows(kind=False, size=False, directory=False)
        assert named(self.cube.sums()) == ((None, None, None), total[None, None, None])


def kept(cube: Cube, most: int) -> Cube:
    packed = msgspec.msgpack.encode(cube.state())
    return Cube.of(msgspec.msgpack.decode(packed, type=CubeState), most)


@given(st.data())
@settings(max_examples=80, deadline=None)
def test_every_marginal_is_what_a_count_one_by_one_gives(data: st.DataObject) -> None:
    trial = Trial(data, Cube())
    for _ in range(data.draw(st.integers(0, 25))):
        trial.step()
        if data.draw(st.integers(0, 5)) == 0:
            trial.counts = kept(trial.cube, 512)
    trial.end()
    trial.check()
    trial.counts = kept(trial.cube, 512)
    trial.check()


@given(st.data(), st.integers(2, 4))
@settings(max_examples=60, deadline=None)
def test_sums_stay_exact_when_directories_are_merged(data: st.DataObject, most: int) -> None:
    trial = Trial(data, Cube(most))
    for _ in range(data.draw(st.integers(5, 30))):
        trial.step()
        if data.draw(st.integers(0, 5)) == 0:
            trial.counts = kept(trial.cube, most)
    trial.end()
    trial.check(directories=False)
    rows = {row.directory: row for row in trial.cube.rows(directory=True)}
    assert len(rows) <= most
    whole = trial.oracle.rows(kind=False, size=False, directory=True)
    for number, row in rows.items():
        if number != OTHER:  # those that are told apart are whole
            assert named(row)[1] == whole[None, None, number]


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_a_count_from_the_journal_while_things_change_is_exact(data: st.DataObject) -> None:
    """The journal is read at any moment between `begin` and `take`, and lags behind what is recorded."""
    recount = Recount()
    trial = Trial(data, recount)
    for _ in range(data.draw(st.integers(0, 15))):
        trial.step()  # before anybody counts
    limit = data.draw(st.integers(1, 5))

    def some_steps() -> None:
        for _ in range(data.draw(st.integers(0, 3))):
            trial.step()

    looks = 0
    while not recount.complete:
        looks += 1
        some_steps()
        after, again = recount.begin()
        some_steps()
        read = dict(trial.oracle.tasks)
        some_steps() if looks < 30 else None
        page = [read[n] for n in sorted(read) if n > after][:limit]
        recount.take(page, [read[n] for n in again], more=len(page) == limit)
    some_steps()
    trial.end()
    trial.check()


def test_whoever_holds_much_stays() -> None:
    """However late it comes: nothing that has more than 2 / (most / 2) of all is merged."""
    rng, most = random.Random(3), 32
    cube, number = Cube(most), 2
    cube.plan_task(Task(1, 0, b"", DIRECTORY, 0, 0, 0, 1, 1, 2))
    heavy = {500, 900, 1199}
    children = tuple(Entry(b"d%d" % i, DIRECTORY, 0, 0, 0, 1, 2) for i in range(1200))
    cube.plan(Listing(1, 1, number, children, {}, complete=True))
    first_child, number = number, number + len(children)
    for child in range(1200):
        size = 50_000_000 if child in heavy else rng.randrange(1000)
        cube.plan(Listing(first_child + child, 1, number, (Entry(b"f", FILE, size, 0, 0, 1, 1),), {}, complete=True))
        number += 1
    rows = {r.directory: r for r in cube.rows(directory=True)}
    assert {first_child + h for h in heavy} <= rows.keys()
    assert rows[OTHER].planned.entries > 1100
    assert len(rows) <= most
    assert sum(r.planned.entries for r in rows.values()) == 1 + 1200 + 1200


def test_names_are_sorted_by_their_last_extension_whatever_its_case() -> None:
    cells = CellsOfNames()

    def kind(name: bytes) -> str:
        return TYPES[cells[name[name.rfind(b".") :]] // len(SIZES)]

    assert [kind(n) for n in (b"A.MKV", b"a.b.flac", b".png", b"x.tar.ZST", b"x.iso", b"Makefile", b"zip", b"")] == [
        "video", "audio", "image", "archive", "database or disk image", "other", "other", "other",
    ]  # fmt: skip
    before = len(cells)
    for number in range(10_000):
        cells[b".%d" % number]
    assert len(cells) <= before + 4096


@pytest.mark.parametrize("broken", [b"", b"\x00" * 40])
def test_what_is_damaged_is_no_cube(broken: bytes) -> None:
    whole = Cube().state()
    for field in ("starts", "owners", "merged"):
        with pytest.raises(ValueError, match="kept cube"):
            Cube.of(msgspec.structs.replace(whole, **{field: broken}))
    with pytest.raises(ValueError, match="contradicts"):
        Cube.of(msgspec.structs.replace(whole, cells=[(CELLS * 9, *[1] * 10)]))


def bytes_of(value: object) -> int:
    """What an object takes with all that only it holds."""
    size = sys.getsizeof(value)
    if isinstance(value, dict):
        size += sum(map(sys.getsizeof, value.values()))
    elif isinstance(value, list | tuple):
        size += sum(bytes_of(part) for part in value if part)  # there is one 0
    return size


def test_a_million_files_in_a_hundred_thousand_directories_take_few_bytes_each() -> None:
    """What grows with the files is a byte each; the rest has a bound (2.5 MB of cells, 16 bytes a listing at most)."""
    tops, inner, per = 100, 1000, 10
    cube, number = Cube(), 2
    cube.plan_task(Task(1, 0, b"", DIRECTORY, 0, 0, 0, 1, 1, 2))
    children = tuple([Entry(b"d%d" % i, DIRECTORY, 0, 0, 0, 1, 2) for i in range(inner)])
    files = tuple([Entry(b"f%d.jpg" % i, FILE, 5000 * i, 0, 0, 1, 1) for i in range(per)])
    cube.plan(Listing(1, 1, number, children[:tops], {}, complete=True))
    number += tops
    for top in range(tops):
        first = number
        cube.plan(Listing(2 + top, 1, number, children, {}, complete=True))
        number += inner
        for child in range(inner):
            cube.plan(Listing(first + child, 1, number, files, {}, complete=True))
            number += per
    assert cube.sums().planned.entries == number - 1 > 1_000_000
    assert len(cube.rows(directory=True)) <= 512
    held = {id(v): bytes_of(v) for v in (*vars(cube).values(), *cube._fields) if v is not cube._fields}
    assert sum(held.values()) < 5 << 20
