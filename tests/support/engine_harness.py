"""A real engine on a real journal with real mover processes, without the socket in front of it."""

from __future__ import annotations

import contextlib
import os
import random
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import trio

from migmond.domain import api
from migmond.domain.events import Event, ExecutionVerified
from migmond.domain.execution import Execution, Verification
from migmond.domain.file_system import Own
from migmond.domain.identity import Identity
from migmond.domain.plan import ConflictPolicy, Operation, Plan, Source, VerifyLevel
from migmond.domain.states import TERMINAL_EXECUTION_STATES
from migmond.engine.bus import EventBus
from migmond.engine.check import check_plan
from migmond.engine.manager import Engine
from migmond.engine.settings import EngineSettings, Surroundings
from migmond.ports import (
    Clock,
)
from migmond_sqlite import SqliteJournal, open_journal

ME = Identity(os.geteuid(), os.getegid(), tuple(os.getgroups()))


class SystemClock:
    def monotonic(self) -> float:
        return time.monotonic()

    def wall(self) -> float:
        return time.time()


class Laboratory:
    """Engine, journal and every event since it was opened."""

    def __init__(self, engine: Engine, surroundings: Surroundings, journal: SqliteJournal, events: list[Event]) -> None:
        self.engine = engine
        self.surroundings = surroundings
        self.journal = journal
        self.events = events

    async def check(self, plan: Plan, identity: Identity = ME) -> api.PlanVerdict:
        """Look a plan over, as `migmon plan` does."""
        promises = self.engine.promises(lambda e: f"{e.name} ({e.id[:6]})")
        return await check_plan(self.surroundings, plan, identity, promises)

    async def start(self, plan: Plan) -> Execution:
        return await self.engine.start(plan, ME, "", "")

    async def until(self, condition: Callable[[], bool], timeout_s: float = 60.0) -> None:
        """Wait until `condition` holds; it is looked at every few milliseconds."""
        with trio.fail_after(timeout_s):
            while not condition():  # noqa: ASYNC110 (the state of other processes sets no event)
                await trio.sleep(0.005)

    async def ended(self, execution: Execution, timeout_s: float = 60.0) -> Execution:
        """Wait until the execution is in a terminal state and its scope is closed."""

        def done() -> bool:
            now = self.engine.find(execution.id)
            return now.state in TERMINAL_EXECUTION_STATES and self.engine.run_of(execution.id) is None

        await self.until(done, timeout_s)
        return self.engine.find(execution.id)

    async def verified(self, execution: Execution) -> Verification:
        """Verify an execution and return what was found."""
        before = sum(isinstance(e, ExecutionVerified) for e in self.events)
        await self.engine.verify(self.engine.find(execution.id))
        await self.until(lambda: sum(isinstance(e, ExecutionVerified) for e in self.events) > before)
        found = self.engine.find(execution.id).verification
        assert found is not None
        return found

    async def run(self, plan: Plan) -> Execution:
        """Start a plan and wait for its end."""
        return await self.ended(await self.start(plan))


@contextlib.asynccontextmanager
async def laboratory(
    state: Path,
    settings: EngineSettings | None = None,
    ballast_bytes: int = 0,
    clock: Clock | None = None,
    own: tuple[Own, ...] = (),
) -> AsyncIterator[Laboratory]:
    """Open the journal in `state` and serve an engine on it; leaving cuts running executions off."""
    clock = clock or SystemClock()
    async with open_journal(state, ballast_bytes) as journal:
        bus = EventBus(await journal.next_event(1 << 32), clock.wall)
        events: list[Event] = []
        bus.listen(events.append)
        surroundings = Surroundings(
            journal, bus, clock, random.Random(0), settings or EngineSettings(workers=2), lambda *a, **k: None, own
        )
        async with Engine.serving(surroundings) as engine:
            yield Laboratory(engine, surroundings, journal, events)


def plan(
    source: Path,
    target: Path,
    operation: Operation = Operation.COPY,
    conflict: ConflictPolicy = ConflictPolicy.FAIL,
    verify: VerifyLevel = VerifyLevel.HASH,
    **fields: object,
) -> Plan:
    """Return a plan of one source."""
    return Plan(
        source.name,
        (Source(os.fsencode(source)),),
        os.fsencode(target),
        operation,
        conflict=conflict,
        verify=verify,
        **fields,  # type: ignore[arg-type]
    )
