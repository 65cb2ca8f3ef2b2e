"""Types of files whose names do not tell: known when they are copied, and by the scan where the plan asks for them."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

import trees
from agenda import hold, lift, run_of, scope_of
from engine_harness import ME, Laboratory, laboratory, plan
from migmond.analytics.classes import TYPES
from migmond.domain.execution import Execution, Tally
from migmond.domain.file_kinds import FileKind
from migmond.domain.limits import Limits
from migmond.domain.plan import Operation
from migmond.domain.selector import Selector
from migmond.domain.states import ExecutionState, Outcome, TaskState
from migmond.domain.steering import Skip, Throttle
from migmond.engine.counting import Counting
from migmond.engine.recording import Ask
from migmond.engine.rollbacks import Rollback
from migmond.engine.settings import EngineSettings
from migmond.planning.turns import TurnLimits
from migmond.wire.slots import ControlSide
from oracle import differences

PNG = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"
IMAGES, TEXTS = Selector(types=("image",)), Selector(types=("text",))
COUNT = 40


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Pictures and texts without a suffix, pictures with one."""
    root = tmp_path / "source"
    root.mkdir()
    for i in range(COUNT):
        (root / f"p{i:02}").write_bytes(PNG + bytes(i))
        (root / f"t{i:02}").write_bytes(b"words\n" * (i + 1))
        (root / f"n{i:02}.png").write_bytes(PNG)
    return root


async def by_type(lab: Laboratory, execution: Execution, field: str = "planned") -> dict[str, int]:
    cube = (await lab.engine.counted(lab.engine.find(execution.id))).cube
    assert cube is not None
    tallies: dict[str, Tally] = {TYPES[r.kind or 0]: getattr(r, field) for r in cube.rows(kind=True)}
    return {name: tally.entries for name, tally in tallies.items() if tally.entries}


async def names_of(lab: Laboratory, execution: Execution, *states: TaskState) -> set[str]:
    return {t.name.decode()[:1] for t in await lab.journal.tasks(execution.key, states=states, directories=False)}


@pytest.mark.parametrize("machine_code", [False, True])
async def test_copied_files_are_of_the_types_that_their_contents_tell(
    tmp_path: Path, source: Path, machine_code: bool
) -> None:
    settings = EngineSettings(workers=2, machine_code=machine_code)
    async with laboratory(tmp_path / "state", settings) as lab:
        done = await lab.run(plan(source, tmp_path / "target"))
        assert done.state is ExecutionState.COMPLETED, done.reason
        expected = {"image": 2 * COUNT, "code or text": COUNT, "directory": 1}
        assert (await by_type(lab, done), await by_type(lab, done, "done")) == (expected, expected)
        kinds = await lab.journal.kinds(done.key, range(1, 4 * COUNT))
        assert sorted(kinds.values()) == [FileKind.IMAGE] * COUNT + [FileKind.TEXT] * COUNT
    async with laboratory(tmp_path / "state") as lab:  # as it is kept
        assert await by_type(lab, done) == expected


async def test_what_nobody_has_read_is_told_as_such_and_counts_when_it_is_known(tmp_path: Path, source: Path) -> None:
    async with laboratory(tmp_path / "state", EngineSettings(workers=1)) as lab:
        execution = await lab.start(plan(source, tmp_path / "target", reflink=False))
        hold(lab, execution, "h1", Selector(include=("**",)))  # the scan goes on
        run = run_of(lab, execution)
        await lab.until(lambda: not run.execution.totals.growing)
        unread = (await by_type(lab, execution)).get("unknown", 0)
        assert unread == 2 * COUNT
        effect, _ = await lab.engine.steering.intervene(execution, Ask(Skip(IMAGES), "ana"), dry_run=True)
        told = [note for note in effect.notes if "the name does not tell the type" in note]
        assert told
        assert told[0].startswith(f"{(await Counting(lab.surroundings, execution, ()).count(IMAGES)).doubtful} further")
        await lab.engine.steering.intervene(execution, Ask(Skip(IMAGES), "ana"))
        lift(lab, execution, "h1")
        done = await lab.ended(execution)
        assert done.state is ExecutionState.COMPLETED, done.reason
        skipped = await lab.journal.tasks(done.key, states=(TaskState.SKIPPED,))
        assert {t.outcome for t in skipped} == {Outcome.LEFT_OUT}
        assert await names_of(lab, done, TaskState.SKIPPED) == {"p", "n"}
        assert {path.name[:1] for path in (tmp_path / "target").iterdir()} == {"t"}
        assert len(list((tmp_path / "target").iterdir())) == COUNT
        assert "unknown" not in await by_type(lab, done)


async def test_a_hold_on_a_type_holds_what_turns_out_to_be_of_it(tmp_path: Path, source: Path) -> None:
    async with laboratory(tmp_path / "state", EngineSettings(workers=2)) as lab:
        execution = await lab.start(plan(source, tmp_path / "target", reflink=False))
        hold(lab, execution, "h1", TEXTS)  # before anything can have gone to a mover
        run = run_of(lab, execution)
        await lab.until(lambda: run.execution.reason.startswith(f"the rest, {COUNT} "))
        names = [path.name[:1] for path in (tmp_path / "target").iterdir() if not path.name.startswith(".")]
        assert sorted(set(names)) == ["n", "p"]
        assert len(names) == 2 * COUNT
        assert await by_type(lab, execution) == {"image": 2 * COUNT, "code or text": COUNT, "directory": 1}
        lift(lab, execution, "h1")
        done = await lab.ended(execution)
        assert done.state is ExecutionState.COMPLETED, done.reason
        assert sum(1 for _ in (tmp_path / "target").iterdir()) == 3 * COUNT
        assert done.totals.failed == Tally()


async def test_a_plan_for_a_type_takes_what_the_scan_reads(tmp_path: Path, source: Path) -> None:
    async with laboratory(tmp_path / "state") as lab:
        verdict = await lab.check(plan(source, tmp_path / "target", selector=IMAGES))
        assert verdict.files == 2 * COUNT
        done = await lab.run(plan(source, tmp_path / "target", selector=IMAGES))
        assert done.state is ExecutionState.COMPLETED, done.reason
        assert {path.name[:1] for path in (tmp_path / "target").iterdir()} == {"p", "n"}
        assert await by_type(lab, done) == {"image": 2 * COUNT, "directory": 1}
        assert await Counting(lab.surroundings, done, ()).failed(IMAGES) == []


async def test_a_rollback_takes_back_what_was_of_a_type(tmp_path: Path, source: Path) -> None:
    async with laboratory(tmp_path / "state") as lab:
        done = await lab.run(plan(source, tmp_path / "target"))
        started = await lab.engine.rollback(Rollback(lab.engine.find(done.id), TEXTS, "why not"), ME, "ana")
        back = await lab.ended(started)
        assert (back.state, back.reason) == (ExecutionState.COMPLETED, "")
        assert {path.name[:1] for path in (tmp_path / "target").iterdir()} == {"p", "n"}


async def test_what_is_only_renamed_stays_unknown(tmp_path: Path, source: Path) -> None:
    target = tmp_path / "target"
    target.mkdir()
    async with laboratory(tmp_path / "state") as lab:
        done = await lab.run(plan(source, target, Operation.MOVE))
        assert done.state is ExecutionState.COMPLETED, done.reason
        assert (await by_type(lab, done, "done"))["unknown"] == 2 * COUNT


LARGE = 32 << 20


@pytest.fixture
async def large_at_hand(tmp_path: Path) -> AsyncIterator[tuple[Laboratory, Execution, ControlSide]]:
    """A mover in the middle of a large picture whose name does not tell that, and small files beside it."""
    source = tmp_path / "source"
    source.mkdir()
    (source / "a-large").write_bytes(PNG + random.Random(1).randbytes(1 << 20) * (LARGE >> 20))
    trees.small_files(source / "z", 200, 500, random.Random(1))
    settings = EngineSettings(workers=1, turns=TurnLimits(movers=8, movers_per_user=8))
    async with laboratory(tmp_path / "state", settings) as lab:
        slow = Limits(io_bytes_per_s=2 << 20)
        execution = await lab.start(plan(source, tmp_path / "target", reflink=False, limits=slow))
        scope = await scope_of(lab, execution)

        def at_hand() -> list[ControlSide]:
            controls = [s.process.control for s in scope.crew.stations.values()]
            return [c for c in controls if c.look().file_bytes > LARGE and c.look().file_done]

        await lab.until(lambda: bool(at_hand()))
        yield lab, execution, at_hand()[0]


async def faster(lab: Laboratory, execution: Execution) -> None:
    await lab.engine.steering.intervene(execution, Ask(Throttle(io_bytes_per_s=None), "ana"))


async def test_a_hold_on_a_type_stops_a_large_file_at_hand_that_is_of_it(
    tmp_path: Path, large_at_hand: tuple[Laboratory, Execution, ControlSide]
) -> None:
    lab, execution, mover = large_at_hand
    hold(lab, execution, "h1", TEXTS)  # which it is not
    hold(lab, execution, "h2", IMAGES)
    await lab.until(lambda: mover.look().paused, timeout_s=5.0)
    place = mover.look().file_done
    await faster(lab, execution)
    await lab.until(lambda: lab.engine.find(execution.id).totals.done.entries >= 200)
    assert mover.look().file_done == place < LARGE
    await lab.until(
        lambda: lab.engine.find(execution.id).reason == "the rest, 1 entry, is held: i-1 by ana, i-2 by ana"
    )
    assert lab.engine.find(execution.id).stands_still
    lift(lab, execution, "h2")
    done = await lab.ended(execution)
    assert (done.state, done.reason) == (ExecutionState.COMPLETED, "")
    assert differences(tmp_path / "source", tmp_path / "target") == []


async def test_a_skip_of_a_type_gives_up_a_large_file_at_hand_that_is_of_it(
    tmp_path: Path, large_at_hand: tuple[Laboratory, Execution, ControlSide]
) -> None:
    lab, execution, _ = large_at_hand
    await lab.engine.steering.intervene(execution, Ask(Skip(IMAGES), "ana"))
    await faster(lab, execution)
    done = await lab.ended(execution)
    assert done.state is ExecutionState.COMPLETED, done.reason
    (skipped,) = await lab.journal.tasks(done.key, states=(TaskState.SKIPPED,))
    assert (skipped.name, skipped.outcome, skipped.attempts) == (b"a-large", Outcome.LEFT_OUT, 0)
    assert [p.name for p in (tmp_path / "target").iterdir()] == ["z"]
    assert done.totals.failed == Tally()


async def test_a_hold_on_a_type_lets_a_large_file_at_hand_of_another_go_on(
    large_at_hand: tuple[Laboratory, Execution, ControlSide],
) -> None:
    lab, execution, _ = large_at_hand
    hold(lab, execution, "h1", TEXTS)
    await faster(lab, execution)
    done = await lab.ended(execution)
    assert (done.state, done.reason) == (ExecutionState.COMPLETED, "")
