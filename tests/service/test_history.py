"""What was measured, asked through the socket and the command line: rights, limits, and a daemon that has none."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import pytest
import trio

from daemon import EmbeddedDaemon
from engine_harness import SystemClock
from migmond.client.errors import RemoteError
from migmond.client.sync import Client
from migmond.config.load import load
from migmond.daemon.from_config import history_context
from migmond.daemon.history import Telemetry, opened
from migmond.domain.errors import HistoryError, InvalidInput, LimitExceeded, Unavailable
from migmond.domain.history import (
    HistoryParams,
    HistorySeriesParams,
    HistoryView,
    SeriesPage,
    SeriesSelector,
    SeriesView,
)
from migmond.domain.telemetry import Annotation, Batch, MetricKind, Reading, series_of
from migmond.plugin_api.history_conformance import T0
from migmond.plugin_api.memory import open_memory_journal
from migmond.plugin_api.memory_history import open_memory_history
from migmond.plugin_api.specs import HistoryContext, StorageSpec
from migmond.ports import (
    History,
)
from migmond_sqlite import open_history

RATE = series_of("execution_bytes", {"execution": "a" * 12}, MetricKind.COUNTER, "bytes")
OTHER = series_of("execution_bytes", {"execution": "b" * 12}, MetricKind.COUNTER, "bytes")
HEAT = series_of("disk_celsius", {"device": "sda"}, unit="celsius")


class At:
    """A clock that stands."""

    def monotonic(self) -> float:
        return trio.current_time()

    def wall(self) -> float:
        return T0 + 600


def batches() -> list[Batch]:
    return [
        Batch(T0 + t, 2.0, (Reading(RATE, 100.0 * t), Reading(OTHER, 1.0 * t), Reading(HEAT, 30.0 + t / 60)))
        for t in range(0, 600, 2)
        if not 200 <= t < 300
    ]


async def telemetry(history: History) -> Telemetry:
    await history.append(
        batches(), [Annotation(T0 + 5, "phase", "a" * 12, "copying"), Annotation(T0, "daemon", "", "")]
    )
    return Telemetry(At(), history)


async def test_a_query_is_a_time_axis_with_its_gaps() -> None:
    async with open_memory_history() as history:
        asked = await telemetry(history)
        select = (SeriesSelector("disk_celsius"), SeriesSelector("execution_bytes", {"execution": "a" * 12}))
        view = await asked.query(HistoryParams(select, span_s=600.0, points=60, annotations=True), None)
        assert (view.start, view.first_s, view.step_s, view.tier_s, view.points) == (
            "2026-09-21T14:00:00.000+00:00", T0, 10.0, 10.0, 60,
        )  # fmt: skip
        heat, rate = view.series
        assert (heat.metric, heat.labels, heat.unit, heat.kind) == (
            "disk_celsius",
            {"device": "sda"},
            "celsius",
            "gauge",
        )
        assert set(rate.mean[20:30]) == {None}
        assert {round(v) for v in rate.mean if v is not None} == {100}
        assert rate.count[0] == 4
        assert [(n.kind, n.execution) for n in view.annotations] == [("daemon", ""), ("phase", "a" * 12)]
        same = await asked.query(
            HistoryParams(select, start="2026-09-21T16:00:00+02:00", end="2026-09-21T14:10:00Z", points=60), None
        )
        assert same.series == view.series
        assert same.annotations == ()


async def test_others_executions_are_not_there() -> None:
    async with open_memory_history() as history:
        asked = await telemetry(history)
        params = HistoryParams((SeriesSelector("execution_bytes"), SeriesSelector("disk_celsius")), annotations=True)
        view = await asked.query(params, frozenset({"b" * 12}))
        assert [c.labels for c in view.series] == [{"device": "sda"}, {"execution": "b" * 12}]
        assert [n.kind for n in view.annotations] == ["daemon"]
        page = await asked.series(HistorySeriesParams(), frozenset())
        assert [s.metric for s in page.series] == ["disk_celsius"]
        assert page.next is None


async def test_series_are_paged() -> None:
    async with open_memory_history() as history:
        asked = await telemetry(history)
        found: list[SeriesView] = []
        after = 0
        for _ in range(10):
            page = await asked.series(HistorySeriesParams(after=after, limit=2), None)
            found += page.series
            if page.next is None:
                break
            after = page.next
        assert [s.metric for s in found] == ["execution_bytes", "execution_bytes", "disk_celsius"]
        assert (found[2].unit, found[2].every_s, found[2].first_at) == ("celsius", 2.0, "2026-09-21T14:00:00.000+00:00")


@pytest.mark.parametrize(
    "wrong",
    [
        {"points": 1}, {"points": 2001}, {"points": -1}, {"select": ()}, {"span_s": 0.0}, {"span_s": float("nan")},
        {"span_s": float("inf")}, {"span_s": -5.0}, {"start": "yesterday"}, {"start": "2026-09-21T14:00:00"},
        {"end": "2026-09-21"}, {"start": "2026-09-21T14:00:00Z", "end": "2026-09-21T14:00:00Z"},
        {"start": "1960-01-01T00:00:00Z"}, {"end": "0001-01-01T00:00:00+14:00"}, {"end": "9999-12-31T23:59:59Z"},
        {"select": (SeriesSelector("m"),) * 51},
    ],
)  # fmt: skip
async def test_what_makes_no_sense_is_refused(wrong: dict[str, Any]) -> None:
    async with open_memory_history() as history:
        asked = await telemetry(history)
        good: dict[str, Any] = {"select": (SeriesSelector("disk_celsius"),)}
        with pytest.raises(InvalidInput) as e:
            await asked.query(HistoryParams(**{**good, **wrong}), None)
        assert e.value.hint or "range" in e.value.message


async def test_too_many_series_are_refused() -> None:
    async with open_memory_history() as history:
        asked = await telemetry(history)
        many = [series_of("m", {"i": str(i)}) for i in range(31)]
        await history.append([Batch(T0 + 500, 2.0, tuple(Reading(s, 1.0) for s in many))])
        assert len((await asked.query(HistoryParams((SeriesSelector("m"),)), None)).series) == 31
        with pytest.raises(LimitExceeded):
            await asked.query(HistoryParams((SeriesSelector("m"),), points=2000), None)


# --- as part of a daemon ---------------------------------------------------------------------------


def storage(open_it: Any) -> StorageSpec:
    return StorageSpec("test", lambda context: open_memory_journal(), None, open_it)


async def with_storage(spec: StorageSpec, directory: Path, configuration: str = "") -> tuple[list[Any], list[str], str]:
    """Open it as the daemon does; return the doctor's words, the log's, and why a query is refused."""
    (directory / "migmond.toml").write_text(configuration)
    config, said = load([directory], root_owned=False), []

    def log(message: str, **fields: Any) -> None:
        said.append(message)

    refused = ""
    async with opened(spec, history_context(directory, config), config, SystemClock(), log) as asked:
        asked.put(batches()[0])
        asked.note(Annotation(T0, "phase", "", ""))
        try:
            await asked.query(HistoryParams((SeriesSelector("m"),)), None)
        except (Unavailable, HistoryError) as e:
            refused = e.message
        checks = await asked.checks()
    return checks, said, refused


async def test_a_daemon_goes_on_without_a_history(tmp_path: Path) -> None:
    def refuses(context: HistoryContext) -> AbstractAsyncContextManager[History]:
        raise ZeroDivisionError("a bug of a plugin")

    for spec, configuration, status, why in (
        (storage(None), "", "ok", "has no history"),
        (storage(refuses), "", "warning", "ZeroDivisionError"),
        (storage(refuses), "[history]\nenabled = false\n", "ok", "enabled is false"),
    ):
        checks, said, refused = await with_storage(spec, tmp_path, configuration)
        assert why in refused
        assert [(c.name, c.severity) for c in checks] == [("history", status)]
        assert why in checks[0].message
        assert said == (["no telemetry is kept"] if status == "warning" else [])


async def test_a_damaged_one_is_told_of_and_the_daemon_goes_on(tmp_path: Path) -> None:
    (tmp_path / "history.db").write_bytes(b"no database\n" * 1000)
    spec = storage(lambda context: open_history(context.state_directory, context.keep_s, context.spare_bytes))
    checks, said, refused = await with_storage(spec, tmp_path)
    assert refused == ""
    assert [c.severity for c in checks] == ["warning", "ok"]
    assert "set aside" in checks[0].message
    assert said == ["the history was damaged"]


def test_what_the_configuration_says_of_keeping(tmp_path: Path) -> None:
    (tmp_path / "migmond.toml").write_text('[history]\nkeep_2s = "12h"\nkeep_10s = "2h"\nspare = "1GiB"\n')
    context = history_context(tmp_path, load([tmp_path], root_owned=False))
    hours = {2: 12, 10: 12, 60: 60 * 24, 3600: 1095 * 24}
    assert context.keep_s == {width: h * 3600 for width, h in hours.items()}
    assert context.spare_bytes == 1 << 30


def migmon(daemon: EmbeddedDaemon, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "migmond.cli", *arguments]
    return subprocess.run(command, env=daemon.environment, capture_output=True, text=True, check=False, timeout=60)


def test_from_the_file_to_the_terminal(tmp_path: Path) -> None:
    """What an earlier daemon has recorded, through a real one: socket, limits, plot, and the doctor."""
    now = SystemClock().wall()

    async def record() -> None:
        async with open_history(tmp_path / "d" / "state") as history:
            shifted = [Batch(b.at - T0 + now - 600, b.every_s, b.readings) for b in batches()]
            assert await history.append(shifted) == 0

    trio.run(record)
    with EmbeddedDaemon(tmp_path / "d") as daemon:
        with Client(daemon.socket) as client:
            params = HistoryParams((SeriesSelector("disk_celsius"),), span_s=700.0, points=70)
            view = client.call("history.query", params, HistoryView)
            assert sum(view.series[0].count) == 250
            assert {s.metric for s in client.call("history.series", HistorySeriesParams(), SeriesPage).series} == {
                "disk_celsius", "execution_bytes",
            }  # fmt: skip
            with pytest.raises(RemoteError) as e:
                client.call("history.query", {"select": [{"metric": "m"}], "points": 5000}, dict)
            assert (e.value.kind, e.value.message) == ("invalid_input", "5000 points")
        listed = migmon(daemon, "history")
        assert listed.returncode == 0
        assert "disk_celsius" in listed.stdout
        assert "device=sda" in listed.stdout
        plot = migmon(daemon, "history", "disk_celsius", "--since", "700s", "--points", "70")
        lines = plot.stdout.splitlines()
        assert plot.returncode == 0
        assert re.match(r"disk_celsius \(device=sda\): now (39\.[89]|40) °C", lines[0]), lines[0]
        assert "·" in lines[8]
        assert "█" in lines[8]
        assert len(lines) == 10
        both = migmon(daemon, "history", "execution_bytes", "--json")
        answer = json.loads(both.stdout)
        assert answer["kind"] == "history"
        assert [s["labels"]["execution"][0] for s in answer["data"]["series"]] == ["a", "b"]
        assert "nothing was recorded" in migmon(daemon, "history", "no_such_metric").stdout
        assert migmon(daemon, "history", "m", "--label", "x").returncode == 2
        assert migmon(daemon, "history", "m", "--execution", "nobody").returncode == 4
        assert "history" in migmon(daemon, "doctor").stdout


async def test_more_labels_than_a_series_can_have_are_refused_before_anybody_sorts_them() -> None:
    async with open_memory_history() as history:
        asked = await telemetry(history)
        labels = {f"l{n:02}": "" for n in range(16)}
        view = await asked.query(HistoryParams((SeriesSelector("disk_celsius", labels),), span_s=600.0), None)
        assert view.series == ()
        select = (SeriesSelector("disk_celsius"), SeriesSelector("disk_celsius", {**labels, "one more": ""}))
        with pytest.raises(InvalidInput, match="17 labels"):
            await asked.query(HistoryParams(select, span_s=600.0), None)
