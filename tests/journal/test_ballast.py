"""A full disk (hazard 9) on a real small file system: what must be recorded still is, with the room of the ballast."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

import loopfs
from migmond.domain.changes import (
    PutExecution,
)
from migmond.domain.errors import JournalFull
from migmond.plugin_api.conformance import entry, execution, listing, root
from migmond_sqlite import open_journal
from migmond_sqlite.ballast import Ballast

BALLAST = 4 << 20


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    if why := loopfs.missing("ext4"):
        pytest.skip(why)
    with loopfs.mounted(tmp_path, "ext4", size_bytes=24 << 20, options="") as fs:
        yield fs.root / "state"


def fill(directory: Path) -> Path:
    """Leave no block free, not even root's."""
    filler = directory.parent / "filler"
    with filler.open("wb", buffering=0) as file:
        for size in (1 << 16, 1 << 12, 1):
            try:
                while True:
                    file.write(b"x" * size)
            except OSError:
                continue
    os.sync()
    return filler


async def test_a_full_disk_takes_the_ballast_and_gives_it_back(small: Path) -> None:
    async with open_journal(small, BALLAST) as journal:
        await journal.apply([PutExecution(execution()), root()])
        assert (small / "journal.ballast").stat().st_blocks * 512 >= BALLAST
        assert (journal.condition().short, journal.condition().reserve) == ("", "")
        filler = fill(small)
        number = 2
        for _ in range(3):  # each longer than what the log has room for
            await journal.apply([listing(1, number, *[entry(b"%d" % i) for i in range(4000)], complete=False)])
            number += 4000
        assert "full" in journal.condition().short
        assert "full" in await journal.room()
        assert "no room" in journal.condition().reserve
        assert await journal.last_number(1) == number - 1
        more = [listing(1, number, *[entry(b"%d" % i) for i in range(100_000)], complete=False)]
        with pytest.raises(JournalFull):  # that was all there is
            await journal.apply(more)
        filler.unlink()
        assert await journal.room() == ""
        assert journal.condition().reserve == ""
        assert (small / "journal.ballast").stat().st_blocks * 512 >= BALLAST
        assert await journal.last_number(1) == number - 1
        assert await journal.check() == []


async def test_a_journal_can_be_opened_on_a_full_disk(small: Path) -> None:
    async with open_journal(small, BALLAST) as journal:
        await journal.apply([PutExecution(execution()), root()])
    filler = fill(small)
    async with open_journal(small, BALLAST) as journal:
        await journal.next_event(1 << 32)
        assert "full" in journal.condition().short
        filler.unlink()
        assert await journal.room() == ""


def test_there_is_none_where_it_does_not_fit_or_is_not_wanted(tmp_path: Path) -> None:
    found = os.statvfs(tmp_path)
    large = Ballast(tmp_path / "journal.ballast", found.f_bavail * found.f_frsize)
    large.make()
    assert "no room" in large.missing
    assert not large.give_up("full")
    assert large.short == ""
    kept = Ballast(tmp_path / "journal.ballast", 1 << 20)
    kept.make()
    assert kept.missing == ""
    unwanted = Ballast(tmp_path / "journal.ballast", 0)
    unwanted.make()
    assert unwanted.missing == ""
    assert not (tmp_path / "journal.ballast").exists()
