"""The few system calls that Python's `os` does not have."""

from __future__ import annotations

import ctypes
import os
from functools import cache

AT_FDCWD = -100
_SYS_OPENAT2 = 437
_SYS_RENAMEAT2 = 316
_SYS_SYNC_FILE_RANGE = 277


class _OpenHow(ctypes.Structure):
    _fields_ = (("flags", ctypes.c_uint64), ("mode", ctypes.c_uint64), ("resolve", ctypes.c_uint64))


@cache
def _libc() -> ctypes.CDLL:
    library = ctypes.CDLL(None, use_errno=True)
    library.syscall.restype = ctypes.c_long
    return library


def _check(result: int, name: bytes | None = None) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), os.fsdecode(name) if name is not None else None)
    return result


def openat2(dir_fd: int, path: bytes, flags: int, mode: int, resolve: int) -> int:
    """openat2(2). Raises OSError."""
    how = _OpenHow(flags | os.O_CLOEXEC, mode if flags & (os.O_CREAT | os.O_TMPFILE) else 0, resolve)
    result = _libc().syscall(
        ctypes.c_long(_SYS_OPENAT2),
        ctypes.c_int(dir_fd),
        ctypes.c_char_p(path),
        ctypes.byref(how),
        ctypes.c_size_t(ctypes.sizeof(how)),
    )
    return _check(int(result), path)


def renameat2(source_dir: int, source: bytes, target_dir: int, target: bytes, flags: int) -> None:
    """renameat2(2). Raises OSError."""
    result = _libc().syscall(
        ctypes.c_long(_SYS_RENAMEAT2),
        ctypes.c_int(source_dir),
        ctypes.c_char_p(source),
        ctypes.c_int(target_dir),
        ctypes.c_char_p(target),
        ctypes.c_uint(flags),
    )
    _check(int(result), target)


def syncfs(fd: int) -> None:
    """syncfs(2). Raises OSError, also for write-back errors since the last call on this fd's file system."""
    _check(int(_libc().syncfs(ctypes.c_int(fd))))


def sync_file_range(fd: int, offset: int, length: int, flags: int) -> None:
    """sync_file_range(2). Raises OSError."""
    result = _libc().syscall(
        ctypes.c_long(_SYS_SYNC_FILE_RANGE),
        ctypes.c_int(fd),
        ctypes.c_int64(offset),
        ctypes.c_int64(length),
        ctypes.c_uint(flags),
    )
    _check(int(result))
