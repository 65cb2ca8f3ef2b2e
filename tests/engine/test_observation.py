"""What the engine lets the monitor see of a running execution."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from engine_harness import laboratory, plan
from migmond.domain.activity import Activity
from migmond.domain.limits import Limits
from migmond.domain.observation import Observation
from migmond.engine.settings import EngineSettings


def large(source: Path, mebibytes: int) -> None:
    source.mkdir()
    (source / "large").write_bytes(os.urandom(1 << 20) * mebibytes)


async def test_counters_go_on_when_a_mover_dies_and_nothing_is_left_out(tmp_path: Path) -> None:
    source = tmp_path / "source"
    large(source, 64)
    limits = Limits(io_bytes_per_s=8 << 20)
    async with laboratory(tmp_path / "state", EngineSettings(workers=1)) as lab:
        execution = await lab.start(plan(source, tmp_path / "target", limits=limits))
        run = lab.engine.run_of(execution.id)
        assert run is not None

        def seen() -> Observation | None:
            return run.observation() if run.live is not None else None

        def throttled() -> bool:
            found = seen()
            return found is not None and found.copying[Activity.THROTTLED] > 200_000_000

        await lab.until(throttled)
        before = seen()
        assert before is not None
        (mover,) = [m for m in before.movers if m.name == b"large"]
        assert (mover.file_bytes, mover.doing) == (64 << 20, "copying")
        assert 0 < mover.file_done < 64 << 20
        assert before.in_flight.bytes > 0
        assert before.source_devices == (source.stat().st_dev,)
        assert before.target_devices == (tmp_path.stat().st_dev,)
        assert before.copying[Activity.SOURCE_READ] > 0
        assert before.copying[Activity.TARGET_WRITE] > 0
        os.kill(mover.pid, signal.SIGKILL)

        def another() -> bool:
            found = seen()
            return found is not None and any(m.pid != mover.pid and m.name == b"large" for m in found.movers)

        await lab.until(another)
        after = seen()
        assert after is not None
        assert after.deaths == 1
        assert all(n >= b for n, b in zip(after.copying.ns, before.copying.ns, strict=True))
        await lab.engine.cancel(lab.engine.find(execution.id), "me", "")
        await lab.ended(execution)
