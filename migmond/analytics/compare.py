"""Executions side by side: how each went by the work that was done, and a table of differences."""

from __future__ import annotations

import enum
from collections.abc import Sequence

import msgspec

from migmond.domain.analysis import ComparisonView, Curve, CurvePoint, Difference

SAME = 0.02
"""Two runs of the same work differ by this much for no reason."""
MOST = 5
"""More curves in one picture cannot be told apart."""


class Better(enum.Enum):
    HIGHER = "higher"
    LOWER = "lower"
    NEITHER = "neither"


class Figure(msgspec.Struct, frozen=True):
    """A figure of each execution.

    Attributes:
        better: which direction is the better one.
        of_whole: it tells of a whole run, and before the end of one is only what it has come to so far: less time, or
            fewer failures, than a run that has ended tell nothing. Rates can be compared at any time.
    """

    name: str
    unit: str
    values: tuple[float | None, ...]
    better: Better = Better.NEITHER
    of_whole: bool = False


class Course(msgspec.Struct, frozen=True):
    """How an execution went.

    Attributes:
        points: active seconds, share of the work done (0 to 1) and bytes, in order of time. Work may fall back.
        ended: nothing more comes.
    """

    id: str
    points: tuple[tuple[float, float, int], ...]
    ended: bool = True


def resample(course: Course, steps: int = 100) -> Curve:
    """Return the course at 0, 1/steps, ... of the work, as far as it got.

    Executions of different length lie on each other by percent done. Between points all goes evenly; work that fell
    back counts again only when it is beyond what was reached. Where all of the work between two steps was done at once
    there is no rate.

    Args:
        steps: at least 1.
    """
    rises = _rises(course)
    points, before, place = [CurvePoint(0.0, 0.0, None)], (0.0, 0.0), 0
    for step in range(1, steps + 1):
        wanted = step / steps
        while place < len(rises) and rises[place][1][1] < wanted - 1e-12:
            place += 1
        if place == len(rises):
            break
        (t0, d0, b0), (t1, d1, b1) = rises[place]
        part = min(1.0, (wanted - d0) / (d1 - d0))
        now = (t0 + (t1 - t0) * part, b0 + (b1 - b0) * part)
        elapsed = now[0] - before[0]
        points.append(CurvePoint(100 * wanted, now[0], max(0.0, now[1] - before[1]) / elapsed if elapsed > 0 else None))
        before = now
    return Curve(course.id, tuple(points))


_Moment = tuple[float, float, float]


def _rises(course: Course) -> list[tuple[_Moment, _Moment]]:
    """Return the pieces of the course in which more work was done than ever before: seconds, work and bytes at both
    ends."""
    rises: list[tuple[_Moment, _Moment]] = []
    last, most = (0.0, 0.0, 0.0), 0.0
    for seconds, done, size in course.points:
        if seconds < last[0]:
            continue
        now = (seconds, min(1.0, done), float(size))
        if now[1] > most:
            rises.append((last, now))
            most = now[1]
        last = now
    return rises


def differences(figures: Sequence[Figure], ended: Sequence[bool]) -> tuple[Difference, ...]:
    """Return the table: each value beside the first execution's.

    Args:
        ended: whether each of the executions has.
    """
    rows = []
    for figure in figures:
        so_far = tuple(figure.of_whole and not e and v is not None for v, e in zip(figure.values, ended, strict=True))
        first = figure.values[0] if figure.values and not so_far[0] else None
        changes: list[float | None] = []
        verdicts = []
        for number, value in enumerate(figure.values):
            comparable = value if number and not so_far[number] else None
            changes.append(comparable / first - 1 if comparable is not None and first else None)
            verdicts.append(_verdict(figure.better, first, comparable))
        rows.append(Difference(figure.name, figure.unit, figure.values, tuple(changes), tuple(verdicts), so_far))
    return tuple(rows)


class Summary(msgspec.Struct, frozen=True):
    """What is known of one execution in figures; None is unknown."""

    bytes: float | None = None
    entries: float | None = None
    active_s: float | None = None
    held_s: float | None = None
    average_bytes_per_s: float | None = None
    peak_bytes_per_s: float | None = None
    entries_per_s: float | None = None
    failed_entries: float | None = None
    retries: float | None = None
    score: float | None = None
    speed: float | None = None
    resources: float | None = None
    success: float | None = None
    cpu_s_per_gb: float | None = None
    energy_j: float | None = None
    workers: float | None = None


def figures(summaries: Sequence[Summary]) -> tuple[Figure, ...]:
    """Return the rows that every comparison has, without those that nobody knows."""
    higher, lower, neither = Better.HIGHER, Better.LOWER, Better.NEITHER
    of_whole = True
    rows: tuple[tuple[str, str, Better, bool], ...] = (
        ("bytes", "bytes", neither, of_whole),
        ("entries", "", neither, of_whole),
        ("workers", "", neither, not of_whole),
        ("active_s", "seconds", lower, of_whole),
        ("held_s", "seconds", neither, of_whole),
        ("average_bytes_per_s", "bytes per second", higher, not of_whole),
        ("peak_bytes_per_s", "bytes per second", higher, of_whole),
        ("entries_per_s", "per second", higher, not of_whole),
        ("failed_entries", "", lower, of_whole),
        ("retries", "", lower, of_whole),
        # What is copied and not done yet has taken its time already: before the end the score and its parts,
        # and what a GB took, are worse than they will be.
        ("score", "", higher, of_whole),
        ("speed", "", higher, of_whole),
        ("resources", "", higher, of_whole),
        ("success", "", higher, of_whole),
        ("cpu_s_per_gb", "seconds", lower, of_whole),
        ("energy_j", "joules", lower, of_whole),
    )
    made = (
        Figure(name, unit, tuple(getattr(s, name) for s in summaries), better, whole)
        for name, unit, better, whole in rows
    )
    return tuple(f for f in made if any(v is not None for v in f.values))


def _verdict(better: Better, first: float | None, value: float | None) -> str:
    if first is None or value is None:
        return ""
    if abs(value - first) <= SAME * max(abs(first), abs(value)):
        return "same"
    if better is Better.NEITHER:
        return ""
    return "better" if (value > first) == (better is Better.HIGHER) else "worse"


def compare(courses: Sequence[Course], figures: Sequence[Figure], steps: int = 100) -> ComparisonView:
    """Return executions side by side, the first one being what the others are compared with.

    Raises:
        ValueError: more than `MOST`, fewer than two, or a figure without a value for each of them.
    """
    if not 2 <= len(courses) <= MOST:
        raise ValueError(f"compare 2 to {MOST} executions")
    if any(len(f.values) != len(courses) for f in figures):
        raise ValueError("a figure needs a value for each execution, None where it is unknown")
    return ComparisonView(
        tuple(c.id for c in courses),
        tuple(resample(c, steps) for c in courses),
        differences(figures, [c.ended for c in courses]),
    )
