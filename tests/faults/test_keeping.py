"""The judge of interference sees what there is to see, and a short campaign of it."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

import daily
import loopfs
from daemon import ROOT
from judge import Harm
from keeping import Move, kept, told
from person import Person
from written import DONE, FAILED, FILE, Row, Written


@pytest.fixture
def roots(tmp_path: Path) -> tuple[Path, Path]:
    found = tmp_path / "a", tmp_path / "b"
    for root in found:
        root.mkdir()
    return found


def harms(person: Person, roots: tuple[Path, Path], *, newer: bool = False) -> list[Harm]:
    return [f.harm for f in kept(person, (Move(*roots, move=True, newer=newer),), roots)]


def someone(roots: tuple[Path, Path], **options: bool) -> Person:
    person = Person(roots, [roots[1]], random.Random(1), **options)
    for number in range(4):
        person.lay_down(roots[0], b"f%d" % number, 200)
    return person


DEEDS = [
    "save",
    "overwrite",
    "append",
    "rewrite",
    "truncate",
    "delete",
    "recreate",
    "link",
    "symlink",
    "fifo",
    "directory",
]


@pytest.mark.parametrize("deed", DEEDS)
def test_what_a_person_does_is_no_loss(roots: tuple[Path, Path], deed: str) -> None:
    person = someone(roots)
    for number in range(4):
        getattr(person, deed)(roots[0], b"f%d" % number)
        getattr(person, deed)(roots[0], b"f%d" % (number // 2))
    assert harms(person, roots) == []
    assert person.touched


@pytest.mark.parametrize("deed", ["save", "overwrite", "append", "rewrite", "recreate", "symlink", "directory"])
def test_what_a_person_made_is_missed(roots: tuple[Path, Path], deed: str) -> None:
    person = someone(roots)
    getattr(person, deed)(roots[0], b"f1")
    path = roots[0] / "f1"
    os.rename(path, roots[0].parent / "gone")
    assert harms(person, roots) == [Harm.LOST]


def test_a_source_is_missed_whose_copy_was_spoilt(roots: tuple[Path, Path]) -> None:
    """It still stood when the person wrote to the copy; afterwards the copy alone would be his own affair."""
    for spoils, expected in ((False, [Harm.LOST]), (True, [])):
        person = someone(roots, spoils=spoils)
        (roots[1] / "f1").write_bytes((roots[0] / "f1").read_bytes())
        person.overwrite(roots[1], b"f1")
        os.unlink(roots[0] / "f1")
        assert harms(person, roots) == expected
        for path in (path for root in roots for path in root.iterdir()):
            path.unlink()
    person = someone(roots)
    os.rename(roots[0] / "f1", roots[1] / "f1")
    person.overwrite(roots[1], b"f1")
    assert harms(person, roots) == []


def test_a_link_is_missed_though_its_other_name_was_saved_over(roots: tuple[Path, Path]) -> None:
    person = someone(roots)
    person.link(roots[0], b"f1")
    person.save(roots[0], b"f1")
    assert harms(person, roots) == []
    os.unlink(roots[0] / "f1~linked")
    assert harms(person, roots) == [Harm.LOST]


def test_halves_and_temporaries_are_no_files(roots: tuple[Path, Path]) -> None:
    person = someone(roots)
    (roots[1] / "f1").write_bytes((roots[0] / "f1").read_bytes()[:100])
    assert harms(person, roots) == [Harm.CORRUPT]
    os.rename(roots[0] / "f2", roots[1] / ".migmond-x")
    assert harms(person, roots) == [Harm.LOST, Harm.CORRUPT]


def test_only_what_is_older_may_be_replaced_by_the_policy_newer(roots: tuple[Path, Path]) -> None:
    person = Person(roots, [roots[1]], random.Random(1))
    for name, age in ((b"old", 1), (b"new", 3)):
        person.lay_down(roots[1], name, 100, age * 10**9)
        person.lay_down(roots[0], name, 100, 2 * 10**9)
        os.rename(roots[0] / os.fsdecode(name), roots[1] / os.fsdecode(name))
    assert harms(person, roots, newer=True) == [Harm.LOST]
    assert harms(person, roots) == [Harm.LOST] * 2


def test_what_is_told_of_names_in_peace(roots: tuple[Path, Path]) -> None:
    person = someone(roots)
    first = {name: key for key, c in person.contents.items() for _, name, _ in c.stood}
    move = Move(*roots, move=True)
    rows = [Row(n + 1, b"f%d" % n, state, 1, FILE, 200, 0, None, 0) for n, state in enumerate((DONE, FAILED, DONE))]
    os.rename(roots[0] / "f0", roots[1] / "f0")
    lines = [f.what for f in told(person, move, "completed_with_errors", Written(rows), first)]
    assert lines == [
        "told wrong: 'f2' is done, and something else is at the target",
        "told wrong: 'f2' is done, and it is still at its source",
        "told wrong: nothing is said of 'f3'",
    ]


def test_people_at_work_lose_nothing() -> None:
    if why := loopfs.missing("ext4"):
        pytest.skip(why)
    done = subprocess.run(
        [sys.executable, ROOT / "scripts" / "faults", "--interference", "2", "--fs", "ext4",
         "--seed", str(daily.seed())],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    (row,) = (line.split()[2:] for line in done.stdout.splitlines() if line.startswith("interference, ext4 "))
    assert row == ["2", "2", "0", "0", "0", "0", "0"]
