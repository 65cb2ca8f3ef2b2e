"""Small files of one directory, many in one call: small_files.c, and how to call it.

It does what is ordinary and leaves the rest to its caller.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import struct
from collections.abc import Sequence
from typing import Protocol

import msgspec

from migmond.fsys.machine_code import address
from migmond.fsys.times import FIRST_NS, LAST_NS

LARGEST_BYTES = 256 * 1024
_ARENA_BYTES = 1 << 20
_MAY_CHOWN, _LOOK, _PROTECT, _KEEP, _TIMES_EXACT = 1, 2, 4, 8, 16
_RECORD = struct.Struct("=QQqqqIIQqQ")
_COPIED = struct.Struct("=44xIQqQ")
_PUBLICATION = struct.Struct("=QqQ")
_PUBLISHED = struct.Struct("=16xQ")


class _Copies(ctypes.Structure):
    """`struct copies` of small_files.c."""

    _fields_ = (
        ("source_dir", ctypes.c_int32), ("target_dir", ctypes.c_int32),
        ("uid", ctypes.c_uint32), ("gid", ctypes.c_uint32), ("flags", ctypes.c_uint32), ("count", ctypes.c_uint32),
        ("first_attempt", ctypes.c_uint64),
        ("first_time_ns", ctypes.c_int64), ("last_time_ns", ctypes.c_int64),
        ("records", ctypes.c_void_p), ("names", ctypes.c_char_p), ("prefix", ctypes.c_char_p), ("tag", ctypes.c_char_p),
        ("path", ctypes.c_char_p), ("slot", ctypes.c_void_p), ("arena", ctypes.c_void_p),
        ("arena_size", ctypes.c_uint64), ("exact", ctypes.c_uint64),
    )  # fmt: skip


class _Publications(ctypes.Structure):
    """`struct publications` of small_files.c."""

    _fields_ = (
        ("directory", ctypes.c_int32), ("count", ctypes.c_uint32), ("records", ctypes.c_void_p),
        ("temporaries", ctypes.c_char_p), ("names", ctypes.c_char_p), ("slot", ctypes.c_void_p),
    )  # fmt: skip


class Expected(Protocol):
    """What a file is to be copied as: the version that was promised. `links` 1: a moved ctime counts."""

    @property
    def number(self) -> int: ...
    @property
    def name(self) -> bytes: ...
    @property
    def inode(self) -> int: ...
    @property
    def size(self) -> int: ...
    @property
    def mtime_ns(self) -> int: ...
    @property
    def ctime_ns(self) -> int: ...
    @property
    def links(self) -> int: ...


class Copy(msgspec.Struct, frozen=True, gc=False):
    """A complete copy under its temporary name.

    Attributes:
        content: what was read and written, valid until the next call; empty where nobody wanted it.
    """

    attempt: int
    inode: int
    birth_ns: int
    content: memoryview


class Where(msgspec.Struct, frozen=True):
    """What all files of a call have in common.

    Attributes:
        path: of the directory below its root, for people.
        look: somebody else's files may be in the target directory.
        protect: the sources are going to be deleted.
        keep: their content is wanted.
        may_chown: owners may be given.
        times_exact: the target's file system is known to keep nanoseconds.
        prefix, tag: temporary names are `prefix` NUMBER `tag` ATTEMPT `.part`.
    """

    source_dir: int
    target_dir: int
    path: bytes
    look: bool
    protect: bool
    keep: bool
    may_chown: bool
    times_exact: bool
    prefix: bytes
    tag: bytes


class SmallFiles:
    """The machine code. Its two methods may be called by a thread each.

    Args:
        slot: the page that is shared with the daemon (`migmond.wire.slots`): it says what is at hand, and is asked
            whether to go on, for every file.
    """

    def __init__(self, library: ctypes.CDLL, slot: mmap.mmap) -> None:
        self._library = library
        library.migmond_copy.restype = ctypes.c_uint32
        library.migmond_publish.restype = None
        self._slot = ctypes.c_char.from_buffer(slot)
        arena = bytearray(_ARENA_BYTES)
        self._arena = ctypes.c_char.from_buffer(arena)
        self._content = memoryview(arena)

    def copy(self, where: Where, files: Sequence[Expected], first_attempt: int) -> tuple[list[Copy | None], bool]:
        """Copy as many of `files`, in order, as there is room for; fewer when the daemon wants something else or limits
        the speed.

        Args:
            first_attempt: number of the first file's attempt; each further file has the next one.

        Returns:
            What became of each that was dealt with: None where nothing was done and nothing is left, because there is
            something about it that its caller has to look at. And whether times were seen to be kept exactly.
        """
        names = _joined([f.name for f in files])
        if names is None:
            return [None] * len(files), False
        pack = _RECORD.pack
        records = bytearray().join(
            [pack(f.number, f.inode, f.size, f.mtime_ns, f.ctime_ns, f.links, 0, 0, 0, 0) for f in files]
        )
        flags = (
            _MAY_CHOWN * where.may_chown
            | _LOOK * where.look
            | _PROTECT * where.protect
            | _KEEP * where.keep
            | _TIMES_EXACT * where.times_exact
        )
        call = _Copies(
            where.source_dir, where.target_dir, os.geteuid(), os.getegid(), flags, len(files),
            first_attempt, FIRST_NS, LAST_NS, address(records), names, where.prefix, where.tag, where.path,
            ctypes.addressof(self._slot), ctypes.addressof(self._arena), _ARENA_BYTES, 0,
        )  # fmt: skip
        count = self._library.migmond_copy(ctypes.byref(call))
        copies: list[Copy | None] = []
        content, keep = self._content, where.keep
        for i, (done, inode, birth_ns, offset) in enumerate(_COPIED.iter_unpack(records[: count * _RECORD.size])):
            if not done:
                copies.append(None)
                continue
            end = offset + files[i].size if keep else offset
            copies.append(Copy(first_attempt + i, inode, birth_ns, content[offset:end]))
        return copies, bool(call.exact)

    def publish(self, directory: int, files: Sequence[tuple[bytes, bytes, int, int]]) -> list[bool]:
        """Give copies in one directory their names.

        Args:
            files: of each its temporary name, its name, its inode and its size.

        Returns:
            Which have it now. Nothing has happened to the others: another entry has the name, the temporary is not that
            inode with that size any more, or a call failed.
        """
        temporaries, names = _joined([f[0] for f in files]), _joined([f[1] for f in files])
        if temporaries is None or names is None:
            return [False] * len(files)
        records = bytearray().join([_PUBLICATION.pack(inode, size, 0) for _, _, inode, size in files])
        call = _Publications(
            directory, len(files), address(records), temporaries, names, ctypes.addressof(self._slot)
        )  # fmt: skip
        self._library.migmond_publish(ctypes.byref(call))
        return [bool(done) for (done,) in _PUBLISHED.iter_unpack(records)]


def _joined(names: list[bytes]) -> bytes | None:
    """One after the other, each ended by NUL; None when one has a NUL in it: it would be another name there."""
    joined = b"\0".join([*names, b""])
    return joined if joined.count(b"\0") == len(names) else None
