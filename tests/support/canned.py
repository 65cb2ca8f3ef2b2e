"""`migmon` as a process against a daemon of canned answers."""

from __future__ import annotations

import os
import select
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fake_daemon import Connection, FakeDaemon, Handler, Refusal
from fake_reports import COMPARISON, EXPORT, PERIOD, REPORT
from fake_views import AT, ended, execution
from migmond.domain import api, daemon_api
from migmond.domain.error_api import ErrorGroups
from migmond.domain.event_api import Subscription
from migmond.domain.events import ExecutionStateChanged, ExecutionVerified
from migmond.domain.samples import MetricList, MetricView, Notes, NoteView, Samples, SampleView
from migmond.domain.steering_api import InterventionList

ROOT = Path(__file__).parents[2]
VERDICT = api.PlanVerdict(True, 5, 4, 1, 10, "copy", 100, None, (), 0.1)
VERIFICATION = api.VerificationView(AT, api.TallyView(1000, 10), 0, 0, ())
STATUS = daemon_api.Status("1", 7, "/s", "/j", True, 5.0, 1 << 20, 1, 0, {"running": 1}, 2, 0.01, ())
PLUGIN = daemon_api.PluginView("sqlite", "migmond", "1", "active", "", ("storage",), 0)
TASK = api.TaskView(1, "a", "file", 5, "done", "copied", 1, (), None, "/mnt/b/a", None)
METRIC = MetricView("migmond_disk_busy_ratio", "ratio", "gauge", "How busy.", ("device",), "psutil", "system", 2.0)
SAMPLE = SampleView("migmond_disk_busy_ratio", "ratio", {"device": "sda"}, 0.5, "", AT)
NOTE = NoteView(AT, "sda", "io_error", "I/O error, dev sda, sector 1", "kernel")
RUNNING, DONE = execution(), ended(verification=VERIFICATION)


def subscribed(connection: Connection, params: dict[str, Any]) -> Subscription:
    """Say that it runs, then that it has ended and was verified."""
    connection.notify(ExecutionStateChanged(8, AT, RUNNING.id, "running", "completed", DONE))
    connection.notify(ExecutionVerified(9, AT, RUNNING.id, VERIFICATION))
    return Subscription(1, 7, False, (RUNNING,))


def always(answer: Any) -> Handler:
    return lambda connection, params: answer


def refuse(kind: str, message: str, hint: str = "") -> Handler:
    def handler(connection: Connection, params: dict[str, Any]) -> Any:
        raise Refusal(kind, message, hint)

    return handler


HANDLERS: dict[str, Handler] = {
    "plan.check": always(VERDICT),
    "plan.list": always(api.SavedPlans(())),
    "execution.start": always(RUNNING),
    "execution.list": always(api.ExecutionPage((RUNNING, DONE), 2)),
    "execution.get": always(DONE),
    "execution.files": always(api.TaskPage((TASK,), None)),
    "execution.errors": always(ErrorGroups(())),
    "execution.interventions": always(InterventionList(())),
    "execution.pause": always(RUNNING),
    "execution.resume": always(RUNNING),
    "execution.cancel": always(RUNNING),
    "execution.drain": always(RUNNING),
    "execution.verify": always(DONE),
    "events.subscribe": subscribed,
    "system.status": always(STATUS),
    "system.doctor": always(daemon_api.Checks((daemon_api.Check("journal", "ok", "fine"),))),
    "system.hello": always({"server": "migmond"}),
    "plugin.list": always(daemon_api.PluginList((PLUGIN,))),
    "metrics.list": always(MetricList((METRIC,), ())),
    "metrics.latest": always(Samples((SAMPLE,), 1)),
    "metrics.notes": always(Notes((NOTE,))),
    "execution.report": always(REPORT),
    "execution.compare": always(COMPARISON),
    "report.since": always(PERIOD),
    "report.export": always(EXPORT),
    "config.get": always(daemon_api.ConfigValues((daemon_api.ConfigValue("movers.workers", "0", "default", ""),))),
}


class Migmon:
    """Runs `migmon` against a fake daemon, in `directory`."""

    def __init__(self, daemon: FakeDaemon, directory: Path) -> None:
        self.daemon = daemon
        self.directory = directory

    @property
    def environment(self) -> dict[str, str]:
        path = os.pathsep.join([str(ROOT), str(ROOT / "plugins")])
        clean = {k: v for k, v in os.environ.items() if k not in ("NO_COLOR", "COLUMNS")}
        return {**clean, "MIGMOND_SOCKET": self.daemon.path, "PYTHONPATH": path, "TERM": "dumb"}

    def start(self, *arguments: str | bytes, code: str = "", **options: Any) -> subprocess.Popen[bytes]:
        """Start it; `code` runs in its process first."""
        program = f"{code}\nfrom migmond.cli.main import main\nmain()"
        pipes: dict[str, Any] = {name: subprocess.PIPE for name in ("stdout", "stderr") if name not in options}
        environment = self.environment | options.pop("environment", {})
        command = [sys.executable, "-c", program, *arguments]
        process: subprocess.Popen[bytes] = subprocess.Popen(
            command, env=environment, cwd=self.directory, **pipes | options
        )
        return process

    def __call__(self, *arguments: str | bytes, code: str = "", **options: Any) -> subprocess.CompletedProcess[str]:
        process = self.start(*arguments, code=code, **{"stdin": subprocess.DEVNULL} | options)
        out, err = process.communicate(timeout=60)
        return subprocess.CompletedProcess(
            arguments, process.returncode, (out or b"").decode(errors="strict"), (err or b"").decode(errors="strict")
        )


def read_until(terminal: int, wanted: bytes, timeout_s: float = 30.0) -> bytes:
    """Read a terminal until `wanted` is on it; fails with what is there when it does not come."""
    seen, deadline = b"", time.monotonic() + timeout_s
    while wanted not in seen:
        left = deadline - time.monotonic()
        assert left > 0, f"{wanted!r} did not come: {seen[-2000:]!r}"
        if select.select([terminal], [], [], left)[0]:
            seen += os.read(terminal, 4096)
    return seen


@contextmanager
def running(directory: Path, handlers: Mapping[str, Handler]) -> Iterator[Migmon]:
    with FakeDaemon(directory / "socket", {**HANDLERS, **handlers}) as daemon:
        yield Migmon(daemon, directory)
