"""Changing executions of a laboratory, and looking at what holds then."""

from __future__ import annotations

from pathlib import Path

from engine_harness import Laboratory, plan
from migmond.domain.execution import Execution
from migmond.domain.intervention import Intervention
from migmond.domain.limits import Limits
from migmond.domain.selector import Selector
from migmond.domain.steering import (
    Action,
    BatchSize,
    Level,
    Move,
    Order,
    Pause,
    Place,
    Prioritise,
    Reordering,
    Route,
    Skip,
    Throttle,
    Weight,
    Workers,
)
from migmond.engine.recording import Ask

SLOW = Limits(io_ops_per_s=100.0)
TEXTS = Selector(include=("*.txt",))
LASTING: list[Action] = [
    Throttle(io_bytes_per_s=1 << 20, cpu_percent=80.0),
    Workers(3),
    BatchSize(20),
    Reordering(Order.LARGE_FIRST),
    Weight(2.0),
    Prioritise(TEXTS, Level.HIGH),
    Move(TEXTS, Place.FIRST),
    Skip(Selector(include=("none-of-these*", "*.txt"))),
    Pause(TEXTS),
    Pause(),
]
"""One of each kind of change that lasts, but for a route, which needs a place to lead to (`lasting`)."""


def lasting(elsewhere: Path) -> list[Action]:
    """Return one of each kind of change that lasts."""
    return [*LASTING, Route(TEXTS, bytes(elsewhere))]


def texts_and_others(root: Path, count: int = 600) -> Path:
    """Make so many files, a third of which are called *.txt."""
    root.mkdir()
    for i in range(count):
        (root / f"{i:03}{'.txt' if i % 3 == 0 else '.bin'}").write_bytes(b"x" * (i + 1))
    return root


async def running(lab: Laboratory, source: Path, target: Path, **fields: object) -> Execution:
    """Start a slow migration and wait until a mover has work and the scan has ended."""
    fields = {"limits": SLOW, **fields}
    execution = await lab.start(plan(source, target, reflink=False, **fields))  # type: ignore[arg-type]
    run = lab.engine.run_of(execution.id)
    assert run is not None
    await lab.until(lambda: bool(run.running_tasks()) and not run.execution.totals.growing)
    return run.execution


async def change(lab: Laboratory, execution: Execution, action: Action, **fields: object) -> Intervention:
    """Make a change that is made for sure, and return its record."""
    _, record = await lab.engine.steering.intervene(execution, Ask(action, "ana", **fields))  # type: ignore[arg-type]
    assert record is not None
    return record


async def on_record(lab: Laboratory, execution: Execution, id_: str) -> Intervention:
    """Return what the journal has of an intervention."""
    await lab.engine._roster.journaled(execution)  # what time does, nobody waits for
    return next(r for r in await lab.journal.interventions(execution.id) if r.id == id_)


async def journaled(lab: Laboratory, execution: Execution) -> Execution:
    """Return an execution as the journal has it."""
    return next(e for e in await lab.journal.executions() if e.id == execution.id)


def what_holds(execution: Execution) -> tuple[object, ...]:
    """Return what changes may change of an execution."""
    return execution.limits, execution.standing, execution.holds, execution.state


async def cancelled(lab: Laboratory, execution: Execution) -> None:
    """Cancel it and wait for the end."""
    await lab.engine.cancel(lab.engine.find(execution.id), "ana", "")
    await lab.ended(execution)
