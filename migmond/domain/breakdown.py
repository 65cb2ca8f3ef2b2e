"""Progress by parts as it travels: by kind, size and directory; large files; batches; the timeline."""

from __future__ import annotations

import msgspec

from migmond.domain.api import (
    Params,
    Result,
    TallyView,
)
from migmond.domain.errors import InvalidInput

BY = ("type", "size", "directory")
MAX_ROWS = 10_000


class BreakdownParams(Params, frozen=True):
    """`by`: one to three of `type`, `size` and `directory`. `limit`: most rows, the largest ones."""

    id: str
    by: tuple[str, ...] = ("type",)
    limit: int = 100


class BreakdownRow(Result, frozen=True):
    """What is in one part, like the totals of an execution. What the parts are not made by is null.

    `type`: by the last extension of the name, and where it tells nothing by the content, which is known when the file
    is copied: until then, and when it is only renamed, it is `unknown`. `other` is what neither tells. Directories,
    symlinks and special files are types of their own.
    `size`: class of size, upper bound included; what is no file is in the first. `directory`: full path of a source, or
    of what is one or two steps below it; an entry counts with the one that it lies in, at any depth. `merged`: of all
    directories that are not told apart.
    `in_flight`: of files of 1 MiB and more, what is copied and in none of the others yet: whole ones that are not
    durable, and the bytes of those that movers have at hand. What is smaller is told when it is settled, a moment
    later: these are less than the execution has in flight.
    """

    type: str | None
    size: str | None
    directory: str | None
    merged: bool
    planned: TallyView
    done: TallyView
    failed: TallyView
    skipped: TallyView
    cancelled: TallyView
    durable: TallyView = TallyView(0, 0)
    in_flight: TallyView = TallyView(0, 0)


class Breakdown(Result, frozen=True):
    """`complete`: false while it is counted anew from the journal, or when it cannot be: then there are no rows, and
    `reason` says why. `growing`: the scan still adds to it. Rows are in the order of their planned bytes, then entries,
    the largest first; sizes alone in the order of sizes. `left_out`: rows beyond `limit`; `sum` is of all of them.
    """

    id: str
    by: tuple[str, ...]
    complete: bool
    reason: str
    growing: bool
    rows: tuple[BreakdownRow, ...]
    left_out: int
    sum: BreakdownRow | None


class LargeFilesParams(Params, frozen=True):
    """Pages through large files: those at hand first, then those that ended, the last one first."""

    id: str
    offset: int = 0
    limit: int = 50


class LargeFile(Result, frozen=True):
    """`state`: `copying`, or what became of it: `copied`, the kind of its fault, `ended` when that is not known.
    `mover`: slot, null when it has ended. `bytes_per_s`, `seconds_remaining`: null when unknown, and `reason` says why.
    `seconds`: for which a mover has had it at hand, so far.
    """

    path: str
    size: int
    state: str
    mover: int | None
    bytes_done: int
    bytes_per_s: float | None
    seconds_remaining: float | None
    reason: str
    seconds: float
    ended_at: str | None


class LargeFiles(Result, frozen=True):
    """Files of 64 MiB and more that are at hand, and the last 200 that ended in this run: `total` of them. `slowest`:
    the 20 files of any size that a mover has had at hand for longest, over all runs; seen four times a second, so that
    seconds are within a quarter of one.
    """

    files: tuple[LargeFile, ...]
    total: int
    slowest: tuple[LargeFile, ...]


class BatchView(Result, frozen=True):
    """`seconds`: from when a mover could begin with it until its answer. `entries_most`, `bytes_most`: how large it
    might have been; these limits follow how long batches take."""

    at: str
    mover: int
    entries: int
    bytes: int
    seconds: float
    bytes_per_s: float | None
    entries_per_s: float | None
    entries_most: int
    bytes_most: int


class BatchSumsView(Result, frozen=True):
    """Batches that were answered while the execution was between `percent_from` and `percent_to`; null while nobody
    knew how much there is to do. Seconds and rates are of one mover."""

    percent_from: int | None
    percent_to: int | None
    batches: int
    entries: int
    bytes: int
    seconds: float
    bytes_per_s: float | None
    entries_per_s: float | None


class Batches(Result, frozen=True):
    """`recent`: the last 200, the last one first."""

    recent: tuple[BatchView, ...]
    by_progress: tuple[BatchSumsView, ...]


class MilestoneView(Result, frozen=True):
    """`kind`: `created`, or a `migmond.domain.timeline.MilestoneKind`."""

    at: str
    kind: str
    text: str


class TimelineView(Result, frozen=True):
    """Oldest first."""

    milestones: tuple[MilestoneView, ...]


def checked(params: BreakdownParams) -> BreakdownParams:
    """Return `params`, without names that are given twice.

    Raises:
        InvalidInput: `by` or `limit` makes no sense.
    """
    by = tuple(dict.fromkeys(params.by))
    unknown = [name for name in by if name not in BY]
    if unknown or not by:
        what = f"by {unknown[0][:40]!r}" if unknown else "by nothing"
        raise InvalidInput(f"progress cannot be told {what}", hint=f"by one or more of {', '.join(BY)}", field="by")
    if not 0 < params.limit <= MAX_ROWS:
        raise InvalidInput(f"limit {params.limit}", hint=f"limit is 1 to {MAX_ROWS}", field="limit")
    return msgspec.structs.replace(params, by=by)
