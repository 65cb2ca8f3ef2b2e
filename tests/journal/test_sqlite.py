"""What only a storage on disk can get wrong: power, damage, two daemons, a full disk."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from migmond.domain.changes import (
    CloseGroup,
    OpenGroup,
    PutExecution,
    Record,
)
from migmond.domain.entry import EntryType
from migmond.domain.errors import JournalDamaged, JournalError, JournalFull
from migmond.domain.journal import Sift
from migmond.domain.states import ExecutionState, Outcome, TaskState
from migmond.domain.task import CommitGroup, TaskResult
from migmond.plugin_api.conformance import entry, execution, listing, root
from migmond_sqlite import open_journal, reading
from migmond_sqlite.connections import run
from migmond_sqlite.database import open_reader, open_writer
from migmond_sqlite.schema import PRAGMAS

ROOT = Path(__file__).parents[2]

WRITER = """
import sys, trio
from pathlib import Path
from migmond_sqlite import open_journal
from migmond.plugin_api.conformance import entry, execution, listing, root
from migmond.domain.changes import (PutExecution,)

async def main():
    async with open_journal(Path(sys.argv[1])) as journal:
        await journal.apply([PutExecution(execution()), root()])
        number = 2
        while True:
            await journal.apply([listing(1, number, *[entry(b"%d" % i) for i in range(100)], complete=False)])
            number += 100
            print(number, flush=True)
trio.run(main)
"""


@pytest.mark.hazard(7)
@pytest.mark.parametrize("after", [1, 5, 12])
async def test_acknowledged_transactions_survive_sigkill_and_none_is_half_there(tmp_path: Path, after: int) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(tmp_path)],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'plugins'}"},
    )
    assert process.stdout is not None
    acknowledged = 0
    for _ in range(after):
        acknowledged = int(process.stdout.readline())
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    async with open_journal(tmp_path) as journal:
        last = await journal.last_number(1)
        assert last >= acknowledged - 1
        assert (last - 1) % 100 == 0
        assert len(await journal.tasks(1, limit=10**6)) == last
        assert await journal.check() == []


@pytest.mark.hazard(7, 10)
def test_every_pragma_is_what_it_must_be(tmp_path: Path) -> None:
    connection = open_writer(tmp_path / "journal.db")
    assert {name: run(connection, f"PRAGMA {name}")[0][0] for name in PRAGMAS} == PRAGMAS
    connection.close()


async def test_a_second_daemon_is_refused(tmp_path: Path) -> None:
    async with open_journal(tmp_path):
        with pytest.raises(JournalError, match=rf"another daemon \(pid {os.getpid()}\)"):
            async with open_journal(tmp_path):
                pass
    async with open_journal(tmp_path):
        pass


@pytest.mark.hazard(8)
async def test_a_damaged_file_is_never_replaced(tmp_path: Path) -> None:
    async with open_journal(tmp_path) as journal:
        await journal.apply([PutExecution(execution()), root()])
    path = tmp_path / "journal.db"
    good = path.read_bytes()
    for bad in (b"", b"not a database at all" * 100, b"\0" * len(good)):
        path.write_bytes(bad)
        with pytest.raises(JournalDamaged):
            async with open_journal(tmp_path):
                pass
        assert path.read_bytes() == bad


async def test_a_newer_schema_is_refused(tmp_path: Path) -> None:
    async with open_journal(tmp_path):
        pass
    connection = open_writer(tmp_path / "journal.db")
    run(connection, "PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(JournalError, match="newer"):
        async with open_journal(tmp_path):
            pass


@pytest.mark.hazard(10)
async def test_a_journal_that_was_never_finished_is_made_anew(tmp_path: Path) -> None:
    (tmp_path / "journal.db.new").write_bytes(b"half a page")
    (tmp_path / "journal.db.new-journal").write_bytes(b"x" * 5000)
    async with open_journal(tmp_path) as journal:
        assert await journal.check() == []
    assert sorted(f.name for f in tmp_path.iterdir()) == ["journal.db", "journal.lock"]


async def test_a_log_without_its_journal_is_damage(tmp_path: Path) -> None:
    (tmp_path / "journal.db-wal").write_bytes(b"acknowledged rows")
    with pytest.raises(JournalDamaged, match="missing"):
        async with open_journal(tmp_path):
            pass
    assert (tmp_path / "journal.db-wal").read_bytes() == b"acknowledged rows"
    assert not (tmp_path / "journal.db").exists()


async def test_an_index_that_is_missing_comes_back(tmp_path: Path) -> None:
    async with open_journal(tmp_path):
        pass
    connection = open_writer(tmp_path / "journal.db")
    run(connection, "DROP INDEX task_pending")
    connection.close()
    async with open_journal(tmp_path):
        pass
    reader = open_reader(tmp_path / "journal.db")
    assert run(reader, "SELECT count(*) FROM sqlite_schema WHERE name = 'task_pending'") == [(1,)]
    reader.close()


async def test_check_finds_groups_that_nobody_will_close(tmp_path: Path) -> None:
    async with open_journal(tmp_path) as journal:
        await journal.apply(
            [PutExecution(execution()), OpenGroup(1, CommitGroup(1, ())), OpenGroup(2, CommitGroup(1, ()))]
        )
        assert await journal.check() == ["1 open commit groups belong to no execution"]
        await journal.apply([PutExecution(execution(state=ExecutionState.COMPLETED)), CloseGroup(2, 1)])
        assert await journal.check() == ["execution 000000000001 is completed, but has open commit groups"]
        await journal.apply([CloseGroup(1, 1)])
        assert await journal.check() == []


@pytest.mark.hazard(10)
async def test_check_finds_a_setting_that_was_changed(tmp_path: Path) -> None:
    async with open_journal(tmp_path) as journal:
        run(journal._writer, "PRAGMA synchronous = NORMAL")
        assert await journal.check() == ["synchronous is 1 instead of 2"]


QUERIES: list[dict[str, Any]] = [
    {"states": (TaskState.PENDING,), "followers": False},
    {"states": (TaskState.PENDING,), "followers": True},
    {"states": (TaskState.DURABLE,), "followers": None},
    {"states": (TaskState.FAILED,), "followers": None},
    {"states": (TaskState.FAILED, TaskState.SKIPPED), "followers": None},
]


async def test_what_is_left_is_found_without_walking_what_is_done(tmp_path: Path) -> None:
    """Counted in steps of SQLite's virtual machine, which no other load on the machine changes."""
    entries = [entry(b"%d" % i, inode=i // 2, links=2 if i % 10 < 2 else 1) for i in range(20_000)]
    async with open_journal(tmp_path) as journal:
        leaders = {i: i + 1 for i in range(20_000) if i % 10 == 1}
        await journal.apply([PutExecution(execution()), root(), listing(1, 2, *entries, leaders=leaders)])
        done = tuple(TaskResult(n, TaskState.DONE, Outcome.COPIED) for n in range(1, 19_990))
        await journal.apply([Record(1, done)])
        left = (TaskState.DURABLE, TaskState.FAILED, TaskState.SKIPPED)
        await journal.apply([Record(1, tuple(TaskResult(19_990 + n, s) for n, s in enumerate(left)))])
    reader, steps = open_reader(tmp_path / "journal.db"), 0

    def step() -> bool:
        nonlocal steps
        steps += 100
        return False

    reader.set_progress_handler(step, 100)
    for query in QUERIES:
        for directories in (None, False):
            before = steps
            query_all: dict[str, Any] = {"followers": None, **query, "directories": directories}
            states = query_all.pop("states")
            found = reading.tasks(reader, 1, 0, 1000, states, **query_all)
            assert found, query
            assert steps - before < 2000, query
    sifts = [Sift(400), Sift(19_400), Sift(19_400, (EntryType.SYMLINK,)), Sift(19_400, larger_than=1 << 40)]
    for sift in (*sifts, Sift(19_400, directory=1, name=b"none")):
        before = steps
        reading.tasks(reader, 1, sift.last - 200, 1000, (), followers=None, directories=None, sift=sift)
        assert steps - before < 8000, sift
    before = steps
    assert len(reading.leaders(reader, 1, 7, range(0, 500, 5))) == 100
    assert steps - before < 5000
    before = steps
    assert len(reading.tasks(reader, 1, 0, 10**6, (TaskState.DONE,), followers=None, directories=None)) == 19_989
    assert steps - before > 20_000  # so the count does tell a walk
    reader.close()


@pytest.mark.hazard(9)
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to mount a small file system")
@pytest.mark.parametrize("room", [0, 2, 6, 8, 9, 12, 16])
async def test_a_full_disk_is_said_and_passes(tmp_path: Path, room: int) -> None:
    """With so many pages left when the journal is opened again; what is missing first differs: log or shared memory."""
    async with open_journal(tmp_path / "elsewhere") as journal:
        await journal.apply([PutExecution(execution()), root()])
    small = tmp_path / "small"
    small.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "none", small], check=True)
    try:
        (small / "journal.lock").touch()
        (small / "journal.db").write_bytes((tmp_path / "elsewhere" / "journal.db").read_bytes())
        filler = small / "filler"
        filler.write_bytes(b"x" * ((os.statvfs(small).f_bavail - room) * 4096))
        with pytest.raises(JournalFull, match="full"):
            async with open_journal(small) as journal:
                await journal.apply([listing(1, 2, *[entry(b"%d" % i) for i in range(2000)])])
        filler.unlink()
        async with open_journal(small) as journal:
            assert await journal.last_number(1) == 1
            filler.write_bytes(b"x" * ((os.statvfs(small).f_bavail - room) * 4096))
            with pytest.raises(JournalFull, match="full"):
                await journal.apply([listing(1, 2, *[entry(b"%d" % i) for i in range(5000)])])
            assert await journal.last_number(1) == 1
            filler.unlink()
            await journal.apply([listing(1, 2, *[entry(b"%d" % i) for i in range(500)])])
            assert await journal.last_number(1) == 501
            assert await journal.check() == []
    finally:
        subprocess.run(["umount", small], check=True)


@pytest.mark.hazard(9, 10)
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to mount a small file system")
async def test_a_journal_that_cannot_be_made_leaves_nothing_half_made(tmp_path: Path) -> None:
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "none", tmp_path], check=True)
    try:
        (tmp_path / "filler").write_bytes(b"x" * 11 * 4096)
        with pytest.raises(JournalFull):
            async with open_journal(tmp_path):
                pass
        assert not (tmp_path / "journal.db").exists()
    finally:
        subprocess.run(["umount", tmp_path], check=True)
