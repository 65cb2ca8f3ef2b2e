"""Small files of one directory, many in one call: small_files.c, and how to call it.

It does what is ordinary and leaves the rest to its caller.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import struct
from array import array

import msgspec

from migmond.fsys.hashing import hash_address
from migmond.fsys.machine_code import address
from migmond.fsys.times import FIRST_NS, LAST_NS
from migmond.wire.budget import Kind
from migmond.wire.work import COPY, LARGEST_BYTES, PlainFiles

MARK_BYTES = 32
"""Of `struct mark` of small_files.c."""
_ARENA_BYTES = LARGEST_BYTES + 4096
_Marks = ctypes.c_uint64 * len(Kind)
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
        ("budget", ctypes.c_void_p), ("marks", _Marks), ("cpu_ns", ctypes.c_uint64),
        ("hash", ctypes.c_void_p), ("bytes", ctypes.c_uint64), ("left", ctypes.c_uint64),
        ("kinds", ctypes.c_char_p), ("kinds_count", ctypes.c_uint64), ("looks", ctypes.c_void_p),
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
        hashing: their digests are wanted.
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
    hashing: bool
    may_chown: bool
    times_exact: bool
    prefix: bytes
    tag: bytes


class Made(msgspec.Struct, frozen=True, gc=False):
    """What one call came to.

    Attributes:
        count: how many files were dealt with.
        left: of these, how many were left out.
        size: bytes of those that were copied.
        copies: a `wire.work.COPY` for each, with digests where these were wanted and `SmallFiles.hashes`; attempt 0
            where nothing was done and nothing is left, because there is something about it that the caller has to look
            at.
        names_used: bytes of the names of those that were dealt with.
        content: of the copies that were made, one after the other, where it was wanted; valid until the next call.
        looks: with `content`, for each file: 0 when its content is of no known kind, or it was not copied; otherwise
            one more than where its content begins, for the caller to find out.
        exact: times were seen to be kept exactly.
        marks: what has to be allowed before more is done, see `migmond.wire.budget`; empty when all of it is.
        cpu_ns: processor time of this thread until which it has been paid for, 0 when it need not be.
    """

    count: int
    left: int
    size: int
    copies: bytearray
    names_used: int
    content: memoryview
    looks: array[int]
    exact: bool
    marks: dict[Kind, int]
    cpu_ns: int


class SmallFiles:
    """The machine code. Its two methods may be called by a thread each.

    Attributes:
        hashes: it makes digests; otherwise whoever wants some has to make them of what is kept.

    Args:
        slot: the page that is shared with the daemon (`migmond.wire.slots`): it says what is at hand, and is asked
            whether to go on, for every file.
        marks: by which contents are known, see `migmond.mover.kinds.marks`.
    """

    def __init__(self, library: ctypes.CDLL, slot: mmap.mmap, marks: bytes = b"") -> None:
        self._library = library
        library.migmond_copy.restype = ctypes.c_uint32
        library.migmond_publish.restype = None
        self._slot = ctypes.c_char.from_buffer(slot)
        arena = bytearray(_ARENA_BYTES)
        self._arena = ctypes.c_char.from_buffer(arena)
        self._content = memoryview(arena)
        self._hash = hash_address()
        self._marks = marks
        self.hashes = self._hash is not None

    def copy(
        self,
        where: Where,
        files: PlainFiles,
        first_attempt: int,
        count: int,
        *,
        budget: int | None = None,
        cpu_ns: int = 0,
    ) -> Made:
        """Copy the first `count` of `files`, in order, as many as there is room for; fewer when the daemon wants
        something else, or what was done is more than is allowed so soon.

        Args:
            files: checked, and at least `count`.
            first_attempt: number of the first file's attempt; each further file has the next one.
            budget: address of the page to draw from (`migmond.wire.budget`), None when nothing is limited.
            cpu_ns: see `Made`.
        """
        flags = (
            _MAY_CHOWN * where.may_chown
            | _LOOK * where.look
            | _PROTECT * where.protect
            | _KEEP * where.keep
            | _TIMES_EXACT * where.times_exact
        )
        copies = bytearray(count * COPY.size)
        looks = array("Q", bytes(8 * count if where.keep else 0))
        call = _Copies(
            where.source_dir, where.target_dir, os.geteuid(), os.getegid(), flags, count,
            first_attempt, FIRST_NS, LAST_NS, files.files, address(copies), files.names, where.prefix, where.tag,
            where.path, ctypes.addressof(self._slot), ctypes.addressof(self._arena), 0, _ARENA_BYTES, LARGEST_BYTES,
            0, 0, budget, _Marks(), cpu_ns, self._hash if where.hashing else None, 0, 0,
            self._marks, len(self._marks) // MARK_BYTES, looks.buffer_info()[0] if where.keep else None,
        )  # fmt: skip
        done = self._library.migmond_copy(ctypes.byref(call))
        marks = {kind: mark for kind, mark in zip(Kind, call.marks, strict=True) if mark} if budget else {}
        exact, spent = bool(call.exact), int(call.cpu_ns)
        return Made(
            done, call.left, call.bytes, copies[: done * COPY.size], call.names_used, self._content, looks, exact,
            marks, spent,
        )  # fmt: skip

    def publish(
        self, directory: int, around: tuple[bytes, bytes], names: bytes, copies: bytes
    ) -> tuple[bytes, tuple[int, ...]]:
        """Give copies in one directory their names.

        Args:
            around: of their temporary names, see `Where`: prefix and tag.
            names: each ended by NUL.
            copies: a `wire.work.COPY` for each, at least one; attempt 0 where there is none.

        Returns:
            A byte for each: 1 where it has its name now. Nothing has happened to the others: another entry has the
            name, the temporary is not that inode with that size any more, or a call failed. And the ctime that each has
            since, by the file system's clock, in nanoseconds: 0 where it may be of something later.
        """
        count = len(copies) // COPY.size
        done, given = bytearray(count), bytearray(8 * count)
        call = _Publications(
            directory, count, copies, names, around[0], around[1], address(done), address(given),
            ctypes.addressof(self._slot),
        )  # fmt: skip
        self._library.migmond_publish(ctypes.byref(call))
        return bytes(done), struct.unpack(f"={count}q", given)
