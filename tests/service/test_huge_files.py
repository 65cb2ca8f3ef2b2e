"""Files whose sizes together are more than 64 bits hold: anybody can make them, and nobody else may suffer for it."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from daemon import EmbeddedDaemon
from loopfs import tmpfs

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root to mount")
LARGEST = (1 << 63) - 1


def test_the_daemon_goes_on_answering(tmp_path: Path) -> None:
    target = tmp_path / "target"
    with tmpfs(tmp_path / "from", "size=8m") as root, EmbeddedDaemon(tmp_path / "daemon") as daemon:
        source = root / "source"
        source.mkdir()
        (source / "small").write_bytes(b"small")
        for number in range(3):
            with (source / f"huge{number}").open("wb") as file:
                file.truncate(LARGEST)
        plan = json.loads(daemon.migmon("plan", str(source), str(target), "--json", check=False).stdout)["data"]
        assert plan["bytes"] == LARGEST
        # A disk's file system has no files of that size: they fail, and nothing else.
        run = daemon.migmon("run", str(source), str(target), check=False)
        assert run.returncode == 6, run.stderr
        assert (target / "small").read_bytes() == b"small"
        for _ in range(2):
            shown = json.loads(daemon.migmon("ls", "--json").stdout.splitlines()[0])["data"]
            progress = (shown if "progress" in shown else shown["executions"][0])["progress"]
            assert (progress["failed"]["entries"], progress["failed"]["bytes"]) == (3, LARGEST)
            assert daemon.migmon("errors", "source").returncode == 0
            last = json.loads(daemon.migmon("receipt", "source").stdout.splitlines()[-1])
            assert last["sum"]["bytes"] == 3 * LARGEST + 5
            daemon.stop()
            daemon.start()  # the journal has it as it is
