"""The crash test on a small tree, and that bench and scale work: all as people run them."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from pathlib import Path

import pytest

import trees
from daemon import ROOT


@pytest.mark.hazard(6, 29, 30)
@pytest.mark.parametrize("operation", ["copy", "move"])
def test_killed_at_random_moments_it_ends_identical(tmp_path: Path, other_fs: Path, operation: str) -> None:
    trees.small_files(tmp_path / "tree", 1500, 3000, random.Random(1), per_directory=60)
    trees.random_tree(tmp_path / "tree" / "mixed", random.Random(2), 300)
    trees.sparse_and_links(tmp_path / "tree" / "links", 8, random.Random(3))
    done = subprocess.run(
        [sys.executable, ROOT / "scripts" / "crash-test", "--tree", tmp_path / "tree", "--points", "4",
         "--operation", operation, "--work", tmp_path, "--target", other_fs],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "4 trials, 4 identical, 0 different" in done.stdout


def test_the_bench_runs_and_every_copy_is_identical(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "scripts" / "bench", "--quick", "--place", "disk", "--work", tmp_path,
         "--json", tmp_path / "figures"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    runs = json.loads((tmp_path / "figures").read_text())["runs"]
    assert {r["workload"] for r in runs} == {"small", "mixed", "large", "sparse+links", "wide"}
    assert all(r["results"]["migmond"]["differences"] == 0 for r in runs)
    assert all(r["results"]["migmond"]["seconds"] for r in runs)


def test_scale_measures_and_judges(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "scripts" / "scale", "--entries", "20000", "--work", tmp_path],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert "20,021 entries" in done.stdout, done.stdout + done.stderr
    verdicts = {line[:36].strip(): line.rsplit(maxsplit=1)[-1] for line in done.stdout.splitlines() if "goal" in line}
    in_time = verdicts.pop("migmon ls ms")  # a busy machine may take long to start a process
    assert verdicts == {"daemon MiB": "ok", "mover MiB": "ok", "journal bytes a task": "ok"}
    assert done.returncode == (0 if in_time == "ok" else 1)
