"""What has a copy's name already, or a source's: copies of other migrations, files of other people, other kinds."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from migmond.domain.entry import Lost
from migmond.domain.fault import Fault
from migmond.domain.plan import ConflictPolicy, VerifyLevel
from migmond.domain.states import Outcome
from migmond.mover import conflict, copy, rename_move
from migmond.mover.group import Arrival, Group
from migmond.mover.settle import Settler
from migmond.mover.temporaries import exchange_name
from migmond.recovery.dispositions import disposition_of
from migmond.wire.from_mover import Settled
from migmond.wire.items import SettleItem
from migmond.wire.to_mover import Publish, Settle
from parts import Mover, item_of

BACKUP, NEWER = ConflictPolicy.BACKUP, ConflictPolicy.NEWER
OLD, NEW = 10**18, 10**18 + 1


def put(path: Path, text: str, mtime: int = OLD) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    os.utime(path, ns=(mtime, mtime))


def contents(directory: Path) -> dict[str, str]:
    return {p.name: p.read_text() for p in sorted(directory.iterdir())}


def names(directory: Path) -> list[str]:
    return sorted(os.listdir(directory))


def copied(mover: Mover, name: str, **changes: object) -> Any:
    item = msgspec.structs.replace(item_of(7, os.fsencode(name), os.lstat(mover.source / name)), **changes)
    return mover.copier.copy(item, 0, b"", 1).result


def settled(mover: Mover, arrival: Arrival, temporary: Path) -> list[Fault | None]:
    """Let a mover find out what became of a copy; returns the fault of each that is published."""
    tag = temporary.name.removesuffix(".part").split("-", 3)[3].encode()
    item = SettleItem(arrival.number, 0, b"", b"f", arrival.inode, tag=tag, size=arrival.size)
    Settler(mover.context).settle(Settle(1, (item,)))
    said = mover.said[-1]
    assert isinstance(said, Settled)
    return [p.fault for p in said.published]


# --- copies that two migrations count on ---------------------------------------------------------


def test_a_copy_that_another_migration_counts_on_is_not_taken_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A's sync failed when B had found A's copy equal, and had deleted its own source."""
    for source in ("one", "two"):
        put(tmp_path / source / "f", "version 1")
    first = Mover(tmp_path / "one", tmp_path / "target", move=True)
    first.context.no_rename(0)
    first.publish(1, "f")
    second = Mover(tmp_path / "two", tmp_path / "target", move=True)
    second.context.no_rename(0)
    assert copied(second, "f").outcome is Outcome.UNCHANGED
    first.fail_next_sync(monkeypatch)
    first.committer._sync(Group(0))
    assert contents(tmp_path / "target") == {"f": "version 1"}


@pytest.mark.parametrize("move", [False, True])
@pytest.mark.parametrize("damaged", [False, True])
def test_a_copy_whose_name_may_not_last_is_looked_at_and_waits_for_the_next_sync(
    tmp_path: Path, *, move: bool, damaged: bool
) -> None:
    put(tmp_path / "one" / "f", "version 1")
    mover = Mover(tmp_path / "one", tmp_path / "target", move=move)
    mover.context.no_rename(0)
    (arrival,) = mover.publish(1, "f").arrivals
    if damaged:
        put(tmp_path / "target" / "f", "VERSION 1")
        os.utime(tmp_path / "target" / "f", ns=(OLD, OLD))
    again = copied(mover, "f", earlier_inode=arrival.inode, earlier_digest=arrival.digest)
    if damaged:
        assert again.fault.kind == "exists"
    else:
        assert (again.outcome, again.group) == (Outcome.COPIED, 1)


@pytest.mark.parametrize("move", [False, True])
def test_a_copy_in_doubt_is_found_under_the_name_that_was_chosen_for_it(tmp_path: Path, *, move: bool) -> None:
    put(tmp_path / "one" / "f", "version 1")
    put(tmp_path / "target" / "f", "somebody else's")
    mover = Mover(tmp_path / "one", tmp_path / "target", ConflictPolicy.RENAME, move=move)
    mover.context.no_rename(0)
    (arrival,) = mover.publish(1, "f").arrivals
    found = copied(mover, "f", earlier_inode=arrival.inode, earlier_name=b"f (1)", earlier_digest=arrival.digest)
    assert (found.outcome, found.group) == (Outcome.COPIED, 1)
    assert names(tmp_path / "target") == ["f", "f (1)"]


def test_an_earlier_copy_of_ours_makes_room_and_stays(tmp_path: Path) -> None:
    """Another migration may have counted on it since."""
    put(tmp_path / "one" / "f", "version 1")
    mover = Mover(tmp_path / "one", tmp_path / "target", move=True)
    mover.context.no_rename(0)
    group = mover.publish(1, "f")
    (arrival,) = group.arrivals
    put(tmp_path / "one" / "f", "VERSION 2", NEW)
    earlier = {"earlier_inode": arrival.inode, "earlier_digest": arrival.digest, "as_found": True, "mtime_ns": OLD}
    assert copied(mover, "f", **earlier).outcome is Outcome.COPIED
    assert contents(tmp_path / "target")["f.~1~"] == "version 1"


@pytest.mark.parametrize("move", [False, True])
def test_what_is_counted_on_is_synced_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, move: bool) -> None:
    """Its maker may not have synced it, and not every file system passes the sync of all of it on (FUSE)."""
    put(tmp_path / "one" / "f", "version 1")
    put(tmp_path / "target" / "f", "version 1")
    synced: list[int] = []
    fsync = os.fsync

    def noting(fd: int) -> None:
        synced.append(os.fstat(fd).st_ino)
        fsync(fd)

    monkeypatch.setattr(os, "fsync", noting)
    mover = Mover(tmp_path / "one", tmp_path / "target", move=move, verify=VerifyLevel.READ_BACK)
    mover.context.no_rename(0)
    assert copied(mover, "f").outcome is Outcome.UNCHANGED
    assert (tmp_path / "target" / "f").stat().st_ino in synced


# --- exchanging names ------------------------------------------------------------------------------


@pytest.mark.parametrize("policy", [BACKUP, NEWER])
def test_nothing_of_the_destination_is_ever_in_a_source(tmp_path: Path, policy: ConflictPolicy) -> None:
    """A move by rename exchanged names: the source's owner could take away what came out."""
    put(tmp_path / "source" / "f", "new", NEW)
    put(tmp_path / "target" / "f", "old")
    mover = Mover(tmp_path / "source", tmp_path / "target", policy, move=True)
    group = mover.group(1, "f")
    assert group.arrivals[0].temporary
    assert contents(tmp_path / "source") == {"f": "new"}
    mover.committer._sync(group)
    mover.committer._publish(Publish(1))
    assert contents(tmp_path / "source") == {"f": "new"}
    kept = {"f": "new", "f.~1~": "old"} if policy is BACKUP else {"f": "new"}
    assert contents(tmp_path / "target") == kept


def test_a_mover_that_died_before_the_exchange(tmp_path: Path) -> None:
    put(tmp_path / "source" / "f", "ours", NEW)
    mover = Mover(tmp_path / "source", tmp_path / "target", NEWER)
    (arrival,) = mover.group(1, "f").arrivals
    temporary = tmp_path / "target" / os.fsdecode(arrival.temporary)
    temporary.rename(tmp_path / "target" / os.fsdecode(exchange_name(arrival.temporary)))
    put(tmp_path / "target" / "f", "older")
    assert settled(mover, arrival, temporary) == [None]
    assert contents(tmp_path / "target") == {"f": "ours"}


@pytest.mark.parametrize("policy", [BACKUP, NEWER])
def test_what_came_out_when_a_mover_died_is_kept(tmp_path: Path, policy: ConflictPolicy) -> None:
    """It may be what another migration had put there a moment before, the only copy: it was swept as a temporary."""
    put(tmp_path / "source" / "f", "ours", NEW)
    mover = Mover(tmp_path / "source", tmp_path / "target", policy)
    (arrival,) = mover.group(1, "f").arrivals
    temporary = tmp_path / "target" / os.fsdecode(arrival.temporary)
    temporary.rename(tmp_path / "target" / "f")
    put(tmp_path / "target" / os.fsdecode(exchange_name(arrival.temporary)), "theirs", NEW + 1)
    assert settled(mover, arrival, temporary) == [None]
    assert contents(tmp_path / "target") == {"f": "ours", "f.~1~": "theirs"}


def test_a_leader_whose_name_is_taken_is_told_as_a_broken_link(tmp_path: Path) -> None:
    put(tmp_path / "source" / "a", "both")
    os.link(tmp_path / "source" / "a", tmp_path / "source" / "b")
    put(tmp_path / "target" / "a", "theirs")
    mover = Mover(tmp_path / "source", tmp_path / "target", BACKUP, move=True)
    result = copied(mover, "a")
    assert (result.outcome, result.lost) == (Outcome.COPIED, Lost.LINKS)


# --- sources that become something else ----------------------------------------------------------


def _fifo(path: Path) -> None:
    os.mkfifo(path)


def _file(path: Path) -> None:
    path.write_text("a file")


def _symlink(path: Path) -> None:
    path.symlink_to("nowhere")


def _socket(path: Path) -> None:
    here = os.open(path.parent, os.O_RDONLY)
    try:
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(f"/proc/self/fd/{here}/{path.name}")
    finally:
        os.close(here)


KINDS = {"fifo": _fifo, "file": _file, "symlink": _symlink, "socket": _socket}


@pytest.mark.parametrize("as_found", [False, True])
@pytest.mark.parametrize(("before", "after"), [(a, b) for a in KINDS for b in KINDS if a != b])
def test_an_entry_that_becomes_another_kind_is_not_taken_for_what_it_was(
    tmp_path: Path, before: str, after: str, *, as_found: bool
) -> None:
    """A fifo that became a file was copied as an empty file, and its task was done."""
    source, made = tmp_path / "source", KINDS[before]
    source.mkdir()
    made(source / "x")
    mover = Mover(source, tmp_path / "target", move=True)
    mover.context.no_rename(0)
    item = item_of(7, b"x", os.lstat(source / "x"))
    (source / "x").unlink()
    KINDS[after](source / "x")
    result = mover.copier.copy(msgspec.structs.replace(item, as_found=as_found), 0, b"", 1).result
    assert result.fault is not None
    assert (result.fault.kind, disposition_of(result.fault)) == ("source_changed", "retry")
    assert names(tmp_path / "target") == []


@pytest.mark.parametrize("make", [_fifo, _symlink])
def test_further_names_of_what_is_no_file_are_told_as_lost(tmp_path: Path, make: Callable[[Path], None]) -> None:
    (tmp_path / "source").mkdir()
    make(tmp_path / "source" / "a")
    os.link(tmp_path / "source" / "a", tmp_path / "source" / "b", follow_symlinks=False)
    result = copied(Mover(tmp_path / "source", tmp_path / "target"), "a")
    assert result.lost is Lost.LINKS
    (tmp_path / "source" / "b").unlink()
    assert copied(Mover(tmp_path / "source", tmp_path / "target"), "a").lost is Lost.NOTHING


def test_something_else_that_is_renamed_by_a_move_is_given_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(tmp_path / "source" / "f", "meant")
    mover = Mover(tmp_path / "source", tmp_path / "target", move=True)
    give = conflict.give_free_name

    def late(*args: Any) -> bytes | None:
        (tmp_path / "source" / "f").rename(tmp_path / "source" / "away")
        put(tmp_path / "source" / "f", "not meant")
        return give(*args)

    monkeypatch.setattr(rename_move, "give_free_name", late)
    result = copied(mover, "f")
    assert result.fault.kind == "source_changed"
    assert contents(tmp_path / "source") == {"away": "meant", "f": "not meant"}
    assert names(tmp_path / "target") == []


def test_a_source_that_comes_and_goes_is_looked_for_aside_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(tmp_path / "source" / "f", "text")
    mover = Mover(tmp_path / "source", tmp_path / "target", move=True)
    item = item_of(7, b"f", os.lstat(tmp_path / "source" / "f"))
    (tmp_path / "source" / "f").unlink()
    monkeypatch.setattr(copy, "put_back", lambda *_: True)
    assert mover.copier.copy(item, 0, b"", 1).result.outcome is Outcome.SOURCE_GONE
