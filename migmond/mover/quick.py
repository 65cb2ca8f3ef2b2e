"""Small ordinary files, a directory's worth in one call of machine code; what is not ordinary goes the long way."""

from __future__ import annotations

import os
from collections.abc import Sequence

import xxhash

from migmond.domain.entry import EntryType, Lost
from migmond.domain.states import Outcome
from migmond.fsys.small_files import LARGEST_BYTES, Copy, SmallFiles, Where
from migmond.fsys.times import FIRST_NS, LAST_NS
from migmond.mover.context import Context
from migmond.mover.directory_cache import DirectoryCache
from migmond.mover.group import Arrival, Copied
from migmond.mover.temporaries import around_numbers, numbered
from migmond.wire.items import CopyResult, WorkItem

# Looking a member up in its class takes as long as a function call.
_PROBE = 8
"""So many are tried first: where none of them is ordinary, none is."""
_FILE, _COPIED, _NOTHING = EntryType.FILE, Outcome.COPIED, Lost.NOTHING


class Quick:
    """For the copying thread.

    Args:
        sources, targets: its open directories.
    """

    def __init__(
        self, context: Context, small_files: SmallFiles, sources: DirectoryCache, targets: DirectoryCache
    ) -> None:
        self._context = context
        self._small_files = small_files
        self._sources = sources
        self._targets = targets

    def copy(
        self, items: Sequence[WorkItem], root: int, path: bytes, group: int
    ) -> tuple[list[Copied], Sequence[WorkItem]]:
        """Copy what can be copied so; returns that, and the items that are still to be looked at."""
        ordinary = [item for item in items if _is_ordinary(item)]
        if not ordinary or (where := self._where(root, path)) is None:
            return [], items
        context, found, done = self._context, list[Copied](), set[int]()
        left: Sequence[WorkItem] = ordinary
        while left:
            some = left if done else left[:_PROBE]
            copies, exact = self._small_files.copy(where, some, context.next_attempts(len(some)))
            if not any(copies) and not done:
                # The daemon wants something else, or what is not ordinary here concerns all of them (the group of the
                # directory, a coarse clock): the long way knows what.
                break
            entries = size = 0
            for item, copy in zip(some, copies, strict=False):
                if copy is not None:
                    found.append(self._copied(item, copy, root, path, group, where))
                    done.add(item.number)
                    entries, size = entries + 1, size + item.size
            context.controls.took(entries, size)
            if exact:
                context.times.learn_exact(os.fstat(where.target_dir).st_dev)
            if not copies:
                break
            left = left[len(copies) :]
        return found, [item for item in items if item.number not in done]

    def _where(self, root: int, path: bytes) -> Where | None:
        """What is common to a directory's files; None when all of them need a closer look."""
        context = self._context
        options = context.options
        if context.may_rename(root) or context.roots[root].single:
            return None
        try:
            source, target = self._sources.get(root, path), self._targets.look(root, path)
            source_device, target_device = os.fstat(source).st_dev, os.fstat(target.fd).st_dev
        except OSError:
            return None
        if not target.bare or context.devices.one_by_one(target_device):
            return None
        if options.reflink and context.memory.may_reflink(source_device, target_device):
            return None
        prefix, tag = around_numbers(options.execution, context.mover)
        return Where(
            source_dir=source,
            target_dir=target.fd,
            path=path,
            look=not target.fresh,
            protect=context.moving,
            keep=context.hashing,
            may_chown=context.rights.may_chown,
            times_exact=context.times.exact(target_device),
            prefix=prefix,
            tag=tag,
        )

    def _copied(self, item: WorkItem, copy: Copy, root: int, path: bytes, group: int, where: Where) -> Copied:
        digest = xxhash.xxh3_128_digest(copy.content) if where.keep else None
        temporary = numbered((where.prefix, where.tag), item.number, copy.attempt)
        return Copied(
            CopyResult(
                item.number, group, _COPIED, _NOTHING, digest, copy.inode, item.size, None, None,
                copy.birth_ns, copy.attempt,
            ),
            Arrival(
                item.number, root, path, item.name, temporary, b"", item.mtime_ns, item.size, digest, copy.inode
            ),
        )  # fmt: skip


def _is_ordinary(item: WorkItem) -> bool:
    return (
        item.type is _FILE
        and item.size <= LARGEST_BYTES
        and item.leader_root < 0
        and not item.as_found
        and not item.earlier_inode
        and FIRST_NS <= item.mtime_ns <= LAST_NS
        and FIRST_NS <= item.ctime_ns <= LAST_NS
    )
