"""Who keeps processor time and memory: a control group, or the movers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from migmond.domain.limits import Limits
from migmond.engine.limiter import Limiter
from migmond.fsys.control_groups import ControlGroups
from migmond.planning.allowances import (
    MOVER_BYTES,
    Allowance,
    Circumstances,
    Share,
    allowance_of,
    movers_that_fit,
)
from migmond.planning.timetable import InForce
from migmond.wire.budget import Kind


class Process:
    """A mover that is told what it may draw from."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.budgets: list[int] = []

    async def join(self, fd: int) -> None:
        self.budgets.append(fd)


@pytest.fixture
def group(tmp_path: Path) -> Path:
    """The control group of `it`, as the kernel shows it."""
    directory = tmp_path / "execution-it"
    directory.mkdir()
    for name in ("cgroup.procs", "cpu.max", "memory.high"):
        (directory / name).touch()
    return directory


@pytest.fixture
def limiter(group: Path) -> Iterator[Limiter]:
    found = Limiter(ControlGroups(group.parent), "it")
    yield found
    found.close()


async def test_where_there_is_a_control_group_the_movers_need_not(limiter: Limiter, group: Path) -> None:
    limiter.allow(Allowance(cpu_percent=50.0, memory_bytes=1 << 30), 1)
    process = Process(4711)
    await limiter.admit(cast("Any", process))
    assert limiter.kernel
    assert process.budgets == [limiter.page()]
    assert (group / "cgroup.procs").read_text() == "4711"
    assert (group / "cpu.max").read_text() == "50000 100000"
    assert (group / "memory.high").read_text() == str(1 << 30)
    assert limiter._buckets[Kind.CPU].rate == 0
    limiter.allow(Allowance(cpu_percent=250.0), 1)
    assert (group / "cpu.max").read_text().startswith("250000 100000")
    assert (group / "memory.high").read_text().startswith("max")


async def test_where_it_fails_the_movers_keep_to_it(limiter: Limiter, group: Path) -> None:
    await limiter.admit(cast("Any", Process(1)))
    (group / "cpu.max").unlink()
    limiter.allow(Allowance(cpu_percent=50.0), 1)
    assert not limiter.kernel
    assert limiter._buckets[Kind.CPU].rate == 0.5e9
    await limiter.admit(cast("Any", Process(2)))
    assert (group / "cgroup.procs").read_text() == "1", "it is not tried again and again"


async def test_without_control_groups_the_movers_keep_to_it() -> None:
    limiter = Limiter(None, "it")
    limiter.allow(Allowance(cpu_percent=150.0), 1)
    await limiter.admit(cast("Any", Process(1)))
    assert (limiter.kernel, limiter._buckets[Kind.CPU].rate) == (False, 1.5e9)
    limiter.close()


AMOUNTS = st.none() | st.integers(1, 10**12)


@given(AMOUNTS, AMOUNTS, AMOUNTS, AMOUNTS, st.booleans())
def test_of_all_that_limits_the_same_the_lowest_counts(
    own: int | None, network: int | None, scheduled: int | None, share: int | None, remote: bool
) -> None:
    limits = Limits(io_bytes_per_s=own, network_bytes_per_s=network, io_ops_per_s=7.0, cpu_percent=3.0, memory_bytes=9)
    found = allowance_of(limits, Circumstances(InForce(scheduled), remote, Share(share, 5.0)))
    held = [limit for limit in (own, scheduled, share, network if remote else None) if limit is not None]
    assert found == Allowance(min(held) if held else None, 5.0, 3.0, 9)
    assert found.slows
    assert not Allowance(memory_bytes=9).slows


@pytest.mark.parametrize(
    ("memory", "wanted", "fit"),
    [(None, 4, 4), (2 * MOVER_BYTES, 4, 1), (4 * MOVER_BYTES, 4, 3), (1, 4, 1), (1 << 40, 4, 4)],
)
def test_as_many_movers_as_fit_beside_one_that_scans(memory: int | None, wanted: int, fit: int) -> None:
    assert movers_that_fit(memory, wanted) == fit
