"""The few system calls that Python's `os` does not have.

Calls that the C library wraps are taken from there: their numbers differ between machines, its symbols do not.
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct
from functools import cache
from typing import Any, NoReturn

SYNC_FILE_RANGE_WAIT_BEFORE = 1
SYNC_FILE_RANGE_WRITE = 2
SYNC_FILE_RANGE_WAIT_AFTER = 4

_PR_SET_DUMPABLE = 4
_AT_SYMLINK_NOFOLLOW, _AT_EMPTY_PATH = 0x100, 0x1000
_STATX_BTIME = 0x800
_STATX = struct.Struct("=I76xqI164x")
"""Of 256 bytes: which fields are there, and seconds and nanoseconds of the birth time."""
_SYS_OPENAT2 = 437
"""No C library wraps it; newer than the split of the tables, so the number is the same on every machine."""


class _OpenHow(ctypes.Structure):
    _fields_ = (("flags", ctypes.c_uint64), ("mode", ctypes.c_uint64), ("resolve", ctypes.c_uint64))


_OPEN_HOW_BYTES = ctypes.sizeof(_OpenHow)


@cache
def _function(name: str, *arguments: Any, result: Any = ctypes.c_int) -> Any:
    """Look a function up once. Raises OSError(ENOSYS) when the C library has none of that name."""
    library = ctypes.CDLL(None, use_errno=True)
    try:
        function = library[name]
    except AttributeError:
        raise OSError(errno.ENOSYS, f"the C library has no {name}") from None
    function.argtypes, function.restype = arguments, result
    return function


def _fail(name: bytes | None = None) -> NoReturn:
    number = ctypes.get_errno()
    raise OSError(number, os.strerror(number), os.fsdecode(name) if name is not None else None)


def _checked(path: bytes) -> bytes:
    """A NUL would silently cut the path short."""
    if b"\0" in path:
        raise OSError(errno.EINVAL, "a path cannot contain a NUL byte", os.fsdecode(path))
    return path


def openat2(dir_fd: int, path: bytes, flags: int, mode: int, resolve: int) -> int:
    """openat2(2), with O_CLOEXEC always. Raises OSError."""
    call = _function(
        "syscall", ctypes.c_long, ctypes.c_int, ctypes.c_char_p, ctypes.POINTER(_OpenHow), ctypes.c_size_t,
        result=ctypes.c_long,
    )  # fmt: skip
    creates = flags & os.O_CREAT or flags & os.O_TMPFILE == os.O_TMPFILE
    how = _OpenHow(flags | os.O_CLOEXEC, mode if creates else 0, resolve)
    fd = call(_SYS_OPENAT2, dir_fd, _checked(path), how, _OPEN_HOW_BYTES)
    return int(fd) if fd >= 0 else _fail(path)


@cache
def _renameat2() -> Any:
    return _function("renameat2", ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_uint)


def renameat2(source_dir: int, source: bytes, target_dir: int, target: bytes, flags: int) -> None:
    """renameat2(2). Raises OSError."""
    if _renameat2()(source_dir, _checked(source), target_dir, _checked(target), flags):
        _fail(target)


@cache
def _statx() -> Any:
    return _function("statx", ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_uint, ctypes.c_char_p)


def statx_birth_ns(dir_fd: int, name: bytes) -> int:
    """statx(2) of `name` in a directory, symlinks not followed, or of the open file `dir_fd` when it is empty.

    Returns the birth time in nanoseconds since the epoch, 0 when the file system does not tell. Raises OSError.
    """
    answer = ctypes.create_string_buffer(_STATX.size)
    flags = _AT_SYMLINK_NOFOLLOW | (0 if name else _AT_EMPTY_PATH)
    if _statx()(dir_fd, _checked(name), flags, _STATX_BTIME, answer):
        _fail(name)
    mask, seconds, nanoseconds = _STATX.unpack(answer.raw)
    return seconds * 1_000_000_000 + nanoseconds if mask & _STATX_BTIME else 0


def set_dumpable() -> None:
    """prctl(PR_SET_DUMPABLE, 1): /proc/self belongs to the process's user again. Raises OSError."""
    call = _function("prctl", ctypes.c_int, ctypes.c_ulong, ctypes.c_ulong, ctypes.c_ulong, ctypes.c_ulong)
    if call(_PR_SET_DUMPABLE, 1, 0, 0, 0):
        _fail()


def syncfs(fd: int) -> None:
    """syncfs(2). Raises OSError, also for write-back errors since `fd` was opened or last synced through."""
    if _function("syncfs", ctypes.c_int)(fd):
        _fail()


def fallocate(fd: int, mode: int, offset: int, length: int) -> None:
    """fallocate(2). Raises OSError; EOPNOTSUPP where the file system cannot.

    Not posix_fallocate: there the C library writes to every block of the file instead.
    """
    call = _function("fallocate", ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64)
    while call(fd, mode, offset, length):
        if ctypes.get_errno() != errno.EINTR:
            _fail()


def sync_file_range(fd: int, offset: int, length: int, flags: int) -> None:
    """sync_file_range(2). Raises OSError."""
    call = _function("sync_file_range", ctypes.c_int, ctypes.c_int64, ctypes.c_int64, ctypes.c_uint)
    if call(fd, offset, length, flags):
        _fail()
