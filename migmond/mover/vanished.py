"""Sources that are not where they were: what an attempt that nobody answered for has made of them."""

from __future__ import annotations

import contextlib
import os

from migmond.domain.fault import Fault, Phase
from migmond.domain.names import to_text
from migmond.domain.states import Outcome
from migmond.fsys.rename import stat_or_none
from migmond.mover.conflict import standing_name
from migmond.mover.context import Context
from migmond.mover.directory_cache import DirectoryCache
from migmond.mover.group import Copied
from migmond.mover.job import Failed, Job
from migmond.mover.versions import is_earlier


class Vanished:
    """Looks at the targets. For one thread."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._targets: DirectoryCache = context.target_directories(make=False)

    def forget_directories(self) -> None:
        """Close cached directories: their names are about to change or go."""
        self._targets.clear()

    def found(self, job: Job) -> Copied | None:
        """Return what stands at a target of what was the source of `job`; None when nothing does.

        Raises:
            Failed: it may be at one that cannot be looked at.
        """
        context, item = self._context, job.item
        if context.options.rename and not item.keep:
            # It may have been renamed to where it was to go before somebody sent it elsewhere.
            for root in (job.root, *context.beside(job.root)):
                name = item.as_name or context.roots[root].names(item.name)[1]
                if placed := self._renamed(job, root, name):
                    if root != job.root:
                        job.found_at, job.name = root, name
                    return job.member(Outcome.RENAMED, item.inode, placed=placed)
        if item.earlier_inode:
            with contextlib.suppress(OSError):
                name = item.earlier_name or job.name
                earlier = stat_or_none(self._targets.get(job.root, job.path), name)
                if earlier is not None and is_earlier(item, earlier):  # its delete was not answered for
                    return job.member(job.made, earlier.st_ino, digest=item.earlier_digest, placed=name)
        for root in (job.root, *context.beside(job.root)) if context.options.rename else ():
            if context.roots[root].away:
                where = to_text(context.roots[root].spec.target)
                raise Failed(Fault(Phase.READ, "destination_away", 0, f"it may be at {where}, whose disk is not there"))
        return None

    def _renamed(self, job: Job, root: int, name: bytes) -> bytes | None:
        """Return the name that the source itself has at the target of a root."""
        context, item = self._context, job.item
        with contextlib.suppress(OSError):
            directory = self._targets.get(root, job.path)
            if context.device_numbers.recorded(os.fstat(directory).st_dev) == item.device:
                return standing_name(directory, name, item.inode, context.options.conflict)
        return None
