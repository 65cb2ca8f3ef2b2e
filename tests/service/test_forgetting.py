"""Migrations that the real daemon forgets: asked to, by itself, and killed in the middle of it."""

from __future__ import annotations

import json
import os
import pty
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
import trio

from daemon import EmbeddedDaemon
from migmond.client.errors import RemoteError
from migmond.client.sync import Client
from migmond.domain import api
from migmond.domain.changes import Change
from migmond.domain.event_api import SubscribeParams, Subscription
from migmond.domain.events import ExecutionForgotten
from migmond.domain.forget_api import ForgetParams, ForgetView
from migmond.domain.history import HistorySeriesParams, SeriesPage
from migmond.domain.report import PeriodReport, ReportSinceParams, ReportView
from migmond.plugin_api.conformance import entry, listing, root
from migmond_sqlite.connections import run
from migmond_sqlite.database import open_reader
from past_runs import fill, past
from trees import small_files

SETTINGS = (
    '[journal]\nkeep_executions = 2\nkeep_for = "1d"\n[history]\nflush_every = "1s"\n[monitor]\ninterval = "200ms"\n'
)


class HastyDaemon(EmbeddedDaemon):
    """It looks ten times a second whether anything is beyond what is kept, and trusts its clock at once."""

    def _spawn(self, arguments: list[str], log_fd: int, ready_fd: int) -> subprocess.Popen[bytes]:
        hasty = (
            "import migmond.daemon.retention as r, migmond.monitor.history as h; r.LOOK_S = 0.1; h._STEADY_S = 0.0;"
            " from migmond.daemon.main import main; main()"
        )
        return subprocess.Popen(
            [sys.executable, "-c", hasty, *arguments],
            stdin=subprocess.DEVNULL, stdout=log_fd, stderr=log_fd, env=self.environment, pass_fds=(ready_fd,),
        )  # fmt: skip


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[EmbeddedDaemon]:
    with EmbeddedDaemon(tmp_path / "daemon", SETTINGS) as running:
        yield running


def until(found: Callable[[], bool], timeout_s: float = 60.0) -> None:
    end = time.monotonic() + timeout_s
    while not found():
        assert time.monotonic() < end, "it did not come about in time"
        time.sleep(0.01)


def with_entries(key: int, count: int) -> list[Change]:
    """An execution that ended in September 2026, with so many files in pieces of 10,000."""
    names = [
        [entry(b"%d" % n, inode=n + 1) for n in range(at, min(at + 10_000, count))] for at in range(0, count, 10_000)
    ]
    pieces = [listing(1, 2 + 10_000 * i, *piece, key=key) for i, piece in enumerate(names)]
    return [*past(key), root(key), *pieces]


def entries(daemon: EmbeddedDaemon, key: int) -> int:
    """How many of an execution the journal has, seen from outside."""
    with closing(open_reader(daemon.home / "state" / "journal.db")) as reader:
        sql = "SELECT count(*) FROM task WHERE id BETWEEN ? AND ?"
        return int(run(reader, sql, (key << 40, (key + 1) << 40))[0][0])


def ids(daemon: EmbeddedDaemon) -> list[str]:
    with Client(daemon.socket) as client:
        page = client.call("execution.list", api.ListParams(), api.ExecutionPage)
    return sorted(e.name for e in page.executions)


def test_it_asks_for_the_name_and_says_that_the_receipt_can_be_kept(daemon: EmbeddedDaemon, tmp_path: Path) -> None:
    small_files(tmp_path / "source", 30, 100, random.Random(1))
    daemon.migmon("run", str(tmp_path / "source"), str(tmp_path / "target"), "--name", "letters")
    would = daemon.migmon("forget", "letters", "-n").stdout
    assert "would be forgotten, with what is on record of 32 entries" in would
    unasked = daemon.migmon("forget", "letters", check=False)
    assert unasked.returncode == 2
    assert "needs its name or -y" in unasked.stderr
    for answer, code in ((b"lettres\n", 2), (b"letters\n", 0)):
        assert ids(daemon) == ["letters"]
        master, slave = pty.openpty()
        command = [sys.executable, "-m", "migmond.cli", "--socket", daemon.socket, "forget", "letters"]
        with subprocess.Popen(command, stdin=slave, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as asking:
            os.write(master, answer)
            shown, told = asking.communicate(timeout=60)
        os.close(slave)
        os.close(master)
        assert asking.returncode == code, told.decode()
        assert b"migmon receipt" in told
        assert b"--output FILE" in told
    assert b"its files are where they are" in shown
    assert len(list((tmp_path / "target").rglob("f*"))) == 30
    assert ids(daemon) == []
    assert daemon.migmon("show", "letters", check=False).returncode == 4
    assert daemon.migmon("forget", "letters", "-y", check=False).returncode == 4
    assert "execution forgotten" in daemon.log()


def test_subscribers_are_told_and_nothing_measured_is_left(daemon: EmbeddedDaemon, tmp_path: Path) -> None:
    small_files(tmp_path / "source", 200, 20_000, random.Random(1))
    with Client(daemon.socket) as client:
        for name in ("gone", "stays"):
            daemon.migmon("run", str(tmp_path / "source"), str(tmp_path / name), "--name", name, "--io", "4MiB/s")
        views = client.call("execution.list", api.ListParams(), api.ExecutionPage).executions
        its, other = (next(v.id for v in views if v.name == name) for name in ("gone", "stays"))

        def series(id_: str) -> int:
            params = HistorySeriesParams(execution=id_)
            return len(client.call("history.series", params, SeriesPage).series)

        until(lambda: series(its) > 5 and series(other) > 5)
        with Client(daemon.socket) as listening:
            listening.call("events.subscribe", SubscribeParams(types=("execution.forgotten",)), Subscription)
            gone = client.call("execution.forget", ForgetParams("gone"), ForgetView)
            assert (gone.id, gone.name, gone.entries) == (its, "gone", 202)
            delivery = next(listening.events(30))
            assert delivery is not None
            told = delivery.event
            assert isinstance(told, ExecutionForgotten)
            assert (told.execution, told.name) == (its, "gone")
        until(lambda: series(its) == 0)
        assert series(other) > 5
        with pytest.raises(RemoteError) as e:
            client.call("execution.receipt", {"id": its}, dict)
        assert e.value.kind == "not_found"


def test_what_is_beyond_goes_by_itself(tmp_path: Path) -> None:
    hasty = HastyDaemon(tmp_path / "daemon", SETTINGS)
    changes = [c for key in range(1, 6) for c in with_entries(key, 100)]
    trio.run(fill, hasty.home / "state", *changes)
    with hasty as daemon:
        until(lambda: ids(daemon) == ["run-4", "run-5"])
        until(lambda: [entries(daemon, key) for key in range(1, 6)] == [0, 0, 0, 101, 101])
        assert json.loads(daemon.migmon("doctor", "--json", check=False).stdout)
        assert "no damage found" in daemon.migmon("doctor", check=False).stdout
        small_files(tmp_path / "source", 5, 100, random.Random(1))
        daemon.migmon("run", str(tmp_path / "source"), str(tmp_path / "target"), "--name", "new")
        until(lambda: ids(daemon) == ["new", "run-5"])  # it was among the newest two
        assert daemon.log().count("execution forgotten") == 4
        assert "retention" in daemon.log()


def test_killed_in_the_middle(tmp_path: Path) -> None:
    daemon = EmbeddedDaemon(tmp_path / "daemon")
    count = 60_000
    trio.run(fill, daemon.home / "state", *[*with_entries(1, count), *with_entries(2, 500)])
    with daemon:
        assert daemon.migmon("forget", "run-1", "-y", "--json").returncode == 0
        until(lambda: entries(daemon, 1) < count - 5000)
        daemon.kill(movers=True)
        left = entries(daemon, 1)
        assert left > 0, "it was faster than this test"
        daemon.start()
        assert ids(daemon) == ["run-2"]
        until(lambda: entries(daemon, 1) == 0)
        assert entries(daemon, 2) == 501
        assert "no damage found" in daemon.migmon("doctor", check=False).stdout
        assert len(daemon.migmon("files", "run-2", "--json").stdout) > 0


def test_trends_and_scores_go_on_from_what_is_forgotten_and_nothing_else_does(tmp_path: Path) -> None:
    daemon = EmbeddedDaemon(tmp_path / "daemon")
    trio.run(
        fill, daemon.home / "state", *[c for k in range(1, 9) for c in past(k, os.geteuid(), slower=1.1 ** (k - 1))]
    )
    whole = ReportSinceParams("2026-09-01T00:00:00Z", "2027-01-01T00:00:00Z")
    with daemon, Client(daemon.socket) as client:

        def report() -> ReportView:
            return client.call("execution.report", api.ExecutionParams("run-8"), ReportView)

        before, before_all = report(), client.call("report.since", whole, PeriodReport)
        assert (before.trends[0].runs, before_all.sums.executions) == (8, 8)
        for key in range(1, 5):
            client.call("execution.forget", ForgetParams(f"run-{key}"), ForgetView)
        after, after_all = report(), client.call("report.since", whole, PeriodReport)
        assert after.trends == before.trends
        assert after.score == before.score
        assert {s.name for s in after.similar} <= {"run-5", "run-6", "run-7"}
        assert (after_all.trends, after_all.disks) == (before_all.trends, before_all.disks)
        assert after_all.sums.executions == 4
        assert [r.name for r in after_all.executions] == ["run-8", "run-7", "run-6", "run-5"]
        exported = daemon.migmon("export", "--format", "json", "--table", "executions").stdout
        assert [f'"name":"run-{k}"' in exported for k in range(1, 9)] == [False] * 4 + [True] * 4
