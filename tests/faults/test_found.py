"""What campaigns of failing system calls have found."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import errno_faults
from errno_faults import ErrnoFaults, Fault
from loopfs import missing
from migmond.domain.plan import Operation
from routes import ROUTES, Route, Victim

MOVE = Route(Operation.MOVE, within=False)
COPY = Route(Operation.COPY, within=False)
MERGE = Route(Operation.MOVE, within=True, into=True)
MOVER, SCANNER = Victim.MOVER, Victim.SCANNER


@pytest.fixture(scope="module")
def laboratory(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ErrnoFaults]:
    if why := missing("ext4"):
        pytest.skip(why)
    with errno_faults.prepared(tmp_path_factory.mktemp("faults") / "work", "ext4") as ready:
        yield ready


@pytest.mark.parametrize(
    "fault",
    [
        # A directory that could not be listed had the other names of files that were moved and deleted meanwhile.
        Fault(SCANNER, MOVE, "getdents64", "ESTALE", "10+"),
        # A source directory that could not be removed stayed, and the migration was complete.
        Fault(MOVER, MERGE, "unlinkat", "ENOSPC", "5"),
        Fault(MOVER, MERGE, "unlinkat", "EPERM", "5"),
        # A source that could not be looked at was taken for moved, since there was a target directory.
        Fault(MOVER, MERGE, "newfstatat", "EACCES", "1"),
        # A source directory that was neither removed nor synced was counted as failed twice: 42 of 34 entries.
        Fault(MOVER, MOVE, "read", "EXDEV", "13+"),
        # Further names of what had been renamed are the same file at both ends: their sources stayed.
        Fault(MOVER, MERGE, "renameat2", "EXDEV", "14"),
        # Deletes whose directory could not be looked at afterwards were told as failed, then as vanished.
        Fault(MOVER, MOVE, "newfstatat", "EIO", "183+"),
        # Attributes that could not be listed were taken for none, and nothing was said.
        Fault(MOVER, COPY, "flistxattr", "EACCES", "1+"),
        # What was renamed before its sync failed had no source any more, and a resume found nothing to go on from.
        Fault(MOVER, MERGE, "syncfs", "EINTR", "3..23"),
    ],
    ids=str,
)
def test_after_the_fault_nothing_is_missing(laboratory: ErrnoFaults, fault: Fault) -> None:
    assert fault.route in ROUTES
    trial = laboratory.provoke(fault)
    assert trial.hit
    assert list(map(str, trial.findings)) == []
