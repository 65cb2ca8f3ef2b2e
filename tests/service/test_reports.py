"""Reports, comparisons and exports from a daemon with a past: figures, rights, pages, hostile names, and no past."""

from __future__ import annotations

import csv
import io
import json
import os
import signal
import time
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import msgspec
import pytest
import trio

from as_user import as_user
from daemon import EmbeddedDaemon
from migmond.analytics.schemas import table, tables
from migmond.client.errors import RemoteError
from migmond.client.exports import pages, parquet_of
from migmond.client.sync import Client
from migmond.daemon.exports import MAX_PAGE_BYTES
from migmond.domain.analysis import ComparisonView
from migmond.domain.api import (
    ExecutionParams,
    Params,
)
from migmond.domain.changes import (
    PutExecution,
    Record,
)
from migmond.domain.names import from_text
from migmond.domain.report import (
    MAX_EXPORT_ROWS,
    CompareParams,
    ExportPage,
    ExportParams,
    PeriodReport,
    ReportSinceParams,
    ReportView,
)
from migmond.domain.states import Outcome, TaskState
from migmond.domain.task import TaskResult
from migmond.domain.telemetry import Batch, MetricKind, Reading, series_of
from migmond.plugin_api.conformance import entry, listing, root
from migmond_sqlite import open_history
from past_runs import DAY_S, GB, HOSTILE, T0, ended, files_of, fill, past
from several_users import ANA, BEN, GUEST, OPERATORS, ROLES, VIEWERS, SystemDaemon, gid, passable

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root: a daemon that serves several users")

ALL = ReportSinceParams("2026-09-01T00:00:00Z", "2027-01-01T00:00:00Z")
PRICES = """
[prices]
currency = "EUR"
as_of = "2026-01-01"
per_kwh = 0.30
per_gb = 0.01
watts_per_core = 5
[disks.Samsung_990_2]
rated_writes = "1000TB"
write_amplification = 2.0
price = 100
"""


def seed() -> list[Any]:
    """Ana's runs 1 to 8, each 10 % slower than the one before; ben's 9 to 11; 12 is ana's and has no record."""
    anas = [c for k in range(1, 8) for c in past(k, ANA, slower=1.1 ** (k - 1))]
    anas += past(8, ANA, slower=1.1**7, name=HOSTILE)
    bens = [c for k in (9, 10, 11) for c in past(k, BEN, name=f"bens-{k}")]
    return [*anas, *files_of(8), *bens, PutExecution(ended(12, ANA, name="unmeasured"))]


async def seed_history(directory: Path) -> None:
    """The last minutes: what is older is kept coarser, and not for ever."""
    own, other = (
        series_of("migmond_execution_bytes", {"execution": f"{k:012x}"}, MetricKind.GAUGE, "bytes") for k in (8, 9)
    )
    start = time.time() - 200
    batches = [Batch(start + t, 2.0, (Reading(own, 1.0 * t), Reading(other, 7.0))) for t in range(0, 100, 2)]
    async with open_history(directory) as history:
        await history.append(batches)


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SystemDaemon]:
    base = passable(tmp_path_factory.mktemp("reports"))
    made = SystemDaemon(base / "daemon", ROLES + PRICES)
    trio.run(fill, base / "daemon" / "state", *seed())
    trio.run(seed_history, base / "daemon" / "state")
    with made:
        yield made


def ask(daemon: EmbeddedDaemon, uid: int, method: str, params: Params, result: type[Any]) -> Any:
    """The result as that user gets it, or the kind of the error as text."""

    def call() -> bytes:
        try:
            with Client(daemon.socket) as client:
                return msgspec.msgpack.encode(client.call(method, params, result))
        except RemoteError as e:
            return msgspec.msgpack.encode(e.kind)

    groups = {ANA: OPERATORS, BEN: OPERATORS, GUEST: VIEWERS}
    raw = as_user(call, uid=uid, gid=uid, groups=(gid(groups[uid]),)) if uid else call()
    found = msgspec.msgpack.decode(raw)
    return found if isinstance(found, str) else msgspec.convert(found, result)


def report(daemon: EmbeddedDaemon, uid: int, name: str) -> Any:
    return ask(daemon, uid, "execution.report", ExecutionParams(name), ReportView)


def everything(daemon: EmbeddedDaemon, params: ExportParams) -> str:
    with Client(daemon.socket) as client:
        return "".join(page.text for page in pages(client, params))


def test_a_report_has_the_figures_of_its_record(daemon: SystemDaemon) -> None:
    view = report(daemon, ANA, f"{8:012x}")
    measured, slower = view.measured, 1.1**7
    assert measured.active_s == pytest.approx(100 * slower)
    assert measured.average_bytes_per_s == pytest.approx(10 * GB / (100 * slower))
    assert measured.peak_bytes_per_s == pytest.approx(1.5e8 / slower)
    assert (measured.source.disks, measured.target.identity, measured.kept) == (("sda",), "Samsung_990_2", 8)
    # 120 of 200 thread-seconds were reading; for 10 of those that a thread waited, things were made durable.
    assert (view.bottleneck.cause, view.time[0].share) == ("source_read", pytest.approx(120 / 200))
    assert sum(s.share for s in view.time) == pytest.approx(1)
    # Of seven earlier runs the best decile lies between the two fastest: 100 and 110 s, 0.6 of the way.
    ideal = 990 * 0.001 * 1.06 + 9.9e-9 * 1.06 * 10 * GB
    assert view.score.speed == pytest.approx(100 * ideal / (100 * slower))
    assert view.score.score == pytest.approx(view.score.speed * (990 / 996))
    assert sum(step.seconds for step in view.score.waterfall) == pytest.approx(measured.wall_s)
    assert [(g.kind, g.count) for g in view.errors] == [("EIO", 1)]
    assert [(i.author, i.reason) for i in view.interventions] == [("ana", HOSTILE)]
    assert view.similar[0].run.similarity == pytest.approx(1)
    assert {s.name for s in view.similar} <= {f"run-{k}" for k in range(1, 8)}
    rate, score = view.trends
    assert (rate.direction, rate.runs, rate.name) == ("worse", 8, "average rate sda → nvme0n1")
    assert score.direction == "worse"
    assert (view.course.points[-1].percent, len(view.course.points)) == (100, 101)


def test_cost_is_by_the_configured_prices_and_says_what_is_missing(daemon: SystemDaemon) -> None:
    cost = report(daemon, ANA, f"{8:012x}").cost
    assert (cost.energy.joules, cost.energy.method) == (pytest.approx(20 * 5), "modelled")
    assert "sda" in cost.energy.reason
    (wear,) = cost.wear
    assert (wear.device, wear.share) == ("nvme0n1", pytest.approx(10 * GB * 2 / 1e15))
    assert cost.money.parts == {
        "energy": pytest.approx(100 / 3.6e6 * 0.3),
        "transfer": pytest.approx(0.1),
        "wear of nvme0n1": pytest.approx(20 * GB / 1e15 * 100),
    }
    assert (cost.money.currency, cost.money.prices_as_of) == ("EUR", "2026-01-01")


def test_what_was_not_recorded_is_unknown_with_the_reason(daemon: SystemDaemon) -> None:
    view = report(daemon, ANA, "unmeasured")
    assert (view.measured, view.score, view.cost, view.course, view.time) == (None, None, None, None, ())
    assert view.reason == "nothing was recorded of how it went"
    assert view.execution.progress.done.entries == 990
    row = ask(daemon, ANA, "report.since", ALL, PeriodReport).executions[0]
    assert (row.name, row.average_bytes_per_s, row.score) == ("unmeasured", 10 * GB / 100, None)


def test_operators_see_their_own_and_nothing_rests_on_what_others_did(daemon: SystemDaemon) -> None:
    assert report(daemon, BEN, f"{8:012x}") == "not_found"
    bens = report(daemon, BEN, f"{11:012x}")
    # Only two earlier runs of his own: too few, though there are ten on these disks.
    assert bens.score.score is None
    assert "2 earlier runs" in bens.score.reason
    assert {s.name for s in bens.similar} == {"bens-9", "bens-10"}
    assert report(daemon, GUEST, f"{11:012x}").score.score is not None
    for uid, number in ((ANA, 9), (BEN, 3), (GUEST, 12), (0, 12)):
        found = ask(daemon, uid, "report.since", ALL, PeriodReport)
        assert (found.sums.executions, len(found.executions)) == (number, number)
    assert (
        ask(daemon, BEN, "execution.compare", CompareParams((f"{8:012x}", f"{9:012x}")), ComparisonView) == "not_found"
    )
    for format_, name in (("json", "executions"), ("csv", "executions"), ("json", "history"), ("prometheus", "")):
        wanted = ExportParams(name, format_, limit=MAX_EXPORT_ROWS)
        page = ask(daemon, BEN, "report.export", wanted, ExportPage)
        assert f"{9:012x}" in page.text
        assert f"{8:012x}" not in page.text
        assert "script" not in page.text
    for name in ("files", "errors", "history", "executions"):
        assert ask(daemon, BEN, "report.export", ExportParams(name, execution=f"{8:012x}"), ExportPage) == "not_found"


def test_a_period_has_sums_trends_findings_and_costs(daemon: SystemDaemon) -> None:
    view = ask(daemon, ANA, "report.since", ALL, PeriodReport)
    assert view.states == {"completed": 9}
    assert (view.sums.measured, view.sums.done.bytes, view.sums.retries) == (8, 90 * GB, 24)
    assert view.sums.active_s == pytest.approx(sum(100 * 1.1**k for k in range(8)) + 100)  # the last by the journal
    assert [r.id for r in view.executions[:2]] == [f"{12:012x}", f"{8:012x}"]
    assert view.executions[1].bottleneck == "source read"
    assert {t.name: t.direction for t in view.trends}["average rate sda → nvme0n1"] == "worse"
    slower = [f for f in view.disks if f.kind == "slower_over_runs"]
    assert {f.device for f in slower} == {"sda", "nvme0n1"}
    assert slower[0].value == pytest.approx(1.1**7, rel=0.01)
    assert (view.cost.energy_of, view.cost.currency) == (8, "EUR")
    assert view.cost.amount == pytest.approx(8 * (100 / 3.6e6 * 0.3 + 0.1 + 20 * GB / 1e15 * 100))
    assert any("nothing was recorded" in text for text in view.cost.missing)


def test_a_period_may_be_narrowed(daemon: SystemDaemon) -> None:
    def names(**more: Any) -> list[str]:
        return [
            r.name
            for r in ask(daemon, 0, "report.since", msgspec.structs.replace(ALL, **more), PeriodReport).executions
        ]

    assert names(name="bens") == ["bens-11", "bens-10", "bens-9"]
    assert names(states=("failed",)) == []
    assert names(limit=1) == ["unmeasured"]
    day = 86_400 * 2
    at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(T0 + 3 * DAY_S))
    assert names(since="", until=at, span_s=float(day)) == ["run-3", "run-2", "run-1"]
    for wrong in ({"limit": 0}, {"states": ("odd",)}, {"since": "yesterday"}, {"since": "", "span_s": float("inf")}):
        assert ask(daemon, 0, "report.since", msgspec.structs.replace(ALL, **wrong), PeriodReport) == "invalid_input"


@pytest.mark.parametrize("limit", [1, 2, 4, 8, 9, 1000])
def test_the_pages_of_a_period_are_all_its_executions_once(daemon: SystemDaemon, limit: int) -> None:
    asked, seen = msgspec.structs.replace(ALL, limit=limit), []
    while True:
        page = ask(daemon, ANA, "report.since", asked, PeriodReport)
        seen += [r.name for r in page.executions]
        assert page.sums.executions == 9  # what else is in it is of all of them
        assert page.left == 9 - len(seen)
        assert len(page.executions) == min(limit, len(page.executions) + page.left)
        if page.next is None:
            break
        asked = msgspec.structs.replace(asked, since=page.since, until=page.until, before=page.next)
    assert seen == ["unmeasured", HOSTILE, *(f"run-{k}" for k in range(7, 0, -1))]
    wrong = msgspec.structs.replace(ALL, before=-1)
    assert ask(daemon, ANA, "report.since", wrong, PeriodReport) == "invalid_input"


def test_executions_side_by_side(daemon: SystemDaemon) -> None:
    view = ask(daemon, ANA, "execution.compare", CompareParams((f"{1:012x}", "run-5", "unmeasured")), ComparisonView)
    assert view.names == ("run-1", "run-5", "unmeasured")
    assert [len(c.points) for c in view.curves] == [101, 101, 1]
    rows = {d.name: d for d in view.differences}
    active = rows["active_s"]
    assert active.values == (100.0, pytest.approx(100 * 1.1**4), 100.0)
    assert (active.changes[1], active.verdicts) == (pytest.approx(1.1**4 - 1), ("", "worse", "same"))
    assert rows["peak_bytes_per_s"].values[2] is None
    for ids in ((), ("run-1",), ("run-1", f"{1:012x}"), tuple(f"run-{k}" for k in range(1, 7))):
        assert ask(daemon, ANA, "execution.compare", CompareParams(ids), ComparisonView) == "invalid_input"


@pytest.mark.parametrize("limit", [1, 7, 300, 5000])
def test_pages_of_files_are_the_whole_table_once(daemon: SystemDaemon, limit: int) -> None:
    if limit == 1:
        limit = 40  # one row a page takes 301 calls; the cut is at every place with 7 and 40 alike
    text = everything(daemon, ExportParams("files", "csv", f"{8:012x}", limit=limit))
    rows = list(csv.reader(io.StringIO(text, newline="")))
    assert tuple(rows[0]) == table("files").names()  # type: ignore[union-attr]
    assert [int(r[1]) for r in rows[1:]] == list(range(1, 302))
    assert rows[2][2] == "'=cmd|' /C calc'!A0"
    lines = [json.loads(line) for line in everything(
        daemon, ExportParams("files", "json", f"{8:012x}", limit=limit)).splitlines()]  # fmt: skip
    assert [from_text(line["path"]) for line in lines[1:5]] == [
        b"=cmd|' /C calc'!A0", b"\xff\xfe", b'a,b\n"c"', b"<b>&",
    ]  # fmt: skip
    assert lines[1]["fault"] == "copy: EIO: Input/output error"


def test_every_table_comes_as_its_schema_says(daemon: SystemDaemon) -> None:
    for one in tables():
        params = ExportParams(one.name, "json", f"{8:012x}" if one.name in ("files", "errors") else "")
        # Ana's own runs became slower; among all runs there is no such trend.
        page = ask(daemon, ANA, "report.export", params, ExportPage)
        lines = [json.loads(line) for line in page.text.splitlines()]
        assert len(lines) == page.rows > 0, one.name
        assert all(tuple(line) == one.names() for line in lines), one.name
    executions = [json.loads(x) for x in everything(daemon, ExportParams("executions", limit=5)).splitlines()]
    assert [e["id"] for e in executions] == [f"{k:012x}" for k in range(1, 13)]
    assert (executions[7]["name"], executions[7]["source"]) == (HOSTILE, "/src/\\xff")
    assert (executions[7]["bottleneck"], executions[11]["score"]) == ("source read", None)


def test_history_of_one_execution_and_nothing_else(daemon: SystemDaemon) -> None:
    text = everything(daemon, ExportParams("history", execution=f"{8:012x}", span_s=900.0, points=450, limit=450))
    lines = [json.loads(line) for line in text.splitlines()]
    assert {line["labels"] for line in lines} == {f"execution={8:012x}"}
    assert {line["metric"] for line in lines} == {"migmond_execution_bytes"}
    assert max(line["max"] for line in lines if line["max"] is not None) == pytest.approx(98)
    assert any(line["max"] is None for line in lines)
    # It ended long ago: what was booked on it since is not of its life.
    life = everything(daemon, ExportParams("history", execution=f"{8:012x}", points=100))
    assert all(json.loads(line)["max"] is None for line in life.splitlines())


def test_wrong_exports_are_refused(daemon: SystemDaemon) -> None:
    for wrong in (
        ExportParams("nothing"), ExportParams("files"), ExportParams("errors"), ExportParams("files", "xml"),
        ExportParams("executions", limit=0), ExportParams("executions", limit=5001), ExportParams("findings", after=-1),
        ExportParams("history", points=1), ExportParams("executions", "prometheus"), ExportParams(),
        ExportParams("executions", since="x"),
    ):  # fmt: skip
        assert ask(daemon, 0, "report.export", wrong, ExportPage) == "invalid_input", wrong


def test_metrics_are_prometheus_text_with_bounded_labels(daemon: SystemDaemon) -> None:
    deadline = time.monotonic() + 60  # a share of time needs two looks
    while "migmond_cpu_busy_ratio{" not in (text := everything(daemon, ExportParams(format="prometheus"))):
        assert time.monotonic() < deadline
    samples = [line for line in text.splitlines() if not line.startswith("#")]
    families = {line.split()[2] for line in text.splitlines() if line.startswith("# TYPE")}
    assert {line.replace("{", " ").split()[0] for line in samples} <= families
    assert f'migmond_execution_done_bytes_total{{execution="{8:012x}"}} {10 * GB}' in samples
    (info,) = [line for line in samples if line.startswith("migmond_execution_info") and f"{8:012x}" in line]
    assert 'name="x<script src=\\"http://evil/\\">&\'\\""' in info
    assert len([line for line in samples if line.startswith("migmond_execution_info")]) == 12


def test_parquet_is_made_by_the_client(daemon: SystemDaemon) -> None:
    pq = pytest.importorskip("pyarrow.parquet")
    sink = io.BytesIO()
    with Client(daemon.socket) as client:
        assert parquet_of(client, ExportParams("files", execution=f"{8:012x}", limit=100), sink) == 301
    found = pq.read_table(sink)
    assert tuple(found.column_names) == table("files").names()  # type: ignore[union-attr]
    assert found["number"].to_pylist() == list(range(1, 302))


class Page(HTMLParser):
    """Keeps what a page is made of; fails on tags that are not balanced."""

    VOID = frozenset({"meta"})

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: set[str] = set()
        self.attributes: list[tuple[str, str]] = []
        self.texts: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes += [(name, value or "") for name, value in attrs]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open[-1:] != ["style"]:
            self.texts.append(data)
        else:
            assert "url(" not in data
            assert "@import" not in data
            assert "prefers-color-scheme: dark" in data


@pytest.mark.parametrize("arguments", [(f"{8:012x}",), ("--since", "3650d"), ("unmeasured",)])
def test_an_html_report_needs_nothing_and_runs_nothing(
    daemon: SystemDaemon, tmp_path: Path, arguments: tuple[str]
) -> None:
    file = tmp_path / "report.html"
    daemon.migmon("report", *arguments, "--html", str(file))
    page = Page()
    page.feed(file.read_text())
    page.close()
    assert page.open == []
    assert not page.tags & {"script", "link", "img", "iframe", "object", "embed", "a", "base", "form", "use", "image"}
    assert not any(
        name.startswith("on") or name in ("href", "src", "srcset", "xlink:href") for name, _ in page.attributes
    )
    assert not any("http:" in value or "https:" in value for _, value in page.attributes)
    text = "".join(page.texts)
    assert (HOSTILE in text) is (arguments != ("unmeasured",))
    assert ("svg" in page.tags) is (arguments == (f"{8:012x}",))
    again = daemon.migmon("report", *arguments, "--html", str(file), check=False)
    assert again.returncode == 2
    assert daemon.migmon("report", *arguments, "--html", str(file), "-y").returncode == 0
    assert [p.name for p in tmp_path.iterdir()] == ["report.html"]


def test_the_commands_show_it(daemon: SystemDaemon, tmp_path: Path) -> None:
    shown = daemon.migmon("report", f"{8:012x}").stdout
    for words in ("WHERE THE TIME WENT: source read bound it", "SIMILAR RUNS", "ERRORS", "money", "score"):
        assert words in shown
    assert "\x1b" not in shown
    both = daemon.migmon("compare", "run-1", "run-5").stdout
    assert "best ten seconds" in both
    period = daemon.migmon("report", "--since", "3650d", "--name", "bens").stdout
    assert period.startswith("3 migrations from ")
    assert "more" not in period
    assert (
        "\nand 1 more (--limit)\n"
        in daemon.migmon("report", "--since", "3650d", "--name", "bens", "--limit", "2").stdout
    )
    file = tmp_path / "files.csv"
    said = daemon.migmon("export", f"{8:012x}", "--format", "csv", "-o", str(file)).stderr
    assert said == f"{file}: 301 rows\n"
    assert daemon.migmon("export", f"{8:012x}", "--format", "csv").stdout.encode() == file.read_bytes().replace(
        b"\r\n", b"\n"
    )
    assert daemon.migmon("export", "--format", "parquet", check=False).returncode == 2
    assert daemon.migmon("export", "--format", "json", "--table", "files", check=False).returncode == 2
    assert daemon.migmon("export", "--format", "prometheus").stdout.startswith("# HELP migmond_")


def test_without_a_past_everything_says_so(tmp_path: Path) -> None:
    with EmbeddedDaemon(tmp_path) as daemon:
        shown = daemon.migmon("report").stdout
        assert shown.startswith("0 migrations from ")
        view = ask(daemon, 0, "report.since", ReportSinceParams(), PeriodReport)
        assert (view.sums.executions, view.mean_score, view.cost.energy_j, view.cost.amount) == (0, None, None, None)
        assert everything(daemon, ExportParams("executions")) == ""
        assert everything(daemon, ExportParams("executions", "csv")) == ",".join(table("executions").names()) + "\r\n"  # type: ignore[union-attr]
        assert everything(daemon, ExportParams("history")) == ""
        assert "migmond_execution_info{" not in everything(daemon, ExportParams(format="prometheus"))
        page = daemon.migmon("report", "--html", str(tmp_path / "empty.html"))
        assert page.returncode == 0


def test_prices_are_taken_in_by_a_reload(tmp_path: Path) -> None:
    trio.run(fill, tmp_path / "state", *past(1))
    with EmbeddedDaemon(tmp_path) as daemon:
        before = report(daemon, 0, "run-1").cost
        assert before.money is None
        assert "money: no prices are configured" in before.missing
        (tmp_path / "config" / "migmond.toml").write_text(PRICES)
        os.kill(daemon.pid, signal.SIGHUP)
        deadline = time.monotonic() + 30
        while report(daemon, 0, "run-1").cost.money is None:
            assert time.monotonic() < deadline
        assert report(daemon, 0, "run-1").cost.money.currency == "EUR"


def test_a_page_of_the_longest_names_fits_a_frame(tmp_path: Path) -> None:
    names = [b"\xff" * 240 + b"%04d" % i for i in range(3000)]
    listed = listing(1, 2, *(entry(n, inode=i + 1) for i, n in enumerate(names)))
    done = Record(1, tuple(TaskResult(n, TaskState.DONE, Outcome.COPIED) for n in range(2, 3002)))
    trio.run(fill, tmp_path / "state", PutExecution(ended(1)), root(1), listed, done)
    with EmbeddedDaemon(tmp_path) as daemon, Client(daemon.socket) as client:
        found = list(pages(client, ExportParams("files", "json", "run-1", limit=MAX_EXPORT_ROWS)))
    assert len(found) > 1
    assert all(len(page.text) < MAX_PAGE_BYTES + 10_000 for page in found)
    lines = [json.loads(line) for page in found for line in page.text.splitlines()]
    assert [line["number"] for line in lines] == list(range(1, 3002))
    assert [from_text(line["path"]) for line in lines[1:]] == names


def test_a_real_migration_is_reported_as_it_went(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    for i in range(200):
        (source / f"f{i}").write_bytes(b"x" * (1000 * i))
    with EmbeddedDaemon(tmp_path / "daemon") as daemon:
        daemon.migmon("run", str(source), str(tmp_path / "target"), "--name", "real", "--io", "10MB/s", "--wait")
        deadline = time.monotonic() + 30  # the last of it is recorded a moment after the end
        while (view := report(daemon, 0, "real")).measured is None or view.course is None:
            assert time.monotonic() < deadline
        assert view.execution.progress.done.bytes == sum(1000 * i for i in range(200))
        assert 0 < view.measured.active_s <= view.measured.wall_s + 0.3  # ticks and looks take turns
        assert view.measured.average_bytes_per_s <= 11e6
        assert sum(s.share for s in view.time) == pytest.approx(1)
        assert view.score.score is None
        assert "0 earlier runs" in view.score.reason
        (row,) = ask(daemon, 0, "report.since", ReportSinceParams(), PeriodReport).executions
        assert (row.name, row.state, row.done) == ("real", "completed", view.execution.progress.done)
        assert daemon.migmon("report", "real").stdout.startswith("real ")
        files = [json.loads(x) for x in everything(daemon, ExportParams("files", execution="real")).splitlines()]
        assert sum(f["size"] for f in files if f["type"] == "file") == row.done.bytes
        assert {f["state"] for f in files} == {"done"}


def test_a_report_of_what_runs_is_of_now(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    (source / "large").write_bytes(b"x" * (64 << 20))
    with EmbeddedDaemon(tmp_path / "daemon", '[monitor]\ninterval = "200ms"\n') as daemon:
        daemon.migmon("run", str(source), str(tmp_path / "target"), "--name", "real", "--io", "2MiB/s", "--detach")
        deadline = time.monotonic() + 15  # the journal hears of it every half minute
        while (view := report(daemon, 0, "real")).measured is None or view.measured.active_s < 2:
            assert time.monotonic() < deadline
        assert view.execution.progress.done.bytes == 0
        assert view.measured.average_bytes_per_s == pytest.approx(2 << 20, rel=0.3)
        (row,) = ask(daemon, 0, "report.since", ReportSinceParams(), PeriodReport).executions
        assert row.average_bytes_per_s == pytest.approx(2 << 20, rel=0.3)
        assert row.bottleneck == "throttled"
        daemon.kill(movers=True)
