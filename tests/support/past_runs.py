"""Executions that have ended, with records of how they went: what reports rest on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from migmond.domain.activity import Activity, Spent
from migmond.domain.changes import (
    AddFault,
    Change,
    PutExecution,
    PutIntervention,
    PutSession,
    Record,
)
from migmond.domain.entry import EntryType
from migmond.domain.execution import Execution, Tally, Totals
from migmond.domain.fault import Fault, Phase
from migmond.domain.identity import Identity
from migmond.domain.intervention import Intervention, InterventionKind
from migmond.domain.plan import Plan, Source
from migmond.domain.session import CoursePoint, DeviceSide, SessionRecord
from migmond.domain.states import ExecutionState, Outcome, TaskState
from migmond.domain.task import TaskResult
from migmond.plugin_api.conformance import entry, listing, root
from migmond_sqlite import open_journal

T0 = 1_790_000_000.0
"""2026-09-21 14:13:20 UTC."""
DAY_S = 86_400.0
GB = 10**9
SOURCE = DeviceSide(("sda",), "WDC_WD40_1", "hdd")
TARGET = DeviceSide(("nvme0n1",), "Samsung_990_2", "nvme")
HOSTILE = 'x<script src="http://evil/">&\'"'


def spent(**seconds: float) -> Spent:
    """Return what threads spent, by activity in lower case."""
    known = {Activity[name.upper()]: int(s * 1e9) for name, s in seconds.items()}
    return Spent(tuple(known.get(a, 0) for a in Activity))


def ended(key: int, uid: int = 0, *, size: int = 10 * GB, **changes: Any) -> Execution:
    """Return an execution that ended `key` days after T0, after 100 s of work."""
    made = Execution(
        id=f"{key:012x}",
        key=key,
        name=f"run-{key}",
        plan=Plan("", (Source(b"/src/\xff"),), b"/dst"),
        identity=Identity(uid, uid, ()),
        state=ExecutionState.COMPLETED,
        created_at=T0 + key * DAY_S - 110,
        started_at=T0 + key * DAY_S - 105,
        finished_at=T0 + key * DAY_S,
        active_s=100.0,
        totals=Totals(Tally(1000, size), Tally(990, size), Tally(6, 0), Tally(4, 0), growing=False),
    )
    return msgspec.structs.replace(made, **changes)


def record(key: int, *, size: int = 10 * GB, slower: float = 1.0, **changes: Any) -> SessionRecord:
    """Return what is kept of it: `slower` times 100 s of work on `size` bytes, from a disk to an NVMe."""
    active = 100.0 * slower
    course = tuple(CoursePoint(active * i / 10, Tally(100 * i, size * i // 10), Tally(1000, size)) for i in range(11))
    made = SessionRecord(
        key=key,
        execution=f"{key:012x}",
        at=T0 + key * DAY_S,
        wall_s=active + 5,
        active_s=active,
        held_s=5.0,
        source=SOURCE,
        target=TARGET,
        workers=2,
        retries=3,
        moved_bytes=size,
        cpu_s=20.0,
        read_bytes=size,
        written_bytes=size,
        peak_resident_bytes=50 << 20,
        copying=spent(waiting=20 * slower, source_read=120 * slower, target_write=40 * slower, hash=20 * slower),
        committing=spent(waiting=150 * slower, sync=10 * slower),
        peak_bytes_per_s=1.5e8 / slower,
        cost_a=0.001 * slower,
        cost_b=9.9e-9 * slower,
        course=course,
        sizes={"<64KiB": Tally(900, size // 10), ">=64MiB": Tally(100, size - size // 10)},
        promised=10,
        kept=8,
    )
    return msgspec.structs.replace(made, **changes)


async def fill(state_directory: Path, *changes: Change) -> None:
    """Put changes into the journal of a daemon that does not run."""
    state_directory.mkdir(parents=True, exist_ok=True)
    async with open_journal(state_directory) as journal:
        while await journal.next_key() < 1000:  # keys of new executions come after ours
            pass
        await journal.apply(changes)


def files_of(key: int) -> list[Change]:
    """Return changes that give an execution 300 files with hostile names, one of which failed, and an intervention."""
    names = [b"=cmd|' /C calc'!A0", b"\xff\xfe", b'a,b\n"c"', b"<b>&"]
    names += [b"file-%03d" % i for i in range(300 - len(names))]
    results = tuple(TaskResult(n, TaskState.DONE, Outcome.COPIED, digest=b"%16d" % n) for n in range(3, 302))
    fault = Fault(Phase.COPY, "EIO", 5, "Input/output error")
    paused = Intervention(
        f"i-{key}", f"{key:012x}", InterventionKind.PAUSE, "ana", T0 + key * DAY_S - 50, HOSTILE, "running", "paused"
    )
    return [
        root(key),
        listing(1, 2, *(entry(n, EntryType.FILE, inode=i + 1) for i, n in enumerate(names)), key=key),
        AddFault(key, 2, T0 + key * DAY_S - 1, fault),
        Record(key, (TaskResult(2, TaskState.FAILED), *results)),
        PutIntervention(paused),
    ]


def past(key: int, uid: int = 0, *, slower: float = 1.0, size: int = 10 * GB, **changes: Any) -> list[Change]:
    """Return changes that put an ended execution with its record into a journal."""
    return [
        PutExecution(ended(key, uid, size=size, **changes)),
        PutSession(record(key, size=size, slower=slower)),
    ]
