"""Tables by pages, as CSV or JSON lines, and the newest metrics as Prometheus reads them."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Container, Iterable, Iterator, Sequence

from migmond.analytics.export import csv_lines, json_lines
from migmond.analytics.exposition import Family, Series, check, exposition
from migmond.analytics.period import Judged
from migmond.analytics.run_metrics import MOST_ENDED, collector_families, execution_families
from migmond.analytics.runs import Past, active_s, average, side_text
from migmond.analytics.schemas import Row, Table, table, tables
from migmond.breath import Breath
from migmond.daemon.failures import error_groups
from migmond.daemon.file_pager import FilePager
from migmond.daemon.history import Telemetry
from migmond.daemon.pages import check_after
from migmond.daemon.reports import Reports, Sees, ran_in, span
from migmond.domain import api
from migmond.domain.analysis import DeviceFinding
from migmond.domain.error_api import ErrorGroup
from migmond.domain.errors import InvalidInput, LimitExceeded
from migmond.domain.execution import Execution
from migmond.domain.history import MAX_POINTS, HistoryParams, HistorySeriesParams, SeriesSelector, SeriesView
from migmond.domain.names import from_text
from migmond.domain.report import MAX_EXPORT_ROWS, ExportPage, ExportParams
from migmond.domain.samples import MetricList, SampleView
from migmond.engine.manager import Engine
from migmond.engine.settings import Surroundings

FORMATS = ("csv", "json", "prometheus")
MAX_PAGE_BYTES = 4 << 20
"""Of text in a page: a page of the longest paths would fill a frame."""
MAX_METRICS_BYTES = 8 << 20
"""Of the metrics, which come in one piece."""
_HISTORY_S = 3600.0
_AFTER_S = 60.0
"""So long after the end of an execution its history is of interest: what is written is on its way to the disks."""

Numbered = tuple[int, Row]
"""A row with what is `after` for those behind it."""


class Exports:
    """Makes pages; keeps nothing: what changes between two pages may be in both or in none."""

    def __init__(
        self,
        engine: Engine,
        surroundings: Surroundings,
        reports: Reports,
        metrics: Callable[[], MetricList],
        samples: Callable[[], tuple[SampleView, ...]],
        telemetry: Telemetry,
    ) -> None:
        self._engine = engine
        self._journal, self._clock = surroundings.journal, surroundings.clock
        self._reports = reports
        self._metrics, self._samples = metrics, samples
        self._telemetry = telemetry

    async def page(
        self, params: ExportParams, execution: Execution | None, sees: Sees, ids: Container[str] | None
    ) -> ExportPage:
        """Answer `report.export`.

        Args:
            execution: the one that is named, None for all.
            sees: whether the caller may see an execution.
            ids: of those that the caller may see, None for all, also such as are gone.

        Raises:
            InvalidInput: there is no such table or format, or it needs an execution.
            Unavailable, HistoryError: there is no history, or it cannot be read.
        """
        if params.format not in FORMATS:
            hint = f"formats are {', '.join(FORMATS)}"
            raise InvalidInput(f"there is no format {params.format[:40]!r}", hint=hint, field="format")
        if params.format == "prometheus":
            return await self._prometheus(params, sees)
        chosen = table(params.table)
        if chosen is None:
            names = ", ".join(t.name for t in tables())
            raise InvalidInput(f"there is no table {params.table[:40]!r}", hint=f"tables are {names}", field="table")
        check_after(params.after, params.limit, MAX_EXPORT_ROWS)
        rows, following = await self._rows(chosen.name, params, execution, sees, ids)
        return await self._written(params, chosen, rows, following)

    async def _rows(
        self, name: str, params: ExportParams, execution: Execution | None, sees: Sees, ids: Container[str] | None
    ) -> tuple[Sequence[Numbered], int | None]:
        if name == "executions":
            return await self._executions(params, execution, sees)
        if name == "history":
            return await self._history(params, execution, ids)
        if name == "findings":
            return _paged([_finding_row(f) for f in await self._reports.disks(sees)], params)
        if execution is None:
            hint = f"migmon export --table {name} ID"
            raise InvalidInput(f"{name} are of one execution", hint=hint, field="execution")
        if name == "errors":
            groups = await error_groups(self._journal, execution)
            return _paged([_error_row(execution.id, g) for g in groups], params)
        return await self._files(params, execution)

    async def _executions(
        self, params: ExportParams, execution: Execution | None, sees: Sees
    ) -> tuple[Sequence[Numbered], int | None]:
        since, until = span(params.since, params.until, params.span_s, self._clock.wall())
        pasts, paces = await self._reports.pasts(sees)
        wanted = [
            p
            for p in reversed(pasts)
            if p.execution.key > params.after
            and ran_in(p.execution, since, until)
            and (execution is None or p.execution.key == execution.key)
        ]
        page = await self._reports.judged(wanted[: params.limit], paces)
        rows = [(j.past.execution.key, _execution_row(j)) for j in page]
        return rows, rows[-1][0] if len(wanted) > len(rows) else None

    async def _files(self, params: ExportParams, execution: Execution) -> tuple[Sequence[Numbered], int | None]:
        run = self._engine.run_of(execution.id)
        running = run.running_tasks() if run is not None else set[int]()
        pager = FilePager(self._journal, self._clock, execution, running)
        page = await pager.page(api.FilesParams(execution.id, after=params.after, limit=params.limit))
        return [(t.number, _file_row(execution.id, t)) for t in page.tasks], page.next

    async def _history(
        self, params: ExportParams, execution: Execution | None, ids: Container[str] | None
    ) -> tuple[Sequence[Numbered], int | None]:
        """So many series that their points fit the page, at least one."""
        if not 2 <= params.points <= MAX_POINTS:
            raise InvalidInput(f"{params.points} points", hint=f"points is 2 to {MAX_POINTS}", field="points")
        start, end = self._time(params, execution)
        of = execution.id if execution is not None else ""
        most = max(1, params.limit // params.points)
        page = await self._telemetry.series(HistorySeriesParams(execution=of, after=params.after, limit=most), ids)
        rows: list[Numbered] = []
        for series in page.series:
            rows += [(params.after, row) for row in await self._points(series, start, end, params.points, ids)]
        return rows, page.next

    def _time(self, params: ExportParams, execution: Execution | None) -> tuple[float, float]:
        """Without any time given: the life of the execution, or the last hour."""
        span_s = _HISTORY_S if params.span_s is None else params.span_s
        start, end = span(params.since, params.until, span_s, self._clock.wall())
        if execution is not None and params.span_s is None and not (params.since or params.until):
            ended = end if execution.finished_at is None else min(end, execution.finished_at + _AFTER_S)
            return min(execution.created_at, ended - 1), ended
        return start, end

    async def _points(
        self, series: SeriesView, start: float, end: float, points: int, ids: Container[str] | None
    ) -> list[Row]:
        first, last = (datetime.datetime.fromtimestamp(at, datetime.UTC).isoformat() for at in (start, end))
        select = (SeriesSelector(series.metric, series.labels),)
        asked = HistoryParams(select, start=first, end=last, points=points)
        view = await self._telemetry.query(asked, ids)
        labels = ",".join(f"{name}={value}" for name, value in sorted(series.labels.items()))
        return [
            (view.first_s + i * view.step_s, view.step_s, series.metric, labels, low, mean, high)
            for curve in view.series
            if curve.labels == series.labels
            for i, (low, mean, high) in enumerate(zip(curve.low, curve.mean, curve.high, strict=True))
        ]

    async def _written(
        self, params: ExportParams, chosen: Table, rows: Sequence[Numbered], following: int | None
    ) -> ExportPage:
        """A page is cut where it has enough text, but not between rows that have the same number."""
        encode = csv_lines if params.format == "csv" else json_lines
        breath = Breath(self._clock.monotonic)
        lines = list(csv_lines(chosen, ())) if params.format == "csv" and params.after == 0 else []
        size, count, last = 0, 0, params.after
        for number, row in rows:
            await breath.take()
            if size > MAX_PAGE_BYTES and number != last:
                following = last
                break
            line = list(encode(chosen, [row]))[-1]
            lines.append(line)
            size, count, last = size + len(line), count + 1, number
        return ExportPage(chosen.name, params.format, b"".join(lines).decode(), count, following)

    async def _prometheus(self, params: ExportParams, sees: Sees) -> ExportPage:
        if params.table or params.execution:
            field = "table" if params.table else "execution"
            raise InvalidInput("prometheus is of all newest metrics", hint="leave table and execution out", field=field)
        pasts, paces = await self._reports.pasts(sees)
        runs = await self._reports.judged(_told(pasts), paces)
        known = [*collector_families(self._metrics().metrics, self._samples()), *execution_families(runs)]
        pieces, size = [], 0
        breath = Breath(self._clock.monotonic)
        for line in exposition(_sound(known)):
            await breath.take()
            pieces.append(line)
            size += len(line)
            if size > MAX_METRICS_BYTES:
                raise LimitExceeded(
                    "there are too many series for one answer", hint="migmon metrics shows them by pages"
                )
        return ExportPage("", params.format, "".join(pieces), len(pieces), None)


def _told(pasts: Sequence[Past]) -> list[Past]:
    """All that have not ended, and the newest of those that have."""
    live = [p for p in pasts if p.execution.finished_at is None]
    ended = [p for p in pasts if p.execution.finished_at is not None]
    return live + ended[:MOST_ENDED]


def _sound(families: Iterable[tuple[Family, list[Series]]]) -> Iterator[tuple[Family, list[Series]]]:
    """Leave out what breaks Prometheus' conventions, and what took the name of another: a plugin may do either, and its
    metrics must not keep away all others."""
    seen: set[str] = set()
    for family, series in families:
        try:
            check(family)
        except InvalidInput:
            continue
        if family.name not in seen:
            seen.add(family.name)
            yield family, series


def _paged(rows: list[Row], params: ExportParams) -> tuple[Sequence[Numbered], int | None]:
    numbered = list(enumerate(rows, 1))[params.after : params.after + params.limit]
    end = params.after + len(numbered)
    return numbered, end if end < len(rows) else None


def _execution_row(judged: Judged) -> Row:
    execution, record, score, cost = judged.past.execution, judged.past.record, judged.score, judged.cost
    plan, totals = execution.plan, execution.totals
    return (
        execution.id,
        execution.name,
        execution.state.value,
        plan.operation.value,
        plan.sources[0].path,
        plan.destination,
        side_text(record.source) if record else None,
        side_text(record.target) if record else None,
        execution.created_at,
        execution.started_at,
        execution.finished_at,
        active_s(judged.past),
        totals.planned.entries,
        totals.planned.bytes,
        totals.done.entries,
        totals.done.bytes,
        totals.failed.entries,
        totals.skipped.entries,
        average(judged.past),
        record.peak_bytes_per_s if record else None,
        score.score if score else None,
        score.speed if score else None,
        score.resources if score else None,
        score.success if score else None,
        judged.bottleneck or None,
        cost.energy.joules if cost else None,
        cost.energy.method if cost else None,
    )


def _file_row(execution: str, task: api.TaskView) -> Row:
    target = None if task.target_path is None else from_text(task.target_path)
    return (
        execution, task.number, from_text(task.path), task.type, task.size, task.state, task.outcome, task.attempts,
        task.fault, task.digest, target,
    )  # fmt: skip


def _error_row(execution: str, group: ErrorGroup) -> Row:
    first, last = (datetime.datetime.fromisoformat(at).timestamp() for at in (group.first_at, group.last_at))
    example = from_text(group.examples[0]) if group.examples else None
    return execution, group.phase, group.kind, group.message, group.count, first, last, example


def _finding_row(finding: DeviceFinding) -> Row:
    since = datetime.datetime.fromisoformat(finding.since).timestamp()
    return (
        finding.device, finding.kind, finding.severity, finding.title, finding.value, finding.threshold, finding.unit,
        since, finding.evidence, finding.action,
    )  # fmt: skip
