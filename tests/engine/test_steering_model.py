"""What is in force after any sequence of changes, undos, waits and restarts, against a naive model of it."""

from __future__ import annotations

import contextlib
import random
from collections.abc import AsyncIterator
from typing import Any, NamedTuple

import msgspec
import trio
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import UNSET
from trio.testing import MockClock

from migmond.domain.changes import AddRoot, PutExecution
from migmond.domain.entry import EntryType
from migmond.domain.errors import Conflict, NotFound
from migmond.domain.execution import Execution, Tally, Totals
from migmond.domain.hold import Hold, HoldReason
from migmond.domain.identity import Identity
from migmond.domain.intervention import EXPIRED
from migmond.domain.limits import Limits
from migmond.domain.plan import Plan, Source
from migmond.domain.selector import Selector
from migmond.domain.states import ExecutionState
from migmond.domain.steering import BatchSize, Order, Pause, Reordering, Throttle, Weight, Workers
from migmond.domain.task import Task
from migmond.engine.bus import EventBus
from migmond.engine.manager import Engine
from migmond.engine.recording import Ask
from migmond.engine.settings import EngineSettings, Surroundings
from migmond.planning.standing import batch_entries_of, order_of, weight_of, workers_of
from migmond.plugin_api.memory import MemoryJournal

KEY, ID = 1, "aaaaaa000000"
PLANNED = Limits(io_bytes_per_s=100, memory_bytes=7)
GRAIN_S = 3.0
"""Whether a change is over is looked at every two seconds at most."""
FOREVER = Hold("h1", HoldReason.USER, "ben", 0.0)
"""It is paused all the time: what is steered is what would hold if it went on, and no mover is needed."""


class Change(NamedTuple):
    action: Any
    for_s: float | None


class Undo(NamedTuple):
    which: int
    """Of all that there ever were."""


class Wait(NamedTuple):
    seconds: float


class Restart(NamedTuple):
    pass


ACTIONS = st.one_of(
    st.builds(
        Throttle,
        io_bytes_per_s=st.sampled_from([UNSET, None, 10, 20]),
        io_ops_per_s=st.sampled_from([UNSET, None, 1.0]),
        memory_bytes=st.sampled_from([UNSET, None, 5]),
    ).filter(lambda t: t != Throttle()),
    st.builds(Workers, st.integers(1, 4)),
    st.builds(BatchSize, st.integers(0, 3)),
    st.builds(Reordering, st.sampled_from(list(Order))),
    st.builds(Weight, st.sampled_from([0.5, 1.0, 2.0])),
    st.builds(lambda name: Pause(Selector(include=(name,))), st.sampled_from(["*", "f*"])),
)
STEPS = st.lists(
    st.one_of(
        st.builds(Change, ACTIONS, st.sampled_from([None, None, 10.0, 40.0])),
        st.builds(Undo, st.integers(0, 12)),
        st.builds(Wait, st.sampled_from([1.0, 15.0])),
        st.just(Restart()),
    ),
    max_size=14,
)


class Naive:
    """Remembers everything that was ever asked for, and works out what holds by going through it."""

    def __init__(self) -> None:
        self.asked: list[tuple[Any, float | None]] = []
        self.over: dict[int, str] = {}

    def expire(self, now: float) -> None:
        for i, (_, until) in enumerate(self.asked):
            if until is not None and until <= now:
                self.over.setdefault(i, EXPIRED)

    def uncertain(self, now: float) -> bool:
        """Whether something is just over, so that nobody may have looked yet."""
        return any(until is not None and abs(now - until) < GRAIN_S for _, until in self.asked)

    def in_force(self) -> list[Any]:
        return [action for i, (action, _) in enumerate(self.asked) if i not in self.over]

    def expected(self) -> dict[str, Any]:
        found: dict[str, Any] = {**msgspec.structs.asdict(PLANNED), "workers": None, "batch": None}
        found |= {"order": Order.SCANNED, "weight": 1.0, "held": []}
        for action in self.in_force():
            match action:
                case Throttle():
                    found |= {k: v for k, v in msgspec.structs.asdict(action).items() if v is not UNSET}
                case Workers():
                    found["workers"] = action.count
                case BatchSize():
                    found["batch"] = action.entries or None
                case Reordering():
                    found["order"] = action.order
                case Weight():
                    found["weight"] = action.weight
                case Pause():
                    found["held"].append(action.selector)
        return found


def told(execution: Execution) -> dict[str, Any]:
    s = execution.standing
    return {
        **msgspec.structs.asdict(execution.limits),
        "workers": workers_of(None, s),
        "batch": batch_entries_of(s),
        "order": order_of(s),
        "weight": weight_of(s),
        "held": [h.selector for h in execution.holds if h.intervention],
    }


class TrioClock:
    def monotonic(self) -> float:
        return trio.current_time()

    def wall(self) -> float:
        return 1e9 + trio.current_time()


@contextlib.asynccontextmanager
async def engine_on(journal: MemoryJournal) -> AsyncIterator[Engine]:
    clock = TrioClock()
    bus = EventBus(await journal.next_event(1 << 32), clock.wall)
    surroundings = Surroundings(journal, bus, clock, random.Random(0), EngineSettings(workers=2), lambda *a, **k: None)
    async with Engine.serving(surroundings) as engine:
        yield engine


async def a_journal(state: ExecutionState) -> MemoryJournal:
    journal = MemoryJournal()
    plan = Plan("photos", (Source(b"/nowhere/source"),), b"/nowhere/target", limits=PLANNED)
    holds = (FOREVER,) if state is ExecutionState.PAUSED else ()
    execution = Execution(
        ID, KEY, "photos", plan, Identity(1, 1), state, 0.0, totals=Totals(Tally(1, 1), growing=False),
        limits=PLANNED, holds=holds,
    )  # fmt: skip
    root = Task(1, 0, b"file", EntryType.FILE, 1, 0, 0, 1, 1, 1)
    await journal.apply([PutExecution(execution), AddRoot(KEY, 0, root)])
    return journal


async def check(engine: Engine, journal: MemoryJournal, model: Naive, ids: list[str]) -> None:
    await engine._roster.journaled(engine.find(ID))
    (kept,) = await journal.executions()
    records = {r.id: r for r in await journal.interventions(ID)}
    for execution in (engine.find(ID), kept):
        assert told(execution) == model.expected()
        lasting = [*(s.id for s in execution.standing), *(h.intervention for h in execution.holds if h.intervention)]
        assert sorted(lasting) == sorted(id_ for i, id_ in enumerate(ids) if i not in model.over)
    assert sorted(records) == sorted(ids)
    assert {id_: records[id_].ended_by for id_ in ids} == {id_: model.over.get(i, "") for i, id_ in enumerate(ids)}
    assert all((r.ended_at is None) is not bool(r.ended_by) for r in records.values())


async def play(steps: list[Any], state: ExecutionState) -> None:
    journal, model = await a_journal(state), Naive()
    ids: list[str] = []
    left = list(steps)
    while True:
        async with engine_on(journal) as engine:
            while left and not isinstance(left[0], Restart):
                await _step(engine, left.pop(0), model, ids)
                while model.uncertain(TrioClock().wall()):  # noqa: ASYNC110 (nobody says that he has looked)
                    await trio.sleep(GRAIN_S)
                model.expire(TrioClock().wall())
                await check(engine, journal, model, ids)
        if not left:
            return
        left.pop(0)


async def _step(engine: Engine, step: Any, model: Naive, ids: list[str]) -> None:
    match step:
        case Change(action, for_s):
            _, record = await engine.steering.intervene(engine.find(ID), Ask(action, "ana", for_s=for_s))
            assert record is not None
            ids.append(record.id)
            model.asked.append((action, record.until))
        case Undo(which):
            id_ = ids[which] if which < len(ids) else "i-999"
            try:
                await engine.undoing.undo(id_, "ben", "")
            except NotFound:
                assert id_ == "i-999"
            except Conflict:
                model.expire(TrioClock().wall())  # it may have been over this moment
                assert which in model.over
            else:
                assert which not in model.over
                model.over[which] = "ben"
        case Wait(seconds):
            await trio.sleep(seconds)


@settings(max_examples=30)
@given(STEPS, st.sampled_from([ExecutionState.PAUSED, ExecutionState.DRAINED]))
def test_what_is_in_force_is_what_the_naive_model_says(steps: list[Any], state: ExecutionState) -> None:
    trio.run(play, steps, state, clock=MockClock(autojump_threshold=0.02))
