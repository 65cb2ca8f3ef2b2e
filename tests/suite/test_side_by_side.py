"""What lets several processes of tests run side by side."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import daily
import left_mounts
from daemon import ROOT
from loopfs import tmpfs
from migmond.domain.mount_table import parse_mounts
from spread import Spread

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
APART = """
import subprocess, sys
sys.path[:0] = {path}
import apart
assert apart.enter()
subprocess.run(["mount", "-t", "tmpfs", "tmpfs", sys.argv[1]], check=True)
print(open("/proc/self/mountinfo").read())
"""


def points(table: str | bytes) -> set[Path]:
    """Where something is mounted."""
    text = table.encode() if isinstance(table, str) else table
    return {Path(os.fsdecode(mount.point)) for mount in parse_mounts(text)}


@needs_root
def test_mounts_of_one_process_and_those_of_another_do_not_meet(tmp_path: Path) -> None:
    (tmp_path / "theirs").mkdir()
    path = [str(ROOT), str(ROOT / "tests" / "support")]
    with tmpfs(tmp_path / "ours", "size=1m"), tmpfs(tmp_path / "ours" / "below", "size=1m"):
        done = subprocess.run(
            [sys.executable, "-c", APART.format(path=path), tmp_path / "theirs"], capture_output=True, check=True
        )
        here = points(Path("/proc/self/mountinfo").read_bytes())
    there = points(done.stdout)
    ours = {tmp_path / "ours", tmp_path / "ours" / "below"}
    assert (ours & there, ours & here) == (set(), ours)
    assert (tmp_path / "theirs" in there, tmp_path / "theirs" in here) == (True, False)


@needs_root
def test_these_tests_see_no_mounts_of_others() -> None:
    assert os.readlink("/proc/self/ns/mnt") != os.readlink(f"/proc/{os.getppid()}/ns/mnt")


@needs_root
def test_what_is_mounted_in_the_directory_of_a_test_is_not_removed_with_it(tmp_path: Path) -> None:
    work, precious = tmp_path / "work", tmp_path / "precious"
    for mounted in (work / "a" / "mounted", work / "a" / "mounted twice"):
        mounted.mkdir(parents=True)
    precious.mkdir()
    (precious / "file").write_bytes(b"x")
    for mounted in (work / "a" / "mounted", work / "a" / "mounted twice", work / "a" / "mounted twice", work):
        subprocess.run(["mount", "--bind", precious, mounted], check=True)
    left_mounts.take_away_below(work)
    assert not {point for point in points(Path("/proc/self/mountinfo").read_bytes()) if work in {point, *point.parents}}
    shutil.rmtree(work)
    assert (precious / "file").exists()


@pytest.mark.parametrize(
    ("nodeid", "unit"),
    [
        ("tests/web/test_pages.py::test_a[x]", "those with a browser"),
        ("tests/web/test_openapi.py::test_a[x]", "tests/web/test_openapi.py"),
        ("tests/service/test_matrix.py::test_b", "tests/service/test_matrix.py"),
        ("tests/domain/test_units.py::test_c[a::b]", "tests/domain/test_units.py::test_c[a::b]"),
    ],
)
def test_what_shares_something_goes_as_a_whole_and_all_else_alone(nodeid: str, unit: str) -> None:
    config: Any = SimpleNamespace(rootpath=ROOT)
    spread = Spread.__new__(Spread)
    spread.config = config
    assert spread._split_scope(nodeid) == unit


def test_seeds_of_days_go_through_all(monkeypatch: pytest.MonkeyPatch) -> None:
    begun = []
    for day in range(20261127, 20261127 + 11):
        monkeypatch.setenv("MIGMOND_TEST_SEED", str(day))
        assert daily.seed() == day
        begun.append(daily.share(4, 11))
    seen = {(first + trial) % 11 for first in begun for trial in range(4)}
    assert seen == set(range(11))
    assert len(set(begun)) == 11
