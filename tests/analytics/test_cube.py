"""The cube says of every part what a count of the tasks one by one says, whatever happens to them, and however often it
is kept, counted anew, or merges directories."""

from __future__ import annotations

import random
import sys

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from migmond.analytics.classes import CELLS, SIZES, TYPES, CellsOfNames
from migmond.analytics.cube import Cube, CubeState
from migmond.analytics.cube_directories import OTHER
from migmond.analytics.recount import Recount
from migmond.domain.execution import Tally
from migmond.domain.states import TaskState
from migmond.domain.task import Entry, Listing, Task
from part_trials import DIRECTORY, FILE, Trial, named


def kept(cube: Cube, most: int) -> Cube:
    packed = msgspec.msgpack.encode(cube.state())
    return Cube.of(msgspec.msgpack.decode(packed, type=CubeState), most)


@given(st.data())
@settings(max_examples=80, deadline=None)
def test_every_marginal_is_what_a_count_one_by_one_gives(data: st.DataObject) -> None:
    cube = Cube()
    trial = Trial(data, cube, cube)
    for _ in range(data.draw(st.integers(0, 25))):
        trial.step()
        if data.draw(st.integers(0, 5)) == 0:
            trial.counts = trial.cube = kept(trial.cube, 512)
    trial.end()
    trial.check()
    trial.counts = trial.cube = kept(trial.cube, 512)
    trial.check()


@given(st.data(), st.integers(2, 4))
@settings(max_examples=60, deadline=None)
def test_sums_stay_exact_when_directories_are_merged(data: st.DataObject, most: int) -> None:
    cube = Cube(most)
    trial = Trial(data, cube, cube)
    for _ in range(data.draw(st.integers(5, 30))):
        trial.step()
        if data.draw(st.integers(0, 5)) == 0:
            trial.counts = trial.cube = kept(trial.cube, most)
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
    trial = Trial(data, recount, recount.cube, empty=True)
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
        read, kinds = dict(trial.oracle.tasks), dict(trial.oracle.read)
        some_steps() if looks < 30 else None
        page = [read[n] for n in sorted(read) if n > after][:limit]
        recount.take(page, [read[n] for n in again], kinds, more=len(page) == limit)
    some_steps()
    trial.end()
    trial.check()


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_what_is_in_flight_is_told_with_the_part_that_it_is_planned_in(data: st.DataObject) -> None:
    cube = Cube()
    trial = Trial(data, cube, cube)
    for _ in range(data.draw(st.integers(5, 25))):
        trial.step()
    trial.end()
    pending = [t for t in trial.oracle.tasks.values() if t.state is TaskState.PENDING and t.type is FILE]
    chosen = data.draw(st.lists(st.sampled_from(pending), unique=True)) if pending else []
    copied = [(t, Tally(data.draw(st.integers(0, 1)), data.draw(st.integers(0, t.size)))) for t in chosen]
    seen = cube.snapshot(copied)
    for parts in ({"kind": True}, {"size": True}, {"directory": True}, {"kind": True, "size": True, "directory": True}):
        expected: dict[object, Tally] = {}
        for task, part in copied:
            key = trial.oracle.key(task, **{"kind": False, "size": False, "directory": False, **parts})
            expected[key] = expected.get(key, Tally()).plus(part.entries, part.bytes)
        found = {named(row)[0]: row.in_flight for row in seen.rows(**parts)}
        assert {key: tally for key, tally in found.items() if tally != Tally()} == {
            key: tally for key, tally in expected.items() if tally != Tally()
        }
        assert [msgspec.structs.replace(row, in_flight=Tally()) for row in seen.rows(**parts)] == cube.rows(**parts)
    assert seen.sums().in_flight == Tally(sum(c.entries for _, c in copied), sum(c.bytes for _, c in copied))
    assert cube.sums().in_flight == Tally()  # nobody counts it
    trial.check()


def test_whoever_holds_much_stays() -> None:
    """However late it comes: nothing that has more than 2 / (most / 2) of all is merged."""
    rng, most = random.Random(3), 32
    cube, number = Cube(most), 2
    cube.count([Task(1, 0, b"", DIRECTORY, 0, 0, 0, 1, 1, 2)])
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
        "video", "audio", "image", "archive", "database or disk image", "unknown", "unknown", "unknown",
    ]  # fmt: skip
    before = len(cells)
    for number in range(10_000):
        cells[b".%d" % number]
    assert len(cells) <= before + 4096


@pytest.mark.parametrize("broken", [b"", b"\x00" * 40])
def test_what_is_damaged_is_no_cube(broken: bytes) -> None:
    whole = Cube().state()
    with pytest.raises(ValueError, match="other kinds"):
        Cube.of(msgspec.structs.replace(whole, each=88))
    for field in ("starts", "owners", "merged", "read"):
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
    cube.count([Task(1, 0, b"", DIRECTORY, 0, 0, 0, 1, 1, 2)])
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


def test_sums_beyond_64_bits_stay_apart() -> None:
    largest = (1 << 63) - 1
    entries = tuple(Entry(b"%d" % n, FILE, largest, 0, 0, n, 1) for n in range(4))
    cube = Cube()
    cube.plan(Listing(1, 7, 2, entries, {}, complete=True))
    for number, entry in enumerate(entries, start=2):
        task = Task(number, 1, entry.name, entry.type, entry.size, 0, 0, entry.inode, 7, 1)
        cube.settle(task, TaskState.FAILED if number % 2 else TaskState.DONE)
    sums = Cube.of(cube.state()).sums()
    assert sums.planned == Tally(4, 4 * largest)
    assert (sums.done, sums.failed) == (Tally(2, 2 * largest), Tally(2, 2 * largest))
