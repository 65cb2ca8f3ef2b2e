"""Small files of one directory, many in one call: small_files.c, and how to call it.

It does what is ordinary and leaves the rest to its caller.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import struct

import msgspec

from migmond.fsys.machine_code import address
from migmond.fsys.times import FIRST_NS, LAST_NS
from migmond.wire.work import COPY, LARGEST_BYTES, PlainFiles

_ARENA_BYTES = LARGEST_BYTES + 4096
_MAY_CHOWN, _LOOK, _PROTECT, _KEEP, _TIMES_EXACT = 1, 2, 4, 8, 16


class _Copies(ctypes.Structure):
    """`struct copies` of small_files.c."""

    _fields_ = (
        ("source_dir", ctypes.c_int32), ("target_dir", ctypes.c_int32),
        ("uid", ctypes.c_uint32), ("gid", ctypes.c_uint32), ("flags", ctypes.c_uint32), ("count", ctypes.c_uint32),
        ("first_attempt", ctypes.c_uint64),
        ("first_time_ns", ctypes.c_int64), ("last_time_ns", ctypes.c_int64),
        ("files", ctypes.c_char_p), ("copies", ctypes.c_void_p), ("names", ctypes.c_char_p),
        ("prefix", ctypes.c_char_p), ("tag", ctypes.c_char_p), ("path", ctypes.c_char_p),
        ("slot", ctypes.c_void_p), ("arena", ctypes.c_void_p), ("last_ns", ctypes.c_uint64),
        ("arena_size", ctypes.c_uint64), ("largest", ctypes.c_int64),
        ("names_used", ctypes.c_uint64), ("exact", ctypes.c_uint64),
    )  # fmt: skip


class _Publications(ctypes.Structure):
    """`struct publications` of small_files.c."""

    _fields_ = (
        ("directory", ctypes.c_int32), ("count", ctypes.c_uint32), ("copies", ctypes.c_char_p),
        ("names", ctypes.c_char_p), ("prefix", ctypes.c_char_p), ("tag", ctypes.c_char_p),
        ("done", ctypes.c_void_p), ("given_ns", ctypes.c_void_p), ("slot", ctypes.c_void_p),
    )  # fmt: skip


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


class Made(msgspec.Struct, frozen=True, gc=False):
    """What one call came to.

    Attributes:
        count: how many files were dealt with.
        copies: a `wire.work.COPY` for each, without digests; attempt 0 where nothing was done and nothing is left,
            because there is something about it that the caller has to look at.
        names_used: bytes of the names of those that were dealt with.
        content: of the copies that were made, one after the other, where it was wanted; valid until the next call.
        exact: times were seen to be kept exactly.
    """

    count: int
    copies: bytearray
    names_used: int
    content: memoryview
    exact: bool


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

    def copy(self, where: Where, files: PlainFiles, first_attempt: int, count: int) -> Made:
        """Copy the first `count` of `files`, in order, as many as there is room for; fewer when the daemon wants
        something else or limits the speed.

        Args:
            files: checked, and at least `count`.
            first_attempt: number of the first file's attempt; each further file has the next one.
        """
        flags = (
            _MAY_CHOWN * where.may_chown
            | _LOOK * where.look
            | _PROTECT * where.protect
            | _KEEP * where.keep
            | _TIMES_EXACT * where.times_exact
        )
        copies = bytearray(count * COPY.size)
        call = _Copies(
            where.source_dir, where.target_dir, os.geteuid(), os.getegid(), flags, count,
            first_attempt, FIRST_NS, LAST_NS, files.files, address(copies), files.names, where.prefix, where.tag,
            where.path, ctypes.addressof(self._slot), ctypes.addressof(self._arena), 0, _ARENA_BYTES, LARGEST_BYTES,
            0, 0,
        )  # fmt: skip
        done = self._library.migmond_copy(ctypes.byref(call))
        return Made(done, copies[: done * COPY.size], call.names_used, self._content, bool(call.exact))

    def publish(
        self, directory: int, around: tuple[bytes, bytes], names: bytes, copies: bytes, *, times: bool
    ) -> tuple[bytes, tuple[int, ...]]:
        """Give copies in one directory their names.

        Args:
            around: of their temporary names, see `Where`: prefix and tag.
            names: each ended by NUL.
            copies: a `wire.work.COPY` for each, at least one; attempt 0 where there is none.
            times: somebody wants to know when.

        Returns:
            A byte for each: 1 where it has its name now. Nothing has happened to the others: another entry has the
            name, the temporary is not that inode with that size any more, or a call failed. And the ctime that each has
            since, by the file system's clock, in nanoseconds: 0 where it may be of something later; empty unless
            `times`.
        """
        count = len(copies) // COPY.size
        done, given = bytearray(count), bytearray(8 * count if times else 0)
        call = _Publications(
            directory, count, copies, names, around[0], around[1], address(done), address(given) if times else None,
            ctypes.addressof(self._slot),
        )  # fmt: skip
        self._library.migmond_publish(ctypes.byref(call))
        return bytes(done), struct.unpack(f"={count}q", given) if times else ()
