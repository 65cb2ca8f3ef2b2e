"""Disks that have other numbers than when they were scanned."""

from __future__ import annotations

import os
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from migmond.domain.entry import EntryType
from migmond.domain.states import Outcome
from migmond.mover.device_numbers import DeviceNumbers
from migmond.wire.items import WorkItem
from parts import Mover

NUMBERS = st.integers(1, 6)


@given(st.dictionaries(NUMBERS, NUMBERS).filter(lambda d: len(set(d.values())) == len(d)), NUMBERS)
def test_a_number_stands_for_one_file_system(recorded: dict[int, int], now: int) -> None:
    """`recorded`: of each disk with a source, by its number now, the one in the journal."""
    numbers = DeviceNumbers((then, number) for number, then in recorded.items())
    for number, then in recorded.items():
        assert numbers.recorded(number) == then
    if now not in recorded:  # another disk: never taken for one that is in the journal
        assert numbers.recorded(now) not in recorded.values()


def test_a_source_without_a_number_in_the_journal_has_its_own() -> None:
    assert DeviceNumbers([(0, 5)]).recorded(5) == 5


def test_what_was_renamed_before_a_crash_is_found_on_a_disk_with_another_number(tmp_path: Path) -> None:
    """It was told as vanished from the source, and its directory as another disk's."""
    source, target = tmp_path / "source", tmp_path / "target"
    source.mkdir()
    (source / "a").write_bytes(b"a")
    found = os.lstat(source / "a")
    then = found.st_dev + 1
    item = WorkItem(1, b"a", EntryType.FILE, found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino, then, 1)
    for _ in range(2):  # the second time as after a crash: the journal does not know of the first
        copied = Mover(source, target, move=True, recorded_device=then).copier.copy(item, 0, b"", 1)
        assert copied.result.outcome is Outcome.RENAMED
        assert copied.arrival is not None
        assert copied.arrival.placed == b"a"
