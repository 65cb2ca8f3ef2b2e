"""The daemon's telemetry: opened beside the journal, asked through the API, and never in anybody's way."""

from __future__ import annotations

import contextlib
import datetime
import math
from collections.abc import AsyncIterator, Callable, Container, Sequence

from migmond.config.load import Config
from migmond.daemon.pages import check_after
from migmond.domain import daemon_api
from migmond.domain.errors import HistoryError, InvalidInput, LimitExceeded, Unavailable
from migmond.domain.history import (
    MAX_ANNOTATIONS,
    MAX_POINTS,
    MAX_SERIES,
    MAX_SERIES_PAGE,
    MAX_TOTAL_POINTS,
    AnnotationView,
    CurveView,
    HistoryParams,
    HistorySeriesParams,
    HistoryView,
    SeriesPage,
    SeriesView,
)
from migmond.domain.telemetry import MAX_AT, MAX_LABELS, Annotation, Batch, Chart, Curve, Selection, SeriesInfo
from migmond.domain.units import show_size
from migmond.engine.views import time_text
from migmond.monitor.history import HistoryWriter, writing
from migmond.plugin_api.specs import HistoryContext, StorageSpec
from migmond.ports import (
    Clock,
    History,
)


class Telemetry:
    """The history of this daemon, or why it has none.

    Args:
        history, writer: None when there is none.
        why: one sentence then.
        wanted: whether the configuration wants one.
    """

    def __init__(
        self,
        clock: Clock,
        history: History | None = None,
        writer: HistoryWriter | None = None,
        why: str = "",
        *,
        wanted: bool = True,
    ) -> None:
        self._clock = clock
        self._history = history
        self._writer = writer
        self._why = why
        self._wanted = wanted

    def put(self, batch: Batch) -> None:
        """Take what was read at one moment. Never waits and never raises; without a history it goes nowhere."""
        if self._writer is not None:
            self._writer.put(batch)

    def note(self, annotation: Annotation) -> None:
        """Take an event on the time axis, likewise."""
        if self._writer is not None:
            self._writer.note(annotation)

    async def forget(self, execution: str) -> None:
        """Remove all that was measured of an execution that is forgotten. What cannot be removed now goes when it is
        older than anything is kept."""
        if self._history is not None and self._writer is not None:
            await self._writer.flush()
            with contextlib.suppress(HistoryError):
                await self._history.forget(execution)

    async def query(self, params: HistoryParams, executions: Container[str] | None) -> HistoryView:
        """Answer `history.query`.

        Args:
            executions: ids of those that the caller may see, None for all.

        Raises:
            InvalidInput: times, points or selectors that make no sense.
            LimitExceeded: too many series.
            Unavailable: there is no history.
            HistoryError: it cannot be read now.
        """
        if not 2 <= params.points <= MAX_POINTS:
            raise InvalidInput(f"{params.points} points", hint=f"points is 2 to {MAX_POINTS}", field="points")
        if not 0 < len(params.select) <= MAX_SERIES:
            raise InvalidInput(
                f"{len(params.select)} selectors",
                hint=f"select is 1 to {MAX_SERIES} of {{metric, labels}}",
                field="select",
            )
        labels = max(len(s.labels) for s in params.select)
        if labels > MAX_LABELS:  # sorting the million that a message has room for would keep the loop for a second
            hint = f"a series has at most {MAX_LABELS}"
            raise InvalidInput(f"a selector of {labels:,} labels", hint=hint, field="select")
        start, end = self._range(params)
        history = self._there()
        selections = [Selection(s.metric, tuple(sorted(s.labels.items()))) for s in params.select]
        most = min(MAX_SERIES, MAX_TOTAL_POINTS // params.points)
        chart = await history.query(selections, start, end, params.points, most_series=most, executions=executions)
        notes: list[Annotation] = []
        if params.annotations:
            notes = await history.annotations(start, end, limit=MAX_ANNOTATIONS, executions=executions)
        return HistoryView(
            time_text(chart.first_at),
            chart.first_at,
            chart.step_s,
            chart.tier_s,
            chart.buckets,
            tuple(_curve_view(c) for c in chart.curves),
            tuple(AnnotationView(time_text(n.at), n.at, n.kind, n.execution, n.text) for n in notes),
        )

    def _range(self, params: HistoryParams) -> tuple[float, float]:
        end = parse_time("end", params.end) if params.end else self._clock.wall()
        if params.start:
            start = parse_time("start", params.start)
        elif math.isfinite(params.span_s) and params.span_s > 0:
            start = max(0.0, end - params.span_s)
        else:
            raise InvalidInput(
                f"a span of {params.span_s} s makes no sense", hint="span_s is e.g. 3600", field="span_s"
            )
        if not 0 <= start < end <= MAX_AT:
            raise InvalidInput(
                f"there is no time from {params.start or 'a span before'} to {params.end or 'now'}",
                hint="start is before end",
                field="start" if params.start else "end",
            )
        return start, end

    async def series(self, params: HistorySeriesParams, executions: Container[str] | None) -> SeriesPage:
        """Answer `history.series`; arguments and errors as those of `query`."""
        check_after(params.after, params.limit, MAX_SERIES_PAGE)
        found = await self._there().series(
            metric=params.metric,
            execution=params.execution,
            after=params.after,
            limit=params.limit,
            executions=executions,
        )
        more = found[-1].number if len(found) == params.limit else None
        return SeriesPage(tuple(_series_view(i) for i in found), more)

    async def replayed(
        self,
        selection: Selection,
        start: float,
        end: float,
        step_s: float,
        most_series: int,
        executions: Container[str] | None,
    ) -> Chart:
        """Return what is on record of a selection, in steps of about `step_s`; arguments and errors as those of
        `query`, times are wall clock seconds."""
        points = math.ceil((end - start) / step_s) + 2  # the first and the last bucket may lie half outside
        return await self._there().query(
            [selection], start, end, points, most_series=most_series, executions=executions
        )

    async def around(self, selections: Sequence[Selection], start: float, end: float, step_s: float) -> Chart | None:
        """Return what is on record of series that belong to no execution, in steps of about `step_s`, for whoever can
        do without: None when there is no history, or it cannot be read now. Times are wall clock seconds."""
        if self._history is None:
            return None
        points = math.ceil((end - start) / step_s) + 2
        try:
            return await self._history.query(
                selections, start, end, points, most_series=MAX_SERIES, executions=frozenset()
            )
        except (HistoryError, LimitExceeded):
            return None

    def _there(self) -> History:
        if self._history is None:
            raise Unavailable(f"no telemetry is kept: {self._why}", hint="migmon config history")
        return self._history

    async def checks(self) -> list[daemon_api.Check]:
        """Return what the doctor says of it."""
        if self._history is None or self._writer is None:
            return [
                daemon_api.Check("history", "warning" if self._wanted else "ok", f"no telemetry is kept: {self._why}")
            ]
        condition, state, checks = self._history.condition(), self._writer.state, []
        if condition.lost:
            checks.append(
                daemon_api.Check("history", "warning", condition.lost, "look at the disk: migmon doctor, kernel log")
            )
        if condition.trouble:
            hint = "migrations are not concerned; it goes on by itself"
            checks.append(daemon_api.Check("history", "warning", condition.trouble, hint))
            return checks
        try:
            size = await self._history.size()
        except HistoryError as e:
            return [*checks, daemon_api.Check("history", "warning", e.message, e.hint)]
        dropped = f", {state.dropped:,} readings dropped since the start" if state.dropped else ""
        text = f"{size.series:,} series, {show_size(size.size_bytes)}{dropped}"
        return [*checks, daemon_api.Check("history", "ok", text)]


@contextlib.asynccontextmanager
async def opened(
    storage: StorageSpec, context: HistoryContext, config: Config, clock: Clock, log: Callable[..., None]
) -> AsyncIterator[Telemetry]:
    """Open the history of `storage`. Whatever is in the way, the daemon goes on without one."""
    section = config.settings.history
    if not section.enabled:
        yield Telemetry(clock, why="history.enabled is false", wanted=False)
        return
    if storage.open_history is None:
        yield Telemetry(clock, why=f"the storage {storage.name} has no history", wanted=False)
        return
    async with contextlib.AsyncExitStack() as stack:
        try:
            history = await stack.enter_async_context(storage.open_history(context))
        except Exception as e:  # the boundary: foreign code runs, and telemetry is not worth refusing work
            why = e.message if isinstance(e, HistoryError) else f"{type(e).__name__}: {e}"
            log("no telemetry is kept", why=why)
            telemetry = Telemetry(clock, why=why)
        else:
            condition = history.condition()
            if condition.trouble:
                log("telemetry is not recorded", why=condition.trouble)
            flush_s = config.seconds("history", "flush_every")
            writer = await stack.enter_async_context(writing(history, clock, log, flush_s=flush_s))
            telemetry = Telemetry(clock, history, writer)
        yield telemetry


def parse_time(name: str, text: str) -> float:
    """Return an RFC 3339 time with zone as wall clock seconds.

    Args:
        name: of the parameter, for the error.

    Raises:
        InvalidInput: it is none.
    """
    try:
        at = datetime.datetime.fromisoformat(text)
    except ValueError:
        at = None
    if at is None or at.tzinfo is None:
        raise InvalidInput(
            f"{name} is {text[:40]!r}, no time with a zone",
            hint="write 2026-11-26T14:00:00Z or ...+01:00",
            field=name,
        )
    try:
        return at.timestamp()
    except OverflowError as e:  # year 1 in a zone east of Greenwich
        hint = "write a time from 1970 on"
        raise InvalidInput(f"{name} is out of range: {text[:40]!r}", hint=hint, field=name) from e


def _curve_view(curve: Curve) -> CurveView:
    s = curve.series
    return CurveView(s.metric, dict(s.labels), s.unit, s.kind.value, curve.low, curve.mean, curve.high, curve.count)


def _series_view(info: SeriesInfo) -> SeriesView:
    s = info.series
    first, last = time_text(info.first_at), time_text(info.last_at)
    return SeriesView(s.metric, dict(s.labels), s.unit, s.kind.value, info.every_s, first, last)
