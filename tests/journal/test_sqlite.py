"""What only a storage on disk can get wrong: power, damage, two daemons, a full disk."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from migmond.domain.errors import JournalDamaged, JournalError, JournalFull
from migmond.plugin_api.conformance import entry, execution, listing, root
from migmond.ports import PutExecution
from migmond_sqlite import open_journal
from migmond_sqlite.database import open_writer, run
from migmond_sqlite.schema import PRAGMAS

ROOT = Path(__file__).parents[2]

WRITER = """
import sys, trio
from pathlib import Path
from migmond_sqlite import open_journal
from migmond.plugin_api.conformance import entry, execution, listing, root
from migmond.ports import PutExecution

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


def test_every_pragma_is_what_it_must_be(tmp_path: Path) -> None:
    connection = open_writer(tmp_path / "journal.db")
    assert {name: run(connection, f"PRAGMA {name}")[0][0] for name in PRAGMAS} == PRAGMAS
    connection.close()


async def test_a_second_daemon_is_refused(tmp_path: Path) -> None:
    async with open_journal(tmp_path):
        with pytest.raises(JournalError, match="another daemon"):
            async with open_journal(tmp_path):
                pass
    async with open_journal(tmp_path):
        pass


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


async def test_damage_inside_is_found(tmp_path: Path) -> None:
    async with open_journal(tmp_path) as journal:
        await journal.apply([PutExecution(execution()), root()])
        await journal.apply([listing(1, 2, *[entry(b"name-%05d" % i) for i in range(5000)])])
    path = tmp_path / "journal.db"
    data = bytearray(path.read_bytes())
    for page in range(20, 40):
        data[page * 4096 : page * 4096 + 200] = b"\xff" * 200
    path.write_bytes(data)
    async with open_journal(tmp_path) as journal:
        assert await journal.check()
        with pytest.raises(JournalDamaged):
            await journal.tasks(1, limit=10**6)


async def test_a_newer_schema_is_refused(tmp_path: Path) -> None:
    async with open_journal(tmp_path):
        pass
    connection = open_writer(tmp_path / "journal.db")
    run(connection, "PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(JournalError, match="newer"):
        async with open_journal(tmp_path):
            pass


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to mount a small file system")
async def test_a_full_disk_is_said_and_passes(tmp_path: Path) -> None:
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "none", tmp_path], check=True)
    try:
        async with open_journal(tmp_path) as journal:
            await journal.apply([PutExecution(execution()), root()])
            (tmp_path / "filler").write_bytes(b"x" * (os.statvfs(tmp_path).f_bavail * 4096 - 65536))
            with pytest.raises(JournalFull, match="full"):
                await journal.apply([listing(1, 2, *[entry(b"%d" % i) for i in range(5000)])])
            assert await journal.last_number(1) == 1
            (tmp_path / "filler").unlink()
            await journal.apply([listing(1, 2, *[entry(b"%d" % i) for i in range(500)])])
            assert await journal.last_number(1) == 501
    finally:
        subprocess.run(["umount", tmp_path], check=True)
