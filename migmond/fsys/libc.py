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

import msgspec

SYNC_FILE_RANGE_WAIT_BEFORE = 1
SYNC_FILE_RANGE_WRITE = 2
SYNC_FILE_RANGE_WAIT_AFTER = 4

PUNCH_HOLE = 3
"""Mode of fallocate(2): FALLOC_FL_PUNCH_HOLE with FALLOC_FL_KEEP_SIZE, which it needs."""

_STATX_BTIME = 0x800
_BIRTH = struct.Struct("=I76xqI164x")
"""Of 256 bytes of statx: which fields are there, and seconds and nanoseconds of the birth time."""
_SYS_IOPRIO = {
    "x86_64": (251, 252),
    "aarch64": (30, 31),
    "riscv64": (30, 31),
    "ppc64le": (273, 274),
    "s390x": (282, 283),
}
"""ioprio_set and ioprio_get, which no C library wraps, by machine."""
_IOPRIO_WHO_PROCESS = 1
_SYS_OPENAT2 = 437
_SYS_QUOTACTL_FD = 443
"""No C library wraps them; newer than the split of the tables, so the numbers are the same on every machine."""

ATTR_IMMUTABLE = 0x10
ATTR_APPEND = 0x20
ATTR_MOUNT_ROOT = 0x2000

_AT_SYMLINK_NOFOLLOW = 0x100
_AT_EMPTY_PATH = 0x1000
_STATX_BASIC_STATS = 0x7FF
_STATX = struct.Struct("=IIQIIIHxxQQQ56xqI12xII")
_StatxBuffer = ctypes.c_char * 256
_Q_GETQUOTA = 0x800007
_DQBLK = struct.Struct("=8QI4x")


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


def _ioprio(which: int, *arguments: int) -> int:
    numbers = _SYS_IOPRIO.get(os.uname().machine)
    if numbers is None:
        raise OSError(errno.ENOSYS, "the number of this system call is not known here")
    call = _function("syscall", ctypes.c_long, ctypes.c_int, ctypes.c_int, ctypes.c_int, result=ctypes.c_long)
    found = int(call(numbers[which], _IOPRIO_WHO_PROCESS, 0, *arguments, *([0] * (1 - len(arguments)))))
    return found if found >= 0 else _fail()


def ioprio_set(value: int) -> None:
    """ioprio_set(2) for the calling thread. Raises OSError."""
    _ioprio(0, value)


def ioprio_get() -> int:
    """ioprio_get(2) of the calling thread. Raises OSError."""
    return _ioprio(1)


class Stat(msgspec.Struct, frozen=True, gc=False):
    """What statx(2) tells; `attributes` are the ATTR_* that hold, `allocated` is bytes."""

    attributes: int
    links: int
    uid: int
    gid: int
    mode: int
    inode: int
    size: int
    allocated: int
    mtime_s: int
    mtime_ns: int
    device: int

    @property
    def mtime_total_ns(self) -> int:
        return self.mtime_s * 1_000_000_000 + self.mtime_ns


@cache
def _statx() -> Any:
    return _function("statx", ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_uint, ctypes.c_char_p)


def statx(dir_fd: int, name: bytes) -> Stat:
    """statx(2) of a name in a directory, nothing followed; of the directory itself when `name` is empty.

    Raises:
        OSError
    """
    buffer = _StatxBuffer()
    if _statx()(dir_fd, _checked(name), _AT_SYMLINK_NOFOLLOW | _AT_EMPTY_PATH, _STATX_BASIC_STATS, buffer):
        _fail(name)
    (_, _, attributes, links, uid, gid, mode, inode, size, blocks, mtime_s, mtime_ns, major, minor) = (
        _STATX.unpack_from(buffer)
    )
    device = os.makedev(major, minor)
    return Stat(attributes, links, uid, gid, mode, inode, size, blocks * 512, mtime_s, mtime_ns, device)


def statx_birth_ns(dir_fd: int, name: bytes) -> int:
    """statx(2) of `name` in a directory, symlinks not followed, or of the open file `dir_fd` when it is empty.

    Returns the birth time in nanoseconds since the epoch, 0 when the file system does not tell. Raises OSError.
    """
    answer = ctypes.create_string_buffer(_BIRTH.size)
    flags = _AT_SYMLINK_NOFOLLOW | (0 if name else _AT_EMPTY_PATH)
    if _statx()(dir_fd, _checked(name), flags, _STATX_BTIME, answer):
        _fail(name)
    mask, seconds, nanoseconds = _BIRTH.unpack(answer.raw)
    return seconds * 1_000_000_000 + nanoseconds if mask & _STATX_BTIME else 0


class DiskQuota(msgspec.Struct, frozen=True):
    """Limits (0: none) and use, in bytes and inodes."""

    hard_bytes: int
    soft_bytes: int
    used_bytes: int
    hard_inodes: int
    soft_inodes: int
    used_inodes: int


def quota(fd: int, kind: int, number: int) -> DiskQuota:
    """quotactl_fd(2), Q_GETQUOTA: the quota of user (kind 0) or group (kind 1) `number` where `fd` is.

    Raises:
        OSError: there are no quotas, or one may not ask.
    """
    call = _function(
        "syscall", ctypes.c_long, ctypes.c_uint, ctypes.c_uint, ctypes.c_uint, ctypes.c_char_p, result=ctypes.c_long
    )
    buffer = ctypes.create_string_buffer(_DQBLK.size)
    if call(_SYS_QUOTACTL_FD, fd, _Q_GETQUOTA << 8 | kind, number, buffer):
        _fail()
    hard, soft, used, hard_inodes, soft_inodes, used_inodes, *_ = _DQBLK.unpack(buffer.raw)
    return DiskQuota(hard * 1024, soft * 1024, used, hard_inodes, soft_inodes, used_inodes)
