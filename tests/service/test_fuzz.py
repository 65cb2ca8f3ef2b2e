"""Every method with parameters that nobody would send: a daemon answers, and neither breaks nor grows.

`scripts/fuzz --minutes N` does it for as long as one likes.
"""

from __future__ import annotations

import random
from pathlib import Path

import psutil
import pytest

from fuzzing import Fuzzer, Tally, as_peer, converse, guarded_daemon, trees_for

SEEDS = (1, 2)
MESSAGES = 150
GROWTH = 64 << 20


@pytest.mark.parametrize("seed", SEEDS)
def test_no_message_breaks_a_daemon(tmp_path: Path, seed: int) -> None:
    names, total = trees_for(tmp_path), Tally()
    with guarded_daemon(tmp_path) as daemon:
        assert daemon.process is not None
        process = psutil.Process(daemon.process.pid)
        sizes = []
        for part, lines in enumerate((False, True, False)):
            fuzzer = Fuzzer(random.Random(f"{seed} {part}"), names)
            total.add(as_peer(lambda f=fuzzer, n=lines: converse(daemon.socket, f, MESSAGES, lines=n)))  # type: ignore[misc]
            sizes.append(process.memory_info().rss)
        assert not total.internal, (seed, total.internal[0][:2000])
        assert total.results > MESSAGES // 10
        assert total.refused > MESSAGES // 10
        assert sizes[-1] - sizes[0] < GROWTH, sizes
        assert daemon.process.poll() is None
        log = daemon.log()
    assert "Traceback" not in log
    assert "internal error" not in log
