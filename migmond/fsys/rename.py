"""Giving names: never over something that is there, unless that is wanted."""

from __future__ import annotations

import errno
import os

from migmond.fsys import libc

RENAME_NOREPLACE, _RENAME_EXCHANGE = 1, 2
_NO_FLAGS_HERE = frozenset({errno.EINVAL, errno.ENOSYS})


def rename_noreplace(source_dir: int, source: bytes, target_dir: int, target: bytes) -> None:
    """Rename, or raise FileExistsError when the target name is taken.

    File systems without RENAME_NOREPLACE (NFS, some FUSE): link and unlink for anything but directories, which keeps
    the promise; else a look before a plain rename, which leaves a window that no call can close there.
    """
    try:
        libc.renameat2(source_dir, source, target_dir, target, RENAME_NOREPLACE)
    except OSError as e:
        if not has_no_flags(e):
            raise
        _rename_without_flags(source_dir, source, target_dir, target)


def rename_in_place(directory: int, present: bytes, free: bytes) -> None:
    """Rename within a directory what anybody may give that name to in the same moment: whatever has it is renamed, and
    nothing is removed. Raises FileExistsError when `free` is taken, as far as one can know without RENAME_NOREPLACE."""
    try:
        libc.renameat2(directory, present, directory, free, RENAME_NOREPLACE)
    except OSError as e:
        if not has_no_flags(e):
            raise
        if exists(directory, free):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), os.fsdecode(free)) from None
        rename_replace(directory, present, directory, free)


def has_no_flags(error: OSError) -> bool:
    """Whether renameat2(2) failed because the file system knows no flags."""
    return error.errno in _NO_FLAGS_HERE


def _rename_without_flags(source_dir: int, source: bytes, target_dir: int, target: bytes) -> None:
    try:
        link(source_dir, source, target_dir, target)
    except FileExistsError:
        raise
    except OSError:
        if exists(target_dir, target):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), os.fsdecode(target)) from None
        rename_replace(source_dir, source, target_dir, target)
        return
    there, here = stat_or_none(target_dir, target), stat_or_none(source_dir, source)
    # What got the source's name meanwhile is somebody else's.
    if there is not None and here is not None and there.st_ino == here.st_ino:
        os.unlink(source, dir_fd=source_dir)


def rename_replace(source_dir: int, source: bytes, target_dir: int, target: bytes) -> None:
    """Rename; whatever has the target name is replaced atomically."""
    os.rename(source, target, src_dir_fd=source_dir, dst_dir_fd=target_dir)


def rename_exchange(a_dir: int, a: bytes, b_dir: int, b: bytes) -> bool:
    """Let two entries have each other's names, in one step.

    Returns:
        False where the file system has no such call: nothing has happened.

    Raises:
        OSError: FileNotFoundError when one of them is not there, or it failed in another way.
    """
    try:
        libc.renameat2(a_dir, a, b_dir, b, _RENAME_EXCHANGE)
    except OSError as e:
        if e.errno not in _NO_FLAGS_HERE:
            raise
        return False
    return True


def link(source_dir: int, source: bytes, target_dir: int, target: bytes) -> None:
    """Make a hard link; a symlink is linked itself. Raises FileExistsError when the name is taken."""
    os.link(source, target, src_dir_fd=source_dir, dst_dir_fd=target_dir, follow_symlinks=False)


def exists(dir_fd: int, name: bytes) -> bool:
    """Whether there is anything under that name."""
    return stat_or_none(dir_fd, name) is not None


def stat_or_none(dir_fd: int, name: bytes) -> os.stat_result | None:
    """lstat a name in a directory; None when there is nothing."""
    try:
        return os.stat(name, dir_fd=dir_fd, follow_symlinks=False)
    except FileNotFoundError:
        return None
