"""scripts/history-bench runs, and measures what it says."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_a_small_one() -> None:
    done = subprocess.run(
        [ROOT / "scripts" / "history-bench", "--quick", "--json"],
        capture_output=True,
        text=True,
        check=True,
        timeout=300,
    )
    result = json.loads(done.stdout[done.stdout.index("{") :])
    assert {q["range"] for q in result["queries"]} == {"1 h", "6 h", "1 d", "1 week", "30 d", "1 y"}
    assert [q["curves"] for q in result["queries"] if q["range"] == "1 y"] == [1, 20]
    assert all(0 < q["p50_ms"] <= q["p99_ms"] for q in result["queries"])
    tiers = result["tiers"]
    # 20 series, 10 minutes read every 2 s; 4 series in all hours of a year, and executions beside them.
    assert tiers["2 s"]["points"] == 20 * 300
    assert tiers["3600 s"]["points"] > 4 * 365 * 24
    assert all(1 < t["bytes_per_point"] < 28 for t in tiers.values())
