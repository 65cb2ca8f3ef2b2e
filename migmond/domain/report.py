"""Reports, comparisons and exports, as clients ask for them and see them."""

from __future__ import annotations

from migmond.domain.analysis import (
    CostView,
    Curve,
    DeviceFinding,
    LongTrend,
    ScoreView,
    ShareView,
    SimilarRun,
    WearView,
)
from migmond.domain.api import ExecutionView, Params, Result, TallyView
from migmond.domain.error_api import ErrorGroup
from migmond.domain.steering_api import InterventionView

MOST_COMPARED = 5
MAX_REPORT_ROWS = 1000
MAX_EXPORT_ROWS = 5000
MONTH_S = 30 * 86_400.0


class ReportSinceParams(Params, frozen=True):
    """Which executions: those that ran at some moment between `since` and `until`.

    `until`: RFC 3339 with zone, "" for now. `since`: likewise; "" is `span_s` seconds before `until`.
    `states`: only such; empty for all. `name`: only those whose name contains this text. `limit`: rows at most, the
    newest; all else in the report is of all of them. `before`: `next` of the page before, 0 for the first one; with
    `since` and `until` as that page tells them it goes on in the same time, however late it is by then.
    """

    since: str = ""
    until: str = ""
    span_s: float = MONTH_S
    states: tuple[str, ...] = ()
    name: str = ""
    limit: int = 200
    before: int = 0


class CompareParams(Params, frozen=True):
    """`ids`: 2 to 5 executions, by id, unique prefix or name; the first is what the others are compared with."""

    ids: tuple[str, ...]


class ExportParams(Params, frozen=True):
    """What to export.

    `table`: one of `executions`, `files`, `errors`, `history`, `findings`; "" with format `prometheus`.
    `format`: `csv`, `json` (one object a line) or `prometheus` (the newest metrics, in one piece).
    `execution`: id, prefix or name of the one that is meant: required for `files` and `errors`, a choice for
    `executions` and `history`, and of no use for the others.
    `since`, `until`, `span_s`: the time of `executions` and `history`, as in `report.since`; a span of null is all of
    it; of the history the last hour, or the life of the one execution.
    `points`: of each series of `history`, at most.
    `after`: `next` of the page before, 0 for the first one. `limit`: rows at most; a page may have fewer.
    """

    table: str = ""
    format: str = "json"
    execution: str = ""
    since: str = ""
    until: str = ""
    span_s: float | None = None
    points: int = 600
    after: int = 0
    limit: int = 1000


class ExportPage(Result, frozen=True):
    """`text`: whole lines; all pages together are the file. `rows`: how many are in it. `next`: what to give as `after`
    for the following page, null at the end."""

    table: str
    format: str
    text: str
    rows: int
    next: int | None


# --- one execution ---------------------------------------------------------------------------------


class SideView(Result, frozen=True):
    """One end: `disks` as the kernel names them, `identity` and `kind` as in the session's record; "" is unknown."""

    disks: tuple[str, ...]
    identity: str
    kind: str


class MeasuredView(Result, frozen=True):
    """What was measured of an execution, all its runs together.

    `wall_s`: worked on or held; of these `active_s` and `held_s`. `moved_bytes`: every attempt counted.
    `average_bytes_per_s`, `average_entries_per_s`: what is done or under way by the active time.
    `peak_bytes_per_s`: best ten seconds. `cpu_s`, `read_bytes`, `written_bytes`: of its movers, as the kernel counts.
    `promised`, `kept`: how many forecasts with a band of 80 % were made, and how many held.
    `limited`: a limit on bytes was in force for most of the time. `as_of`: of the last look.
    """

    as_of: str
    source: SideView
    target: SideView
    workers: int
    wall_s: float
    active_s: float
    held_s: float
    moved_bytes: int
    retries: int
    deaths: int
    average_bytes_per_s: float | None
    average_entries_per_s: float | None
    peak_bytes_per_s: float | None
    cpu_s: float | None
    read_bytes: int | None
    written_bytes: int | None
    peak_resident_bytes: int
    promised: int
    kept: int
    limited: bool


class SimilarView(Result, frozen=True):
    """An earlier execution that resembles the reported one, with what it did."""

    run: SimilarRun
    name: str
    state: str
    finished_at: str | None
    done: TallyView
    active_s: float
    average_bytes_per_s: float | None


class ReportView(Result, frozen=True):
    """Everything about one execution.

    `measured` and all that rests on it is null or empty when nothing was recorded, and `reason` says why.
    `time`: where the movers' time went over its whole life, largest first. `bottleneck`: what bound, null when nothing
    did or it is unknown (`time_reason`). `course`: how it went by percent done. `trends`: of executions on the same
    pair of devices up to this one. Scores, similar runs and trends rest on those executions that the caller may see.
    """

    execution: ExecutionView
    measured: MeasuredView | None
    reason: str
    score: ScoreView | None
    time: tuple[ShareView, ...]
    bottleneck: ShareView | None
    time_reason: str
    errors: tuple[ErrorGroup, ...]
    interventions: tuple[InterventionView, ...]
    cost: CostView | None
    similar: tuple[SimilarView, ...]
    trends: tuple[LongTrend, ...]
    course: Curve | None
    as_of: str


# --- all executions of a time ----------------------------------------------------------------------


class ReportRow(Result, frozen=True):
    """One execution of a period. What was not measured is null; `bottleneck` is "" when nothing bound or it is
    unknown; `source` and `target` are disks, "" unknown."""

    id: str
    name: str
    state: str
    operation: str
    started_at: str | None
    finished_at: str | None
    source: str
    target: str
    done: TallyView
    failed: int
    active_s: float
    average_bytes_per_s: float | None
    peak_bytes_per_s: float | None
    score: float | None
    speed: float | None
    resources: float | None
    success: float | None
    bottleneck: str
    energy_j: float | None
    money: float | None


class SumsView(Result, frozen=True):
    """Sums of whole executions. `measured`: how many of them have a record; what the journal does not know by itself is
    of these: `moved_bytes`, `wall_s`, `held_s`, `retries`, `deaths`, `cpu_s`. The last is null when of none."""

    executions: int
    measured: int
    done: TallyView
    failed: TallyView
    skipped: TallyView
    moved_bytes: int
    wall_s: float
    active_s: float
    held_s: float
    retries: int
    deaths: int
    cpu_s: float | None


class CostSums(Result, frozen=True):
    """Sums of what is known. `energy_j` of `energy_of` executions, null of none; `amount` in `currency` of `money_of`
    executions, null when no price is configured. `missing`: what is not in it, and what to configure."""

    energy_j: float | None
    energy_of: int
    amount: float | None
    money_of: int
    currency: str
    prices_as_of: str
    parts: dict[str, float]
    wear: tuple[WearView, ...]
    missing: tuple[str, ...]


class PeriodReport(Result, frozen=True):
    """All executions that ran in a time.

    `states`: how many there are of each. `executions`: a page of them, newest first. `next`: pass it as `before` for
    the following page; null at the end. `left`: how many follow on further pages. `mean_score`: of those that have one,
    weighted alike. `trends`: scores, and rates of each pair of devices with runs enough. `disks`: disks that became
    slower over these runs, and what the newest SMART values say.
    """

    since: str
    until: str
    states: dict[str, int]
    sums: SumsView
    mean_score: float | None
    executions: tuple[ReportRow, ...]
    trends: tuple[LongTrend, ...]
    disks: tuple[DeviceFinding, ...]
    cost: CostSums
    as_of: str
    next: int | None = None
    left: int = 0
