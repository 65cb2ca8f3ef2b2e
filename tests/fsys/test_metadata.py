from __future__ import annotations

import errno
import os
import socket
import stat
import struct
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from as_user import NOBODY, as_user
from errnos import fails_with
from loopfs import LoopFs
from migmond.domain.entry import Lost
from migmond.fsys.flags import NOATIME, NODUMP, copy_flags, flags_of
from migmond.fsys.metadata import Rights, copy_link_metadata, copy_metadata
from migmond.fsys.times import TimeMemory

Opened = Callable[..., int]
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="giving files away needs root")

ACCESS, DEFAULT, CAPABILITY = "system.posix_acl_access", "system.posix_acl_default", "security.capability"
CAP_NET_RAW = struct.pack("<5I", 0x02000001, 1 << 13, 0, 0, 0)
EPOCH = 1_234_567_890_123_456_789


def acl(*entries: tuple[int, int, int]) -> bytes:
    """The kernel's form of a POSIX ACL from (tag, permissions, id)."""
    return struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in entries)


def acl_for(uid: int, permissions: int) -> bytes:
    """rw for the owner, `permissions` for one other user, nothing for the rest."""
    none = 0xFFFFFFFF
    return acl((1, 6, none), (2, permissions, uid), (4, 0, none), (0x10, permissions, none), (0x20, 0, none))


def attributes(path: Path) -> dict[str, bytes]:
    return {n: os.getxattr(path, n, follow_symlinks=False) for n in os.listxattr(path, follow_symlinks=False)}


class Files:
    """A source and a fresh private target."""

    def __init__(self, directory: Path, opened: Opened) -> None:
        self.source, self.target, self._opened = directory / "source", directory / "target", opened
        self.source.write_bytes(b"content")

    def copy(self, mtime_ns: int | None = None) -> Lost:
        if not self.target.exists():
            os.close(os.open(self.target, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        source, target = self._opened(self.source), self._opened(self.target)
        return copy_metadata(source, target, os.fstat(source), Rights.of_process(), mtime_ns=mtime_ns)


@pytest.fixture
def files(tmp_path: Path, opened: Opened) -> Files:
    return Files(tmp_path, opened)


def _facts(path: Path) -> tuple[int, int, int, int, int]:
    st = path.lstat()
    return st.st_mode, st.st_uid, st.st_gid, st.st_atime_ns, st.st_mtime_ns


def test_mode_and_times(files: Files) -> None:
    files.source.chmod(0o1754)
    os.utime(files.source, ns=(EPOCH + 1, EPOCH))
    assert files.copy() == Lost.NOTHING
    assert _facts(files.target) == _facts(files.source)
    assert files.copy(mtime_ns=7) == Lost.NOTHING
    assert files.target.stat().st_mtime_ns == 7


@pytest.mark.hazard(32)
@needs_root
@pytest.mark.parametrize("mode", [0o4755, 0o2755, 0o6711, 0o644])
def test_special_bits_and_capabilities_survive_the_change_of_owner(files: Files, mode: int) -> None:
    os.chown(files.source, NOBODY, 1234)
    files.source.chmod(mode)
    os.setxattr(files.source, CAPABILITY, CAP_NET_RAW)
    assert files.copy() == Lost.NOTHING
    assert _facts(files.target) == _facts(files.source)
    assert attributes(files.target)[CAPABILITY] == CAP_NET_RAW


@needs_root
def test_a_target_that_was_right_but_for_its_owner_keeps_its_setuid_bit(files: Files) -> None:
    """chown clears the bit of a file that already had the right mode."""
    files.source.chmod(0o4755)
    os.chown(files.source, NOBODY, NOBODY)
    files.source.chmod(0o4755)
    files.target.touch()
    files.target.chmod(0o4755)
    assert files.copy() == Lost.NOTHING
    assert _facts(files.target) == _facts(files.source)


@pytest.mark.hazard(31)
def test_user_attributes_and_acl(files: Files) -> None:
    os.setxattr(files.source, "user.colour", b"blue\0\xff")
    os.setxattr(files.source, "user.empty", b"")
    os.setxattr(files.source, ACCESS, acl_for(4711, 6))
    assert files.copy() == Lost.NOTHING
    assert attributes(files.target) == attributes(files.source)
    assert files.target.stat().st_mode == files.source.stat().st_mode


@needs_root
def test_trusted_attributes(files: Files) -> None:
    os.setxattr(files.source, "trusted.secret", b"1")
    assert files.copy() == Lost.NOTHING
    assert attributes(files.target) == {"trusted.secret": b"1"}


def test_an_acl_inherited_from_the_target_directory_is_removed(files: Files) -> None:
    os.setxattr(files.target.parent, DEFAULT, acl_for(4711, 7))
    files.source.chmod(0o640)
    assert attributes(files.source) == {}
    os.close(os.open(files.target, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    assert ACCESS in attributes(files.target)
    assert files.copy() == Lost.NOTHING
    assert attributes(files.target) == {}
    assert stat.S_IMODE(files.target.stat().st_mode) == 0o640


@pytest.mark.parametrize("refused", ["source", "target"])
def test_attributes_that_nobody_is_told_of_let_nobody_in(
    files: Files, monkeypatch: pytest.MonkeyPatch, refused: str
) -> None:
    """An ACL that the copy inherited stayed when the source's attributes could not be listed."""
    os.setxattr(files.target.parent, DEFAULT, acl_for(4711, 7))
    os.close(os.open(files.target, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    listxattr, inode = os.listxattr, (files.source if refused == "source" else files.target).stat().st_ino

    def told(place: int) -> list[str]:
        if os.stat(place).st_ino == inode:
            raise PermissionError(errno.EACCES, "Permission denied")
        return listxattr(place)

    monkeypatch.setattr(os, "listxattr", told)
    assert files.copy() == (Lost.XATTRS | Lost.ACL if refused == "source" else Lost.ACL)
    monkeypatch.undo()
    assert (ACCESS in attributes(files.target)) is (refused == "target")


@pytest.mark.hazard(31)
def test_directories_get_exactly_the_acls_and_attributes_of_the_source(tmp_path: Path, opened: Opened) -> None:
    source, target = tmp_path / "s", tmp_path / "t"
    source.mkdir()
    os.setxattr(source, DEFAULT, acl_for(4711, 5))
    os.setxattr(source, ACCESS, acl_for(4712, 7))
    os.setxattr(source, "user.ours", b"1")
    source.chmod(0o2770)
    target.mkdir()
    os.setxattr(target, DEFAULT, acl_for(99, 7))
    os.setxattr(target, "user.theirs", b"1")
    target.chmod(0o2770)
    os.utime(source, ns=(5, 6))
    source_fd, target_fd = opened(source), opened(target)
    assert copy_metadata(source_fd, target_fd, os.fstat(source_fd), Rights.of_process(), mtime_ns=77) == Lost.NOTHING
    assert attributes(target) == attributes(source)
    assert (target.stat().st_mode, target.stat().st_mtime_ns) == (source.stat().st_mode, 77)


def test_calls_that_change_nothing_are_left_out(files: Files, opened: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    def unwanted(*arguments: object, **_: object) -> None:
        raise AssertionError(f"superfluous: {arguments}")

    files.target.touch()
    files.source.chmod(0o640)
    files.target.chmod(0o640)
    source, target = opened(files.source), opened(files.target)
    before = os.fstat(target)
    with monkeypatch.context() as patched:  # pytest needs these calls itself as soon as the test is over
        for call in ("chown", "chmod", "setxattr", "getxattr", "removexattr", "fstat"):
            patched.setattr(os, call, unwanted)
        lost = copy_metadata(source, target, files.source.stat(), Rights.of_process(), target=before)
    assert lost == Lost.NOTHING


@pytest.mark.hazard(31)
def test_attributes_that_do_not_fit_are_a_loss(
    tmp_path: Path, opened: Opened, loop_fs: Callable[[str], LoopFs]
) -> None:
    """ext4 has one block for all attributes of a file; xfs takes 64 KiB each."""
    source, target = loop_fs("xfs").root / "wide", loop_fs("ext4").root / "narrow"
    source.touch()
    target.touch()
    os.setxattr(source, "user.big", b"x" * 20_000)
    os.setxattr(source, "user.small", b"y")
    os.utime(source, ns=(1, 2))
    source_fd, target_fd = opened(source), opened(target)
    assert copy_metadata(source_fd, target_fd, os.fstat(source_fd), Rights.of_process()) == Lost.XATTRS
    assert attributes(target) == {"user.small": b"y"}
    assert target.stat().st_mtime_ns == 2


# --- without rights -------------------------------------------------------------------------------


@pytest.mark.hazard(32)
@needs_root
def test_who_may_not_give_files_away_says_so_and_leaves_no_setuid_program(tmp_path: Path, opened: Opened) -> None:
    source, directory = tmp_path / "source", tmp_path / "theirs"
    source.write_bytes(b"#!/bin/sh\n")
    os.chown(source, 1234, 1235)
    source.chmod(0o6755)
    os.utime(source, ns=(EPOCH, EPOCH))
    os.setxattr(source, CAPABILITY, CAP_NET_RAW)
    os.setxattr(source, "user.colour", b"blue")
    directory.mkdir()
    os.chown(directory, NOBODY, NOBODY)
    source_fd, directory_fd = opened(source), opened(directory)

    def copy() -> Lost:
        target = os.open("target", os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600, dir_fd=directory_fd)
        return copy_metadata(source_fd, target, os.fstat(source_fd), Rights.of_process())

    lost = as_user(copy)
    assert lost == Lost.OWNER | Lost.GROUP | Lost.MODE | Lost.CAPABILITIES
    target = directory / "target"
    assert (target.stat().st_uid, target.stat().st_gid) == (NOBODY, NOBODY)
    assert stat.S_IMODE(target.stat().st_mode) == 0o755
    assert attributes(target) == {"user.colour": b"blue"}
    assert target.stat().st_mtime_ns == EPOCH


@needs_root
def test_a_group_that_one_is_in_is_kept(tmp_path: Path, opened: Opened) -> None:
    source, directory = tmp_path / "source", tmp_path / "theirs"
    source.touch()
    os.chown(source, 1234, 1235)
    source.chmod(0o664)
    directory.mkdir()
    os.chown(directory, NOBODY, NOBODY)
    source_fd, directory_fd = opened(source), opened(directory)

    def copy() -> Lost:
        target = os.open("target", os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600, dir_fd=directory_fd)
        return copy_metadata(source_fd, target, os.fstat(source_fd), Rights.of_process())

    assert as_user(copy, groups=(1235,)) == Lost.OWNER
    st = (directory / "target").stat()
    assert (st.st_uid, st.st_gid, stat.S_IMODE(st.st_mode)) == (NOBODY, 1235, 0o664)


@needs_root
def test_setgid_that_the_kernel_drops_without_a_word_is_a_loss(tmp_path: Path, opened: Opened) -> None:
    """A file in a setgid directory has a group that its owner need not be in."""
    source, directory = tmp_path / "source", tmp_path / "theirs"
    source.touch()
    os.chown(source, NOBODY, 1235)
    source.chmod(0o2755)
    directory.mkdir()
    os.chown(directory, NOBODY, 1235)
    directory.chmod(0o2755)
    source_fd, directory_fd = opened(source), opened(directory)

    def copy() -> Lost:
        target = os.open("target", os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600, dir_fd=directory_fd)
        return copy_metadata(source_fd, target, os.fstat(source_fd), Rights.of_process())

    assert as_user(copy) == Lost.MODE
    st = (directory / "target").stat()
    assert (st.st_gid, stat.S_IMODE(st.st_mode)) == (1235, 0o755)


@needs_root
def test_setgid_that_setting_an_acl_drops_is_a_loss(tmp_path: Path, opened: Opened) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    for directory in (source, target):
        directory.mkdir()
        os.chown(directory, NOBODY, 1235)
        directory.chmod(0o2660)
    os.setxattr(source, ACCESS, acl_for(4711, 6))
    source.chmod(0o2660)
    source_fd, target_fd = opened(source), opened(target)
    before = source.stat()
    target.chmod(stat.S_IMODE(before.st_mode))

    def copy() -> Lost:
        return copy_metadata(source_fd, target_fd, before, Rights.of_process())

    assert as_user(copy) == Lost.MODE
    assert attributes(target) == attributes(source)
    assert stat.S_IMODE(target.stat().st_mode) == stat.S_IMODE(before.st_mode) & ~stat.S_ISGID


@needs_root
def test_what_rights_a_process_has() -> None:
    assert Rights.of_process().may_chown
    rights = as_user(Rights.of_process, groups=(7,))
    assert rights == Rights(NOBODY, NOBODY, frozenset({7}), may_chown=False, may_trusted=False, may_setgid=False)


# --- what cannot be opened ------------------------------------------------------------------------


def _make(kind: str, path: Path) -> None:
    if kind == "symlink":
        path.symlink_to("/etc/passwd")
    elif kind == "socket":
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(os.fspath(path))
    else:
        types = {"fifo": stat.S_IFIFO, "device": stat.S_IFCHR}
        os.mknod(path, types[kind] | 0o600, os.makedev(1, 3))


@pytest.mark.hazard(36)
@needs_root
@pytest.mark.parametrize("kind", ["symlink", "fifo", "socket", "device"])
def test_entries_that_cannot_be_opened(
    kind: str, tmp_path: Path, opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # a socket's path is short
    source, target, passwd = Path(f"{kind}1"), Path(f"{kind}2\udcff"), os.lstat("/etc/passwd")
    _make(kind, source)
    os.setxattr(source, "trusted.mark", b"1", follow_symlinks=False)
    os.chown(source, NOBODY, 1234, follow_symlinks=False)
    if kind != "symlink":
        source.chmod(0o640)
    os.utime(source, ns=(EPOCH, EPOCH + 5), follow_symlinks=False)
    os.setxattr(tmp_path, DEFAULT, acl_for(4711, 7))
    _make(kind, target)
    here = opened(tmp_path)
    lost = copy_link_metadata(
        here, os.fsencode(source), here, os.fsencode(target), source.lstat(), Rights.of_process(), TimeMemory()
    )
    assert lost == Lost.NOTHING
    assert _facts(target)[:3] == _facts(source)[:3]
    assert target.lstat().st_mtime_ns == EPOCH + 5
    assert attributes(target) == {"trusted.mark": b"1"}
    after = os.lstat("/etc/passwd")
    assert (after.st_mode, after.st_uid, after.st_ctime_ns) == (passwd.st_mode, passwd.st_uid, passwd.st_ctime_ns)


@pytest.mark.hazard(40)
@needs_root
def test_a_symlink_put_in_the_place_of_a_fifo_harms_nobody(tmp_path: Path, opened: Opened) -> None:
    precious = tmp_path / "precious"
    precious.write_text("mine")
    precious.chmod(0o600)
    _make("fifo", tmp_path / "source")
    os.chown(tmp_path / "source", NOBODY, NOBODY)
    (tmp_path / "source").chmod(0o666)
    (tmp_path / "target").symlink_to("precious")
    here, source = opened(tmp_path), (tmp_path / "source").lstat()
    before = _facts(precious), precious.stat().st_ctime_ns
    with fails_with(errno.EAGAIN):
        copy_link_metadata(here, b"source", here, b"target", source, Rights.of_process(), TimeMemory())
    assert (_facts(precious), precious.stat().st_ctime_ns) == before


def test_a_source_that_was_replaced_is_noticed(tmp_path: Path, opened: Opened) -> None:
    for name in ("source", "target", "other"):
        (tmp_path / name).symlink_to("x")
    here, source = opened(tmp_path), (tmp_path / "source").lstat()
    os.rename(tmp_path / "other", tmp_path / "source")
    with fails_with(errno.EAGAIN):
        copy_link_metadata(here, b"source", here, b"target", source, Rights.of_process(), TimeMemory())


@needs_root
def test_a_symlink_that_cannot_be_given_away(tmp_path: Path, opened: Opened) -> None:
    directory = tmp_path / "theirs"
    directory.mkdir()
    os.chown(directory, NOBODY, NOBODY)
    (tmp_path / "source").symlink_to("x")
    os.utime(tmp_path / "source", ns=(EPOCH, EPOCH), follow_symlinks=False)
    source_dir, target_dir, source = opened(tmp_path), opened(directory), (tmp_path / "source").lstat()

    def copy() -> Lost:
        os.symlink("x", "target", dir_fd=target_dir)
        return copy_link_metadata(
            source_dir, b"source", target_dir, b"target", source, Rights.of_process(), TimeMemory()
        )

    tmp_path.chmod(0o755)
    assert as_user(copy) == Lost.OWNER | Lost.GROUP
    assert (directory / "target").lstat().st_mtime_ns == EPOCH


@needs_root
@pytest.mark.hazard(33)
@pytest.mark.parametrize("kind", ["ext4", "xfs", "btrfs"])
def test_chattr_flags_are_copied_or_declared(
    kind: str, tmp_path: Path, opened: Opened, loop_fs: Callable[[str], LoopFs]
) -> None:
    files = Files(loop_fs(kind).root, opened)
    subprocess.run(["chattr", "+dA", files.source], check=True)
    assert files.copy() is Lost.NOTHING
    assert flags_of(opened(files.target)) & (NODUMP | NOATIME) == NODUMP | NOATIME
    files.target.unlink()
    subprocess.run(["chattr", "+i", files.source], check=True)
    try:
        assert files.copy() is Lost.FLAGS
    finally:
        subprocess.run(["chattr", "-i", files.source], check=True)
    files.target.write_bytes(b"")  # neither locked: its owner can go on with it
    files.source.unlink()
    files.target.unlink()


@needs_root
@pytest.mark.hazard(33)
def test_flags_that_the_target_does_not_know_are_a_loss(
    tmp_path: Path, opened: Opened, loop_fs: Callable[[str], LoopFs]
) -> None:
    source = loop_fs("ext4").root / "flagged"
    source.write_bytes(b"")
    subprocess.run(["chattr", "+d", source], check=True)
    reading, writing = os.pipe()
    try:
        assert copy_flags(opened(source), writing) is Lost.FLAGS
    finally:
        os.close(reading)
        os.close(writing)
        source.unlink()
