"""What happens to a source between the last look at it and its delete, and to what seems to be its copy."""

from __future__ import annotations

import contextlib
import errno
import itertools
import mmap
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import loopfs
from migmond.domain.entry import entry_type
from migmond.domain.fault import Fault, Phase
from migmond.domain.plan import ConflictPolicy, Operation, VerifyLevel
from migmond.fsys.locking import lock
from migmond.mover import careful_delete
from migmond.mover.context import Context
from migmond.mover.control import Controls
from migmond.mover.copy import Copier
from migmond.mover.delete import Remover
from migmond.mover.roots import open_roots
from migmond.wire.from_mover import Deleted, FromMover, PutBackDone
from migmond.wire.items import DeleteDirectory, DeleteItem, MoverOptions, NamedTasks, RootSpec, WorkItem
from migmond.wire.slots import SLOT_BYTES, MoverSide
from migmond.wire.to_mover import Delete, Open, PutBack


class Mover:
    """Copies one file and deletes its source, without threads and process."""

    execution = (f"{n:012x}" for n in itertools.count(1))

    def __init__(self, source: Path, target: Path, verify: VerifyLevel = VerifyLevel.HASH) -> None:
        options = MoverOptions(
            next(self.execution), Operation.MOVE, ConflictPolicy.FAIL, verify,
            one_file_system=True, reflink=False, rename=True,
        )  # fmt: skip
        self._roots = open_roots(Open((RootSpec(bytes(source), bytes(target)),), options, make_targets=True))
        self.said: list[FromMover] = []
        self.context = Context(self._roots, options, Controls(MoverSide(mmap.mmap(-1, SLOT_BYTES))), self.said.append)
        self.source, self.target = source, target
        self.private = source / os.fsdecode(self.context.aside(7))
        self.item: DeleteItem

    def bring(self, name: str = "doc") -> None:
        """Copy it and give it its name."""
        st = os.lstat(self.source / name)
        work = WorkItem(
            7, os.fsencode(name), entry_type(st.st_mode), st.st_size, st.st_mtime_ns, st.st_ctime_ns, st.st_ino,
            st.st_dev, st.st_nlink,
        )  # fmt: skip
        copied = Copier(self.context).copy(work, 0, b"", 1)
        arrival, result = copied.arrival, copied.result
        assert arrival is not None, result
        if arrival.temporary:
            (self.target / os.fsdecode(arrival.temporary)).rename(self.target / name)
        self.item = DeleteItem(
            7, work.name, work.type, work.size, work.mtime_ns, work.ctime_ns, work.inode, work.device, work.links,
            work.name, arrival.inode, result.digest,
        )  # fmt: skip

    def delete(self, remover: Remover | None = None) -> Fault | None:
        remover = remover or Remover(self.context)
        remover.delete(Delete(1, (DeleteDirectory(0, b"", (self.item,)),)))
        remover.sync()
        answer = self.said[-1]
        assert isinstance(answer, Deleted)
        return answer.failures[0].fault if answer.failures else None


@pytest.fixture
def mover(tmp_path: Path, other_fs: Path) -> Mover:
    made = Mover(_with_doc(tmp_path / "source"), other_fs / "target")
    made.bring()
    return made


def _with_doc(directory: Path) -> Path:
    directory.mkdir()
    (directory / "doc").write_bytes(b"version 1")
    return directory


def _kind(fault: Fault | None) -> str:
    return fault.kind if fault is not None else ""


def _meanwhile(monkeypatch: pytest.MonkeyPatch, step: str, act: Callable[[], object], *, after: bool = False) -> None:
    """Let somebody else do something right before (or after) a step of the delete."""
    real = getattr(careful_delete, step)

    def wrapped(*args: object, **kwargs: object) -> object:
        if not after:
            act()
        result = real(*args, **kwargs)
        if after:
            act()
        return result

    monkeypatch.setattr(careful_delete, step, wrapped)


def _once(act: Callable[[], object]) -> Callable[[], object]:
    left = [act]
    return lambda: left.pop()() if left else None


def test_a_source_goes_when_its_copy_is_whole(mover: Mover) -> None:
    assert mover.delete() is None
    assert os.listdir(mover.source) == []
    assert (mover.target / "doc").read_bytes() == b"version 1"


@pytest.mark.hazard(25)
def test_a_source_that_an_editor_replaces_at_the_last_moment_stays(
    mover: Mover, monkeypatch: pytest.MonkeyPatch
) -> None:
    new = mover.source / "new"
    new.write_bytes(b"version 2")
    _meanwhile(monkeypatch, "set_aside", lambda: new.rename(mover.source / "doc"))
    assert _kind(mover.delete()) == "source_changed"
    assert os.listdir(mover.source) == ["doc"]
    assert (mover.source / "doc").read_bytes() == b"version 2"


@pytest.mark.hazard(25)
def test_a_name_that_is_given_away_twice_costs_neither_version(mover: Mover, monkeypatch: pytest.MonkeyPatch) -> None:
    (mover.source / "new").write_bytes(b"version 2")
    _meanwhile(monkeypatch, "set_aside", lambda: (mover.source / "new").rename(mover.source / "doc"))
    _meanwhile(monkeypatch, "set_aside", lambda: (mover.source / "doc").write_bytes(b"version 3"), after=True)
    fault = mover.delete()
    assert fault is not None
    assert fault.kind == "kept_aside"
    assert mover.private.name in fault.message
    assert mover.private.read_bytes() == b"version 2"
    assert (mover.source / "doc").read_bytes() == b"version 3"
    fault = mover.delete()  # what is aside is never replaced
    assert _kind(fault) in ("kept_aside", "source_changed")
    assert mover.private.read_bytes() == b"version 2"


@pytest.mark.hazard(27)
def test_a_writer_that_comes_by_the_name_at_the_last_moment_keeps_its_file(
    mover: Mover, monkeypatch: pytest.MonkeyPatch
) -> None:
    writers: list[subprocess.Popen[bytes]] = []

    def write() -> None:
        program = "import sys, os; fd = os.open(sys.argv[1], os.O_WRONLY); os.write(fd, b'VERSION')"
        inode = (mover.source / "doc").stat().st_ino
        writer = subprocess.Popen([sys.executable, "-c", program, mover.source / "doc"])
        writers.append(writer)
        while not any(
            " BREAKING " in line and f":{inode} " in line for line in Path("/proc/locks").read_text().splitlines()
        ):
            assert writer.poll() is None

    before = signal.signal(signal.SIGIO, signal.SIG_IGN)  # as a mover does
    _meanwhile(monkeypatch, "set_aside", write)
    try:
        assert _kind(mover.delete()) == "source_in_use"
    finally:
        signal.signal(signal.SIGIO, before)
    assert [w.wait(30) for w in writers] == [0]
    assert (mover.source / "doc").read_bytes() == b"VERSION 1"


@pytest.mark.hazard(16)
@pytest.mark.parametrize("moment", ["before", "between"])
@pytest.mark.parametrize("how", ["truncated", "overwritten", "replaced", "removed", "a symlink to the source"])
def test_a_target_that_is_altered_costs_nothing(
    mover: Mover, monkeypatch: pytest.MonkeyPatch, how: str, moment: str
) -> None:
    doc = mover.target / "doc"

    def alter() -> None:
        if how == "truncated":
            os.truncate(doc, 0)
        elif how == "overwritten":
            doc.write_bytes(b"VERSION 1")
        elif how == "replaced":
            (mover.target / "other").write_bytes(b"VERSION 1")
            (mover.target / "other").rename(doc)
        else:
            doc.unlink()
            if how == "a symlink to the source":
                doc.symlink_to(mover.private if moment == "between" else mover.source / "doc")

    if moment == "before":
        alter()
    else:
        _meanwhile(monkeypatch, "set_aside", alter, after=True)
    assert _kind(mover.delete()) in ("target_changed", "target_missing")
    assert os.listdir(mover.source) == ["doc"]
    assert (mover.source / "doc").read_bytes() == b"version 1"


@pytest.mark.parametrize("verify", [VerifyLevel.HASH, VerifyLevel.NONE])
@pytest.mark.parametrize("equal", [True, False])
def test_a_target_whose_time_was_moved_is_read(
    tmp_path: Path, other_fs: Path, verify: VerifyLevel, *, equal: bool
) -> None:
    mover = Mover(_with_doc(tmp_path / "source"), other_fs / "target", verify)
    mover.bring()
    (mover.target / "doc").write_bytes(b"version 1" if equal else b"VERSION 1")
    assert _kind(mover.delete()) == ("" if equal else "target_changed")
    assert (mover.source / "doc").exists() is not equal


def test_a_symlink_is_compared_by_its_text(tmp_path: Path, other_fs: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    (source / "link").symlink_to("somewhere")
    mover = Mover(source, other_fs / "target")
    mover.bring("link")
    (mover.target / "link").unlink()
    (mover.target / "link").symlink_to("elsewhere")
    assert _kind(mover.delete()) == "target_changed"
    assert os.readlink(source / "link") == "somewhere"
    (mover.target / "link").unlink()
    (mover.target / "link").symlink_to("somewhere")
    mover.item = _again(mover, "link")
    assert mover.delete() is None
    assert os.listdir(source) == []


def _again(mover: Mover, name: str) -> DeleteItem:
    """The item as it would be after a retry: setting aside and putting back has moved ctime."""
    st = os.lstat(mover.source / name)
    values = [getattr(mover.item, field) for field in DeleteItem.__struct_fields__]
    values[DeleteItem.__struct_fields__.index("ctime_ns")] = st.st_ctime_ns
    return DeleteItem(*values)


@pytest.mark.hazard(16)
def test_two_moves_in_opposite_directions_never_delete_both(
    tmp_path: Path, other_fs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each has the other's file for its copy. Wherever the second begins, at most one of both is deleted."""
    for moment, after in (("check_copy", True), ("set_aside", False), ("set_aside", True), ("_shows_private", True)):
        source, target = tmp_path / f"a-{moment}-{after}", other_fs / f"b-{moment}-{after}"
        _with_doc(source)
        subprocess.run(["cp", "-a", source, target], check=True)
        there, back = Mover(source, target), Mover(target, source)
        there.bring()
        back.bring()
        with monkeypatch.context() as patch:
            _meanwhile(patch, moment, _once(back.delete), after=after)
            there.delete()
        left = [p for p in (source / "doc", target / "doc") if p.exists()]
        assert left, f"{moment} {after}: both are gone"
        assert [p.read_bytes() for p in left] == [b"version 1"] * len(left)
        assert {*os.listdir(source), *os.listdir(target)} == {"doc"}


class Killed(BaseException):
    """The mover dies here."""


def _die(*_: object, **__: object) -> None:
    raise Killed


def _killed_at_unlink(mover: Mover, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(os, "unlink", _die)
        patch.setattr(careful_delete, "put_back", lambda *_: None)
        with pytest.raises(Killed):
            mover.delete()
    assert os.listdir(mover.source) == [mover.private.name]


def test_the_next_mover_finishes_what_was_aside(mover: Mover, monkeypatch: pytest.MonkeyPatch) -> None:
    _killed_at_unlink(mover, monkeypatch)
    assert mover.delete() is None
    assert os.listdir(mover.source) == []


@pytest.mark.parametrize("altered", ["source", "target"])
def test_the_next_mover_puts_back_what_does_not_fit(
    mover: Mover, monkeypatch: pytest.MonkeyPatch, altered: str
) -> None:
    _killed_at_unlink(mover, monkeypatch)
    where = mover.private if altered == "source" else mover.target / "doc"
    before = where.stat()
    where.write_bytes(b"VERSION 1")
    os.utime(where, ns=(before.st_atime_ns, before.st_mtime_ns))
    if altered == "target":
        where.write_bytes(b"VERSION 1")
    assert _kind(mover.delete()) == ("source_changed" if altered == "source" else "target_changed")
    assert os.listdir(mover.source) == ["doc"]


def test_what_is_aside_gets_its_name_back(mover: Mover, monkeypatch: pytest.MonkeyPatch) -> None:
    _killed_at_unlink(mover, monkeypatch)
    for expected in (1, 0):
        Remover(mover.context).put_back(PutBack(3, (NamedTasks(0, b"", ((7, b"doc"), (8, b"none"))),)))
        assert mover.said[-1] == PutBackDone(3, expected, ())
    assert os.listdir(mover.source) == ["doc"]


def test_putting_back_replaces_nothing(mover: Mover, monkeypatch: pytest.MonkeyPatch) -> None:
    _killed_at_unlink(mover, monkeypatch)
    (mover.source / "doc").write_bytes(b"version 2")
    Remover(mover.context).put_back(PutBack(3, (NamedTasks(0, b"", ((7, b"doc"),)),)))
    answer = mover.said[-1]
    assert isinstance(answer, PutBackDone)
    assert [f.fault.kind for f in answer.failures] == ["kept_aside"]
    assert mover.private.read_bytes() == b"version 1"
    assert (mover.source / "doc").read_bytes() == b"version 2"


def test_a_put_back_that_died_between_link_and_unlink_is_finished(
    mover: Mover, monkeypatch: pytest.MonkeyPatch
) -> None:
    _killed_at_unlink(mover, monkeypatch)
    os.link(mover.private, mover.source / "doc")
    Remover(mover.context).put_back(PutBack(3, (NamedTasks(0, b"", ((7, b"doc"),)),)))
    assert mover.said[-1] == PutBackDone(3, 1, ())
    assert os.listdir(mover.source) == ["doc"]


def test_a_source_that_could_not_be_deleted_is_tried_again(mover: Mover, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object, **__: object) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    remover = Remover(mover.context)
    with monkeypatch.context() as patch:
        patch.setattr(os, "unlink", fails)
        assert _kind(mover.delete(remover)) == "EROFS"
    assert os.listdir(mover.source) == ["doc"]
    assert mover.delete(remover) is None
    assert os.listdir(mover.source) == []


def test_a_delete_that_is_told_as_failed_and_was_done_is_done(mover: Mover, monkeypatch: pytest.MonkeyPatch) -> None:
    """So it may be on a network, when an answer is lost."""
    unlink = os.unlink

    def unlinks_and_fails(name: bytes, *, dir_fd: int) -> None:
        unlink(name, dir_fd=dir_fd)
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))

    with monkeypatch.context() as patch:
        patch.setattr(os, "unlink", unlinks_and_fails)
        assert mover.delete() is None
    assert os.listdir(mover.source) == []


@pytest.mark.hazard(13)
@pytest.mark.parametrize(
    ("what", "kind"),
    [
        ("nothing", ""),
        ("a further name", "ENOSPC"),  # it may be its own copy: its private name alone would show
        ("a stacked file system", "ENOSPC"),
        ("a writer", "source_in_use"),
        ("another version", "source_changed"),
        ("another copy", "target_changed"),
        ("a move the other way", "source_in_use"),  # its source is the copy here: each would delete the other's
    ],
)
def test_a_directory_without_room_for_a_private_name(
    mover: Mover, monkeypatch: pytest.MonkeyPatch, what: str, kind: str
) -> None:
    """As the last resort what is surely not its own copy is deleted in place; else no file would ever make room."""
    tries: list[int] = []
    source, target = mover.source / "doc", mover.target / "doc"

    def full(*_: object, **__: object) -> None:
        tries.append(1)
        if what == "another version":
            (mover.source / "new").write_bytes(b"version 2")
            (mover.source / "new").rename(source)
        elif what == "another copy":
            target.write_bytes(b"VERSION 1")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(careful_delete, "set_aside", full)
    monkeypatch.setattr(careful_delete, "mount_of", lambda _: ("overlay" if "stacked" in what else "ext4", ""))
    if what == "a further name":
        source.with_name("more").hardlink_to(source)
        mover.item = _again(mover, "doc")
    with contextlib.ExitStack() as others:
        if what == "a writer":
            others.enter_context(source.open("r+b"))
        elif what == "a move the other way":
            assert lock(others.enter_context(target.open("rb")).fileno())
        fault = mover.delete()
    assert _kind(fault) == kind
    assert source.exists() is bool(kind)
    assert len(tries) == (0 if what == "a writer" else 2 if kind in ("", "ENOSPC") else len(tries))


def test_a_source_that_another_migration_counts_on_at_this_moment_stays(mover: Mover) -> None:
    with (mover.source / "doc").open("rb") as other:
        assert lock(other.fileno())
        assert _kind(mover.delete()) == "source_in_use"
    assert (mover.source / "doc").exists()
    assert mover.delete() is None


@pytest.mark.hazard(4)
def test_deletes_are_not_told_as_done_after_a_sync_that_failed(mover: Mover, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(_: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with monkeypatch.context() as patch:
        patch.setattr("migmond.mover.devices.sync_file_system", fails)
        fault = mover.delete()
    assert fault is not None
    assert (fault.phase, fault.kind) == (Phase.SYNC, "EIO")
    assert os.listdir(mover.source) == []
    assert mover.delete() is None


@pytest.fixture(params=["ext4", "xfs", "tmpfs"])
def mapped_fs(request: pytest.FixtureRequest, tmp_path: Path, other_fs: Path) -> Iterator[Path]:
    if request.param == "tmpfs":
        yield other_fs
        return
    if why := loopfs.missing(request.param):
        pytest.skip(why)
    with loopfs.mounted(tmp_path / "disk", request.param) as disk:
        yield disk.root


@pytest.mark.hazard(25, 27)
@pytest.mark.parametrize("verify", [VerifyLevel.HASH, VerifyLevel.NONE])
def test_a_store_through_a_mapping_after_the_copy_is_seen(tmp_path: Path, mapped_fs: Path, verify: VerifyLevel) -> None:
    """The page was dirty before the copy as well: of itself, the kernel moves no time at the second store."""
    source = mapped_fs / "source"
    source.mkdir()
    (source / "doc").write_bytes(bytes(4096))
    subprocess.run(["sync", "-f", source], check=True)
    with (source / "doc").open("r+b") as file:
        memory = mmap.mmap(file.fileno(), 4096)
    memory[:8] = b"record 1"
    mover = Mover(source, tmp_path / "target", verify)
    mover.bring()
    memory[100:108] = b"record 2"
    memory.close()
    assert _kind(mover.delete()) == "source_changed"
    assert b"record 2" in (source / "doc").read_bytes()
