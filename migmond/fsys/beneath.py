"""Opening paths below a root fd, never through symlinks and never out of the root.

The operator's root itself is opened plainly: trusted symlinks there are legitimate. Everything below goes through
openat2 (RESOLVE_BENEATH, NO_SYMLINKS, NO_MAGICLINKS); HAZARDS.md row 40.
"""

from __future__ import annotations

import contextlib
import errno
import os

from migmond.fsys import libc

RESOLVE_NO_XDEV = 0x01
RESOLVE_NO_MAGICLINKS = 0x02
RESOLVE_NO_SYMLINKS = 0x04
RESOLVE_BENEATH = 0x08
_RESOLVE = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_HOP_BYTES = 3500
"""Longer paths are opened in hops of whole components: the kernel takes at most 4,095 bytes."""
_RACE_TRIES = 64
"""openat2 answers EAGAIN when a rename anywhere in the path raced with it."""


def open_root(path: bytes) -> int:
    """Open the directory `path`, following symlinks; returns its fd."""
    return os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)


def open_beneath(root_fd: int, path: bytes, flags: int, mode: int = 0, *, cross_mounts: bool = True) -> int:
    """Open `path` (relative, at most `b""` for the root itself) below `root_fd`.

    Args:
        flags, mode: as for open(2).
        cross_mounts: False refuses mount points with EXDEV.

    Raises:
        OSError: ELOOP for a symlink, EXDEV for an escape or a mount point, and whatever open(2) raises.
    """
    if path.startswith(b"/"):
        raise OSError(errno.EXDEV, os.strerror(errno.EXDEV), os.fsdecode(path))
    resolve = _RESOLVE | (0 if cross_mounts else RESOLVE_NO_XDEV)
    if len(path) <= _HOP_BYTES:
        return _open(root_fd, path or b".", flags, mode, resolve)
    at, fd = root_fd, -1
    try:
        *hops, last = _hops(path)
        for hop in hops:
            deeper = _open(at, hop, _DIRECTORY, 0, resolve)
            if fd >= 0:
                os.close(fd)
            at = fd = deeper
        return _open(at, last, flags, mode, resolve)
    finally:
        if fd >= 0:
            os.close(fd)


def open_directory(root_fd: int, path: bytes, *, cross_mounts: bool = True) -> int:
    """Open a directory below `root_fd` for reading; see `open_beneath`."""
    return open_beneath(root_fd, path, _DIRECTORY, cross_mounts=cross_mounts)


def make_directories(root_fd: int, path: bytes) -> int:
    """Open a directory below `root_fd`, making it and its parents (0700) where missing; returns its fd.

    Another process may do the same at the same time.
    """
    with contextlib.suppress(FileNotFoundError):
        return open_directory(root_fd, path)
    fd = open_directory(root_fd, b"")
    try:
        for name in path.split(b"/"):
            with contextlib.suppress(FileExistsError):
                os.mkdir(name, 0o700, dir_fd=fd)
            deeper = open_directory(fd, name)
            os.close(fd)
            fd = deeper
    except BaseException:
        os.close(fd)
        raise
    return fd


def _hops(path: bytes) -> list[bytes]:
    hops: list[bytes] = []
    for name in path.split(b"/"):
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
                return _open_by_steps(dir_fd, path, flags, mode, cross_mounts=not resolve & RESOLVE_NO_XDEV)
            if e.errno not in (errno.EAGAIN, errno.EINTR):
                raise
    raise OSError(errno.EAGAIN, "the path kept changing while it was opened", os.fsdecode(path))


def _open_by_steps(dir_fd: int, path: bytes, flags: int, mode: int, *, cross_mounts: bool) -> int:
    """For kernels before 5.6: one component at a time with O_NOFOLLOW."""
    *parents, last = [n for n in path.split(b"/") if n not in (b"", b".")] or [b"."]
    device = os.fstat(dir_fd).st_dev
    fd = os.dup(dir_fd)
    try:
        for name in (*parents, last):
            if name == b"..":
                raise OSError(errno.EXDEV, os.strerror(errno.EXDEV), os.fsdecode(path))
        for name in parents:
            deeper = os.open(name, _DIRECTORY, dir_fd=fd)
            os.close(fd)
            fd = deeper
        found = os.open(last, flags | os.O_NOFOLLOW | os.O_CLOEXEC, mode, dir_fd=fd)
        if not cross_mounts and os.fstat(found).st_dev != device:
            os.close(found)
            raise OSError(errno.EXDEV, os.strerror(errno.EXDEV), os.fsdecode(path))
        return found
    finally:
        os.close(fd)
