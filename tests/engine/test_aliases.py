"""Source and target that are one place, though device and inode numbers differ."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine_harness import laboratory, plan
from loopfs import tmpfs
from migmond.domain.errors import PlanInfeasible
from migmond.domain.plan import Operation
from migmond.domain.states import ExecutionState

pytestmark = [pytest.mark.hazard(16), pytest.mark.skipif(os.geteuid() != 0, reason="needs root to mount")]


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Path]:
    """An overlay at `merged`, whose files are those of `upper`."""
    with tmpfs(tmp_path / "stack", "size=8m") as root:
        for name in ("lower", "upper", "work", "merged"):
            (root / name).mkdir()
        options = f"lowerdir={root}/lower,upperdir={root}/upper,workdir={root}/work"
        subprocess.run(["mount", "-t", "overlay", "overlay", "-o", options, root / "merged"], check=True)
        try:
            yield root
        finally:
            subprocess.run(["umount", root / "merged"], check=True)


@pytest.mark.parametrize("source", ["upper", "merged"])
async def test_a_move_onto_itself_through_an_overlay_is_refused(tmp_path: Path, stack: Path, source: str) -> None:
    (stack / "merged" / "photos").mkdir()
    (stack / "merged" / "photos" / "one").write_text("the only copy")
    target = {"upper": "merged", "merged": "upper"}[source]
    async with laboratory(tmp_path / "state") as lab:
        what = plan(stack / source / "photos", stack / target / "photos", Operation.MOVE)
        before = (stack / target / "photos").stat().st_mtime_ns
        await lab.check(what)  # which writes nothing
        assert (stack / target / "photos").stat().st_mtime_ns == before
        with pytest.raises(PlanInfeasible, match="are the same place") as refused:
            await lab.start(what)
        assert refused.value.hint
        single = plan(stack / source / "photos" / "one", stack / target / "photos" / "one", Operation.MOVE)
        with pytest.raises(PlanInfeasible, match="are the same place"):
            await lab.start(single)
    assert [p.name for p in (stack / "upper" / "photos").iterdir()] == ["one"]


async def test_a_move_to_another_place_of_the_same_disk_goes_on(tmp_path: Path, stack: Path) -> None:
    for name in ("photos", "others"):
        (stack / "upper" / name).mkdir()
    (stack / "upper" / "photos" / "one").write_text("1")
    async with laboratory(tmp_path / "state") as lab:
        done = await lab.run(plan(stack / "merged" / "photos", stack / "upper" / "others", Operation.MOVE))
    assert done.state is ExecutionState.COMPLETED, done.reason
    assert [p.name for p in (stack / "upper" / "others").iterdir()] == ["one"]
