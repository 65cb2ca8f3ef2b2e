"""scripts/monitor-cost runs: it compares the same migration with and without monitoring."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_a_small_one(tmp_path: Path) -> None:
    done = subprocess.run(
        [ROOT / "scripts" / "monitor-cost", "--quick", "--work", tmp_path],
        capture_output=True,
        text=True,
        check=True,
        timeout=300,
    )
    rows = re.findall(r"^ +(off|2 s|100 ms)  wall +[+-][\d.]+ %  processor +[+-][\d.]+ %$", done.stdout, re.MULTILINE)
    assert rows == ["off", "2 s", "100 ms"] * 2
    assert list(tmp_path.iterdir()) == []
