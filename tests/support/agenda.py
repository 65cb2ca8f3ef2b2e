"""Changing a running execution as the interventions do, without them."""

from __future__ import annotations

from pathlib import Path

from engine_harness import Laboratory
from migmond.domain.execution import Execution, Tally
from migmond.domain.hold import Hold, HoldReason
from migmond.domain.selector import Selector
from migmond.domain.steering import Route, Standing, StandingAction
from migmond.engine.agenda import Agenda
from migmond.engine.run import Run
from migmond.engine.scope import Scope


def run_of(lab: Laboratory, execution: Execution) -> Run:
    run = lab.engine.run_of(execution.id)
    assert run is not None
    return run


async def scope_of(lab: Laboratory, execution: Execution) -> Scope:
    """Wait until an execution is at work."""
    await run_of(lab, execution).ready.wait()
    scope = run_of(lab, execution)._scope
    assert scope is not None
    return scope


async def agenda_of(lab: Laboratory, execution: Execution) -> Agenda:
    """Wait until an execution is at work."""
    await scope_of(lab, execution)
    return run_of(lab, execution)._agenda


def change(lab: Laboratory, execution: Execution, id_: str, action: StandingAction) -> None:
    """Have one more change in force."""
    run = run_of(lab, execution)
    standing = (*run.execution.standing, Standing(id_, "ana", lab.surroundings.clock.wall(), None, "", action))
    run._change(standing=standing)
    run.steered()


async def route(lab: Laboratory, execution: Execution, id_: str, selector: Selector, destination: Path) -> bool:
    """Send what the selector picks elsewhere, as a change that was looked at before; False when it ended meanwhile."""
    run = run_of(lab, execution)
    action, now = Route(selector, bytes(destination)), run.execution
    routing = lab.engine.steering._routing
    seen = await routing.look(now, action, Tally())
    await routing.known(now, run, seen)
    if lab.engine.run_of(execution.id) is not run:
        return False
    change(lab, execution, id_, action)
    return True


def take_back(lab: Laboratory, execution: Execution, id_: str) -> None:
    """Undo a change."""
    run = run_of(lab, execution)
    run._change(standing=tuple(s for s in run.execution.standing if s.id != id_))
    run.steered()


def hold(lab: Laboratory, execution: Execution, id_: str, selector: Selector) -> None:
    """Hold what the selector picks."""
    run = run_of(lab, execution)
    made = Hold(id_, HoldReason.USER, "ana", lab.surroundings.clock.wall(), None, "", selector, f"i-{id_[1:]}")
    run._change(holds=(*run.execution.holds, made))
    run.steered()


def lift(lab: Laboratory, execution: Execution, id_: str) -> None:
    """Let a hold go."""
    run_of(lab, execution).lift(lambda h: h.id == id_, "lifted")
