"""Random sequences of holds, priorities, moves, orders, skips, routes, undos, killed movers and daemons that start
again: every entry ends once, in the state and at the place that a naive oracle says, and none begins while the rules
say that it may not."""

from __future__ import annotations

import functools
import os
import random
import tempfile
from pathlib import Path

import trio
from hypothesis import given, settings
from hypothesis import strategies as st

from agenda import change, hold, lift, route, scope_of, take_back
from engine_harness import Laboratory, laboratory, plan
from migmond.domain.entry import EntryType
from migmond.domain.execution import Execution
from migmond.domain.limits import Limits
from migmond.domain.selector import Selector
from migmond.domain.states import ExecutionState, Outcome, TaskState
from migmond.domain.steering import Level, Move, Order, Place, Prioritise, Reordering, Skip
from migmond.engine.settings import EngineSettings
from migmond.planning.selection import Candidate, Matcher
from oracle import differences, names_starting

SELECTORS = st.sampled_from(
    [
        Selector(include=("*.a",)),
        Selector(include=("*.b",)),
        Selector(under=b"one"),
        Selector(under=b"one/two"),
        Selector(larger_than=1000),
        Selector(smaller_than=100),
        Selector(include=("link*",)),
        Selector(exclude=("*.a",)),
    ]
)
STEPS = st.one_of(
    st.tuples(st.just("hold"), SELECTORS),
    st.tuples(st.just("skip"), SELECTORS),
    st.tuples(st.just("level"), SELECTORS, st.sampled_from(Level)),
    st.tuples(st.just("move"), SELECTORS, st.sampled_from(Place), st.integers(2, 30)),
    st.tuples(st.just("order"), st.sampled_from(Order)),
    st.tuples(st.just("route"), SELECTORS, st.sampled_from(["east", "west"])),
    st.tuples(st.just("undo"), st.integers(0, 7)),
    st.tuples(st.just("kill")),
    st.tuples(st.just("restart")),
    st.tuples(st.just("wait"), st.integers(1, 40)),
)


def make(source: Path) -> None:
    rng = random.Random(1)
    for directory in ("one/two", "three"):
        (source / directory).mkdir(parents=True)
    for number in range(40):
        where = source / ("one", "one/two", "three", ".")[number % 4]
        (where / f"{number:02}.{'ab'[number // 2 % 2]}").write_bytes(rng.randbytes(rng.choice([0, 50, 500, 5000])))
    for number in range(4):
        os.link(source / "one" / f"{4 * number:02}.{'ab'[2 * number % 2]}", source / "three" / f"link{number}")


class Trial:
    """One execution, and what is in force on it."""

    def __init__(self, directory: Path) -> None:
        self.source, self.target, self.state = directory / "source", directory / "target", directory / "state"
        make(self.source)
        self.in_force: list[tuple[str, str]] = []
        self.skips: dict[str, Selector] = {}
        self.routes: dict[str, tuple[Selector, Path]] = {}
        self.begun = True
        """Something may have begun before all was said."""
        self.directory = directory
        self.ever_skipped = False
        self._ids = 0

    async def step(self, lab: Laboratory, execution: Execution, step: tuple[object, ...]) -> None:
        if lab.engine.run_of(execution.id) is None:
            return
        scope = await scope_of(lab, execution)
        self._ids += 1
        id_ = f"i-{self._ids}"
        match step:
            case ("hold", Selector() as selector):
                id_ = f"h{self._ids + 1}"
                hold(lab, execution, id_, selector)
                self.in_force.append(("hold", id_))
            case ("skip", Selector() as selector):
                change(lab, execution, id_, Skip(selector))
                self.skips[id_], self.ever_skipped = selector, True
                self.in_force.append(("skip", id_))
            case ("level", Selector() as selector, Level() as level):
                change(lab, execution, id_, Prioritise(selector, level))
                self.in_force.append(("level", id_))
            case ("move", Selector() as selector, Place() as place, int(before)):
                change(lab, execution, id_, Move(selector, place, before if place is Place.BEFORE else 0))
                self.in_force.append(("move", id_))
            case ("order", Order() as order):
                change(lab, execution, id_, Reordering(order))
                self.in_force.append(("order", id_))
            case ("route", Selector() as selector, str(name)):
                if await route(lab, execution, id_, selector, self.directory / name):
                    self.routes[id_] = selector, self.directory / name
                    self.in_force.append(("route", id_))
            case ("undo", int(which)):
                if self.in_force:
                    self.undo(lab, execution, self.in_force[which % len(self.in_force)])
            case ("kill",):
                for station in list(scope.crew.stations.values())[:1]:
                    station.process.kill()
            case ("wait", int(milliseconds)):
                await trio.sleep(milliseconds / 1000)

    def undo(self, lab: Laboratory, execution: Execution, which: tuple[str, str]) -> None:
        kind, id_ = which
        self.in_force.remove(which)
        if kind == "hold":
            lift(lab, execution, id_)
            self.begun |= id_ == "h1"
        else:
            take_back(lab, execution, id_)
            self.skips.pop(id_, None)
            self.routes.pop(id_, None)

    async def check(self, lab: Laboratory, done: Execution) -> None:
        tasks = await lab.journal.tasks(done.key, limit=1000)
        places = await lab.journal.places(done.key, [t.number for t in tasks if t.type is EntryType.DIRECTORY])
        skipping = [Matcher(selector, 0.0) for selector in self.skips.values()]
        routing = [(Matcher(selector, 0.0), to) for selector, to in self.routes.values()]
        roots = [self.target, self.directory / "east", self.directory / "west"]
        assert done.state is ExecutionState.COMPLETED, done.reason
        assert done.totals.settled == done.totals.planned
        for task in tasks:
            if task.type is EntryType.DIRECTORY:
                continue
            place = places[task.directory]
            path = os.path.join(place.path, task.name)
            candidate = Candidate(path, task.type, task.size, task.mtime_ns)
            there = [root for root in roots if (root / os.fsdecode(path)).exists()]
            goes = [to for matcher, to in routing if matcher.picks(candidate)]
            skipped = any(m.picks(candidate) for m in skipping)
            if task.state is TaskState.SKIPPED:
                assert (task.outcome, skipped) == (Outcome.LEFT_OUT, True), path
                assert there == []
            else:  # what was done before it was skipped stays
                assert task.state is TaskState.DONE, path
                assert len(there) == 1, path
                assert (there[0] / os.fsdecode(path)).read_bytes() == (self.source / os.fsdecode(path)).read_bytes()
                if not self.begun:
                    assert there == (goes[-1:] or [self.target]), path
        if not self.ever_skipped and not done.further:
            assert differences(self.source, self.target) == []
        for root in roots:
            assert not root.exists() or names_starting(root, b".migmond-") == []
        left_out = await lab.journal.left_out(done.key)
        assert set(left_out) <= set(self.skips)
        assert sum(left_out.values()) == sum(t.outcome is Outcome.LEFT_OUT for t in tasks)
        counted = await lab.engine.counted(done)
        assert counted.cube is not None
        assert counted.cube.sums().skipped == done.totals.skipped


async def moved_already(lab: Laboratory, execution: Execution) -> int:
    """Return how many entries have begun."""
    scope = await scope_of(lab, execution)
    return len(scope.in_hand) + scope.account.totals.done.entries


async def trial(directory: Path, steps: list[tuple[object, ...]], *, held: bool) -> None:
    one = Trial(directory)
    runs: list[list[tuple[object, ...]]] = [[]]
    for step in steps:
        if step == ("restart",):
            runs.append([])
        else:
            runs[-1].append(step)
    execution: Execution | None = None
    for position, run in enumerate(runs):
        async with laboratory(one.state, EngineSettings(workers=1, restart_limit=100)) as lab:
            if execution is None:
                execution = await lab.start(plan(one.source, one.target, limits=Limits(io_ops_per_s=200)))
                if held:  # nothing begins before all is said
                    await scope_of(lab, execution)
                    hold(lab, execution, "h1", Selector(include=("**",)))
                    one.in_force.append(("hold", "h1"))
                    one.begun = bool(await moved_already(lab, execution))
            for step in run:
                await one.step(lab, execution, step)
            if lab.engine.run_of(execution.id) is not None:
                await (await scope_of(lab, execution)).ledger.commit([])
            if position < len(runs) - 1:
                continue
            if lab.engine.run_of(execution.id) is not None:
                begun = one.begun
                for which in [w for w in one.in_force if w[0] == "hold"]:
                    one.undo(lab, execution, which)
                one.begun = begun
            done = await lab.ended(execution, 30)
            await one.check(lab, done)


@settings(max_examples=25, deadline=None)
@given(steps=st.lists(STEPS, min_size=2, max_size=8), held=st.booleans())
def test_every_entry_ends_as_the_oracle_says(steps: list[tuple[object, ...]], held: bool) -> None:
    with tempfile.TemporaryDirectory(prefix="agenda") as directory:
        trio.run(functools.partial(trial, Path(directory), steps, held=held))
