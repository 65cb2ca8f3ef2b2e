"""From every released schema to the present one: nothing lost, and a crash leaves the old one or the new one."""

from __future__ import annotations

import lzma
import os
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from journals import TABLES, Rows, rows_of
from migmond.domain.changes import (
    CloseGroup,
    PutExecution,
)
from migmond.domain.errors import JournalDamaged
from migmond.domain.states import ExecutionState, TaskState
from migmond_sqlite import open_journal
from migmond_sqlite.checksums import Header
from migmond_sqlite.schema import SCHEMA_VERSION, STEPS

ROOT = Path(__file__).parents[2]
RELEASED = sorted((Path(__file__).parent / "released").glob("version-*.db.xz"))


def unpack(packed: Path, directory: Path) -> Rows:
    """Put a released journal into `directory`; returns its rows as the standard library reads them."""
    path = directory / "journal.db"
    path.write_bytes(lzma.decompress(packed.read_bytes()))
    connection = sqlite3.connect(path)
    rows = {table: connection.execute(f"SELECT * FROM {table} ORDER BY 1, 2").fetchall() for table in TABLES}
    connection.close()
    return rows


def version(path: Path) -> int:
    return Header(path.read_bytes()[: Header.BYTES]).version


def test_there_is_a_journal_of_every_older_version() -> None:
    assert [p.name for p in RELEASED] == [f"version-{n}.db.xz" for n in range(1, SCHEMA_VERSION)]
    assert [before for before, _ in STEPS] == list(range(1, SCHEMA_VERSION))


@pytest.mark.parametrize("packed", RELEASED, ids=lambda p: p.name)
async def test_everything_is_there_afterwards(tmp_path: Path, packed: Path) -> None:
    rows = unpack(packed, tmp_path)
    async with open_journal(tmp_path) as journal:
        assert rows_of(tmp_path) == rows
        assert await journal.check() == []
        states = [e.state for e in await journal.executions()]
        wanted = ("COMPLETED", "RUNNING", "PAUSED", "COMPLETED_WITH_ERRORS", "CANCELLED")
        assert states == [ExecutionState[name] for name in wanted]
        tasks = await journal.tasks(2)
        assert [sum(t.state is s for t in tasks) for s in (TaskState.DONE, TaskState.DURABLE)] == [98, 20]
        assert (await journal.get_tasks(1, [6]))[6].mtime_ns == 13_569_465_600_000_000_000
        assert [g.id for g in await journal.open_groups(2)] == [4]
        assert [g.count for g in await journal.fault_groups(4)] == [1, 1]
        assert [await journal.seals(e.key) for e in await journal.executions()] == [[]] * 5  # nobody kept any
        await journal.apply([CloseGroup(2, 4), PutExecution((await journal.executions())[0])])
        backups = await journal.backups()
    assert version(tmp_path / "journal.db") == SCHEMA_VERSION
    assert [version(Path(b.path)) for b in backups] == [int(packed.name[8:9])]  # the old one, for the old program


async def test_a_damaged_old_one_stays_as_it_is(tmp_path: Path) -> None:
    unpack(RELEASED[0], tmp_path)
    path = tmp_path / "journal.db"
    data = bytearray(path.read_bytes())
    data[4096 : 2 * 4096] = b"\xff" * 4096
    path.write_bytes(data)
    with pytest.raises(JournalDamaged, match="is damaged"):
        async with open_journal(tmp_path):
            pass
    assert path.read_bytes() == data


STOPPED = """
import os, sys
from pathlib import Path
from migmond_sqlite.database import open_writer

left = int(sys.argv[2])
def stop(event, arguments):
    global left
    if event in ("os.rename", "os.link", "os.remove", "open", "os.mkdir") and sys.argv[1] in str(arguments):
        left -= 1
        if left < 0:
            os.kill(os.getpid(), 9)
sys.addaudithook(stop)
open_writer(Path(sys.argv[1]) / "journal.db").close()
"""


async def test_a_crash_at_any_step_leaves_the_old_one_or_the_new_one(tmp_path: Path) -> None:
    """Killed before each act on the directory in turn, until one run comes through."""
    seen: set[int] = set()
    for step in range(100):
        directory = tmp_path / str(step)
        directory.mkdir()
        rows = unpack(RELEASED[0], directory)
        process = subprocess.run(
            [sys.executable, "-c", STOPPED, str(directory), str(step)],
            env={**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'plugins'}"},
            check=False,
        )
        left = version(directory / "journal.db")
        seen.add(left)
        async with open_journal(directory) as journal:
            assert rows_of(directory) == rows
            assert await journal.check() == []
        if process.returncode == 0:
            break
        assert process.returncode == -signal.SIGKILL
    assert seen == {1, SCHEMA_VERSION}
    assert step > 3  # it was stopped on its way, not only before and after
