"""Runs a real migration whose movers are under strace, and lays all that tells of its bytes side by side."""

from __future__ import annotations

import contextlib
import struct
import time
from dataclasses import dataclass
from pathlib import Path

import apsw
import msgspec

import counting
from daemon import wait_gone
from forked import ForkedDaemon
from migmond.client.sync import Client
from migmond.domain import api
from migmond.domain.analysis import SessionView
from migmond.domain.entry import EntryType
from migmond.domain.history import HistoryParams, HistoryView, SeriesSelector
from migmond.domain.names import to_text
from migmond.domain.report import ExportPage, ExportParams, MeasuredView, ReportView
from migmond.domain.session import SessionRecord
from migmond.domain.states import TaskState
from oracle import count, differences

CONFIGURATION = """
[monitor]
interval = "200ms"
[history]
flush_every = "1s"
"""
_END_S = 120.0
_SIZES = "SELECT coalesce(sum(size), 0) FROM task WHERE type = ? AND state = ? AND leader = 0"
"""A file that has several names is one task that leads the others."""


@dataclass(frozen=True)
class Told:
    """What one migration comes to, by everybody who tells of it.

    Attributes:
        entries, size, data: of the source, counted by walking it: data leaves holes out.
        traced: what strace saw.
        problems: where two differ that must not, one line each.
        rows: name and figure of everything that was compared, for people.
    """

    entries: int
    size: int
    data: int
    traced: counting.Counted
    problems: tuple[str, ...]
    rows: tuple[tuple[str, int], ...]


def check(work: Path, source: Path, *, reflink: bool = False) -> Told:
    """Migrate `source` into `work` and compare.

    Args:
        work: an empty directory.

    Raises:
        RuntimeError: the migration did not end well.
    """
    target, trace = work / "target", work / "trace"
    entries = count(source)
    size, data = counting.contents(source)
    with ForkedDaemon(work / "daemon", CONFIGURATION, counting.interpreter(trace)) as daemon:
        with Client(daemon.socket, _END_S) as client:
            plan = api.PlanSpec(
                (api.SourceSpec(to_text(bytes(source))),), to_text(bytes(target)), workers=2, reflink=reflink
            )
            id_ = client.call("execution.start", api.StartParams(plan), api.ExecutionView).id
            view, measured = _ended(client, id_)
            # As precisely as the history keeps anything.
            rounded = int(struct.unpack("f", struct.pack("f", size))[0])
            charted, exposed = _charted(client, id_, rounded), _exposed(client, id_)
        children = daemon.children()
        daemon.stop()
        wait_gone(children)
        record, sizes = _journaled(daemon.home)
    if (different := differences(source, target)) != []:
        raise RuntimeError(f"the copy is none: {different[:3]}")
    traced = counting.counted(trace, source, target)
    same_size = (
        ("files, walked", size),
        ("journal, sizes of the tasks that are done", sizes),
        ("execution, done", view.progress.done.bytes),
        ("session, by size class", sum(t.bytes for t in record.sizes.values())),
        ("session, its course", record.course[-1].settled.bytes),
        ("Prometheus, done", exposed["migmond_execution_done_bytes_total"]),
    )
    same_charted = (("files, as a number of 24 bits", rounded), ("history, planned", charted))
    same_data = (
        ("files without holes, walked", data),
        ("strace, read from the source", traced.source_read),
        ("strace, written to the target", traced.target_written),
        ("session, moved", record.moved_bytes),
        ("report, moved", measured.moved_bytes),
        ("Prometheus, moved", exposed["migmond_execution_moved_bytes_total"]),
    )
    same_entries = (("entries, walked", entries), ("execution, done", view.progress.done.entries))
    never = (
        ("strace, written to the source", traced.source_written),
        ("strace, read from the target", traced.target_read),
    )
    problems = [
        f"{name} is {value:,}, {rows[0][0]} {rows[0][1]:,}"
        for rows in (same_size, same_charted, same_data, same_entries, (("nothing", 0), *never))
        for name, value in rows[1:]
        if value != rows[0][1]
    ]
    return Told(
        entries, size, data, traced, tuple(problems), (*same_size, *same_charted, *same_data, *same_entries, *never)
    )


def _ended(client: Client, id_: str) -> tuple[api.ExecutionView, MeasuredView]:
    """Wait for the end, and for the last look of the monitor after it."""
    end = time.monotonic() + _END_S
    while True:
        found = client.call("execution.report", api.ExecutionParams(id_), ReportView)
        state = found.execution.state
        live = client.call("execution.session", api.ExecutionParams(id_), SessionView).live
        if state == "completed" and found.measured is not None and not live:
            return found.execution, found.measured
        if time.monotonic() > end or state in ("failed", "completed_with_errors"):
            raise RuntimeError(f"the migration is {state}: {found.execution.why}")
        time.sleep(0.05)


def _charted(client: Client, id_: str, expected: int) -> int:
    """Return what the history says last of what was planned, which it is given 10 s to say: what is measured is flushed
    once a second, and the first looks were before anything was planned."""
    end = time.monotonic() + 10
    while True:
        select = (SeriesSelector("migmond_execution_planned_bytes", {"execution": id_}),)
        found = client.call("history.query", HistoryParams(select, span_s=60.0, points=600), HistoryView)
        values = [v for c in found.series for v, n in zip(c.high, c.count, strict=True) if v is not None and n]
        if values and (int(values[-1]) == expected or time.monotonic() > end):
            return int(values[-1])
        if time.monotonic() > end:
            raise RuntimeError("the history has nothing of it")
        time.sleep(0.2)


def _exposed(client: Client, id_: str) -> dict[str, int]:
    page = client.call("report.export", ExportParams(format="prometheus"), ExportPage)
    found = {}
    for line in page.text.splitlines():
        name, brace, rest = line.partition("{")
        if brace and f'execution="{id_}"' in rest and "_info" not in name:
            found[name] = int(float(rest.rpartition(" ")[2]))
    return found


def _journaled(home: Path) -> tuple[SessionRecord, int]:
    with contextlib.closing(apsw.Connection(str(home / "state" / "journal.db"))) as journal:
        ((body,),) = list(journal.execute("SELECT body FROM session"))
        ((sizes,),) = list(journal.execute(_SIZES, (EntryType.FILE, TaskState.DONE)))
    return msgspec.msgpack.decode(body, type=SessionRecord), int(sizes)
