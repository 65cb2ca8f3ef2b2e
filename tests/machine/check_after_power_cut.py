"""The second boot: nobody asks for anything, the migration goes on. tests/service/test_systemd.py boots both."""

from __future__ import annotations

from on_machine import DISK, MIGMON, OTHER, run, shown, until
from oracle import differences


def test_it_goes_on_by_itself() -> None:
    until(lambda: not (DISK / "source").exists(), "the end of the move")
    assert shown("NRestarts") == "0"
    assert run(MIGMON, "watch", "plug", "-q").returncode == 0
    assert differences(DISK / "pristine", OTHER / "target") == []
