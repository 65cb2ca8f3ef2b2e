"""Opening paths below a root fd, never through symlinks and never out of the root.

The root itself is opened by `migmond.fsys.root_path`. Everything below goes through openat2 (RESOLVE_BENEATH,
NO_SYMLINKS, NO_MAGICLINKS); design page HAZARDS row 40.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from typing import NoReturn

from migmond.fsys import libc

_RESOLVE_NO_XDEV = 0x01
_RESOLVE_NO_MAGICLINKS = 0x02
_RESOLVE_NO_SYMLINKS = 0x04
_RESOLVE_BENEATH = 0x08
_RESOLVE = _RESOLVE_BENEATH | _RESOLVE_NO_SYMLINKS | _RESOLVE_NO_MAGICLINKS

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
"""Without O_NOFOLLOW: RESOLVE_NO_SYMLINKS says ELOOP for a symlink, O_NOFOLLOW would make it ENOTDIR."""
_HOP_BYTES = 3500
"""Longer paths are opened in hops of whole components: the kernel takes at most 4,095 bytes."""
_RACE_TRIES = 64
"""openat2 answers EAGAIN when a rename or mount anywhere in the system raced with a path that has `..` in it."""


def open_beneath(root_fd: int, path: bytes, flags: int, mode: int = 0, *, cross_mounts: bool = True) -> int:
    """Open `path` below `root_fd`; returns an fd that is closed on exec.

    Args:
        path: relative, of any length; `b""` is the root itself.
        flags, mode: as for open(2).
        cross_mounts: False refuses mount points with EXDEV.

    Raises:
        OSError: ELOOP for a symlink anywhere in the path, EXDEV for an escape or a mount point, and whatever
            open(2) raises.
    """
    if path.startswith(b"/"):
        _escapes(path)
    resolve = _RESOLVE | (0 if cross_mounts else _RESOLVE_NO_XDEV)
    if len(path) <= _HOP_BYTES:
        return _open(root_fd, path or b".", flags, mode, resolve)
    *hops, last = _hops(path)
    at = root_fd
    try:
        for hop in hops:
            deeper = _open(at, hop, _DIRECTORY, 0, resolve)
            if at != root_fd:
                os.close(at)
            at = deeper
        return _open(at, last, flags, mode, resolve)
    finally:
        if at != root_fd:
            os.close(at)


def open_directory(root_fd: int, path: bytes, *, cross_mounts: bool = True) -> int:
    """Open a directory below `root_fd` for reading; see `open_beneath`."""
    return open_beneath(root_fd, path, _DIRECTORY, cross_mounts=cross_mounts)


def make_directories(root_fd: int, path: bytes) -> int:
    """Open a directory below `root_fd`, making it and its parents (0700) where missing; returns its fd.

    Another process may do the same at the same time.

    Raises:
        OSError: ELOOP for a symlink anywhere in the path, ENOTDIR where something else has the name, EXDEV for an
            escape, and whatever mkdir(2) raises. Parents made so far stay.
    """
    with contextlib.suppress(FileNotFoundError):
        return open_directory(root_fd, path)
    fd = open_directory(root_fd, b"")
    try:
        for name in _components(path):
            with contextlib.suppress(FileExistsError):
                try:
                    os.mkdir(name, 0o700, dir_fd=fd)
                except PermissionError:
                    if not let_owner_write(fd):
                        raise
                    os.mkdir(name, 0o700, dir_fd=fd)
            deeper = open_directory(fd, name)
            os.close(fd)
            fd = deeper
    except BaseException:
        os.close(fd)
        raise
    return fd


def let_owner_write(directory: int) -> bool:
    """Let the owner write into a directory of his that is closed to him too; True when that has changed anything.

    An earlier migration gave it the mode of its source, and this one does so again when it is finished.
    """
    st = os.fstat(directory)
    if st.st_uid != os.geteuid() or st.st_mode & 0o300 == 0o300:
        return False
    os.fchmod(directory, stat.S_IMODE(st.st_mode) | 0o700)
    return True


def _components(path: bytes) -> list[bytes]:
    return [name for name in path.split(b"/") if name not in (b"", b".")]


def _hops(path: bytes) -> list[bytes]:
    hops: list[bytes] = []
    for name in _components(path) or [b"."]:
        if hops and len(hops[-1]) + 1 + len(name) <= _HOP_BYTES:
            hops[-1] += b"/" + name
        else:
            hops.append(name)
    return hops


def _open(dir_fd: int, path: bytes, flags: int, mode: int, resolve: int) -> int:
    for _ in range(_RACE_TRIES):
        try:
            return libc.openat2(dir_fd, path, flags, mode, resolve)
        except OSError as e:
            if e.errno == errno.ENOSYS:
                return _open_by_steps(dir_fd, path, flags, mode, cross_mounts=not resolve & _RESOLVE_NO_XDEV)
            if e.errno not in (errno.EAGAIN, errno.EINTR):
                raise
    raise OSError(errno.EAGAIN, "the path kept changing while it was opened", os.fsdecode(path))


def _open_by_steps(dir_fd: int, path: bytes, flags: int, mode: int, *, cross_mounts: bool) -> int:
    """For kernels before 5.6: one component at a time with O_NOFOLLOW. `..` is refused even inside the root."""
    names = _components(path)
    if b".." in names:
        _escapes(path)
    *parents, last = names or [b"."]
    device = os.fstat(dir_fd).st_dev
    at = dir_fd
    try:
        for name in parents:
            deeper = _open_step(at, name, _DIRECTORY, 0)
            if at != dir_fd:
                os.close(at)
            at = deeper
        found = _open_step(at, last, flags | os.O_CLOEXEC, mode)
    finally:
        if at != dir_fd:
            os.close(at)
    if not cross_mounts and os.fstat(found).st_dev != device:
        os.close(found)
        _escapes(path)
    return found


def _open_step(dir_fd: int, name: bytes, flags: int, mode: int) -> int:
    try:
        return os.open(name, flags | os.O_NOFOLLOW, mode, dir_fd=dir_fd)
    except NotADirectoryError:
        # O_DIRECTORY makes open(2) say ENOTDIR for a symlink, where openat2 says what it is.
        if stat.S_ISLNK(os.stat(name, dir_fd=dir_fd, follow_symlinks=False).st_mode):
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), os.fsdecode(name)) from None
        raise


def _escapes(path: bytes) -> NoReturn:
    raise OSError(errno.EXDEV, os.strerror(errno.EXDEV), os.fsdecode(path))
