"""Programs that measure find something to measure: what they look at moves, and nobody runs them every day."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from daemon import ROOT


def said(program: str, *arguments: str) -> str:
    """Run a program in small and return what it printed. That goals are missed tells nothing here."""
    done = subprocess.run(
        [sys.executable, ROOT / "scripts" / program, *arguments], capture_output=True, text=True, check=False
    )
    assert done.returncode in (0, 1), done.stderr
    assert "Traceback" not in done.stderr, done.stderr
    return done.stdout


@pytest.mark.alone
def test_every_kind_of_intervention_is_seen_to_be_effective_and_undone() -> None:
    out = said("steer-latency", "--trials", "1", "--files", "12000")
    rows = re.findall(r"^(\S.*?) +(\S+) ms p50 .* undo restored (\d) of 1", out, re.M)
    assert len(rows) == 13
    assert [row for row in rows if row[1] == "inf" or row[2] != "1"] == []


def test_every_selector_is_timed() -> None:
    out = said("sieve-bench", "--entries", "3000")
    assert re.search(r"everything +3,000 picked +[\d.]+ s", out)
    assert re.search(r"100 times the next 1,000: [\d.]+ s", out)
