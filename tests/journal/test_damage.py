"""Bit rot (hazard 8): whatever flips, no row is ever silently wrong, and nothing goes on from a damaged journal."""

from __future__ import annotations

import random
from pathlib import Path

import apsw
import pytest
import trio

from journals import Rows, copy, flip, rows_of, write
from migmond.domain.changes import (
    PutExecution,
)
from migmond.domain.errors import JournalDamaged, JournalError
from migmond.plugin_api.conformance import execution
from migmond_sqlite import open_journal
from migmond_sqlite.checksums import PAGE_BYTES, VFS, load

PAGES, HEADER, LOG = 220, 40, 150
"""Trials of the campaign: bits anywhere, bits of the first hundred bytes, bits of the log."""


async def outcome(directory: Path) -> Rows | None:
    """Open, read everything, check; None when damage is reported, and then nothing may have been changed."""
    before = {p.name: p.read_bytes() for p in directory.iterdir()}
    try:
        async with open_journal(directory) as journal:
            rows = rows_of(directory)
            assert await journal.check() == []
            return rows
    except JournalError:
        after = {p.name: p.read_bytes() for p in directory.iterdir() if p.name in before}
        assert after == before
        return None


async def test_no_flipped_bit_of_a_journal_goes_unseen(tmp_path: Path) -> None:
    (*_, good) = await write(tmp_path / "good")
    rng, trial = random.Random(8), tmp_path / "trial"
    bits = (tmp_path / "good" / "journal.db").stat().st_size * 8
    for number in range(PAGES + HEADER):
        copy(tmp_path / "good", trial)
        bit = rng.randrange(bits if number < PAGES else 800)
        flip(trial / "journal.db", bit)
        assert await outcome(trial) is None, f"bit {bit}"
    copy(tmp_path / "good", trial)
    assert await outcome(trial) == good


async def test_a_flipped_bit_of_the_log_never_makes_a_row_wrong(tmp_path: Path) -> None:
    """After a SIGKILL. In the last transaction it looks like one that a power cut tore: then that is not there."""
    (*_, before, good) = await write(tmp_path / "closed", tmp_path / "killed")
    rng, trial = random.Random(9), tmp_path / "trial"
    log = tmp_path / "killed" / "journal.db-wal"
    seen = {"reported": 0, "no effect": 0, "last one gone": 0}
    for number in range(LOG):
        copy(tmp_path / "killed", trial)
        bit = rng.randrange(log.stat().st_size * 8 if number else 32 * 8)
        flip(trial / "journal.db-wal", bit)
        rows = await outcome(trial)
        assert rows is None or rows in (before, good), f"bit {bit}"
        seen["reported" if rows is None else "no effect" if rows == good else "last one gone"] += 1
    assert seen["reported"] > LOG // 2, seen
    copy(tmp_path / "killed", trial)
    assert await outcome(trial) == good


async def test_a_page_that_a_power_cut_tore_while_the_log_has_it_is_no_damage(tmp_path: Path) -> None:
    (*_, good) = await write(tmp_path / "closed", tmp_path / "killed")
    load()
    trial = tmp_path / "killed"
    copy(trial, tmp_path / "checkpointed")
    connection = apsw.Connection(str(tmp_path / "checkpointed" / "journal.db"), vfs=VFS)
    list(connection.execute("PRAGMA wal_checkpoint(TRUNCATE)"))
    connection.close()
    whole = (tmp_path / "checkpointed" / "journal.db").read_bytes()
    half = whole[: PAGE_BYTES * 9 + 512]  # so far a checkpoint came
    (trial / "journal.db").write_bytes(half + b"\0" * (PAGE_BYTES * 10 - len(half)))
    assert await outcome(trial) == good


async def test_a_journal_cut_short_is_refused(tmp_path: Path) -> None:
    await write(tmp_path / "good")
    path = tmp_path / "good" / "journal.db"
    for lost in (1, PAGE_BYTES, 5 * PAGE_BYTES):
        copy(tmp_path / "good", tmp_path / "trial")
        with (tmp_path / "trial" / "journal.db").open("r+b") as file:
            file.truncate(path.stat().st_size - lost)
        assert await outcome(tmp_path / "trial") is None


async def test_damage_met_while_running_stops_every_write_and_the_next_start(tmp_path: Path) -> None:
    await write(tmp_path)
    path = tmp_path / "journal.db"
    whole = path.read_bytes()
    async with open_journal(tmp_path) as journal:
        assert journal.condition().damage == ""
        data = bytearray(whole)
        for page in range(6, len(data) // PAGE_BYTES):
            data[page * PAGE_BYTES + 999] ^= 1
        path.write_bytes(data)
        with pytest.raises(JournalDamaged, match="not what was written") as met:
            await journal.tasks(1, limit=10**6)
        assert "a backup of yours" in met.value.hint
        with trio.fail_after(5):
            assert (await journal.until_damaged()).message == journal.condition().damage != ""
        with pytest.raises(JournalDamaged):
            await journal.apply([PutExecution(execution(3))])
        with pytest.raises(JournalDamaged):
            await journal.next_key()
    with pytest.raises(JournalDamaged, match="page"):
        async with open_journal(tmp_path):
            pass
    path.write_bytes(whole)  # it was the reading that failed, not the disk; or somebody put a good one back
    for _ in range(2):
        async with open_journal(tmp_path) as journal:
            assert await journal.check() == []
    assert not (tmp_path / "journal.damaged").exists()


async def test_a_journal_that_vanished_after_damage_is_not_made_anew(tmp_path: Path) -> None:
    (tmp_path / "journal.damaged").write_text("page 7\n")
    with pytest.raises(JournalDamaged, match="missing"):
        async with open_journal(tmp_path):
            pass
    assert not (tmp_path / "journal.db").exists()


async def test_a_check_says_whom_it_hits(tmp_path: Path) -> None:
    await write(tmp_path)
    path = tmp_path / "journal.db"
    async with open_journal(tmp_path) as journal:
        data = bytearray(path.read_bytes())
        page = next(n for n in range(len(data) // PAGE_BYTES) if b"name-0350" in data[n * PAGE_BYTES :][:PAGE_BYTES])
        data[page * PAGE_BYTES + 2000] ^= 16
        path.write_bytes(data)
        found = await journal.check()
        assert f"page {page + 1} is not what was written" in found
        assert "not all tasks of execution 000000000001 (running) can be read" in found
        assert not any("000000000002" in f for f in found)
        assert journal.condition().damage
