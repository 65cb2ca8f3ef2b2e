"""What crashes in machine code says where it was: else a daemon that is gone has logged nothing."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

from daemon import EmbeddedDaemon


def test_a_crash_of_the_daemon_or_of_a_mover_leaves_a_trace(tmp_path: Path) -> None:
    with EmbeddedDaemon(tmp_path / "daemon") as daemon:
        end = time.monotonic() + 60
        while not daemon.children():  # movers are kept ready
            assert time.monotonic() < end
            time.sleep(0.05)
        mover = daemon.children()[0]
        while b"migmond.mover" not in Path(f"/proc/{mover}/cmdline").read_bytes():
            time.sleep(0.01)
        patience_s = 0.1
        while daemon.log().count("Segmentation fault") < 1:  # it may not have come so far when it is met first
            assert time.monotonic() < end, daemon.log()
            for child in daemon.children():
                os.kill(child, signal.SIGSEGV)
            time.sleep(patience_s)
            patience_s *= 2  # whoever comes next has longer to begin: the machine may be busy
        assert "migmond/mover" in daemon.log()
        assert daemon.process is not None
        os.kill(daemon.pid, signal.SIGSEGV)
        assert daemon.process.wait(20) == -signal.SIGSEGV
        last = daemon.log().rpartition("Fatal Python error: Segmentation fault")[2]
        assert "migmond/daemon/main.py" in last
