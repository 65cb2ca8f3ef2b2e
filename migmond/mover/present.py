"""What has an entry's name at the target already: is it the same?"""

from __future__ import annotations

import os

from migmond.domain.fault import Fault, Phase
from migmond.domain.states import Outcome
from migmond.fsys.closing import close_unwritten
from migmond.fsys.reread import digest_past_cache
from migmond.mover.conflict import before_copy
from migmond.mover.context import Context
from migmond.mover.group import Copied, reads_back
from migmond.mover.job import Failed, Job
from migmond.mover.rename_move import SAME_FILE
from migmond.mover.source import READ, digest_source
from migmond.mover.versions import alike


def decide(
    context: Context, job: Job, source_fd: int, source: os.stat_result, existing: os.stat_result
) -> Copied | None:
    """Decide about a file whose name is taken; None means: copy it."""
    if os.path.samestat(existing, source):
        raise Failed(SAME_FILE)
    if alike(existing, source):
        if not context.moving and not reads_back(context.options) and not job.item.earlier_inode:
            return unchanged(context, job, existing.st_ino, None)
        digest = digest_source(source_fd, context.controls.step, context.controls.piece)
        if _on_device(context, job) == digest:
            return unchanged(context, job, existing.st_ino, digest)
    if job.ours:
        return None
    decided = before_copy(context.options.conflict, job.item.mtime_ns, existing)
    return None if decided is None else job.left(decided.outcome, decided.fault)


def _on_device(context: Context, job: Job) -> bytes:
    """Make what has the name durable and hash it from its device, before it is counted for the copy: perhaps its
    maker never synced it, or a write to it has failed, though the cache shows it; and not every file system passes
    the sync of all of it on."""
    fd = os.open(job.standing, READ, dir_fd=job.target_dir)
    try:
        sync(fd)
        return digest_past_cache(fd, context.controls.step_back, context.controls.piece)[0]
    finally:
        close_unwritten(fd)


def unchanged(context: Context, job: Job, inode: int, digest: bytes | None) -> Copied:
    """It is there already and stays: as our own copy, or somebody's that a move counts on."""
    # It was looked at before it was read: what changes it since then counts.
    as_of_ns = job.existing.st_ctime_ns if job.existing is not None and digest is not None else 0
    if inode == job.item.earlier_inode:
        return job.member(job.made, inode, digest=digest, placed=job.standing, as_of_ns=as_of_ns)
    if not context.moving:
        return job.left(Outcome.UNCHANGED)
    return job.member(Outcome.UNCHANGED, inode, digest=digest, placed=job.standing, as_of_ns=as_of_ns)


def sync(target_fd: int) -> None:
    """Make a copy durable by itself, through the fd that wrote it: it hears of every write that failed."""
    try:
        os.fsync(target_fd)
    except OSError as e:
        raise Failed(Fault.from_oserror(Phase.SYNC, e)) from e
