"""Reports and comparisons, from the journal's records of how executions went."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence

import msgspec
import trio

from migmond.analytics.compare import compare, figures, resample
from migmond.analytics.cost import Prices
from migmond.analytics.disk_health import findings
from migmond.analytics.period import (
    Judged,
    cost_sums,
    kinds_of,
    mean_score,
    rate_trend,
    row,
    slower_disks,
    sums,
    trends,
)
from migmond.analytics.robust import MOST_POINTS
from migmond.analytics.run_cost import Rating, Terms, cost_of
from migmond.analytics.runs import (
    Paces,
    Past,
    average,
    course_of,
    entries_rate,
    forgotten,
    newest_first,
    pair_of,
    scored,
    similar_run,
    summary_of,
    time_of,
)
from migmond.analytics.similar import similar_runs
from migmond.analytics.smart_samples import readings
from migmond.analytics.trends import Point, long_trend
from migmond.breath import Breath
from migmond.config.load import Config
from migmond.daemon.failures import error_groups
from migmond.daemon.history import parse_time
from migmond.daemon.live_config import LiveConfig
from migmond.daemon.pages import check_cursor, check_limit
from migmond.domain.analysis import ComparisonView, DeviceFinding, LongTrend, ScoreView
from migmond.domain.errors import InvalidInput
from migmond.domain.execution import Execution
from migmond.domain.report import (
    MAX_REPORT_ROWS,
    MeasuredView,
    PeriodReport,
    ReportSinceParams,
    ReportView,
    SideView,
    SimilarView,
)
from migmond.domain.samples import SampleView
from migmond.domain.session import DeviceSide, SessionRecord
from migmond.domain.states import TERMINAL_EXECUTION_STATES, ExecutionState
from migmond.domain.telemetry import MAX_AT
from migmond.domain.units import parse_size
from migmond.engine.manager import Engine
from migmond.engine.settings import Surroundings
from migmond.engine.views import intervention_views, tally_view, time_or_none, time_text

MOST_RUNS = 10_000
"""Executions that anything here rests on, the newest: their records are read anew for each report, 100 µs each."""
_READ = 50
"""Records that are read in one go, some 5 ms: what runs waits behind them."""

Sees = Callable[[Execution], bool]
"""Whether the caller may see an execution: nothing rests on what others may not see."""


class Reports:
    """Makes reports; keeps nothing.

    Args:
        samples: the newest of all collectors.
        live: returns of an execution's id what is measured of it now, None when nothing works on it: the journal has
            that as of half a minute ago, or nothing yet.
    """

    def __init__(
        self,
        engine: Engine,
        surroundings: Surroundings,
        config: LiveConfig,
        samples: Callable[[], tuple[SampleView, ...]],
        live: Callable[[str], SessionRecord | None],
    ) -> None:
        self._engine = engine
        self._journal, self._clock = surroundings.journal, surroundings.clock
        self._config = config
        self._samples = samples
        self._live = live

    async def _record(self, execution: Execution) -> SessionRecord | None:
        return self._newest(execution) or await self._journal.session(execution.key)

    def _newest(self, execution: Execution) -> SessionRecord | None:
        """Of what has just ended the last look is yet to come, with which it is journaled."""
        return None if execution.state in TERMINAL_EXECUTION_STATES else self._live(execution.id)

    async def report(self, execution: Execution, sees: Sees) -> ReportView:
        """Answer `execution.report`."""
        past = Past(execution, await self._record(execution))
        pasts, paces = await self.pasts(sees, forgotten_too=True)
        record, terms = past.record, terms_of(self._config.newest)

        def analysed() -> tuple[ScoreView | None, tuple[SimilarView, ...], tuple[LongTrend, ...]]:
            return scored(past, paces), _similar(past, pasts), _trends_to(past, pasts, paces, terms)

        score, similar, found_trends = await trio.to_thread.run_sync(analysed)
        shares, bottleneck, time_reason = time_of(record) if record is not None else ((), None, "not measured")
        return ReportView(
            execution=self._engine.view(execution, closely=True),
            measured=None if record is None else _measured(past, record),
            reason="" if record is not None else _why_nothing(execution),
            score=score,
            time=shares,
            bottleneck=bottleneck,
            time_reason=time_reason,
            errors=await error_groups(self._journal, execution),
            interventions=intervention_views(await self._journal.interventions(execution.id)),
            cost=None if record is None else cost_of(record, terms),
            similar=similar,
            trends=found_trends,
            course=None if record is None or not record.course else resample(course_of(past)),
            as_of=time_text(self._clock.wall()),
        )

    async def since(self, params: ReportSinceParams, sees: Sees) -> PeriodReport:
        """Answer `report.since`.

        Raises:
            InvalidInput: times, states, a limit or a cursor that make no sense.
        """
        check_limit(params.limit, MAX_REPORT_ROWS)
        check_cursor("before", params.before)
        if unknown := set(params.states) - {s.value for s in ExecutionState}:
            raise InvalidInput(f"there is no state {min(unknown)[:40]!r}", hint="migmon ls shows some", field="states")
        since, until = span(params.since, params.until, params.span_s, self._clock.wall())
        pasts, paces = await self.pasts(sees, forgotten_too=True)
        chosen = [
            p
            for p in pasts
            if ran_in(p.execution, since, until)
            and (not params.states or p.execution.state.value in params.states)
            and params.name in p.execution.name
        ]
        terms, samples, now = terms_of(self._config.newest), self._samples(), time_text(self._clock.wall())

        def made() -> PeriodReport:
            all_runs = _judged(chosen, paces, terms)
            runs = [r for r in all_runs if not r.past.is_forgotten]
            older = [r for r in runs if not params.before or r.past.execution.key < params.before]
            page, left = older[: params.limit], max(0, len(older) - params.limit)
            return PeriodReport(
                since=time_text(since),
                until=time_text(until),
                states=dict(Counter(r.past.execution.state.value for r in runs)),
                sums=sums(runs),
                mean_score=mean_score(runs),
                executions=tuple(row(r) for r in page),
                trends=trends(all_runs),
                disks=tuple(_disks(all_runs, samples)),
                cost=cost_sums(runs),
                as_of=now,
                next=page[-1].past.execution.key if left else None,
                left=left,
            )

        return await trio.to_thread.run_sync(made)

    async def compare(self, executions: Sequence[Execution], sees: Sees) -> ComparisonView:
        """Answer `execution.compare`.

        Args:
            executions: 2 to 5 different ones.
        """
        pasts = [Past(e, await self._record(e)) for e in executions]
        _, paces = await self.pasts(sees)
        terms = terms_of(self._config.newest)
        summaries = [
            summary_of(p, scored(p, paces), None if p.record is None else cost_of(p.record, terms)) for p in pasts
        ]
        view = compare([course_of(p) for p in pasts], figures(summaries))
        return msgspec.structs.replace(view, names=tuple(e.name for e in executions))

    # --- what exports use too ------------------------------------------------------------------------

    async def pasts(self, sees: Sees, *, forgotten_too: bool = False) -> tuple[list[Past], Paces]:
        """Return the newest `MOST_RUNS` executions that the caller may see, newest first, and what they cost. Courses
        but for their ends, and forecasts, are left out: they are most of a record.

        Args:
            forgotten_too: among them those of which nothing else is left, for what trends and disks are found by.
        """
        executions = {e.key: e for e in self._engine.all() if sees(e)}
        keys = sorted(executions)[-MOST_RUNS:]
        gone: list[Past] = []
        records: dict[int, SessionRecord] = {}
        paces, breath = Paces(), Breath(self._clock.monotonic)
        after: int | None = keys[0] - 1 if len(keys) == MOST_RUNS else 0
        while after is not None:
            page = await self._journal.sessions(after=after, limit=_READ)
            for record in page:
                await breath.take()
                if record.key in executions:
                    paces.add(record)
                    records[record.key] = _short(record)
                elif (past := forgotten(record)) is not None and sees(past.execution):
                    paces.add(record)
                    gone.append(past)
            after = page[-1].key if len(page) == _READ else None
        records |= {key: _short(live) for key in keys if (live := self._newest(executions[key])) is not None}
        there = [Past(executions[key], records.get(key)) for key in keys]
        return newest_first([*there, *(gone if forgotten_too else ())])[:MOST_RUNS], paces

    async def judged(self, pasts: Sequence[Past], paces: Paces) -> list[Judged]:
        """Return each with score, cost and bottleneck, in their order."""
        return await trio.to_thread.run_sync(_judged, pasts, paces, terms_of(self._config.newest))

    async def disks(self, sees: Sees) -> list[DeviceFinding]:
        """Return what is found out about disks: by the newest SMART values, then by the runs of all time."""
        pasts, paces = await self.pasts(sees, forgotten_too=True)
        terms, samples = terms_of(self._config.newest), self._samples()
        return await trio.to_thread.run_sync(lambda: _disks(_judged(pasts, paces, terms), samples))


# What follows is pure and takes 0.5 ms for each execution: it runs in threads, beside the loop.


def _judged(pasts: Sequence[Past], paces: Paces, terms: Terms) -> list[Judged]:
    found = []
    for past in pasts:
        record = past.record
        if record is None:
            found.append(Judged(past))
            continue
        bound = time_of(record)[1]
        found.append(Judged(past, scored(past, paces), cost_of(record, terms), "" if bound is None else bound.title))
    return found


def _short(record: SessionRecord) -> SessionRecord:
    """Leave out what is most of it."""
    return msgspec.structs.replace(record, course=record.course[-1:], forecast=b"")


def _disks(runs: Sequence[Judged], samples: Sequence[SampleView]) -> list[DeviceFinding]:
    kinds = kinds_of([r.past for r in runs])
    return [f for reading in readings(samples, kinds) for f in findings([reading])] + slower_disks(runs)


def _trends_to(past: Past, pasts: Sequence[Past], paces: Paces, terms: Terms) -> tuple[LongTrend, ...]:
    pair = pair_of(past.record) if past.record is not None else None
    if pair is None:
        return ()
    on_it = [
        p
        for p in pasts
        if p.record is not None
        and not p.record.limited
        and pair_of(p.record) == pair
        and p.execution.key <= past.execution.key
    ]
    if not on_it:
        return ()
    runs = _judged(on_it[:MOST_POINTS], paces, terms)
    scores = [Point(r.at, r.score.score) for r in runs if r.score is not None and r.score.score is not None]
    return rate_trend(runs), long_trend("score", scores, higher_is_better=True)


def span(since: str, until: str, span_s: float | None, now: float) -> tuple[float, float]:
    """Return begin and end of a time, wall clock seconds.

    Args:
        since, until: RFC 3339, "" for none.
        span_s: how long before the end it begins when `since` is ""; None is since ever.

    Raises:
        InvalidInput: it is no time.
    """
    end = parse_time("until", until) if until else now
    if since:
        start = parse_time("since", since)
    elif span_s is None:
        start = 0.0
    elif math.isfinite(span_s) and span_s > 0:
        start = max(0.0, end - span_s)
    else:
        raise InvalidInput(f"a span of {span_s} s makes no sense", hint="span_s is e.g. 2592000", field="span_s")
    if not 0 <= start < end <= MAX_AT:
        said = f"there is no time from {since[:40] or 'a span before'} to {until[:40] or 'now'}"
        raise InvalidInput(said, hint="since is before until", field="since" if since else "until")
    return start, end


def ran_in(execution: Execution, since: float, until: float) -> bool:
    """Whether it ran, or waited to, at some moment of a time."""
    begun = execution.created_at if execution.started_at is None else execution.started_at
    return begun <= until and (execution.finished_at is None or execution.finished_at >= since)


def terms_of(config: Config) -> Terms:
    """Return what the configuration tells of prices and disks."""
    section = config.settings.prices
    ratings = {
        name: Rating(
            float(parse_size(disk.rated_writes)) if disk.rated_writes else None,
            disk.write_amplification,
            disk.active_watts,
            disk.idle_watts,
            disk.price,
        )
        for name, disk in config.settings.disks.items()
    }
    prices = None
    if section.per_kwh is not None or section.per_gb is not None or any(r.price is not None for r in ratings.values()):
        prices = Prices(section.currency, section.as_of, section.per_kwh, section.per_gb)
    return Terms(prices, ratings, section.watts_per_core, section.idle_watts)


def _why_nothing(execution: Execution) -> str:
    if execution.started_at is None:
        return "it has not begun"
    return "nothing was recorded of how it went"


def _side(side: DeviceSide) -> SideView:
    return SideView(side.disks, side.identity, "" if side.kind == "unknown" else side.kind)


def _measured(past: Past, record: SessionRecord) -> MeasuredView:
    return MeasuredView(
        as_of=time_text(record.at),
        source=_side(record.source),
        target=_side(record.target),
        workers=record.workers,
        wall_s=record.wall_s,
        active_s=record.active_s,
        held_s=record.held_s,
        moved_bytes=record.moved_bytes,
        retries=record.retries,
        deaths=record.deaths,
        average_bytes_per_s=average(past),
        average_entries_per_s=entries_rate(past),
        peak_bytes_per_s=record.peak_bytes_per_s,
        cpu_s=record.cpu_s,
        read_bytes=record.read_bytes,
        written_bytes=record.written_bytes,
        peak_resident_bytes=record.peak_resident_bytes,
        promised=record.promised,
        kept=record.kept,
        limited=record.limited,
    )


def _similar(past: Past, pasts: Sequence[Past]) -> tuple[SimilarView, ...]:
    run = similar_run(past)
    if run is None:
        return ()
    key = past.execution.key
    earlier = [p for p in pasts if p.execution.key < key and p.execution.finished_at is not None and not p.is_forgotten]
    by_id = {p.execution.id: p for p in earlier}
    found = similar_runs(run, [r for p in earlier if (r := similar_run(p)) is not None])
    views = []
    for one in found:
        other = by_id[one.id]
        assert other.record is not None
        views.append(
            SimilarView(
                one,
                other.execution.name,
                other.execution.state.value,
                time_or_none(other.execution.finished_at),
                tally_view(other.execution.totals.done),
                other.record.active_s,
                average(other),
            )
        )
    return tuple(views)
