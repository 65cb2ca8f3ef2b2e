"""In every campaign a delete that the journal does not vouch for is found, and so are figures that do not add up."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Mapping
from pathlib import Path

import pytest

import errno_faults
import kill_points
import power_cut
import power_disk
import sickfs
import torn
from errno_faults import Fault
from judge import Case, Harm, counted
from kill_points import Point
from loopfs import missing
from migmond.domain.plan import Operation
from power_cut import LAYOUTS
from routes import Route, Victim
from written import PENDING

MOVE = Route(Operation.MOVE, within=False)
RENAME = Route(Operation.MOVE, within=True, into=True)


class Hand:
    """Copies a file that is still pending and deletes its source, as nobody must."""

    def __init__(self) -> None:
        self.moved: list[bytes] = []

    def __call__(self, case: Case, states: Mapping[bytes, int]) -> None:
        for path in (path for path, state in states.items() if state == PENDING):
            source, target = (Path(os.fsdecode(os.path.join(bytes(root), path))) for root in (case.source, case.target))
            if source.is_file() and not source.is_symlink() and not os.path.lexists(target):
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(source, target)
                st = source.stat()
                os.chown(target, st.st_uid, st.st_gid)
                source.unlink()
                self.moved.append(path)
                return


@pytest.fixture(autouse=True)
def root() -> None:
    if why := missing("ext4"):
        pytest.skip(why)


@pytest.mark.parametrize("route", [MOVE, RENAME], ids=str)
def test_in_failing_calls(tmp_path: Path, route: Route) -> None:
    with errno_faults.prepared(tmp_path / "work", "ext4") as laboratory:
        laboratory.meddle = hand = Hand()
        call = "openat2" if route is MOVE else "renameat2"
        trial = laboratory.provoke(Fault(Victim.MOVER, route, call, "EROFS", "4+"))
    assert trial.hit
    assert hand.moved
    assert counted(trial.findings)[Harm.UNVERIFIED_DELETE] == 1, list(map(str, trial.findings))


@pytest.mark.parametrize("victim", [Victim.MOVER, Victim.DAEMON])
def test_in_kills(tmp_path: Path, victim: Victim) -> None:
    with kill_points.prepared(tmp_path / "work", "ext4") as laboratory:
        laboratory.meddle = hand = Hand()
        call, first = ("openat2", 6) if victim is Victim.MOVER else ("fdatasync", 3)
        for number in range(first, first + 12):  # runs differ in how far they are by then
            trial = laboratory.kill(Point(victim, MOVE, call, number))
            if hand.moved:
                break
    assert hand.moved
    assert counted(trial.findings)[Harm.UNVERIFIED_DELETE] == 1, list(map(str, trial.findings))


def test_in_power_cuts(tmp_path: Path) -> None:
    number = next(n for n, layout in enumerate(LAYOUTS) if layout.operation is Operation.MOVE and n % 4)
    with power_cut.laboratory(tmp_path / "work", "ext4", 7) as laboratory:
        found_by_hand(laboratory, number)


def found_by_hand(laboratory: power_cut.PowerCuts | torn.TornWrites, number: int) -> None:
    """Delete a source by hand in a trial of that layout, and see it found."""
    laboratory.meddle = hand = Hand()
    for again in range(60):  # the cut has to come while something is under way
        trial = laboratory.trial(number + again * len(LAYOUTS))
        if hand.moved:
            break
    assert hand.moved
    assert counted(trial.findings)[Harm.UNVERIFIED_DELETE] == 1, list(map(str, trial.findings))


def test_in_torn_writes(tmp_path: Path) -> None:
    if why := power_disk.missing("ext4") or sickfs.missing():
        pytest.skip(why)
    number = next(n for n, layout in enumerate(LAYOUTS) if layout.operation is Operation.MOVE and n % 4)
    with contextlib.ExitStack() as stack:
        laboratory = stack.enter_context(torn.laboratory(tmp_path / "work", "ext4", 7))
        found_by_hand(laboratory, number)
