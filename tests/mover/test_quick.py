"""Small files by machine code: the same results and the same copies as the long way, for whatever a directory holds."""

from __future__ import annotations

import contextlib
import os
import random
import stat
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest

import trees
from migmond.domain.activity import Activity
from migmond.domain.entry import EntryType, Lost
from migmond.domain.plan import ConflictPolicy, VerifyLevel
from migmond.domain.states import Outcome
from migmond.domain.task import Task
from migmond.fsys import content, machine_code, reflink, small_files
from migmond.mover.group import Arrival, Block, Copied, Group
from migmond.mover.temporaries import numbered
from migmond.planning.allowances import Allowance
from migmond.wire import work
from migmond.wire.budget import Kind
from migmond.wire.from_mover import Published, Synced
from migmond.wire.items import CopyResult, PublishResult, WorkItem
from migmond.wire.slots import NAME_BYTES, Control, ControlSide, Doing
from migmond.wire.to_mover import Publish
from migmond.wire.work import COPY, FILE, PlainFiles, WorkDirectory
from oracle import differences
from parts import Mover, item_of

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
pytestmark = pytest.mark.skipif(
    not machine_code.built() and os.environ.get("CI") != "true", reason="there was no C compiler when .venv was set up"
)


@pytest.fixture(autouse=True)
def _as_in_a_mover() -> Iterator[None]:
    old = os.umask(0)
    yield
    os.umask(old)


def items_of(directory: Path) -> tuple[WorkItem, ...]:
    names = sorted(n for n in os.listdir(os.fsencode(directory)) if not (directory / os.fsdecode(n)).is_dir())
    found = [(n, os.lstat(os.path.join(os.fsencode(directory), n))) for n in names]
    return tuple(item_of(number, name, st) for number, (name, st) in enumerate(found, start=2))


def packed(items: Sequence[WorkItem]) -> PlainFiles:
    return PlainFiles(
        b"".join(i.name + b"\0" for i in items),
        b"".join(FILE.pack(i.number, i.inode, i.size, i.mtime_ns, i.ctime_ns, i.links, 0) for i in items),
        items[0].device if items else 0,
    )


def is_plain(item: WorkItem) -> bool:
    """As the daemon decides it for a task of which nothing else is known."""
    as_task = Task(
        item.number, 2, item.name, item.type, item.size, item.mtime_ns, item.ctime_ns, item.inode, item.device,
        item.links,
    )  # fmt: skip
    return work.is_plain(as_task)


def work_of(items: Sequence[WorkItem], path: bytes = b"") -> WorkDirectory:
    plain = [item for item in items if is_plain(item)]
    return WorkDirectory(0, path, tuple(i for i in items if not is_plain(i)), plain=packed(plain) if plain else None)


def results_of(block: Block) -> Iterator[CopyResult]:
    """What the daemon makes of a block."""
    for number, inode, size, birth_ns, attempt, digest in COPY.iter_unpack(block.copies):
        known = digest if block.hashed else None
        yield CopyResult(number, 1, Outcome.COPIED, Lost.NOTHING, known, inode, size, None, None, birth_ns, attempt)


def copied(mover: Mover, items: tuple[WorkItem, ...]) -> list[Copied]:
    found: list[Copied] = []
    for made in mover.copier.copy_directory(work_of(items), 1):
        if isinstance(made, Block):
            found += [Copied(r, a) for r, a in zip(results_of(made), made.arrivals(), strict=True)]
        else:
            found.append(made)
    return sorted(found, key=lambda c: c.result.number)


def plain(results: list[Copied]) -> list[CopyResult]:
    """Without what differs between two copies of one file."""
    return [msgspec.structs.replace(c.result, inode=0, attempt=0) for c in results]


def publish(mover: Mover, results: list[Copied]) -> Published:
    """Publish them, in a block what machine code made."""
    group = Group(1)
    for result in results:
        if result.arrival is not None:
            group.add(result.arrival)
    return publish_group(mover, group)


def publish_blocks(mover: Mover, items: tuple[WorkItem, ...], skip: tuple[int, ...] = ()) -> Published:
    """Copy and publish as a mover does."""
    group = Group(1)
    for made in mover.copier.copy_directory(work_of(items), 1):
        if isinstance(made, Block):
            group.add_block(made)
        elif made.arrival is not None:
            group.add(made.arrival)
    return publish_group(mover, group, skip)


def publish_group(mover: Mover, group: Group, skip: tuple[int, ...] = ()) -> Published:
    mover.committer._sync(group)
    mover.committer._publish(Publish(1, skip))
    published = mover.said[-1]
    assert isinstance(published, Published)
    return published


def counts_calls(mover: Mover, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return a list that gets the number of every item that goes the long way."""
    numbers: list[int] = []
    really = mover.copier.copy

    def copy(item: WorkItem, root: int, path: bytes, group: int) -> Copied:
        numbers.append(item.number)
        return really(item, root, path, group)

    monkeypatch.setattr(mover.copier, "copy", copy)
    return numbers


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("move", [False, True])
def test_both_ways_do_the_same_with_any_tree(tmp_path: Path, seed: int, move: bool) -> None:
    rng, source = random.Random(seed), tmp_path / "source"
    trees.random_tree(source, rng, 150)
    trees.every_kind(source / "kinds")
    there = [Path(d) for d, _, _ in os.walk(source) if len(d) < 1000]
    answers = []
    for way, quick in enumerate((False, True)):
        target = tmp_path / f"target-{way}"
        rng = random.Random(seed)
        for number, directory in enumerate(there):
            below = target / directory.relative_to(source)
            below.mkdir(parents=True, exist_ok=True)
            for item in items_of(directory):
                if rng.random() < 0.1:
                    (below / os.fsdecode(item.name)).write_bytes(b"somebody else's")
                    os.utime(below / os.fsdecode(item.name), ns=(10**18, 10**18))
            if number % 3 == 0:
                with contextlib.suppress(OSError):
                    trees.acl(below, default=True)
            mover = Mover(directory, below, ConflictPolicy.SKIP, move=move, machine_code=quick)
            mover.context.no_rename(0)
            results = copied(mover, items_of(directory))
            publish(mover, results)
            answers.append((quick, str(directory), plain(results)))
    half = len(answers) // 2
    assert [a[1:] for a in answers[:half]] == [a[1:] for a in answers[half:]]
    assert differences(tmp_path / "target-0", tmp_path / "target-1", directory_times=False) == []


def test_ordinary_files_do_not_go_the_long_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = tmp_path / "source"
    trees.small_files(source, 40, 3000, random.Random(1))
    (directory,) = [d for d in source.iterdir() if d.is_dir()]
    directory.chmod(0o700)  # as a target is until it is finished
    (directory / "empty").touch()
    (directory / "largest").write_bytes(os.urandom(work.LARGEST_BYTES))
    (directory / "one more").write_bytes(os.urandom(work.LARGEST_BYTES + 1))
    for name in ("first name", "further name"):
        with contextlib.suppress(FileNotFoundError):
            os.link(directory / "first name", directory / name)
        (directory / name).touch()
    mover = Mover(directory, tmp_path / "target", machine_code=True)
    long_way = counts_calls(mover, monkeypatch)
    items = items_of(directory)
    results = copied(mover, items)
    assert [i.name for i in items if i.number in long_way] == [b"one more"]
    assert publish(mover, results).results == ()
    found = differences(directory, tmp_path / "target", directory_times=False)
    assert [f for f in found if not f.startswith("hard links")] == []  # nobody said whose further name it is


def test_more_than_the_arena_holds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = tmp_path / "source"
    source.mkdir(mode=0o700)
    for number in range(12):
        (source / f"{number}").write_bytes(os.urandom(200_000 + number))
    mover = Mover(source, tmp_path / "target", machine_code=True)
    long_way = counts_calls(mover, monkeypatch)
    publish(mover, copied(mover, items_of(source)))
    assert not long_way
    assert differences(source, tmp_path / "target", directory_times=False) == []


def _replace(path: Path) -> None:
    path.unlink()
    path.write_bytes(b"y" * 4)


def _fifo(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def _flag(path: Path) -> None:
    from migmond.fsys import flags

    fd = os.open(path, os.O_RDONLY)
    try:
        import fcntl

        fcntl.ioctl(fd, flags._SET, flags._LONG.pack(flags.NODUMP))
    except OSError as e:
        pytest.skip(f"no flags here: {e}")
    finally:
        os.close(fd)


@pytest.mark.parametrize(
    "alter",
    [
        lambda p: p.write_bytes(b"longer"),
        lambda p: os.utime(p, ns=(0, 5)),
        lambda p: p.chmod(0o640),
        _replace,
        lambda p: p.unlink(),
        _fifo,
        lambda p: (p.unlink(), p.symlink_to("other")),
        lambda p: (p.unlink(), p.mkdir()),
    ],
    ids=["content", "time", "mode", "replaced", "gone", "fifo", "symlink", "directory"],
)
def test_a_source_that_changed_since_the_scan_is_left_to_the_long_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, alter: Callable[[Path], object]
) -> None:
    source = tmp_path / "source"
    source.mkdir(mode=0o700)
    for name in ("a", "b", "c"):
        (source / name).write_bytes(b"x" * 4)
    items = items_of(source)
    alter(source / "b")
    mover = Mover(source, tmp_path / "target", machine_code=True)
    long_way = counts_calls(mover, monkeypatch)
    results = copied(mover, items)
    assert long_way == [items[1].number]
    assert [c.result.outcome for c in results if c.result.number != items[1].number] == [Outcome.COPIED] * 2
    changed = results[1].result
    assert changed.outcome is Outcome.SOURCE_GONE or (changed.fault is not None and changed.fault.kind != "crashed")
    assert len(os.listdir(tmp_path / "target")) == 2


@pytest.mark.parametrize("alter", [
    lambda p: os.setxattr(p, "user.note", b"1"),
    lambda p: trees.acl(p),
    _flag,
    lambda p: p.chmod(0o2755),
    lambda p: os.truncate(p, 100_000),
    lambda p: os.utime(p, ns=(-5_000_000_000_000_000_001, -5_000_000_000_000_000_001)),
    lambda p: os.utime(p, ns=(13_569_465_600 * 10**9, 5)),
    lambda p: os.utime(p, ns=(5, 13_569_465_600 * 10**9)),
    lambda p: os.utime(p, ns=(1 << 66, 1 << 66)),
], ids=[
    "attribute", "acl", "flag", "setgid", "sparse", "1811", "read in 2400", "written in 2400", "in 4308",
])  # fmt: skip
def test_what_is_not_ordinary_is_kept(tmp_path: Path, alter: Callable[[Path], object]) -> None:
    source = tmp_path / "source"
    source.mkdir(mode=0o700)
    for name in ("a", "b", "c"):
        (source / name).write_bytes(b"x" * 4)
    try:
        alter(source / "b")
    except OSError as e:
        pytest.skip(f"not on this file system: {e}")
    mover = Mover(source, tmp_path / "target", machine_code=True)
    publish(mover, copied(mover, items_of(source)))
    assert differences(source, tmp_path / "target", directory_times=False) == []


@needs_root
def test_owners_and_modes_are_given_and_nobody_looks_in_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = tmp_path / "source"
    source.mkdir(mode=0o700)
    for number, (uid, gid, mode) in enumerate([(0, 0, 0o644), (1234, 5678, 0o640), (0, 5678, 0o664), (1234, 0, 0o600)]):
        path = source / f"{number}"
        path.write_bytes(b"secret")
        os.chown(path, uid, gid)
        path.chmod(mode)
    mover = Mover(source, tmp_path / "target", machine_code=True)
    long_way = counts_calls(mover, monkeypatch)
    publish(mover, copied(mover, items_of(source)))
    assert not long_way
    assert differences(source, tmp_path / "target", directory_times=False) == []


def test_times_are_looked_at_until_the_file_system_is_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = tmp_path / "source"
    source.mkdir(mode=0o700)
    for name in ("a", "b"):
        (source / name).write_bytes(b"x")
        os.utime(source / name, ns=(1_700_000_000 * 10**9, 1_700_000_000 * 10**9))  # a multiple of every step
    mover = Mover(source, tmp_path / "target", machine_code=True)
    device = os.stat(tmp_path).st_dev
    copied(mover, items_of(source))
    assert not mover.context.times.exact(device)
    os.utime(source / "b", ns=(1_700_000_000 * 10**9 + 1, 1_700_000_000 * 10**9 + 1))
    copied(mover, items_of(source))
    assert mover.context.times.exact(device)


def test_the_daemon_sees_what_is_at_hand(tmp_path: Path) -> None:
    source = tmp_path / "source"
    deep = source / ("d" * 20)
    deep.mkdir(parents=True)
    for number in range(5):
        (deep / f"file {number}").write_bytes(b"x" * 1000)
    mover = Mover(source, tmp_path / "target", machine_code=True)
    (tmp_path / "target" / deep.name).mkdir()
    look = ControlSide(mover.page).look
    items = items_of(deep)
    list(mover.copier.copy_directory(work_of(items, os.fsencode(deep.name)), 1))
    glimpse = look()
    assert glimpse.name == os.fsencode(deep.name) + b"/file 4"
    assert (glimpse.task, glimpse.file_bytes, glimpse.file_done) == (items[-1].number, 1000, 1000)
    assert (glimpse.entries_total, glimpse.bytes_total) == (5, 5000) == mover.context.controls.totals
    assert glimpse.doing is Doing.COPYING
    assert glimpse.started_ns > 0


def test_a_path_longer_than_the_page_is_cut_from_the_front(tmp_path: Path) -> None:
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "name").write_bytes(b"x")
    page = Mover(tmp_path / "source", tmp_path / "target", machine_code=True).page
    library = machine_code.load()
    assert library is not None
    machine = small_files.SmallFiles(library, page)
    fds = [os.open(tmp_path / name, os.O_RDONLY) for name in ("source", "target")]
    for length in (1, 7764, 7771, 7772, 7776, 9000):
        path = bytes(random.Random(length).choices(b"abcdef/", k=length))
        where = small_files.Where(
            fds[0], fds[1], path, look=True, protect=False, keep=False, hashing=False, may_chown=False,
            times_exact=False, prefix=b".t-", tag=b"-%d-" % length,
        )  # fmt: skip
        assert attempts(machine.copy(where, packed(items_of(tmp_path / "source")), 1, 1)) == [1]
        whole = path + b"/name"
        assert ControlSide(page).look().name == whole[-NAME_BYTES:]
        assert (tmp_path / "target" / f".t-2-{length}-1.part").read_bytes() == b"x"
    for fd in fds:
        os.close(fd)


def attempts(made: small_files.Made) -> list[int]:
    return [copy[4] for copy in COPY.iter_unpack(bytes(made.copies))]


@pytest.mark.parametrize("control", [Control.PAUSE, Control.ABANDON, Control.DRAIN])
def test_it_begins_nothing_that_the_daemon_does_not_want(tmp_path: Path, control: Control) -> None:
    mover, where = _somewhere(tmp_path)
    assert mover.context.small_files is not None
    ControlSide(mover.page).set_control(control)
    assert attempts(mover.context.small_files.copy(where, packed(items_of(mover.source)), 1, 1)) == []
    assert os.listdir(tmp_path / "target") == []


@pytest.mark.parametrize(
    "allowance",
    [Allowance(bytes_per_s=10_000), Allowance(ops_per_s=20.0), Allowance(10_000, 20.0)],
    ids=["bytes", "entries", "both"],
)
def test_it_stops_when_more_is_done_than_is_allowed_so_soon(tmp_path: Path, allowance: Allowance) -> None:
    """10 files of 500 bytes, 20 of them a second: it waits some milliseconds itself, all else is its caller's."""
    mover, where = _somewhere(tmp_path)
    for number in range(10):
        (mover.source / f"file-{number}").write_bytes(bytes(500))
    (mover.source / "name").unlink()
    items, small_files, payer = items_of(mover.source), mover.context.small_files, mover.context.controls.payer
    assert small_files is not None
    mover.limiter.allow(allowance, 1)
    made = small_files.copy(where, packed(items), 1, 10, budget=payer.address)
    assert attempts(made) == [1], "what was done is done, and comes before its price"
    assert made.marks.keys() <= {Kind.BYTES, Kind.OPERATIONS}
    assert made.marks
    began = time.monotonic()
    assert mover.context.controls.paid(made.marks)
    assert 0.02 < time.monotonic() - began < 1
    mover.limiter.allow(Allowance(), 1)
    made = small_files.copy(where, packed(items[1:]), 2, 9, budget=payer.address)
    assert attempts(made) == list(range(2, 11))
    assert not made.marks


def test_files_longer_than_may_be_moved_at_once_go_the_long_way(tmp_path: Path) -> None:
    mover, where = _somewhere(tmp_path)
    (mover.source / "other").write_bytes(bytes(200_000))
    mover.limiter.allow(Allowance(bytes_per_s=1 << 20), 1)
    small_files = mover.context.small_files
    assert small_files is not None
    made = small_files.copy(where, packed(items_of(mover.source)), 1, 2, budget=mover.context.controls.payer.address)
    assert attempts(made) == [1, 0]
    assert mover.context.controls.piece() <= 0.02 * (1 << 20)


def _somewhere(tmp_path: Path) -> tuple[Mover, small_files.Where]:
    source = tmp_path / "source"
    source.mkdir(mode=0o700)
    (source / "name").write_bytes(b"x")
    mover = Mover(source, tmp_path / "target", machine_code=True)
    source_dir, target = mover.copier._sources.get(0, b""), mover.copier._targets.get(0, b"")
    where = small_files.Where(
        source_dir, target, b"", look=True, protect=False, keep=False, hashing=False, may_chown=False,
        times_exact=False, prefix=b".t-", tag=b"-",
    )  # fmt: skip
    return mover, where


@pytest.mark.parametrize("numbers", [(2, 1), (1 << 40, 10), (9, (1 << 64) - 2)])
def test_temporary_names_are_those_that_python_makes_up_to_the_longest(
    tmp_path: Path, numbers: tuple[int, int]
) -> None:
    number, attempt = numbers
    mover, where = _somewhere(tmp_path)
    small_files_, (item,) = mover.context.small_files, items_of(mover.source)
    assert small_files_ is not None
    files = packed([msgspec.structs.replace(item, number=number)])
    rest = len(numbered((b"", where.tag), number, attempt))
    for length, made in ((255, [attempt]), (256, [])):
        where = msgspec.structs.replace(where, prefix=b"p" * (length - rest))
        found = small_files_.copy(where, files, attempt, 1)
        assert attempts(found) == made
        if made:
            name = numbered((where.prefix, where.tag), number, attempt)
            assert os.listdir(tmp_path / "target") == [os.fsdecode(name)]
            done, _ = small_files_.publish(
                where.target_dir, (where.prefix, where.tag), files.names, bytes(found.copies)
            )
            assert done == b"\1"
    assert os.listdir(tmp_path / "target") == ["name"]


def test_a_name_with_a_nul_is_no_other_name(tmp_path: Path) -> None:
    mover, _ = _somewhere(tmp_path)
    (item,) = items_of(mover.source)
    hostile = Task(
        2, 1, b"name\0x", EntryType.FILE, item.size, item.mtime_ns, item.ctime_ns, item.inode, item.device, 1
    )  # fmt: skip
    assert work.plain_files([hostile]) is None
    for wrong in (
        msgspec.structs.replace(packed([item]), names=b"name\0x\0"),
        msgspec.structs.replace(packed([item]), names=b"name"),
        msgspec.structs.replace(packed([item]), names=b""),
        msgspec.structs.replace(packed([item]), files=b"x" * 47),
        msgspec.structs.replace(packed([item, item]), names=b"\0name"),
    ):
        with pytest.raises(ValueError, match="plain files"):
            list(mover.copier.copy_directory(WorkDirectory(0, b"", (), plain=wrong), 1))
    assert os.listdir(tmp_path / "target") == []


@pytest.mark.parametrize("skip", [0, 1])
def test_a_block_is_published_as_its_members_are(tmp_path: Path, skip: int) -> None:
    seen = []
    for way, quick in enumerate((False, True)):
        source, target = tmp_path / f"source-{way}", tmp_path / f"target-{way}"
        source.mkdir(mode=0o700)
        for number in range(30):
            (source / f"{number:02}").write_bytes(b"%d" % number)
            os.utime(source / f"{number:02}", ns=(10**18, 10**18))
        mover = Mover(source, target, ConflictPolicy.RENAME, machine_code=quick)
        items = items_of(source)
        group = Group(1)
        for made in mover.copier.copy_directory(work_of(items), 1):
            if isinstance(made, Block):
                group.add_block(made)
            elif made.arrival is not None:
                group.add(made.arrival)
        assert (len(group.blocks) > 1) == quick  # the first ones are tried by themselves
        assert group.entries == 30
        (target / "20").write_bytes(b"theirs")
        said = publish_group(mover, group, (items[5].number,) * skip)
        assert len(os.listdir(target)) == 31 - skip
        assert (target / "20 (1)").read_bytes() == b"20"
        assert said.as_of_ns == {}  # what a move deletes by
        now = {p.name: p.stat().st_ctime_ns for p in target.iterdir()}
        now["20"] = now.pop("20 (1)")
        there = {i.number: now[os.fsdecode(i.name)] for i in items if i.name != b"05" or not skip}
        told = dict(told for times in said.copy_times for told in times.each())
        assert told.items() <= there.items()
        assert len(told) > 15  # a machine that is busy with other things may leave some out
        mover.committer._sync(Group(0))
        durable = mover.said[-1]
        assert isinstance(durable, Synced)
        seen.append((said.results, durable.durable, {p.name: p.read_bytes() for p in target.iterdir()}))
    assert seen[0] == seen[1]


@pytest.mark.parametrize("quick", [False, True])
def test_each_copy_of_a_move_is_told_with_the_ctime_that_it_was_published_with(tmp_path: Path, quick: bool) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    source.mkdir(mode=0o700)
    for number in range(30):
        (source / f"{number:02}").write_bytes(b"%d" % number)
    mover = Mover(source, target, ConflictPolicy.RENAME, move=True, machine_code=quick)
    mover.context.no_rename(0)
    items = items_of(source)
    said = publish_blocks(mover, items)
    there = {i.number: os.stat(target / os.fsdecode(i.name)).st_ctime_ns for i in items}
    assert said.as_of_ns.items() <= there.items()
    assert len(said.as_of_ns) > 15  # a machine that is busy with other things may leave some out


def test_a_ctime_that_may_be_of_something_later_is_not_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    source.mkdir(mode=0o700)
    (source / "slow").write_bytes(b"x")
    mover = Mover(source, target, move=True)
    mover.context.no_rename(0)
    really = mover.committer._publish_one

    def slowly(arrival: Arrival) -> PublishResult | None:
        result = really(arrival)
        time.sleep(0.003)  # somebody saves meanwhile
        (target / "slow").write_bytes(b"y")
        return result

    monkeypatch.setattr(mover.committer, "_publish_one", slowly)
    assert publish_blocks(mover, items_of(source)).as_of_ns == {}


def test_a_failed_sync_puts_all_of_a_block_in_doubt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = tmp_path / "source"
    source.mkdir(mode=0o700)
    for number in range(20):
        (source / f"{number}").write_bytes(b"%d" % number)
    mover = Mover(source, tmp_path / "target", machine_code=True)
    items = items_of(source)
    publish_blocks(mover, items)
    mover.fail_next_sync(monkeypatch)
    mover.committer._sync(Group(0))
    said = mover.said[-1]
    assert isinstance(said, Synced)
    assert said.durable == ()
    assert sorted(f.number for f in said.doubtful[1]) == [i.number for i in items]


@pytest.mark.parametrize("policy", list(ConflictPolicy))
def test_names_that_are_taken_meanwhile_are_decided_by_the_policy(tmp_path: Path, policy: ConflictPolicy) -> None:
    seen = []
    for way, quick in enumerate((False, True)):
        source, target = tmp_path / f"source-{way}", tmp_path / f"target-{way}"
        source.mkdir(mode=0o700)
        for name in ("a", "b", "c", "d"):
            (source / name).write_bytes(name.encode())
            os.utime(source / name, ns=(10**18, 10**18))
        mover = Mover(source, target, policy, machine_code=quick)
        results = copied(mover, items_of(source))
        (target / "b").write_bytes(b"theirs")
        arrival = results[2].arrival
        assert arrival is not None
        (target / "other").write_bytes(b"c")
        (target / "other").rename(target / os.fsdecode(arrival.temporary))  # not the copy that was synced
        said = publish(mover, results)
        there = {p.name: p.read_bytes() for p in target.iterdir()}
        seen.append((said.results, there))
    assert seen[0] == seen[1]
    assert seen[1][1]["a"] == b"a"
    assert seen[1][1]["d"] == b"d"
    assert "c" not in seen[1][1]


def test_it_is_not_called_where_every_file_needs_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = tmp_path / "source"
    source.mkdir(mode=0o700)
    (source / "name").write_bytes(b"x")

    def never(*_: object) -> None:
        raise AssertionError

    def one_by_one(mover: Mover, target: Path) -> None:
        mover.context.devices._each.add(target.stat().st_dev)

    def inherits(mover: Mover, target: Path) -> None:
        trees.acl(target, default=True)

    prepared: list[Callable[[Mover, Path], None]] = [one_by_one, inherits]
    for number, prepare in enumerate(prepared):
        target = tmp_path / f"target-{number}"
        mover = Mover(source, target, machine_code=True)
        try:
            prepare(mover, target)
        except OSError:
            continue
        monkeypatch.setattr(mover.context.small_files, "copy", never)
        (result,) = copied(mover, items_of(source))
        assert result.result.outcome is Outcome.COPIED
    moving = Mover(source, tmp_path / "target-2", move=True, machine_code=True)
    monkeypatch.setattr(moving.context.small_files, "copy", never)
    (result,) = copied(moving, items_of(source))
    assert result.result.outcome is Outcome.RENAMED


def test_a_missing_library_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine_code, "_LIBRARY", "nothing.so")
    assert machine_code.load() is None
    assert not machine_code.built()


@pytest.mark.parametrize("verify", list(VerifyLevel))
def test_hashes_are_of_what_was_written(tmp_path: Path, verify: VerifyLevel, monkeypatch: pytest.MonkeyPatch) -> None:
    """By Python, by machine code, and by machine code that has found nobody who hashes for it."""
    source = tmp_path / "source"
    source.mkdir(mode=0o700)
    for number in range(3):
        (source / f"{number}").write_bytes(b"x" * number * 1000)
    (source / "told.txt").write_bytes(b"x" * 300)
    found = []
    for way, quick in enumerate((False, True, True)):
        if way == 2:
            monkeypatch.setattr(small_files, "hash_address", lambda: None)
        mover = Mover(source, tmp_path / f"target-{way}", verify=verify, machine_code=quick)
        assert mover.context.small_files is None or mover.context.small_files.hashes == (way == 1)
        found.append([c.result.digest for c in copied(mover, items_of(source))])
    assert found[0] == found[1] == found[2]
    assert (None in found[1]) == (verify is VerifyLevel.NONE)


@pytest.mark.parametrize("shares", [False, True])
def test_one_file_finds_out_whether_contents_can_be_shared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shares: bool
) -> None:
    """Not a batch of them, each by itself; where they can be shared, all of them are."""
    source = tmp_path / "source"
    source.mkdir(mode=0o700)
    for number in range(6):
        (source / f"{number}").write_bytes(b"x" * (number // 2))
    asked: list[int] = []

    def clone(source_fd: int, target_fd: int) -> reflink.Clone:
        asked.append(os.fstat(source_fd).st_size)
        if not shares:
            return reflink.Clone.NOT_THIS_PAIR
        os.write(target_fd, os.read(source_fd, 100))
        return reflink.Clone.DONE

    monkeypatch.setattr(content, "clone", clone)
    mover = Mover(source, tmp_path / "target", machine_code=True, reflink=True)
    made = list(mover.copier.copy_directory(work_of(items_of(source)), 1))
    blocks = [len(block) for block in made if isinstance(block, Block)]
    assert asked == ([0, 0, 1, 1, 2, 2] if shares else [0])
    assert sum(blocks) == (0 if shares else 5)
    assert sum(blocks) + sum(isinstance(one, Copied) for one in made) == 6
    assert sorted(p.stat().st_size for p in (tmp_path / "target").iterdir()) == [0, 0, 1, 1, 2, 2]


@needs_root
def test_a_directory_that_gives_its_group_is_the_long_ways(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is written before owner, group and mode are right."""
    source, target = tmp_path / "source", tmp_path / "target"
    source.mkdir(mode=0o700)
    target.mkdir()
    os.chown(target, 0, 5678)
    target.chmod(0o2775)
    for number in range(20):
        (source / f"{number}").write_bytes(b"secret")
        (source / f"{number}").chmod(0o640)
    mover = Mover(source, target, machine_code=True)
    assert mover.context.small_files is not None
    asked: list[int] = []
    really = mover.context.small_files.copy

    def asking(*args: Any, **named: Any) -> Any:
        asked.append(args[3])
        return really(*args, **named)

    monkeypatch.setattr(mover.context.small_files, "copy", asking)
    publish(mover, copied(mover, items_of(source)))
    assert asked == [8]  # none of the first ones was ordinary: no more are tried
    assert {(p.stat().st_gid, stat.S_IMODE(p.stat().st_mode)) for p in target.iterdir()} == {(os.getegid(), 0o640)}


def test_an_acl_that_comes_later_changes_no_mode(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    source.mkdir(mode=0o700)
    for name in "ab":
        (source / name).write_bytes(b"x")
        (source / name).chmod(0o664)
    mover = Mover(source, target, machine_code=True)
    mover.copier._targets.look(0, b"")
    try:
        trees.acl(target, default=True)
    except OSError as e:
        pytest.skip(f"no ACLs here: {e}")
    publish(mover, copied(mover, items_of(source)))
    assert {stat.S_IMODE((target / name).stat().st_mode) for name in "ab"} == {0o664}


@pytest.mark.parametrize("quick", [False, True])
def test_what_takes_the_time_is_counted(tmp_path: Path, quick: bool) -> None:
    source = tmp_path / "source"
    source.mkdir(mode=0o700)
    for number in range(50):
        (source / f"{number}").write_bytes(os.urandom(300_000))
    mover = Mover(source, tmp_path / "target", machine_code=quick)
    meter, side = mover.context.controls.slot.meter, ControlSide(mover.page)
    before = side.spent()[0]
    work_ = work_of(items_of(source))
    # Between a lap and a look at the clock the machine may be away for as long as it likes.
    outside = time.monotonic_ns()
    meter.lap(Activity.WAITING)
    inside = time.monotonic_ns()
    list(mover.copier.copy_directory(work_, 1))
    least = time.monotonic_ns() - inside
    meter.lap(Activity.METADATA)
    most = time.monotonic_ns() - outside
    after = side.spent()[0]
    since = after.minus(before)
    spent = {a: since[a] for a in Activity if a is not Activity.WAITING}
    assert 0.99 * least <= sum(spent.values()) <= 1.01 * most
    told = {Activity.SOURCE_READ, Activity.TARGET_WRITE, Activity.HASH, Activity.METADATA}
    assert {a for a, ns in spent.items() if ns} == told
    assert spent[Activity.TARGET_WRITE] > spent[Activity.HASH] / 10
