"""Short campaigns, as people run them, other ones every day; and that the laboratory sees what there is to see.

`scripts/faults` runs long ones."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import daily
import power_disk
from daemon import ROOT
from judge import Case, Finding, Harm, at_the_end, at_the_fault, counted, known
from peers import FILES
from power_cut import AFTER_THE_END, LAYOUTS
from trial import lay_out, make_tree

KINDS = ("ext4", "xfs")


def faults(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "scripts" / "faults"), "--seed", str(daily.seed()), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    why = power_disk.missing(request.param)
    if why:
        pytest.skip(why)
    return str(request.param)


def test_power_cuts_take_nothing(kind: str) -> None:
    """In days all layouts come by turns; of as many trials one cuts when the migration was reported as complete."""
    first = daily.share(AFTER_THE_END, len(LAYOUTS))
    done = faults("--power-cuts", str(AFTER_THE_END), "--first", str(first), "--file-system", kind)
    assert done.returncode == 0, done.stdout + done.stderr
    rows = [line.split()[2:] for line in done.stdout.splitlines() if line.startswith("power cuts, ")]
    assert rows == [[kind, str(AFTER_THE_END), str(AFTER_THE_END), "0", "0", "0", "0", "0"]]


@pytest.mark.parametrize("kind", ["btrfs"], indirect=True)
def test_power_cuts_of_a_device_take_nothing(kind: str) -> None:
    """btrfs cannot be shut down, so the device under it is."""
    done = faults("--power-cuts", "3", "--first", str(daily.share(3, len(LAYOUTS))), "--file-system", kind)
    assert done.returncode == 0, done.stdout + done.stderr
    (row,) = (line.split()[3:] for line in done.stdout.splitlines() if line.startswith("power cuts, btrfs "))
    assert row == ["3", "3", "0", "0", "0", "0", "0"]


@pytest.mark.parametrize(("kind", "what"), [("xfs", "kill-points"), ("ext4", "errnos")], indirect=["kind"])
def test_deaths_and_failures_at_system_calls_take_nothing(kind: str, what: str) -> None:
    done = faults(f"--{what}", "8", "--file-system", kind)
    assert done.returncode == 0, done.stdout + done.stderr
    head = f"{what.replace('-', ' ')}, {kind} "
    (row,) = (line.removeprefix(head).split() for line in done.stdout.splitlines() if line.startswith(head + " "))
    assert row[0] == "8"
    assert int(row[1]) >= 2  # runs differ: the last calls of a long one may be missed
    assert row[2:] == ["0"] * 5


@pytest.mark.parametrize(("kind", "least"), [("ext4", 5 * FILES), ("xfs", 5 * FILES), ("btrfs", 5)], indirect=["kind"])
def test_the_laboratory_sees_what_mv_loses(kind: str, least: int) -> None:
    """A small btrfs is short of room for metadata and commits of its own accord, so mv loses the last files only."""
    done = faults("--peers", "--file-system", kind)
    assert done.returncode == 0, done.stdout + done.stderr
    lost = {
        line.split()[0]: int(line.split()[2].replace(",", "")) for line in done.stdout.splitlines() if " of " in line
    }
    assert lost["mv"] >= least
    assert lost["migmond"] == 0


def test_the_judge_sees_every_harm(tmp_path: Path) -> None:
    pristine, source, target = tmp_path / "pristine", tmp_path / "source", tmp_path / "target"
    make_tree(pristine, 1, files=6, large=0)
    lay_out(pristine, source)
    lay_out(pristine, target)
    case = Case(pristine, known(pristine), source, target)
    assert at_the_fault(case) == []
    assert {f.harm for f in at_the_end(case)} == {Harm.DUPLICATE}  # the source is still there
    (target / "more").write_bytes(b"more")
    (target / "sparse").write_bytes(b"half")
    (source / "linked-0").unlink()
    (target / "linked-0").unlink()
    (source / "linked-1").unlink()
    (target / "link").unlink()
    harms = counted(at_the_fault(case, vouched={}))
    assert harms == {Harm.DUPLICATE: 1, Harm.CORRUPT: 1, Harm.LOST: 1, Harm.UNVERIFIED_DELETE: 1}
    assert counted(at_the_fault(case, vouched={b"linked-1": 3}))[Harm.UNVERIFIED_DELETE] == 0
    found = at_the_end(case)
    assert {Harm.DUPLICATE, Harm.CORRUPT, Harm.LOST} <= {f.harm for f in found}
    assert Finding(Harm.DIFFERENT, "not brought over: only in A: 'link'") in found


@pytest.mark.parametrize("kind", ["xfs"], indirect=True)
def test_rollbacks_that_are_killed_or_lose_power_take_nothing(kind: str) -> None:
    done = faults("--rollbacks", "6", "--file-system", kind)
    assert done.returncode == 0, done.stdout + done.stderr
    (row,) = (line.split()[2:] for line in done.stdout.splitlines() if line.startswith(f"rollbacks, {kind} "))
    assert row[0] == "6"
    assert int(row[1]) >= 2
    assert row[2:] == ["0"] * 5
