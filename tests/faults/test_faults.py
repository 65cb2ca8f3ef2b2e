"""Short campaigns, as people run them; and that the laboratory sees what there is to see."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from daemon import ROOT
from judge import Case, Harm, at_the_end, at_the_fault, counted, known
from loopfs import missing
from peers import FILES
from trial import lay_out, make_tree

KINDS = ("ext4", "xfs")


def faults(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, ROOT / "scripts" / "faults", *arguments], capture_output=True, text=True, check=False
    )


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    why = missing(request.param)
    if why:
        pytest.skip(why)
    return str(request.param)


def test_power_cuts_take_nothing(kind: str) -> None:
    """Eleven trials go through all layouts; three of them cut when the migration was reported as complete."""
    done = faults("--power-cuts", "11", "--seed", "7", "--file-system", kind)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"power cuts, {kind}      11   11     0        0          0                  0          0" in done.stdout


@pytest.mark.parametrize("kind", ["xfs"], indirect=True)  # it has reflinks; a death is the same to both
def test_deaths_at_system_calls_take_nothing(kind: str) -> None:
    done = faults("--kill-points", "12", "--seed", "7", "--file-system", kind)
    assert done.returncode == 0, done.stdout + done.stderr
    (row,) = (line.split() for line in done.stdout.splitlines() if line.startswith(f"kill points, {kind} "))
    assert row[3] == "12"
    assert int(row[4]) > 6  # runs differ: the last calls of a long one may be missed
    assert row[5:] == ["0"] * 5


def test_the_laboratory_sees_what_mv_loses(kind: str) -> None:
    done = faults("--peers", "--file-system", kind)
    assert done.returncode == 0, done.stdout + done.stderr
    (lost,) = (line.split()[2] for line in done.stdout.splitlines() if line.startswith("mv "))
    assert lost == f"{5 * FILES:,}"


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
    harms = counted(at_the_fault(case, vouched={}))
    assert harms == {Harm.DUPLICATE: 1, Harm.CORRUPT: 1, Harm.LOST: 1, Harm.UNVERIFIED_DELETE: 1}
    assert counted(at_the_fault(case, vouched={b"linked-1": 3}))[Harm.UNVERIFIED_DELETE] == 0
    assert {Harm.DUPLICATE, Harm.CORRUPT, Harm.LOST} <= {f.harm for f in at_the_end(case)}
