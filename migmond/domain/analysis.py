"""What is found out about executions and devices, as clients see it.

Sizes are bytes, durations seconds, times RFC 3339 text with zone, shares 0 to 1 unless a name says percent. Unknown is
null, and a `reason` says why where people would ask.
"""

from __future__ import annotations

from migmond.domain.api import ExecutionView, Params, Result
from migmond.domain.steering_api import InterventionView

# --- rates -----------------------------------------------------------------------------------------


class RateView(Result, frozen=True):
    """Mean over the last `seconds` of active time."""

    seconds: float
    bytes_per_s: float
    entries_per_s: float


class PeakView(Result, frozen=True):
    start: str
    end: str
    bytes_per_s: float


class TrendView(Result, frozen=True):
    """`direction`: `rising`, `falling`, `steady` or `unknown` (then `reason` says why).

    `percent_per_hour`: of the median rate. `p`: probability of a trend as clear as this one if there were none.
    `points`: how many means it rests on.
    """

    direction: str
    percent_per_hour: float | None
    p: float | None
    points: int
    reason: str


class RatesView(Result, frozen=True):
    """`windows`: means over a minute, 5, 15 and an hour, as far as it has run. `peak`: the best ten seconds.
    `peak_periods`: when it went clearly faster than on average. Holds are in none of them."""

    current: RateView | None
    windows: tuple[RateView, ...]
    average: RateView | None
    peak: PeakView | None
    peak_periods: tuple[PeakView, ...]
    trend: TrendView
    active_s: float


class KeyRateView(Result, frozen=True):
    """Rates of one type of files or size class. `share`: of all bytes moved so far, null before there were any."""

    key: str
    current: RateView | None
    average: RateView | None
    share: float | None


# --- where the time goes ---------------------------------------------------------------------------


class ShareView(Result, frozen=True):
    """`cause`: one of `migmond.analytics.shares.Cause`. `share`: of the movers' time. `evidence`: what else shows it,
    "" when nothing does."""

    cause: str
    title: str
    share: float
    evidence: str


class SuggestionView(Result, frozen=True):
    """Something to change. `command`: for `migmon`, with ID for the execution. `gain_low`, `gain_high`: expected rise
    of the rate, as a share. `because`: the figures it rests on."""

    kind: str
    text: str
    command: str
    gain_low: float
    gain_high: float
    because: str


class TimeView(Result, frozen=True):
    """Where the movers' time went over the last `seconds`. `shares` sum to 1, largest first. `bottleneck`: the one
    that binds, null when it is none or unknown (`reason`). `why`: one sentence on why it is not faster."""

    seconds: float
    shares: tuple[ShareView, ...]
    bottleneck: ShareView | None
    reason: str
    why: str
    suggestions: tuple[SuggestionView, ...]


class IssueView(Result, frozen=True):
    """Something that is not as it should be while an execution runs. `severity`: `note` or `warning`.

    `value` and `threshold` in `unit`; `evidence`: the figures it rests on.
    """

    kind: str
    severity: str
    title: str
    value: float
    threshold: float
    unit: str
    evidence: str


class PerformanceView(Result, frozen=True):
    """How an execution performs: its rates, by type and size class, where the time goes, and what is wrong."""

    rates: RatesView
    by_type: tuple[KeyRateView, ...]
    by_size: tuple[KeyRateView, ...]
    time: TimeView
    issues: tuple[IssueView, ...]


class ResourcesView(Result, frozen=True):
    """What an execution's movers have taken so far, all runs of it: null is what the kernel does not show.

    `resident_bytes`: at most, of all together. `read_bytes`, `written_bytes`: from and to disks.
    """

    cpu_s: float | None
    resident_bytes: int
    read_bytes: int | None
    written_bytes: int | None
    movers: int
    deaths: int


class SideView(Result, frozen=True):
    """One end of an execution: the physical disks below it, what they are, and their class."""

    disks: tuple[str, ...]
    identity: str
    kind: str


class SpeedChangeView(Result, frozen=True):
    """After `active_s` seconds of work it became `factor` times as fast, for longer than chance explains, and nobody
    had asked for it."""

    active_s: float
    factor: float


class SessionView(Result, frozen=True):
    """The monitoring of one execution: live while it runs (`performance`), else what was kept of it.

    `wall_s`, `active_s`, `held_s`: seconds in which somebody worked on it or it was held. `file_s`, `byte_s`: what each
    file and byte that is left costs now: the forecast is their sum. `bands_told`, `bands_held`: of the forecasts' bands
    of 80 % that have come to their test.
    """

    execution: ExecutionView
    live: bool
    updated_at: str | None
    wall_s: float
    active_s: float
    held_s: float
    source: SideView
    target: SideView
    resources: ResourcesView
    performance: PerformanceView | None
    peak_bytes_per_s: float | None
    file_s: float | None
    byte_s: float | None
    speed_changes: tuple[SpeedChangeView, ...]
    bands_told: int
    bands_held: int
    interventions: tuple[InterventionView, ...]


class WhyParams(Params, frozen=True):
    """`path`: below the source, of one entry; "" asks why the whole is not faster."""

    id: str
    path: str = ""


class WhyView(Result, frozen=True):
    """`kind`: see `TaskWhy`; `execution` for the whole. `time`: where its time goes, null when nothing works on it."""

    kind: str
    sentence: str
    time: TimeView | None = None


class TaskWhy(Result, frozen=True):
    """`kind`: `done`, `skipped`, `failed`, `cancelled`, `copied`, `held`, `in_hand`, `limited`, `follows` or
    `waiting`."""

    kind: str
    sentence: str


# --- the score -------------------------------------------------------------------------------------


class LostTime(Result, frozen=True):
    """One step of the waterfall: `seconds` of wall time that went to `title`."""

    kind: str
    title: str
    seconds: float


class ScoreView(Result, frozen=True):
    """How well an execution used its time: see `migmond.analytics.score` for the formula. Scores are 0 to 100.

    `waterfall` begins with what was needed and sums to `wall_s`. `attainable`: where the best figures come from.
    """

    score: float | None
    speed: float | None
    resources: float | None
    success: float | None
    cpu_s_per_gb: float | None
    ideal_s: float | None
    active_s: float
    wall_s: float
    attainable: str
    waterfall: tuple[LostTime, ...]
    reason: str


# --- comparison ------------------------------------------------------------------------------------


class SimilarRun(Result, frozen=True):
    """`similarity`: 0 to 1, the product of the three. `mix`: of the size classes; `devices`: of source and target;
    `amount`: of the bytes."""

    id: str
    similarity: float
    mix: float
    devices: float
    amount: float


class CurvePoint(Result, frozen=True):
    """`percent` of the work was done after `active_s`; it went at `bytes_per_s` since the point before."""

    percent: float
    active_s: float
    bytes_per_s: float | None


class Curve(Result, frozen=True):
    id: str
    points: tuple[CurvePoint, ...]


class Difference(Result, frozen=True):
    """One row of the table. `values`: one for each execution, null where unknown. `changes`: as shares of the first
    one's, null for it and where they cannot be told. `verdicts`: `better`, `worse`, `same` or "" for each. `so_far`:
    whether the execution has not ended and its value tells of a whole one: it goes on, and has no change and no
    verdict, nor has any beside a first one of that kind."""

    name: str
    unit: str
    values: tuple[float | None, ...]
    changes: tuple[float | None, ...]
    verdicts: tuple[str, ...]
    so_far: tuple[bool, ...] = ()


class ComparisonView(Result, frozen=True):
    """`names`: of the executions, in the order of `ids`."""

    ids: tuple[str, ...]
    curves: tuple[Curve, ...]
    differences: tuple[Difference, ...]
    names: tuple[str, ...] = ()


# --- over months -----------------------------------------------------------------------------------


class LongTrend(Result, frozen=True):
    """How a figure of executions develops. `direction`: `better`, `worse`, `steady` or `unknown`.

    `percent_per_30_days`: of its median; `p` as in `TrendView`; `runs`: how many it rests on.
    """

    name: str
    direction: str
    percent_per_30_days: float | None
    p: float | None
    runs: int
    since: str | None
    reason: str


class DeviceFinding(Result, frozen=True):
    """Something about a disk. `severity`: `warning`, `critical` or `note`.

    `value` and `threshold` in `unit`; `since`: of the first reading that shows it; `evidence`: the figures;
    `action`: what to do, most important first. `annual_failure_rate`: share of such disks that failed within a year,
    null when nobody has published it; above 1 means several failures per disk and year of service.
    """

    device: str
    kind: str
    severity: str
    title: str
    value: float
    threshold: float
    unit: str
    since: str
    evidence: str
    action: str
    annual_failure_rate: float | None = None


# --- cost ------------------------------------------------------------------------------------------


class EnergyView(Result, frozen=True):
    """`joules` more than the machine would have used anyway. `method`: `measured` (RAPL), `modelled` (watts of the
    devices from configuration) or `unknown` (`reason`)."""

    joules: float | None
    method: str
    reason: str


class WearView(Result, frozen=True):
    """What an execution took of a disk's rated endurance. `share`: null when configuration has no rating."""

    device: str
    host_bytes: int
    media_bytes: float | None
    share: float | None
    reason: str


class MoneyView(Result, frozen=True):
    """`amount` in `currency`, by prices as of `prices_as_of`; `parts`: what it is made of."""

    amount: float
    currency: str
    prices_as_of: str
    parts: dict[str, float]


class CostView(Result, frozen=True):
    """`missing`: what is not in it, and what to configure."""

    wall_s: float
    active_s: float
    cpu_s: float | None
    energy: EnergyView
    wear: tuple[WearView, ...]
    money: MoneyView | None
    missing: tuple[str, ...]
