"""The kinds of directory entry, and what could not be preserved about one."""

from __future__ import annotations

import enum
import stat


class EntryType(enum.IntEnum):
    """What a directory entry is. The numbers are journaled: never renumber."""

    FILE = 0
    DIRECTORY = 1
    SYMLINK = 2
    FIFO = 3
    SOCKET = 4
    CHAR_DEVICE = 5
    BLOCK_DEVICE = 6


_BY_FORMAT = {
    stat.S_IFREG: EntryType.FILE,
    stat.S_IFDIR: EntryType.DIRECTORY,
    stat.S_IFLNK: EntryType.SYMLINK,
    stat.S_IFIFO: EntryType.FIFO,
    stat.S_IFSOCK: EntryType.SOCKET,
    stat.S_IFCHR: EntryType.CHAR_DEVICE,
    stat.S_IFBLK: EntryType.BLOCK_DEVICE,
}


def entry_type(mode: int) -> EntryType:
    """Return the type in `st_mode`."""
    return _BY_FORMAT[stat.S_IFMT(mode)]


class Lost(enum.IntFlag):
    """Metadata that the target or the caller's rights did not allow to keep. Counted, shown, never silent."""

    NOTHING = 0
    OWNER = 1
    GROUP = 2
    MODE = 4
    TIMES = 8
    XATTRS = 16
    ACL = 32
    CAPABILITIES = 64
    HOLES = 128
    FLAGS = 256
    ROUNDED_TIMES = 512
    """Kept as exactly as the target keeps any: it has a step of up to two seconds."""
    LINKS = 1024
    """A further name of a file that became a file of its own: the target could not link it."""
