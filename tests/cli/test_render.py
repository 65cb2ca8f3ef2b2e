"""What views look like: pure functions, no terminal."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fake_views import AT, NONE, ended, execution, progress
from migmond.cli.render.execution import details, listing, live_lines, summary, verdict, worst_first
from migmond.cli.render.machine import Transfer, machine_line, transfer
from migmond.cli.render.monitoring import session_lines, why_lines
from migmond.cli.render.other import error_lines, task_lines
from migmond.cli.render.steering import undo_line
from migmond.cli.render.text import bar, cells, eta_text, fit, painted, percent_text, printable, printable_json, table
from migmond.domain import api
from migmond.domain.analysis import (
    IssueView,
    PerformanceView,
    RatesView,
    RateView,
    ResourcesView,
    SessionView,
    ShareView,
    SideView,
    SpeedChangeView,
    SuggestionView,
    TimeView,
    TrendView,
    WhyView,
)
from migmond.domain.error_api import ErrorGroup, ErrorGroups
from migmond.domain.samples import SampleView
from migmond.domain.steering_api import Effect, InterventionResult

HOSTILE = "a\x1b]0;owned\x07\nb\u202ec"


def page(*executions: api.ExecutionView, total: int | None = None) -> api.ExecutionPage:
    return api.ExecutionPage(executions, len(executions) if total is None else total)


@pytest.mark.parametrize("width", [20, 40, 79, 80, 120])
def test_no_line_is_wider_than_the_terminal(width: int) -> None:
    long = execution(name="n" * 60, why="目录" * 40, sources=("/" + "x" * 200,))
    mover = api.MoverView(1, 7, "copy", "目" * 90, 1 << 40, 1 << 30, 7.0)
    for line in listing(page(long, ended()), width):
        assert cells(line) <= width
    for line in live_lines(execution(movers=(mover,)), width):
        assert cells(line) <= width
    task = api.TaskView(1, "p" * 300, "file", 1, "failed", "none", 1, ("acl",), None, None, "f" * 20)
    assert "…" in task_lines((task,), width)[0]


@given(st.text(), st.integers(0, 60))
def test_fit_is_printable_within_the_width_and_keeps_both_ends(text: str, width: int) -> None:
    fitted = fit(text, width)
    assert fitted.isprintable()
    assert cells(fitted) <= width
    if cells(printable(text)) <= width:
        assert fitted == printable(text)
    elif width > 1:
        assert "…" in fitted


@given(st.text())
def test_nothing_that_a_terminal_could_obey_is_left(text: str) -> None:
    assert printable(text).isprintable()
    if text.isprintable():
        assert printable(text) == text


@given(st.recursive(st.none() | st.integers() | st.text(), lambda x: st.lists(x) | st.dictionaries(st.text(), x)))
def test_printable_json_means_the_same(value: object) -> None:
    shown = printable_json(json.dumps(value, ensure_ascii=False, indent=1))
    assert json.loads(shown) == value
    assert shown.replace("\n", "").isprintable()


def test_a_byte_that_is_no_utf8_is_shown_as_that_byte() -> None:
    assert printable(b"\xff".decode("utf-8", "surrogateescape")) == "\\xff"


def test_hostile_text_of_others_stays_on_its_line() -> None:
    lines = listing(page(execution(why=HOSTILE)), 1000)
    assert len(lines) == 2
    assert lines[1].endswith("a\\x1b]0;owned\\x07\\x0ab\\xe2\\x80\\xaec")
    assert table(["A"], [[HOSTILE]])[1].isprintable()


def test_unknown_is_a_dash_with_the_reason() -> None:
    unknown = progress(percent_done=None, bytes_per_s=None, seconds_remaining=None, eta_reason="still scanning")
    assert eta_text(unknown) == "— (still scanning)"
    for lines in (live_lines(execution(progress=unknown), 100), listing(page(execution(progress=unknown)), 100)):
        assert "— (still scanning)" in "\n".join(lines)
        assert "None" not in "\n".join(lines)


def test_an_empty_migration_can_be_drawn() -> None:
    nothing = progress(planned=NONE, done=NONE, percent_done=None, bytes_per_s=None, seconds_elapsed=0.0,
                       seconds_remaining=None)  # fmt: skip
    view = ended(progress=nothing)
    assert "0 entries, 0 B copied" in summary(view)[0]
    for lines in (details(view), live_lines(view, 80), listing(page(view), 80)):
        assert all(line.isprintable() for line in lines)


@pytest.mark.parametrize(
    ("percent", "text"),
    [(None, "—"), (0.0, "0.0%"), (82.74, "82.7%"), (99.96, "99.9%"), (99.9999, "99.9%"), (100.0, "100.0%")],
)
def test_100_percent_is_only_said_when_it_is_true(percent: float | None, text: str) -> None:
    assert percent_text(percent) == text


@given(st.none() | st.floats(-50, 250), st.integers(1, 80))
def test_a_bar_is_exactly_as_wide_as_asked(percent: float | None, width: int) -> None:
    assert cells(bar(percent, width)) == width


def test_worst_first_keeps_the_order_of_equals() -> None:
    states = {"1": "completed", "2": "running", "3": "failed", "4": "running", "5": "paused"}
    views = [execution(id=id_, state=state) for id_, state in states.items()]
    assert [v.id for v in worst_first(views)] == ["5", "2", "4", "1", "3"]


@pytest.mark.parametrize("width", [40, 60, 80, 100, 200])
def test_a_narrow_terminal_loses_columns_not_the_middle_of_lines(width: int) -> None:
    views = (execution(name="films-of-2019", why="held: space: " + "no room " * 20), ended("failed", why="gone"))
    header, first, second = listing(page(*views), width)
    for wanted in ("STATE", "NAME", "ID", "PROGRESS"):
        assert wanted in header
    assert "8f3a1c" in first
    assert "82.7%" in first
    assert "8f3a1c" in second
    assert ("RATE" in header) == ("170 MiB/s" in first)
    if width >= 100:
        assert "held: space" in first
        assert "170 MiB/s" in first


def test_a_list_says_what_it_leaves_out() -> None:
    assert listing(page(ended(), total=51), 120)[-1] == "and 50 more (--limit)"
    assert "migmon run" in listing(page(), 80)[0]
    assert "such a state" in listing(page(), 80, picked=True)[0]


@pytest.mark.parametrize(
    ("view", "words"),
    [
        (ended(), ["done: 1,000 entries, 10 GiB copied", "migmon verify 8f3a1c", "migmon show 8f3a1c"]),
        (ended(operation="move"), ["10 GiB moved"]),
        (
            ended("completed_with_errors", progress=progress(failed=api.TallyView(3, 9), imperfect=2)),
            ["3 failed", "migmon errors 8f3a1c", "2 kept content but not all metadata"],
        ),
        (ended("failed", why="the source vanished"), ["the source vanished", "migmon resume 8f3a1c"]),
        (ended(progress=progress(skipped=api.TallyView(5, 5))), ["5 left alone"]),
    ],
)
def test_the_summary_says_what_how_long_and_what_next(view: api.ExecutionView, words: list[str]) -> None:
    text = "\n".join(summary(view))
    for word in [*words, "its record: migmon show 8f3a1c"]:
        assert word in text


def test_an_infeasible_plan_says_so_in_words() -> None:
    findings = (
        api.Finding("blocker", "space", "271 GiB short", "free some"),
        api.Finding("warning", "case", "14 names"),
    )
    lines = verdict(api.PlanVerdict(False, 5, 4, 1, 10, "copy", 100, None, findings, 0.1), "/mnt/b")
    assert "✗ NOT FEASIBLE: 271 GiB short" in lines
    assert "! 14 names" in lines
    assert not any("✓" in line for line in lines)


def test_errors_are_groups_with_advice() -> None:
    group = ErrorGroup("copy", "EIO", 5, "input/output error", 12, AT, AT, ("a/b",), "replace the disk")
    text = "\n".join(error_lines(ErrorGroups((group,))))
    for word in ("12", "EIO", "copy", "a/b", "next: replace the disk"):
        assert word in text
    assert error_lines(ErrorGroups(())) == ["nothing has failed"]


def test_colour_only_wraps_the_mark() -> None:
    assert painted("✗failed  x") == "\x1b[31m✗failed\x1b[0m  x"
    assert painted("running ✗") == "running ✗"


def sample(metric: str, value: float | None, at: str = AT, **labels: str) -> SampleView:
    return SampleView(metric, "", labels, value, "" if value is not None else "why not", at)


def test_the_machine_in_one_line() -> None:
    samples = [
        sample("migmond_cpu_busy_ratio", 0.2, cpu="0"),
        sample("migmond_cpu_busy_ratio", 0.4, cpu="1"),
        sample("migmond_disk_busy_ratio", 0.88, device="sdc"),
        sample("migmond_disk_busy_ratio", 0.1, device="sdd"),
        sample("migmond_disk_temperature_celsius", 50.0, device="sdd"),
        sample("migmond_disk_temperature_celsius", None, device="sdc"),
        sample("migmond_disk_temperature_limit_celsius", 70.0, device="sdd"),
        sample("migmond_disk_bytes_total", 100.0, device="sdc", direction="read"),
        sample("migmond_disk_bytes_total", 7.0, device="sdd", direction="write"),
    ]
    assert machine_line(samples, None) == "CPU 30%  sdc 88% busy!  sdd 50 °C"
    assert machine_line(samples, (1 << 20, 2 << 20)).startswith("W 2 MiB/s  R 1 MiB/s  CPU 30%")
    lately = [0.0, 1 << 20, 4 << 20, 2 << 20]
    assert machine_line(samples, (1 << 20, 2 << 20), lately).startswith("W 2 MiB/s ▁▂█▄  R 1 MiB/s  CPU 30%")
    assert machine_line(samples, (0.0, 0.0), [0.0, 0.0]).startswith("W 0 B/s ▁▁  R 0 B/s")
    assert transfer(samples) == Transfer(AT, 100.0, 7.0)
    assert machine_line([sample("migmond_cpu_busy_ratio", None, cpu="0")], None) == ""
    assert transfer([]) is None


def test_what_is_told_of_an_execution_that_is_watched() -> None:
    shares = (ShareView("target_write", "target write", 0.7, "sdc busy 94%"), ShareView("other", "the rest", 0.3, ""))
    gain = SuggestionView("workers", "use more movers", "workers ID 4", 0.09, 0.18, "")
    lift = SuggestionView("lift_limit", "lift the limit", "throttle ID --off", 0.96, 12.52, "")
    time = TimeView(60.0, shares, shares[0], "", "It is not faster because.", (gain, lift))
    rates = RatesView(None, (), RateView(60.0, 1 << 20, 2.0), None, (), TrendView("falling", -12.0, 0.01, 20, ""), 60.0)
    issue = IssueView("falling", "warning", "it gets slower", -12.0, 0.0, "percent per hour", "-12 % an hour")
    view = SessionView(
        execution(), True, AT, 60.0, 60.0, 0.0, SideView(("sda",), "x", "hdd"), SideView((), "server", "network"),
        ResourcesView(3.0, 1 << 20, None, None, 2, 1), PerformanceView(rates, (), (), time, (issue,)), 2 << 20, 0.001,
        1e-6, (SpeedChangeView(30.0, 0.5),), 0, 0, (),
    )  # fmt: skip
    assert session_lines(view) == [
        "  average 1 MiB/s, best ten seconds 2 MiB/s, falling by 12 % an hour",
        "  time goes to: target write 70% (sdc busy 94%)",
        "  ! it gets slower: -12 % an hour",
        "  suggest: use more movers, +9% to +18%   migmon workers 8f3a1c 4",
        "  suggest: lift the limit, +96% to 13.5 times   migmon throttle 8f3a1c --off",
        "  forecast: 1 ms a file and 1.0 s a MiB",
        "  ! it became 2 times slower after 30 s of work",
        "  took 3.0 s of processor, 1 MiB of memory at most, 1 mover died",
        "  disks: from sda (hdd) to server (network)",
    ]
    assert why_lines(WhyView("execution", "It is.", time)) == [
        "It is.", "  time goes to: target write 70% (sdc busy 94%)",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("before", "after", "reason", "words"),
    [
        (68.0, None, "what is held waits", " ETA was 1 min 8 s, now unknown: what is held waits."),
        (None, 68.0, "", " ETA 1 min 8 s."),
        (60.0, 68.0, "", " ETA 1 min → 1 min 8 s."),
        (68.0, 68.0, "", " ETA stays 1 min 8 s."),
        (None, None, "paused", ""),
    ],
)
def test_what_becomes_of_the_end_is_told_in_words(
    before: float | None, after: float | None, reason: str, words: str
) -> None:
    result = InterventionResult(Effect(None, None, before, after, reason, "workers 2", "workers 4"), None)
    assert undo_line("media", result, dry_run=False) == f"media: workers 2 → 4.{words}"
