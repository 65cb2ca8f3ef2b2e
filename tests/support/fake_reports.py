"""A report of each kind, with something of everything in it."""

from __future__ import annotations

from fake_views import AT, ended
from migmond.domain import api
from migmond.domain.analysis import (
    ComparisonView,
    CostView,
    Curve,
    CurvePoint,
    DeviceFinding,
    Difference,
    EnergyView,
    LongTrend,
    LostTime,
    MoneyView,
    ScoreView,
    ShareView,
    SimilarRun,
    WearView,
)
from migmond.domain.error_api import ErrorGroup
from migmond.domain.report import (
    CostSums,
    ExportPage,
    MeasuredView,
    PeriodReport,
    ReportRow,
    ReportView,
    SideView,
    SimilarView,
    SumsView,
)
from migmond.domain.steering_api import InterventionView

GIB = 1 << 30
MEASURED = MeasuredView(
    as_of=AT, source=SideView(("sda",), "WDC_1", "hdd"), target=SideView((), "", ""), workers=2, wall_s=130.0,
    active_s=120.0, held_s=10.0, moved_bytes=11 * GIB, retries=3, deaths=0, average_bytes_per_s=10 * GIB / 120,
    average_entries_per_s=8.3, peak_bytes_per_s=120 * 2.0**20, cpu_s=21.0, read_bytes=None, written_bytes=None,
    peak_resident_bytes=50 << 20, promised=10, kept=8, limited=False,
)  # fmt: skip
SCORE = ScoreView(
    score=63.4, speed=71.0, resources=96.0, success=93.0, cpu_s_per_gb=2.0, ideal_s=85.0, active_s=120.0, wall_s=130.0,
    attainable="best decile of 5 earlier runs on these devices",
    waterfall=(LostTime("needed", "needed", 85.0), LostTime("waiting", "movers without work", 35.0),
               LostTime("held", "held", 10.0)),
    reason="",
)  # fmt: skip
COST = CostView(
    130.0, 120.0, 21.0, EnergyView(105.0, "modelled", "from configured watts of processor"),
    (WearView("sdb", 10 * GIB, None, 0.0005, "host bytes"),),
    MoneyView(1.234, "EUR", "2026-01-01", {"transfer": 1.234}),
    ("money: no price per kWh is configured",),
)  # fmt: skip
COURSE = Curve("8f3a1c", tuple(CurvePoint(10.0 * i, 12.0 * i, None if i in (0, 5) else i * 2.0**20) for i in range(11)))
TREND = LongTrend("average rate sda → sdb", "worse", -12.5, 0.012, 7, AT, "")
UNKNOWN = LongTrend("score", "unknown", None, None, 2, AT, "2 executions; 5 are needed")
REPORT = ReportView(
    execution=ended(),
    measured=MEASURED,
    reason="",
    score=SCORE,
    time=(ShareView("source_read", "source read", 0.7, ""), ShareView("hash", "hash", 0.297, ""),
          ShareView("sync", "sync", 0.003, "")),
    bottleneck=ShareView("source_read", "source read", 0.7, ""),
    time_reason="",
    errors=(ErrorGroup("copy", "EIO", 5, "input/output error", 12, AT, AT, ("a/b",), "replace the disk"),),
    interventions=(InterventionView("i-1", "8f3a1c", "pause", "ana", AT, "lunch", "running", "paused", ""),),
    cost=COST,
    similar=(SimilarView(SimilarRun("4d2e" * 3, 0.81, 0.9, 1.0, 0.9), "earlier", "completed", AT,
                         api.TallyView(900, 9 * GIB), 100.0, 9 * GIB / 100),),
    trends=(TREND, UNKNOWN),
    course=COURSE,
    as_of=AT,
)  # fmt: skip
BARE = ReportView(
    execution=ended(), measured=None, reason="nothing was recorded of how it went", score=None, time=(),
    bottleneck=None, time_reason="not measured", errors=(), interventions=(), cost=None, similar=(), trends=(),
    course=None, as_of=AT,
)  # fmt: skip
FINDING = DeviceFinding(
    "sda",
    "smart_197",
    "critical",
    "12 Current_Pending_Sector",
    12.0,
    1.0,
    "",
    AT,
    "attribute 197: 12",
    "replace the disk",
)
PERIOD = PeriodReport(
    since=AT,
    until=AT,
    states={"completed": 1, "failed": 1},
    sums=SumsView(2, 1, api.TallyView(1000, 10 * GIB), api.TallyView(3, 5), api.TallyView(0, 0), 11 * GIB, 130.0, 120.0,
                  10.0, 3, 0, 21.0),
    mean_score=63.4,
    executions=(
        ReportRow("8f3a1c" * 2, "media", "completed", "copy", AT, AT, "sda", "sdb", api.TallyView(1000, 10 * GIB), 0,
                  120.0, 10 * GIB / 120, None, 63.4, 71.0, 96.0, 93.0, "source read", 105.0, 1.2),
    ),
    trends=(TREND, UNKNOWN),
    disks=(FINDING,),
    cost=CostSums(105.0, 1, 1.234, 1, "EUR", "2026-01-01", {"transfer": 1.234}, COST.wear, ("executions without",)),
    as_of=AT,
    next=7,
    left=1,
)  # fmt: skip
_NONE = api.TallyView(0, 0)
NOTHING = PeriodReport(
    AT, AT, {}, SumsView(0, 0, _NONE, _NONE, _NONE, 0, 0.0, 0.0, 0.0, 0, 0, None),
    None, (), (UNKNOWN,), (), CostSums(None, 0, None, 0, "", "", {}, (), ()), AT,
)  # fmt: skip
COMPARISON = ComparisonView(
    ("8f3a1c" * 2, "4d2e" * 3),
    (COURSE, Curve("4d2e" * 3, ())),
    (
        Difference("active_s", "seconds", (120.0, 90.0), (None, -0.25), ("", "better")),
        Difference("bytes", "bytes", (10.0 * GIB, None), (None, None), ("", "")),
        Difference("entries", "", (1000.0, 250.0), (None, None), ("", ""), (False, True)),
        Difference("energy_j", "joules", (105.0, 7200.0), (None, 67.571), ("", "worse")),
    ),
    ("media", "earlier"),
)
EXPORT = ExportPage("executions", "json", '{"id":"8f3a1c"}\n', 1, None)
