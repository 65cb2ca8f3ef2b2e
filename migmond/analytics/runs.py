"""Executions with what was measured of them, as the other analyses want them: pace, score, shares, course, figures."""

from __future__ import annotations

import bisect
from collections import defaultdict
from collections.abc import Sequence

import msgspec

from migmond.analytics.compare import Course, Summary
from migmond.analytics.score import Pace, Work, score
from migmond.analytics.shares import Situation, bottleneck, of_threads, ranked, shares
from migmond.analytics.similar import Run
from migmond.domain.activity import Activity
from migmond.domain.analysis import CostView, ScoreView, ShareView
from migmond.domain.execution import Execution, Tally
from migmond.domain.identity import Identity
from migmond.domain.plan import Plan
from migmond.domain.session import DeviceSide, SessionRecord
from migmond.domain.states import TERMINAL_EXECUTION_STATES

MOST_PACES = 200
"""Of earlier runs on a pair of devices, the newest: disks age, and with 200 the best decile is that of 20 runs."""


class Past(msgspec.Struct, frozen=True):
    """An execution, live or ended, and what is on record of how it went; None is nothing."""

    execution: Execution
    record: SessionRecord | None = None

    @property
    def is_forgotten(self) -> bool:
        """Nothing but the record is left of it."""
        return self.record is not None and self.record.ended is not None

    @property
    def has_ended(self) -> bool:
        """Nothing more comes of it, unless somebody sets it going again."""
        return self.execution.state in TERMINAL_EXECUTION_STATES


def forgotten(record: SessionRecord) -> Past | None:
    """Return an execution that is on record only by how it went; None when it is there, or that is not on record."""
    ended = record.ended
    if ended is None:
        return None
    made = Execution(
        record.execution, record.key, "", Plan("", (), b""), Identity(ended.uid, ended.uid), ended.state,
        ended.created_at, ended.started_at, ended.finished_at, totals=ended.totals, limits=ended.limits,
    )  # fmt: skip
    return Past(made, record)


Pair = tuple[str, str]
"""Identities of source and target."""


def pair_of(record: SessionRecord) -> Pair | None:
    """Return the devices it ran on; None when one of them is unknown: nobody knows then what is the same pair."""
    if not record.source.identity or not record.target.identity:
        return None
    return record.source.identity, record.target.identity


class Paces:
    """What executions cost, by their pair of devices.

    A run under a limit says what it was allowed, not what the devices can do: it is left out.
    """

    def __init__(self) -> None:
        self._of: defaultdict[Pair, list[tuple[int, Pace]]] = defaultdict(list)

    def add(self, record: SessionRecord) -> None:
        """Take in a record; any order."""
        pair = pair_of(record)
        if pair is None or record.limited or record.cost_a is None or record.cost_b is None:
            return
        bisect.insort(self._of[pair], (record.key, Pace(record.cost_a, record.cost_b)), key=lambda found: found[0])

    def earlier(self, record: SessionRecord) -> list[Pace]:
        """Return those of executions that were asked for before this one, on its devices: the newest `MOST_PACES`."""
        pair = pair_of(record)
        known = self._of.get(pair, []) if pair is not None else []
        end = bisect.bisect_left(known, record.key, key=lambda found: found[0])
        return [pace for _, pace in known[max(0, end - MOST_PACES) : end]]


def situation(record: SessionRecord, *, held: bool = True) -> Situation:
    """Return its whole life as a span.

    Args:
        held: whether the time that movers were held counts.
    """
    spent = of_threads(record.copying, record.committing)
    if not held:
        spent[Activity.HELD] = 0
    return Situation(record.active_s, sum(spent.values()) / 1e9, spent, record.workers)


def time_of(record: SessionRecord) -> tuple[tuple[ShareView, ...], ShareView | None, str]:
    """Return where its time went, largest first, what bound, and why nothing did."""
    now = situation(record)
    found, reason = bottleneck(now)
    return ranked(now), found, reason


def work_of(past: Past, record: SessionRecord) -> Work:
    """Return what it did and what that took."""
    totals, limits = past.execution.totals, past.execution.limits
    allowed = [rate for rate in (limits.io_bytes_per_s, limits.network_bytes_per_s) if rate is not None]
    return Work(
        wall_s=record.wall_s,
        active_s=record.active_s,
        done=totals.done.entries,
        done_bytes=totals.done.bytes,
        failed=totals.failed.entries,
        moved_bytes=max(0, record.moved_bytes - under_way(past).bytes),
        cpu_s=record.cpu_s,
        limit=float(min(allowed)) if record.limited and allowed else None,
        shares=shares(situation(record, held=False)),
        held_s=record.held_s,
    )


def scored(past: Past, paces: Paces) -> ScoreView | None:
    """Return its score; None without a record."""
    return None if past.record is None else score(work_of(past, past.record), paces.earlier(past.record))


def active_s(past: Past) -> float:
    """Return seconds that it ran and was not held: as the monitor saw it, else as the journal has it."""
    return past.record.active_s if past.record is not None else past.execution.active_s


def under_way(past: Past) -> Tally:
    """Return what has been copied and is yet to become durable, as of the last look; nothing of what has ended."""
    if past.record is None or not past.record.course or past.has_ended:
        return Tally()
    seen, totals = past.record.course[-1].settled, past.execution.totals
    handled = totals.handled.plus(-totals.cancelled.entries, -totals.cancelled.bytes)
    return Tally(max(0, seen.entries - handled.entries), max(0, seen.bytes - handled.bytes))


def average(past: Past) -> float | None:
    """Return bytes that are done or under way per active second; None before there were any."""
    return _rate(past, _brought(past).bytes)


def entries_rate(past: Past) -> float | None:
    """Return entries that are done or under way per active second, likewise."""
    return _rate(past, _brought(past).entries)


def _rate(past: Past, brought: int) -> float | None:
    """While it has brought nothing yet (it scans) nobody knows how fast that will be."""
    seconds = active_s(past)
    return brought / seconds if seconds > 0 and (brought or past.has_ended) else None


def _brought(past: Past) -> Tally:
    """What is done or under way, of what is at work as of the last look, as its active time is."""
    totals = past.execution.totals
    if past.record is None or not past.record.course or past.has_ended:
        return totals.brought
    seen = past.record.course[-1].settled
    not_brought = totals.failed.plus(totals.skipped.entries, totals.skipped.bytes)
    return Tally(max(0, seen.entries - not_brought.entries), max(0, seen.bytes - not_brought.bytes))


def side_text(side: DeviceSide) -> str:
    """Return what people call one end: its disks, else what identifies it, "" when it is unknown."""
    return " + ".join(side.disks) or side.identity


def similar_run(past: Past) -> Run | None:
    """Return what tells how it goes; None without a record, or when it is not known which sizes its files had: with
    nothing to tell them by, all would be alike."""
    record = past.record
    if record is None or not record.sizes:
        return None
    kinds = [side.kind if side.kind != "unknown" else "" for side in (record.source, record.target)]
    return Run(past.execution.id, record.sizes, record.source.identity, record.target.identity, *kinds)


def course_of(past: Past) -> Course:
    """Return how it went: the share of the work that is known now, in bytes, or in entries where there are none."""
    record = past.record
    if record is None or not record.course:
        return Course(past.execution.id, (), past.has_ended)
    planned = record.course[-1].planned
    points = []
    for point in record.course:
        if planned.bytes:
            share = point.settled.bytes / planned.bytes
        else:
            share = point.settled.entries / planned.entries if planned.entries else 0.0
        points.append((point.active_s, share, point.settled.bytes))
    return Course(past.execution.id, tuple(points), past.has_ended)


def summary_of(past: Past, found: ScoreView | None, cost: CostView | None) -> Summary:
    """Return its figures for a comparison; without a record only those of the journal."""
    totals, record = past.execution.totals, past.record
    known = Summary(
        bytes=float(totals.done.bytes),
        entries=float(totals.done.entries),
        failed_entries=float(totals.failed.entries),
        active_s=active_s(past) or None,
        average_bytes_per_s=average(past),
        entries_per_s=entries_rate(past),
    )
    if record is None:
        return known
    return msgspec.structs.replace(
        known,
        held_s=record.held_s,
        peak_bytes_per_s=record.peak_bytes_per_s,
        retries=float(record.retries),
        score=found.score if found else None,
        speed=found.speed if found else None,
        resources=found.resources if found else None,
        success=found.success if found else None,
        cpu_s_per_gb=found.cpu_s_per_gb if found else None,
        energy_j=cost.energy.joules if cost else None,
        workers=float(record.workers),
    )


def newest_first(pasts: Sequence[Past]) -> list[Past]:
    """Return them by when they were asked for, the newest first."""
    return sorted(pasts, key=lambda p: -p.execution.key)
