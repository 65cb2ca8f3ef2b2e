"""Moves within a file system: the source itself is given the target's name, and nothing is copied."""

from __future__ import annotations

import contextlib
import errno
import os

from migmond.domain.entry import EntryType
from migmond.domain.fault import Fault, Phase
from migmond.domain.plan import ConflictPolicy
from migmond.domain.states import Outcome
from migmond.fsys.facts import mount_of
from migmond.fsys.rename import rename_noreplace, stat_or_none
from migmond.mover.conflict import give_free_name
from migmond.mover.context import Context
from migmond.mover.group import Copied
from migmond.mover.job import Failed, Job
from migmond.mover.source import SOURCE_CHANGED, check_unchanged
from migmond.mover.versions import alike, same_looks
from migmond.mover.withheld import refuse

SAME_FILE = Fault(Phase.PUBLISH, "same_file", 0, "source and target are the same file")


def same_file_system(context: Context, job: Job) -> bool:
    """Whether the source of `job` is on its target's file system; if not, nothing of that root is tried again."""
    if context.device_numbers.recorded(os.fstat(job.target_dir).st_dev) == job.item.device:
        return True
    context.no_rename(job.root)
    return False


def renamed(context: Context, job: Job, source: os.stat_result) -> Copied | None:
    """Rename the source, which is `source` now, to a free name at its target.

    Returns:
        What became of it; None when it has to be copied.

    Raises:
        Failed: the source changed, or is its own target.
        OSError: the rename failed.
    """
    item, policy = job.item, context.options.conflict
    check_unchanged(item, source)
    if job.existing is not None:
        if os.path.samestat(job.existing, source) and item.links == 1:
            raise Failed(SAME_FILE)
        if policy is not ConflictPolicy.RENAME or alike(job.existing, source):
            _copied_instead(job)
            return None
    if item.withhold and item.type is EntryType.FILE:
        refuse(context.kinds.of_closed(item.number, item.name, job.source_dir, job.source_name), item)
    try:
        name = give_free_name(job.source_dir, job.source_name, job.target_dir, job.name, policy)
    except OSError as e:
        if e.errno != errno.EXDEV:
            raise
        context.no_rename(job.root)
        return None
    if name is None:
        job.existing = stat_or_none(job.target_dir, job.name)
        _copied_instead(job)
        return None
    _check_renamed(job, name, source)
    return job.member(Outcome.RENAMED, source.st_ino, placed=name)


def _copied_instead(job: Job) -> None:
    """Something has the name: whether it is equal, stays or is replaced is decided within the destination. The
    source's directory has no part in that: it may be somebody else's, who could take away what is replaced."""
    job.broken = job.item.links > 1 and job.item.leader_root < 0


def _check_renamed(job: Job, name: bytes, looked_at: os.stat_result) -> None:
    """Give back what was not meant: something else may have got the source's name after it was looked at."""
    found = stat_or_none(job.target_dir, name)
    if found is None or os.path.samestat(found, looked_at):
        return
    if mount_of(job.target_dir)[0] == "overlay" and same_looks(found, looked_at):
        return  # an overlay copies what it renames, and may number it anew
    with contextlib.suppress(FileExistsError):
        rename_noreplace(job.target_dir, name, job.source_dir, job.source_name)
    raise Failed(SOURCE_CHANGED)
