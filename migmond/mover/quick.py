"""Plain files, a directory's worth in one call of machine code; what turns out not to be ordinary goes the long way."""

from __future__ import annotations

import os
from bisect import bisect_left

import msgspec
import xxhash

from migmond.domain.activity import Activity
from migmond.fsys.small_files import Made, SmallFiles, Where
from migmond.mover.context import Context
from migmond.mover.directory_cache import DirectoryCache
from migmond.mover.group import Block
from migmond.mover.kinds import untold
from migmond.mover.temporaries import around_numbers
from migmond.planning.magic import HEAD_BYTES
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

    def probe(self, files: PlainFiles, root: int, path: bytes) -> tuple[list[WorkItem], PlainFiles]:
        """Return what is to be copied the long way first, and the rest: one file, as long as nobody knows whether
        contents can be shared here. After that it is known, and not all of a batch has gone that way."""
        if not (self._context.options.reflink and len(files)):
            return [], files
        devices = self._devices(root, path)
        if devices is None or not self._context.memory.may_reflink(*devices):
            return [], files
        first, rest = files.split(1, files.names.index(b"\0") + 1)
        return first.items(), rest

    def copy(self, files: PlainFiles, root: int, path: bytes) -> tuple[list[Block], list[WorkItem]]:
        """Copy what can be copied so; returns that, and what is still to be looked at."""
        where = self._where(root, path)
        if where is None:
            return [], files.items()
        rare_names = untold(files.names.split(b"\0")[:-1])
        if rare_names and not where.keep:
            where = msgspec.structs.replace(where, keep=True)
        context, blocks, left = self._context, list[Block](), list[WorkItem]()
        meter, payer = context.controls.slot.meter, context.controls.payer
        rest, done = files, 0
        while len(rest):
            count = len(rest) if blocks else min(len(rest), _PROBE)
            meter.lap(Activity.METADATA)
            counted_ns = meter.total_ns()
            attempts = context.next_attempts(count)
            made = self._small_files.copy(where, rest, attempts, count, budget=payer.address, cpu_ns=payer.cpu_ns)
            payer.cpu_ns = made.cpu_ns
            meter.lap_around(Activity.METADATA, counted_ns)
            first, last = bisect_left(rare_names, done), bisect_left(rare_names, done + made.count)
            self._look_into(
                made,
                [i - done for i in rare_names[first:last]],
                hash_too=where.hashing and not self._small_files.hashes,
            )
            done += made.count
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
            if not context.controls.paid(made.marks):
                break
        return blocks, left + rest.items()

    def _where(self, root: int, path: bytes) -> Where | None:
        """What is common to a directory's files; None when all of them need a closer look."""
        context = self._context
        options = context.options
        if context.may_rename(root) or context.roots[root].single:
            return None
        devices = self._devices(root, path)
        if devices is None or (options.reflink and context.memory.may_reflink(*devices)):
            return None
        source, target, target_device = self._sources.get(root, path), self._targets.look(root, path), devices[1]
        if not target.bare or context.devices.one_by_one(target_device):
            return None
        prefix, tag = around_numbers(options.execution, context.mover)
        return Where(
            source_dir=source,
            target_dir=target.fd,
            path=path,
            look=not target.fresh,
            protect=context.moving,
            keep=context.hashing and not self._small_files.hashes,
            hashing=context.hashing,
            may_chown=context.rights.may_chown,
            times_exact=context.times.exact(target_device),
            prefix=prefix,
            tag=tag,
        )

    def _devices(self, root: int, path: bytes) -> tuple[int, int] | None:
        """Return those that a directory and its target are on; None when they cannot be opened, which is told for each
        file in it."""
        try:
            source, target = self._sources.get(root, path), self._targets.look(root, path)
            return os.fstat(source).st_dev, os.fstat(target.fd).st_dev
        except OSError:
            return None

    def _took(
        self, made: Made, files: PlainFiles, root: int, path: bytes, where: Where
    ) -> tuple[Block | None, list[WorkItem], PlainFiles]:
        """Return what has been copied, hashed; what was left out between; and what was not come to."""
        here, rest = files.split(made.count, made.names_used)
        copies = made.copies
        left = [i for i, copy in enumerate(COPY.iter_unpack(bytes(copies))) if not copy[4]] if made.left else []
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
        return Block(root, path, here, bytes(copies), where.hashing, around, made.size), others, rest

    def _look_into(self, made: Made, rare: list[int], *, hash_too: bool) -> None:
        """Find out what is only in the contents that were kept.

        Args:
            rare: positions of files whose names do not tell of what kind they are.
            hash_too: their digests.
        """
        copies, content, looks, kinds = made.copies, made.content, made.looks, self._context.kinds
        for position in rare:
            number, _, length, _, attempt, _ = COPY.unpack_from(copies, position * COPY.size)
            if attempt and length:
                at = looks[position]
                kinds.of_content(number, content[at - 1 : at - 1 + min(length, HEAD_BYTES)] if at else b"")
        if hash_too:
            start = 0
            for position, (_, _, length, _, attempt, _) in enumerate(COPY.iter_unpack(bytes(copies))):
                if attempt:
                    set_digest(copies, position, xxhash.xxh3_128_digest(content[start : start + length]))
                    start += length
