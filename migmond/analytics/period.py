"""Many executions together: sums, how figures develop, disks that fall behind, and what it all cost."""

from __future__ import annotations

import statistics
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence

import msgspec

from migmond.analytics.runs import Past, active_s, average, side_text
from migmond.analytics.times import time_text
from migmond.analytics.trends import ENOUGH_RUNS, DeviceCost, Point, long_trend, slower_over_runs
from migmond.domain.analysis import CostView, DeviceFinding, LongTrend, ScoreView, WearView
from migmond.domain.api import (
    TallyView,
)
from migmond.domain.execution import Tally
from migmond.domain.report import CostSums, ReportRow, SumsView
from migmond.domain.session import DeviceSide, SessionRecord

MOST_PAIRS = 10
"""Pairs of devices whose rates have a trend of their own in a report, those with the most runs."""


class Judged(msgspec.Struct, frozen=True):
    """An execution with what was made of it; None and "" without a record. `bottleneck`: its title."""

    past: Past
    score: ScoreView | None = None
    cost: CostView | None = None
    bottleneck: str = ""

    @property
    def at(self) -> float:
        """When it ended, or was last looked at; wall clock seconds."""
        finished, record = self.past.execution.finished_at, self.past.record
        if finished is not None:
            return finished
        return record.at if record is not None else self.past.execution.created_at


def sums(runs: Sequence[Judged]) -> SumsView:
    """Return the sums of all."""
    totals = [r.past.execution.totals for r in runs]
    records = [r.past.record for r in runs if r.past.record is not None]
    cpu = [r.cpu_s for r in records if r.cpu_s is not None]
    return SumsView(
        executions=len(runs),
        measured=len(records),
        done=_sum(t.done for t in totals),
        failed=_sum(t.failed for t in totals),
        skipped=_sum(t.skipped for t in totals),
        moved_bytes=sum(r.moved_bytes for r in records),
        wall_s=sum(r.wall_s for r in records),
        active_s=sum(active_s(r.past) for r in runs),
        held_s=sum(r.held_s for r in records),
        retries=sum(r.retries for r in records),
        deaths=sum(r.deaths for r in records),
        cpu_s=sum(cpu) if cpu else None,
    )


def _sum(tallies: Iterable[Tally]) -> TallyView:
    entries = size = 0
    for tally in tallies:
        entries += tally.entries
        size += tally.bytes
    return TallyView(entries, size)


def mean_score(runs: Iterable[Judged]) -> float | None:
    """Return the mean of those that have a score."""
    known = [r.score.score for r in runs if r.score is not None and r.score.score is not None]
    return statistics.fmean(known) if known else None


def row(run: Judged) -> ReportRow:
    """Return an execution as a line of a table."""
    execution, record, score, cost = run.past.execution, run.past.record, run.score, run.cost
    return ReportRow(
        id=execution.id,
        name=execution.name,
        state=execution.state.value,
        operation=execution.plan.operation.value,
        started_at=None if execution.started_at is None else time_text(execution.started_at),
        finished_at=None if execution.finished_at is None else time_text(execution.finished_at),
        source=side_text(record.source) if record else "",
        target=side_text(record.target) if record else "",
        done=TallyView(execution.totals.done.entries, execution.totals.done.bytes),
        failed=execution.totals.failed.entries,
        active_s=active_s(run.past),
        average_bytes_per_s=average(run.past),
        peak_bytes_per_s=record.peak_bytes_per_s if record else None,
        score=score.score if score else None,
        speed=score.speed if score else None,
        resources=score.resources if score else None,
        success=score.success if score else None,
        bottleneck=run.bottleneck,
        energy_j=cost.energy.joules if cost else None,
        money=cost.money.amount if cost and cost.money else None,
    )


def trends(runs: Sequence[Judged]) -> tuple[LongTrend, ...]:
    """Return how scores and success develop, and the rates of each pair of devices that has runs enough: rates of
    different pairs say nothing about each other."""
    found = [
        long_trend(
            name,
            [Point(r.at, value) for r in runs if (value := getattr(r.score, name, None)) is not None],
            higher_is_better=True,
        )
        for name in ("score", "success")
    ]
    by_pair: defaultdict[tuple[str, str], list[Judged]] = defaultdict(list)
    for run in runs:
        record = run.past.record
        if record is not None and not record.limited and record.source.identity and record.target.identity:
            by_pair[record.source.identity, record.target.identity].append(run)
    most = sorted(by_pair.values(), key=lambda of: (-len(of), of[0].past.execution.key))[:MOST_PAIRS]
    return (*found, *(rate_trend(of) for of in most if len(of) >= ENOUGH_RUNS))


def rate_trend(runs: Sequence[Judged]) -> LongTrend:
    """Return how the rate develops over runs on one pair of devices, at least one."""
    record = max(runs, key=lambda r: r.past.execution.key).past.record
    name = "average rate"
    if record is not None:
        name = f"average rate {side_text(record.source)} → {side_text(record.target)}"
    points = [Point(r.at, rate) for r in runs if (rate := average(r.past))]
    return long_trend(name, points, higher_is_better=True)


def slower_disks(runs: Sequence[Judged]) -> list[DeviceFinding]:
    """Return disks that need longer for a byte than they did, as a source or as a target: worst first, one finding for
    each. Runs under a limit are left out."""
    costs: defaultdict[tuple[str, str], list[DeviceCost]] = defaultdict(list)
    names: dict[str, str] = {}
    for run in sorted(runs, key=lambda r: r.at):
        record = run.past.record
        if record is None or record.limited or record.cost_b is None:
            continue
        for role, side in _sides(record):
            if side.identity:
                costs[role, side.identity].append(DeviceCost(run.at, record.cost_b))
                names[side.identity] = side_text(side)
    worst: dict[str, DeviceFinding] = {}
    for (role, identity), known in costs.items():
        found = slower_over_runs(names[identity], known)
        if found is not None and (identity not in worst or found.value > worst[identity].value):
            worst[identity] = msgspec.structs.replace(found, evidence=f"{found.evidence}; as the {role}")
    return sorted(worst.values(), key=lambda f: (-f.value, f.device))


def _sides(record: SessionRecord) -> tuple[tuple[str, DeviceSide], ...]:
    return ("source", record.source), ("target", record.target)


def kinds_of(runs: Iterable[Past]) -> dict[str, str]:
    """Return what kind each disk is, of those that executions were on; of one that changed, the newest word."""
    found: dict[str, str] = {}
    for past in sorted(runs, key=lambda p: p.execution.key):
        if past.record is not None:
            for _, side in _sides(past.record):
                found |= dict.fromkeys(side.disks, side.kind)
    return found


def cost_sums(runs: Iterable[Judged]) -> CostSums:
    """Return the sums of what is known, and what is missing, each once with how often."""
    joules: list[float] = []
    money: list[float] = []
    parts: dict[str, float] = {}
    missing: Counter[str] = Counter()
    worn: dict[str, WearView] = {}
    currency = as_of = ""
    for run in runs:
        cost = run.cost
        if cost is None:
            missing["executions of which nothing was recorded"] += 1
            continue
        if cost.energy.joules is not None:
            joules.append(cost.energy.joules)
        if cost.money is not None:
            money.append(cost.money.amount)
            currency, as_of = cost.money.currency, cost.money.prices_as_of
            for name, amount in cost.money.parts.items():
                parts[name] = parts.get(name, 0.0) + amount
        for wear in cost.wear:
            worn[wear.device] = _added(worn.get(wear.device), wear)
        missing.update(cost.missing)
    return CostSums(
        energy_j=sum(joules) if joules else None,
        energy_of=len(joules),
        amount=sum(money) if money else None,
        money_of=len(money),
        currency=currency,
        prices_as_of=as_of,
        parts=parts,
        wear=tuple(worn.values()),
        missing=tuple(text if times == 1 else f"{text} ({times:,} times)" for text, times in missing.most_common()),
    )


def _added(one: WearView | None, other: WearView) -> WearView:
    if one is None:
        return other

    def both(a: float | None, b: float | None) -> float | None:
        return None if a is None or b is None else a + b

    return WearView(
        one.device,
        one.host_bytes + other.host_bytes,
        both(one.media_bytes, other.media_bytes),
        both(one.share, other.share),
        one.reason or other.reason,
    )
