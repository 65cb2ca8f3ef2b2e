"""Which version of an entry it is that somebody looks at."""

from __future__ import annotations

import os
import stat

import msgspec

from migmond.domain.entry import EntryType, Lost, entry_type
from migmond.fsys.times import same_time
from migmond.wire.items import Seen, WorkItem


def alike(existing: os.stat_result, source: os.stat_result) -> bool:
    """Whether both are files that look equal: of one size, modified at the same time."""
    both_files = stat.S_ISREG(existing.st_mode) and stat.S_ISREG(source.st_mode)
    return both_files and existing.st_size == source.st_size and same_time(source.st_mtime_ns, existing)


def same_looks(a: os.stat_result, b: os.stat_result) -> bool:
    """Whether they are of one type, size and time, whatever their numbers."""
    return (stat.S_IFMT(a.st_mode), a.st_size, a.st_mtime_ns) == (stat.S_IFMT(b.st_mode), b.st_size, b.st_mtime_ns)


def as_found(item: WorkItem, source: os.stat_result) -> tuple[WorkItem, Seen | None]:
    """Take the source's present version for the one that was promised, unless it is something of another type: then
    the promise stays as it is, and is not kept."""
    if entry_type(source.st_mode) is not item.type:
        return item, None
    seen = Seen(source.st_size, source.st_mtime_ns, source.st_ctime_ns, source.st_ino, source.st_nlink)
    fresh = msgspec.structs.replace(
        item, size=seen.size, mtime_ns=seen.mtime_ns, ctime_ns=seen.ctime_ns, inode=seen.inode, links=seen.links
    )
    return fresh, seen


def is_leaders(item: WorkItem, found: os.stat_result) -> bool:
    """Whether what has the name of a further name's leader is the copy that the leader's task made."""
    return (
        item.leader_inode in (0, found.st_ino)
        and (item.type is not EntryType.FILE or found.st_size == item.size)
        and (Lost.TIMES in item.leader_lost or same_time(item.mtime_ns, found))
    )


def is_earlier(item: WorkItem, found: os.stat_result) -> bool:
    """Whether it is the copy that an earlier attempt at the task has made and published."""
    return (
        found.st_ino == item.earlier_inode
        and (item.type is not EntryType.FILE or found.st_size == item.size)
        and same_time(item.mtime_ns, found)
    )
