"""What a mover does when a sync fails: nothing may be called durable that the failed one might have lost."""

from __future__ import annotations

import errno
import mmap
import os
import subprocess
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from migmond.domain.entry import EntryType
from migmond.domain.fault import Disposition
from migmond.domain.plan import ConflictPolicy, VerifyLevel
from migmond.domain.states import Outcome
from migmond.mover.delete import Remover
from migmond.mover.group import Group
from migmond.mover.main import Worker
from migmond.mover.settle import Settler
from migmond.recovery.dispositions import disposition_of
from migmond.wire.from_mover import OpenFailed, Settled, Synced
from migmond.wire.items import DeleteDirectory, DeleteItem, SettleItem, WorkItem
from migmond.wire.slots import SLOT_BYTES, ControlSide, Doing, MoverSide
from migmond.wire.to_mover import Delete, Settle
from parts import Mover


@pytest.fixture
def places(tmp_path: Path) -> tuple[Path, Path]:
    source, target = tmp_path / "source", tmp_path / "target"
    source.mkdir()
    for name in "abc":
        (source / name).write_bytes(name.encode())
    return source, target


@pytest.mark.hazard(4, 5)
def test_names_that_waited_for_a_failed_sync_stay_and_are_doubtful(
    places: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    mover = Mover(*places)
    mover.publish(1, "a")
    assert (places[1] / "a").read_bytes() == b"a"
    second = mover.group(2, "b")
    mover.fail_next_sync(monkeypatch)
    mover.committer._sync(second)
    synced = mover.said[-1]
    assert isinstance(synced, Synced)
    assert synced.durable == ()
    assert {number: [f.fault.kind for f in faults] for number, faults in synced.doubtful.items()} == {1: ["EIO"]}
    assert [f.fault.kind for f in synced.failures] == ["EIO"]
    assert (places[1] / "a").read_bytes() == b"a"  # others may have come to count on it
    mover.committer._sync(Group(0))
    after = mover.said[-1]
    assert isinstance(after, Synced)
    assert after.durable == ()  # the next sync succeeds, and proves nothing about the first group
    assert (places[0] / "a").read_bytes() == b"a"


@pytest.mark.hazard(4)
def test_what_somebody_put_in_the_place_of_a_copy_is_not_taken_back(
    places: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    mover = Mover(*places)
    mover.publish(1, "a")
    (places[1] / "theirs").write_bytes(b"theirs")
    (places[1] / "theirs").rename(places[1] / "a")
    mover.fail_next_sync(monkeypatch)
    mover.committer._sync(Group(0))
    assert (places[1] / "a").read_bytes() == b"theirs"


def test_a_renamed_file_is_the_only_one_and_stays(places: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    mover = Mover(*places, move=True)
    mover.publish(1, "a")
    assert not (places[0] / "a").exists()
    mover.fail_next_sync(monkeypatch)
    mover.committer._sync(Group(0))
    synced = mover.said[-1]
    assert isinstance(synced, Synced)
    assert list(synced.doubtful) == [1]
    assert (places[1] / "a").read_bytes() == b"a"


@pytest.mark.hazard(4)
def test_settling_lets_copies_stand_that_its_sync_did_not_make_durable(
    places: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    mover = Mover(*places)
    group = mover.publish(1, "a")
    (arrival,) = group.arrivals
    mover.fail_next_sync(monkeypatch)
    Settler(mover.context).settle(Settle(1, (SettleItem(arrival.number, 0, b"", b"a", arrival.inode),)))
    settled = mover.said[-1]
    assert isinstance(settled, Settled)
    assert [p.fault.kind for p in settled.published if p.fault is not None] == ["EIO"]
    assert (places[1] / "a").read_bytes() == b"a"


def test_a_rename_under_a_chosen_name_is_found_again_after_a_crash(places: tuple[Path, Path]) -> None:
    source, target = places
    target.mkdir()
    (target / "a").write_bytes(b"was there")
    st = os.lstat(source / "a")
    item = WorkItem(
        1, b"a", EntryType.FILE, st.st_size, st.st_mtime_ns, st.st_ctime_ns, st.st_ino, st.st_dev, st.st_nlink
    )
    first = Mover(source, target, ConflictPolicy.RENAME, move=True).copier.copy(item, 0, b"", 1)
    again = Mover(source, target, ConflictPolicy.RENAME, move=True).copier.copy(item, 0, b"", 1)
    for copied in (first, again):
        assert copied.result.outcome is Outcome.RENAMED
        assert copied.arrival is not None
        assert copied.arrival.placed == b"a (1)"


def test_a_crash_between_backup_and_replacement_makes_no_second_backup(places: tuple[Path, Path]) -> None:
    source, target = places
    target.mkdir()
    (target / "a").write_bytes(b"was there")
    os.link(target / "a", target / "a.~1~")  # the backup was made, then came the crash
    Mover(source, target, ConflictPolicy.BACKUP).publish(1, "a")
    assert {p.name: p.read_bytes() for p in target.iterdir()} == {"a": b"a", "a.~1~": b"was there"}


@pytest.mark.hazard(3)
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to mount")
def test_file_systems_mounted_inside_the_target_are_synced_too(
    places: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sources were deleted whose copies lay on a file system that nobody had synced."""
    source, target = places
    (source / "sub").mkdir()
    (source / "sub" / "d").write_bytes(b"d")
    (target / "sub").mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "none", target / "sub"], check=True)
    try:
        synced: set[int] = set()
        monkeypatch.setattr("migmond.mover.devices.sync_file_system", lambda fd: synced.add(os.fstat(fd).st_dev))
        mover = Mover(source, target)
        mover.committer._sync(mover.group(1, "a", "sub/d"))
        assert synced == {target.stat().st_dev, (target / "sub").stat().st_dev}
        assert len(synced) == 2
    finally:
        subprocess.run(["umount", "-l", target / "sub"], check=True)


def test_a_delete_is_told_when_it_is_durable(places: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """Sources of a completed migration came back with a power cut, and nobody deleted them again."""
    mover = Mover(*places)
    group = mover.publish(1, "a")
    st = os.lstat(places[0] / "a")
    item = DeleteItem(
        group.arrivals[0].number, b"a", EntryType.FILE, st.st_size, st.st_mtime_ns, st.st_ctime_ns, st.st_ino,
        st.st_dev, st.st_nlink, b"a", group.arrivals[0].inode, None,
    )  # fmt: skip
    said: list[str] = []
    monkeypatch.setattr("migmond.mover.devices.sync_file_system", lambda fd: said.append("sync"))
    monkeypatch.setattr(mover.context, "send", lambda message: said.append(type(message).__name__))
    remover = Remover(mover.context)
    assert not remover.due(1e12, idle=True)
    remover.delete(Delete(1, (DeleteDirectory(0, b"", (item,)),)))
    remover.delete(Delete(2, ()))
    assert said == []
    assert remover.due(time.monotonic(), idle=True)
    assert remover.due(time.monotonic() + 10, idle=False)
    remover.sync()
    assert said == ["sync", "Deleted", "Deleted"]
    assert not remover.due(1e12, idle=True)


def test_a_sync_that_hangs_is_not_hidden_by_a_copy_that_ends() -> None:
    memory = mmap.mmap(-1, SLOT_BYTES)
    slot, daemon = MoverSide(memory), ControlSide(memory)
    assert daemon.look().longest == (0, Doing.IDLE)
    slot.commit.began(Doing.SYNCING, 5)
    slot.began(Doing.COPYING, 7)
    assert daemon.look().longest == (5, Doing.SYNCING)
    slot.ended()
    assert daemon.look().longest == (5, Doing.SYNCING)
    slot.commit.ended()
    slot.began(Doing.COPYING, 9)
    assert daemon.look().longest == (9, Doing.COPYING)


def test_a_fifo_in_a_copys_place_does_not_hang_the_read_back(tmp_path: Path) -> None:
    """Whoever owns the target directory may put one there; opening it waits for a writer that never comes."""
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "file").write_bytes(b"content")
    mover = Mover(tmp_path / "source", tmp_path / "target", verify=VerifyLevel.READ_BACK)
    group = mover.group(1, "file")
    temporary = tmp_path / "target" / os.fsdecode(group.arrivals[0].temporary)
    temporary.unlink()
    os.mkfifo(temporary)
    sync = threading.Thread(target=mover.committer._sync, args=(group,), daemon=True)
    sync.start()
    sync.join(30)
    assert not sync.is_alive()
    synced = mover.said[-1]
    assert isinstance(synced, Synced)
    assert [f.fault.kind for f in synced.failures] == ["ESPIPE"]  # it cannot be read as a file is


def test_a_destination_that_cannot_be_looked_at_is_an_answer(
    places: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A mover ended with a traceback, as from a bug, when the target's disk failed between the scan and that look."""
    mover = Mover(*places)

    def fails(_: object) -> int:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr("migmond.mover.root.Root.existing_target_fd", fails)
    answer = Worker._probe(SimpleNamespace(_context=mover.context))  # type: ignore[arg-type]
    assert isinstance(answer, OpenFailed)
    assert answer.message == f"cannot look at the destination: {places[1]} (Input/output error)"


@pytest.mark.parametrize("content", [b"a", b"b"])
def test_what_got_the_name_while_a_move_copied_is_read_before_it_is_called_different(
    places: tuple[Path, Path], content: bytes
) -> None:
    """A mover that outlived its daemon by a moment had published it: the entry failed, although its copy was there."""
    source, target = places
    mover = Mover(source, target, move=True)
    st = os.lstat(source / "a")
    item = WorkItem(
        1, b"a", EntryType.FILE, st.st_size, st.st_mtime_ns, st.st_ctime_ns, st.st_ino, st.st_dev, st.st_nlink
    )
    mover.context.no_rename(0)
    copied = mover.copier.copy(item, 0, b"", 1)
    assert copied.arrival is not None, copied.result
    (target / "a").write_bytes(content)
    os.utime(target / "a", ns=(st.st_atime_ns, st.st_mtime_ns))
    result = mover.committer._publish_one(copied.arrival)
    assert result is not None
    assert result.fault is not None
    assert result.fault.kind == "taken_meanwhile"
    assert disposition_of(result.fault) is Disposition.RETRY
    again = mover.copier.copy(item, 0, b"", 2).result
    if content == b"a":
        assert again.outcome is Outcome.UNCHANGED
    else:
        assert again.fault is not None
        assert again.fault.kind == "exists"


@pytest.mark.parametrize("touched", [False, True])
def test_a_source_that_was_deleted_without_an_answer_has_not_vanished(
    places: tuple[Path, Path], *, touched: bool
) -> None:
    source, target = places
    mover = Mover(source, target, move=True)
    mover.context.no_rename(0)
    st = os.lstat(source / "a")
    mover.publish(1, "a")
    (source / "a").unlink()
    if touched:
        (target / "a").write_bytes(b"somebody else's")
    item = WorkItem(
        1, b"a", EntryType.FILE, st.st_size, st.st_mtime_ns, st.st_ctime_ns, st.st_ino, st.st_dev, st.st_nlink,
        earlier_inode=(target / "a").stat().st_ino, earlier_digest=b"16 bytes of hash",
    )  # fmt: skip
    result = mover.copier.copy(item, 0, b"", 2).result
    if touched:
        assert result.outcome is Outcome.SOURCE_GONE
    else:
        assert (result.outcome, result.digest) == (Outcome.COPIED, b"16 bytes of hash")
