"""Moves only: ordinary sources, a directory's worth in one call of machine code; all others go the long way."""

from __future__ import annotations

from collections.abc import MutableMapping, Sequence

from migmond.domain.entry import EntryType
from migmond.fsys.deletes import Doomed, Fate
from migmond.fsys.facts import mount_of
from migmond.fsys.times import FIRST_NS, LAST_NS, tells_changes
from migmond.mover.context import Context
from migmond.wire.items import DeleteDirectory, DeleteItem

_TELLING = frozenset({"ext2", "ext3", "ext4", "xfs", "btrfs", "f2fs", "jfs", "nilfs2"})
"""Every change of a file moves its ctime there, as finely as it is kept; a rename keeps its numbers, and flags of
renames are heeded."""


class QuickRemover:
    """For the copying thread."""

    def __init__(self, context: Context) -> None:
        self._context = context

    def delete(
        self, directory: DeleteDirectory, source_dir: int, target_dir: int, put_back_at: MutableMapping[int, int]
    ) -> Sequence[DeleteItem]:
        """Delete what is ordinary; returns what is left to be looked at one by one.

        Args:
            put_back_at: ctimes of sources that have their names again, by task: what was so before goes the long way,
                and what is so now is added.
        """
        context, items = self._context, directory.items
        if context.deletes is None or context.roots[directory.root].single or mount_of(source_dir)[0] not in _TELLING:
            return items
        ordinary = [item for item in items if item.number not in put_back_at and _is_ordinary(item)]
        if not ordinary:
            return items
        fates, doomed = list[tuple[Fate, int]](), [_doomed(item) for item in ordinary]
        while rest := doomed[len(fates) :]:
            some = rest[: context.controls.payer.at_once(len(rest))]
            context.controls.operations(len(some))
            fates += context.deletes.delete(source_dir, target_dir, context.aside_prefix, some)
        deleted: set[int] = set()
        for item, (fate, put_back_ns) in zip(ordinary, fates, strict=True):
            if fate is Fate.DELETED:
                deleted.add(item.number)
            elif fate is Fate.PUT_BACK:
                put_back_at[item.number] = put_back_ns
        return [item for item in items if item.number not in deleted]


def _is_ordinary(item: DeleteItem) -> bool:
    return (
        item.type is EntryType.FILE
        and item.links == 1
        and FIRST_NS <= item.mtime_ns <= LAST_NS
        and FIRST_NS <= item.ctime_ns <= LAST_NS
        and tells_changes(item.ctime_ns)
    )


def _doomed(item: DeleteItem) -> Doomed:
    return Doomed(
        item.number,
        item.name,
        item.target_name or item.name,
        item.inode,
        item.target_inode,
        item.size,
        item.mtime_ns,
        item.ctime_ns,
        None if item.digest is None else item.published_ns,
    )
