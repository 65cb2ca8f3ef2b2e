"""What clients see of progress by parts: made of what the engine knows, with paths from the journal."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence

import trio

from migmond.analytics.batches import STEPS, BatchesState, BatchRecord
from migmond.analytics.classes import SIZES, TYPES
from migmond.analytics.cube import Cube
from migmond.analytics.cube_directories import OTHER
from migmond.analytics.cube_rows import Row
from migmond.analytics.files_at_hand import EndedFile, FileAtHand, FilesAtHand
from migmond.domain.breakdown import (
    Batches,
    BatchSumsView,
    BatchView,
    Breakdown,
    BreakdownParams,
    BreakdownRow,
    LargeFile,
    LargeFiles,
    MilestoneView,
    TimelineView,
)
from migmond.domain.execution import Execution
from migmond.domain.intervention import Intervention
from migmond.domain.names import to_text
from migmond.domain.task import Directory
from migmond.domain.timeline import Milestone, MilestoneKind
from migmond.engine.breakdowns import Counted
from migmond.engine.places import Places
from migmond.engine.views import tally_view, time_text
from migmond.ports import (
    Journal,
)

MOST_INTERVENTIONS = 600


async def breakdown_view(
    journal: Journal, execution: Execution, counted: Counted, params: BreakdownParams
) -> Breakdown:
    """Return the progress of an execution by what `params` says."""
    by, growing = params.by, execution.totals.growing
    cube = counted.cube
    if cube is None:
        why = counted.reason or f"it is being counted from the journal, up to entry {counted.counted:,} so far"
        return Breakdown(execution.id, by, complete=False, reason=why, growing=growing, rows=(), left_out=0, sum=None)
    rows, total = await trio.to_thread.run_sync(_sorted_rows, cube, by)
    shown = rows[: params.limit]
    numbers = sorted({r.directory for r in shown if r.directory})
    places = await journal.places(execution.key, numbers)
    roots = {n: Directory(n, n - 1, b"") for n in numbers if n not in places and n <= len(execution.plan.sources)}
    paths = {n: _full(execution, place) for n, place in (places | roots).items()}
    views = tuple(_row(r, paths) for r in shown)
    return Breakdown(
        execution.id, by, complete=True, reason="", growing=growing, rows=views, left_out=len(rows) - len(shown),
        sum=_row(total, {}),
    )  # fmt: skip


def _sorted_rows(cube: Cube, by: tuple[str, ...]) -> tuple[list[Row], Row]:
    rows = cube.rows(kind="type" in by, size="size" in by, directory="directory" in by)
    if by == ("size",):
        rows.sort(key=lambda r: r.size or 0)
    else:
        rows.sort(key=lambda r: (-r.planned.bytes, -r.planned.entries, r.kind or 0, r.size or 0, r.directory or 0))
    return rows, cube.sums()


def _full(execution: Execution, place: Directory) -> str:
    source = execution.plan.sources[place.root].path
    return to_text(os.path.join(source, place.path) if place.path else source)


def _row(row: Row, paths: dict[int, str]) -> BreakdownRow:
    return BreakdownRow(
        None if row.kind is None else TYPES[row.kind],
        None if row.size is None else SIZES[row.size],
        None if row.directory is None else paths.get(row.directory),
        row.directory == OTHER,
        tally_view(row.planned),
        tally_view(row.done),
        tally_view(row.failed),
        tally_view(row.skipped),
        tally_view(row.cancelled),
        tally_view(row.durable),
        tally_view(row.in_flight),
    )


async def large_files_view(
    journal: Journal, execution: Execution, files: FilesAtHand, now: float, offset: int, limit: int
) -> LargeFiles:
    """Return a page of large files, and the slowest. `now`: monotonic clock, seconds."""
    at_hand, ended, slowest = files.at_hand(now), files.ended_lately(), files.slowest()
    both: list[FileAtHand | EndedFile] = [*at_hand, *ended]
    page = both[offset : offset + limit]
    paths = await _paths(journal, execution, [f.number for f in (*page, *slowest)])
    views = tuple(_at_hand(f, paths) if isinstance(f, FileAtHand) else _ended(f, paths) for f in page)
    return LargeFiles(views, len(both), tuple(_ended(f, paths) for f in slowest))


async def _paths(journal: Journal, execution: Execution, numbers: Iterable[int]) -> dict[int, str]:
    """Return full paths by task number."""
    tasks = await journal.get_tasks(execution.key, sorted(set(numbers)))
    places = await Places(journal, execution.key).find({t.directory for t in tasks.values() if t.directory})
    found: dict[int, str] = {}
    for number, task in tasks.items():
        place = places[task.directory] if task.directory else Directory(0, number - 1, b"")
        path = os.path.join(place.path, task.name) if place.path else task.name
        found[number] = _full(execution, Directory(0, place.root, path))
    return found


def _at_hand(f: FileAtHand, paths: dict[int, str]) -> LargeFile:
    path = paths.get(f.number, "")
    return LargeFile(path, f.size, "copying", f.mover, f.done, f.rate, f.eta_s, f.reason, f.seconds, None)


def _ended(f: EndedFile, paths: dict[int, str]) -> LargeFile:
    rate = f.size / f.seconds if f.seconds > 0 else None
    return LargeFile(
        paths.get(f.number, ""), f.size, f.how or "ended", None, f.size, rate, None, "it has ended", f.seconds,
        time_text(f.at),
    )  # fmt: skip


def batches_view(state: BatchesState) -> Batches:
    """Return the batches of an execution."""
    by_progress: list[BatchSumsView] = []
    for step, s in enumerate(state.sums):
        known = step < STEPS
        if s.batches:
            width = 100 // STEPS
            by_progress.append(
                BatchSumsView(
                    step * width if known else None, (step + 1) * width if known else None, s.batches, s.entries,
                    s.bytes, s.seconds, _per_s(s.bytes, s.seconds), _per_s(s.entries, s.seconds),
                )
            )  # fmt: skip
    return Batches(tuple(_batch(r) for r in reversed(state.recent)), tuple(by_progress))


def _batch(r: BatchRecord) -> BatchView:
    return BatchView(
        time_text(r.at), r.mover, r.entries, r.bytes, r.seconds, _per_s(r.bytes, r.seconds),
        _per_s(r.entries, r.seconds), r.limit_entries, r.limit_bytes,
    )  # fmt: skip


def _per_s(amount: int, seconds: float) -> float | None:
    return amount / seconds if seconds > 0 else None


def timeline_view(
    execution: Execution, milestones: Sequence[Milestone], interventions: Sequence[Intervention]
) -> TimelineView:
    """Return what happened to an execution, with what people changed (the last ones, if these are many)."""
    changed = [
        Milestone(
            i.at, MilestoneKind.INTERVENTION, f"{i.kind.value} by {i.author}{f': {i.reason}' if i.reason else ''}"
        )
        for i in interventions[-MOST_INTERVENTIONS:]
    ]
    created = MilestoneView(time_text(execution.created_at), "created", execution.name)
    merged = sorted([*milestones, *changed], key=lambda m: m.at)
    return TimelineView((created, *(MilestoneView(time_text(m.at), m.kind.value, m.text) for m in merged)))
