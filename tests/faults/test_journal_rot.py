"""A journal in which bits have flipped: it is refused, or the migration goes on; no file is lost either way."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

import trees
from engine_harness import Laboratory, laboratory, plan
from migmond.domain.errors import JournalError
from migmond.domain.execution import Execution
from migmond.domain.limits import Limits
from migmond.domain.plan import Operation
from migmond.engine.settings import EngineSettings

SETTINGS = EngineSettings(workers=1, group_entries=10, group_age_s=0.1, attempts=2, hold_s=600)
SLOWLY = Limits(io_ops_per_s=400.0)


def contents(*roots: Path) -> dict[str, set[bytes]]:
    """By name, what files of that name there are in `roots`."""
    found: dict[str, set[bytes]] = {}
    for path in (p for root in roots for p in root.rglob("f*")):
        found.setdefault(path.name, set()).add(path.read_bytes())
    return found


def flip(journal: Path, rng: random.Random, bits: int) -> None:
    data = bytearray(journal.read_bytes())
    for _ in range(bits):
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    journal.write_bytes(data)


async def at_rest(lab: Laboratory, execution: Execution) -> None:
    """Wait until it has ended or is held."""
    await lab.until(lambda: lab.engine.run_of(execution.id) is None or bool(lab.engine.find(execution.id).holds))


@pytest.mark.hazard(8)
@pytest.mark.parametrize(("seed", "bits"), [(1, 1), (2, 4), (3, 16), (5, 64)])
async def test_flipped_bits_lose_no_file(tmp_path: Path, other_fs: Path, seed: int, bits: int) -> None:
    """Some fail the execution by what is in its rows (no row has a checksum): its sources are untouched then."""
    source, target, state, rng = tmp_path / "source", other_fs / "target", tmp_path / "state", random.Random(seed)
    trees.small_files(source, 300, 200, rng, per_directory=30)
    pristine = contents(source)
    async with laboratory(state, SETTINGS) as lab:
        execution = await lab.start(plan(source, target, Operation.MOVE, limits=SLOWLY))
        await lab.until(lambda: lab.engine.find(execution.id).totals.done.entries >= 20)
    flip(state / "journal.db", rng, bits)
    damaged = (state / "journal.db").read_bytes()
    before = contents(source)
    try:
        async with laboratory(state, SETTINGS) as lab:
            assert [e.id for e in lab.engine.all()] == [execution.id]  # never from zero
            await at_rest(lab, execution)
    except* JournalError:
        assert (state / "journal.db").read_bytes() == damaged  # kept as it is for whoever repairs it
        assert contents(source) == before
    found = contents(source, target)
    assert {n: found.get(n, set()) & pristine[n] for n in pristine} == pristine
