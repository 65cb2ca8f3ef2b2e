"""Asking one file system. Every call here may block for ever, so it happens in a thread of its own."""

from __future__ import annotations

import ctypes
import os
import struct
import time

import msgspec

from migmond.plugin_api import NoData

_SYS_QUOTACTL_FD = 443
"""The same on every machine; since Linux 5.14."""
_Q_GETQUOTA_OF_USER = 0x800007 << 8
_DQBLK = struct.Struct("=8QI4x")
"""struct if_dqblk: limits in KiB, use in bytes (quotactl(2))."""


class Quota(msgspec.Struct, frozen=True):
    """Limits and use of one user; a limit of None is no limit."""

    uid: int
    limit_bytes: int | None
    used_bytes: int
    limit_inodes: int | None
    used_inodes: int


class Answer(msgspec.Struct, frozen=True):
    """What a file system said. Inodes are None where their number is not fixed."""

    size_bytes: int
    available_bytes: int
    free_bytes: int
    inodes: int | None
    free_inodes: int | None
    read_only: bool
    seconds: float
    quotas: tuple[Quota, ...] = ()


def look_at(point: bytes, quota_uids: tuple[int, ...]) -> Answer | NoData:
    """Ask the file system mounted at `point`; blocks for as long as it does not answer.

    Args:
        quota_uids: users whose quotas are asked for; there is nothing of those who have none.
    """
    started = time.perf_counter()
    try:
        st = os.statvfs(point)
        seconds = time.perf_counter() - started
        quotas = _quotas(point, quota_uids) if quota_uids else ()
    except OSError as e:
        return NoData(e.strerror or str(e))
    return Answer(
        st.f_blocks * st.f_frsize,
        st.f_bavail * st.f_frsize,
        st.f_bfree * st.f_frsize,
        st.f_files or None,
        st.f_favail if st.f_files else None,
        bool(st.f_flag & os.ST_RDONLY),
        seconds,
        quotas,
    )


def _quotas(point: bytes, uids: tuple[int, ...]) -> tuple[Quota, ...]:
    fd = os.open(point, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        return tuple(quota for uid in uids if (quota := _quota(fd, uid)) is not None)
    finally:
        os.close(fd)


def _quota(fd: int, uid: int) -> Quota | None:
    buffer = ctypes.create_string_buffer(_DQBLK.size)
    call = ctypes.CDLL(None, use_errno=True).syscall
    call.argtypes = [ctypes.c_long, ctypes.c_uint, ctypes.c_uint, ctypes.c_uint, ctypes.c_char_p]
    if call(_SYS_QUOTACTL_FD, fd, _Q_GETQUOTA_OF_USER, uid, buffer):
        return None  # no quotas there, an older kernel, or not ours to ask
    hard, soft, used, hard_inodes, soft_inodes, used_inodes, *_ = _DQBLK.unpack(buffer.raw)
    limit, limit_inodes = (hard or soft) * 1024 or None, hard_inodes or soft_inodes or None
    return Quota(uid, limit, used, limit_inodes, used_inodes) if limit or limit_inodes else None
