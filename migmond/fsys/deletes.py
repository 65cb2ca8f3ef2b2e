"""Sources of one directory, many in one call: deletes.c, and how to call it.

It does what is ordinary and leaves the rest to its caller.
"""

from __future__ import annotations

import ctypes
import enum
import mmap
import struct
from collections.abc import Sequence

import msgspec

from migmond.fsys.machine_code import address
from migmond.wire.slots import STARTED_WORD

_SOURCE = struct.Struct("=QQQqqqqqQ")
_MAX_NS = (1 << 63) - 1


class Fate(enum.IntEnum):
    """What became of a source; see deletes.c."""

    LEFT = 0
    DELETED = 1
    PUT_BACK = 2
    ASIDE = 3


class Doomed(msgspec.Struct, frozen=True, gc=False):
    """A source to be deleted, and what must be true of it and its copy.

    Attributes:
        published_ns: the copy's ctime may not be later; None when that tells nothing.
    """

    number: int
    name: bytes
    copy_name: bytes
    inode: int
    copy_inode: int
    size: int
    mtime_ns: int
    ctime_ns: int
    published_ns: int | None


class _Deletes(ctypes.Structure):
    """`struct deletes` of deletes.c."""

    _fields_ = (
        ("source_dir", ctypes.c_int32), ("target_dir", ctypes.c_int32),
        ("names", ctypes.c_char_p), ("copies", ctypes.c_char_p), ("prefix", ctypes.c_char_p),
        ("sources", ctypes.c_void_p), ("started_ns", ctypes.c_void_p), ("doing", ctypes.c_void_p),
        ("count", ctypes.c_uint32),
    )  # fmt: skip


class Deletes:
    """The machine code. For one thread.

    Args:
        slot: the page that is shared with the daemon (`migmond.wire.slots`).
    """

    def __init__(self, library: ctypes.CDLL, slot: mmap.mmap) -> None:
        self._library = library
        library.migmond_delete.restype = None
        self._slot = ctypes.c_char.from_buffer(slot)

    def delete(
        self, source_dir: int, target_dir: int, prefix: bytes, doomed: Sequence[Doomed]
    ) -> list[tuple[Fate, int]]:
        """Delete what is ordinary.

        Args:
            doomed: at least one.
            prefix: private names are `prefix` NUMBER `.source`.

        Returns:
            Of each its fate, and when it was put back the ctime that it has since, in nanoseconds.
        """
        names, copies = _joined([d.name for d in doomed]), _joined([d.copy_name for d in doomed])
        if names is None or copies is None:
            return [(Fate.LEFT, 0)] * len(doomed)
        pack = _SOURCE.pack
        sources = bytearray().join(
            [
                pack(
                    d.number, d.inode, d.copy_inode, d.size, d.mtime_ns, d.ctime_ns,
                    _MAX_NS if d.published_ns is None else d.published_ns, 0, 0,
                )
                for d in doomed
            ]
        )  # fmt: skip
        slot = ctypes.addressof(self._slot)
        call = _Deletes(
            source_dir, target_dir, names, copies, prefix, address(sources),
            slot + 8 * STARTED_WORD, slot + 8 * (STARTED_WORD + 1), len(doomed),
        )  # fmt: skip
        self._library.migmond_delete(ctypes.byref(call))
        return [(Fate(fate), put_back_ns) for *_, put_back_ns, fate in _SOURCE.iter_unpack(sources)]


def _joined(names: list[bytes]) -> bytes | None:
    """One after the other, each ended by NUL; None when one has a NUL in it: it would be another name there."""
    joined = b"\0".join([*names, b""])
    return joined if joined.count(b"\0") == len(names) else None
