"""Plain files, a directory's worth in one call of machine code; what turns out not to be ordinary goes the long way."""

from __future__ import annotations

import os

import xxhash

from migmond.domain.activity import Activity
from migmond.fsys.small_files import Made, SmallFiles, Where
from migmond.mover.context import Context
from migmond.mover.directory_cache import DirectoryCache
from migmond.mover.group import Block
from migmond.mover.temporaries import around_numbers
from migmond.wire.items import WorkItem
from migmond.wire.work import COPY, PlainFiles, set_digest

_PROBE = 8
"""So many are tried first: where none of them is ordinary, none is."""


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

    def copy(self, files: PlainFiles, root: int, path: bytes) -> tuple[list[Block], list[WorkItem]]:
        """Copy what can be copied so; returns that, and what is still to be looked at."""
        where = self._where(root, path)
        if where is None:
            return [], files.items()
        context, blocks, left = self._context, list[Block](), list[WorkItem]()
        meter = context.controls.slot.meter
        rest = files
        while len(rest):
            count = len(rest) if blocks else min(len(rest), _PROBE)
            meter.lap(Activity.METADATA)
            made = self._small_files.copy(where, rest, context.next_attempts(count), count)
            meter.counted()
            block, others, rest = self._took(made, rest, root, path, where)
            meter.lap(Activity.HASH)
            left += others
            if made.exact:
                context.times.learn_exact(os.fstat(where.target_dir).st_dev)
            if block is not None:
                blocks.append(block)
                context.controls.took(len(block), block.size)
            elif not blocks or not made.count:
                # The daemon wants something else, or what is not ordinary here concerns all of them (the group of the
                # directory, a coarse clock): the long way knows what.
                break
        return blocks, left + rest.items()

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

    def _took(
        self, made: Made, files: PlainFiles, root: int, path: bytes, where: Where
    ) -> tuple[Block | None, list[WorkItem], PlainFiles]:
        """Return what has been copied, hashed; what was left out between; and what was not come to."""
        here, rest = files.split(made.count, made.names_used)
        left, start, size, copies, content = list[int](), 0, 0, made.copies, made.content
        digest = xxhash.xxh3_128_digest
        for position, (_, _, length, _, attempt, _) in enumerate(COPY.iter_unpack(bytes(copies))):
            if not attempt:
                left.append(position)
                continue
            size += length
            if where.keep:
                set_digest(copies, position, digest(content[start : start + length]))
                start += length
        others: list[WorkItem] = []
        if left:
            out = set(left)
            taken = [i for i in range(made.count) if i not in out]
            others = here.pick(left).items()
            copies = bytearray().join([copies[i * COPY.size : (i + 1) * COPY.size] for i in taken])
            here = here.pick(taken)
        if not copies:
            return None, others, rest
        around = (where.prefix, where.tag)
        return Block(root, path, here, bytes(copies), where.keep, around, size), others, rest
