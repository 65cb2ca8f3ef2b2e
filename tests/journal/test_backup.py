"""Backups are whole, made while the journal is in use, few, and can be put back."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio

from journals import Rows, copy, flip, rows_of, write
from migmond.domain.changes import (
    PutExecution,
)
from migmond.domain.errors import JournalDamaged, JournalError
from migmond.domain.hold import HoldReason
from migmond.domain.states import ExecutionState
from migmond.plugin_api.conformance import entry, listing
from migmond_sqlite import open_journal, restore
from migmond_sqlite.database import restoring_mark


def rows_in(backup: str, scratch: Path) -> Rows:
    scratch.mkdir(exist_ok=True)
    (scratch / "journal.db").write_bytes(Path(backup).read_bytes())
    return rows_of(scratch)


async def test_a_backup_is_one_moment_of_a_journal_in_use(tmp_path: Path) -> None:
    state = tmp_path / "state"
    await write(state)
    async with open_journal(state) as journal, trio.open_nursery() as nursery:
        number = 402

        async def work() -> None:
            nonlocal number
            while True:
                await journal.apply([listing(1, number, *[entry(b"%d" % i) for i in range(100)], complete=False)])
                number += 100

        nursery.start_soon(work)
        assert journal.changed_since_backup()
        made = [await journal.backup(2) for _ in range(4)]
        nursery.cancel_scope.cancel()
    sizes = [len(rows_in(b.path, tmp_path / "look")["task"]) for b in made[2:]]
    assert all((size - 453) % 100 == 0 for size in sizes)  # whole transactions
    assert sizes == sorted(sizes)
    async with open_journal(state) as journal:
        assert [b.path for b in await journal.backups()] == [b.path for b in reversed(made[2:])]
        last = await journal.backup(3)
        assert not journal.changed_since_backup()
        assert rows_in(last.path, tmp_path / "look") == rows_of(state)
        assert last.size_bytes == Path(last.path).stat().st_size
        await journal.next_key()
        assert journal.changed_since_backup()


async def test_a_damaged_journal_makes_no_backup_and_keeps_the_good_ones(tmp_path: Path) -> None:
    await write(tmp_path)
    async with open_journal(tmp_path) as journal:
        good = await journal.backup(1)
        path = tmp_path / "journal.db"
        flip(path, (path.stat().st_size - 2000) * 8)
        with pytest.raises(JournalDamaged):
            await journal.backup(1)
        assert journal.condition().damage
        assert [b.path for b in await journal.backups()] == [good.path]
        assert not (tmp_path / "backups" / "journal.new").exists()


async def test_a_restored_journal_holds_what_ran_and_repeats_no_event_id(tmp_path: Path) -> None:
    state = tmp_path / "state"
    await write(state)
    async with open_journal(state) as journal:
        backup = await journal.backup(3)
        event = await journal.next_event(1 << 32)
        lost = (await journal.executions())[0]
        await journal.apply([PutExecution(lost)])
    damaged = state / "journal.db"
    flip(damaged, 5000 * 8)
    with pytest.raises(JournalDamaged):
        async with open_journal(state):
            pass
    said = restore(state, Path(backup.path))
    assert "held: photos (000000)" in said
    async with open_journal(state) as journal:
        assert await journal.check() == []
        one, two = await journal.executions()
        assert (one.state, two.state) == (ExecutionState.PAUSED, ExecutionState.PAUSED)
        assert [h.reason for h in one.holds] == [HoldReason.MAINTENANCE]
        assert "restored from the backup" in one.holds[0].note
        assert await journal.next_event(1) > event + (1 << 32)
        assert await journal.last_number(1) == 401
    (aside,) = state.glob("journal-replaced-*.db")
    assert str(aside) in said


async def test_what_cannot_be_restored_changes_nothing(tmp_path: Path) -> None:
    state = tmp_path / "state"
    await write(state)
    copy(state, tmp_path / "bad")
    bad = tmp_path / "bad" / "journal.db"
    flip(bad, 9000 * 8)
    before = (state / "journal.db").read_bytes()
    text = tmp_path / "text"
    text.write_text("no journal\n" * 100)
    for source, error, why in (
        (bad, JournalDamaged, "page 3 is not what was written"),
        (text, JournalError, "is no journal"),
        (tmp_path / "nothing", JournalError, "cannot read"),
    ):
        with pytest.raises(error, match=why):
            restore(state, source)
    async with open_journal(state):
        with pytest.raises(JournalError, match="another daemon"):
            restore(state, state / "journal.db")
    assert (state / "journal.db").read_bytes() == before


async def test_a_restore_that_was_cut_off_is_no_empty_journal(tmp_path: Path) -> None:
    await write(tmp_path)
    async with open_journal(tmp_path) as journal:
        backup = await journal.backup(1)
    restoring_mark(tmp_path / "journal.db").touch()
    (tmp_path / "journal.db").unlink()
    with pytest.raises(JournalError, match="cut off"):
        async with open_journal(tmp_path):
            pass
    restore(tmp_path, Path(backup.path))
    async with open_journal(tmp_path) as journal:
        assert len(await journal.executions()) == 2
