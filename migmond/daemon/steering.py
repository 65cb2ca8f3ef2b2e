"""Requests to change executions: parsed, passed on to the engine, and answered. Whose they may be is known before."""

from __future__ import annotations

from collections.abc import Iterable

import trio

from migmond.daemon.entries import find_entry
from migmond.domain.errors import InvalidInput, NotFound, about
from migmond.domain.execution import Execution
from migmond.domain.intervention import Intervention
from migmond.domain.names import from_outside
from migmond.domain.steering import Action
from migmond.domain.steering_api import (
    ActionSpec,
    Effect,
    InterveneParams,
    InterventionResult,
    MoveSpec,
    StopAllResult,
    StoppedView,
    UndoParams,
)
from migmond.engine.manager import Engine
from migmond.engine.recording import Ask
from migmond.engine.settings import Surroundings
from migmond.engine.views import intervention_views
from migmond.planning.actions import action_of
from migmond.planning.plans import checked_reason
from migmond.planning.selection import takes_long

MAX_REQUEST_ID = 200


class Steered:
    """For the service, which has looked up who may do it."""

    def __init__(self, engine: Engine, surroundings: Surroundings) -> None:
        self._engine = engine
        self._surroundings = surroundings

    async def intervene(self, execution: Execution, author: str, params: InterveneParams) -> InterventionResult:
        """Change one execution, or say what that would do.

        Raises:
            InvalidInput, PlanInfeasible: what is asked for makes no sense.
            NotFound: an entry that is named is not there.
            Conflict, LimitExceeded: see `Steering.intervene`.
        """
        if len(params.request_id) > MAX_REQUEST_ID:
            raise InvalidInput(
                "request_id is too long", hint=f"use at most {MAX_REQUEST_ID} characters", field="request_id"
            )
        reason = checked_reason(params.reason)
        with about("action"):
            action = await self._parsed(params.action, execution)
        ask = Ask(action, author, reason, params.for_s, params.request_id)
        return _result(*await self._engine.steering.intervene(execution, ask, dry_run=params.dry_run))

    async def _parsed(self, spec: ActionSpec, execution: Execution) -> Action:
        before = 0
        if isinstance(spec, MoveSpec) and spec.before:
            with about("before"):
                path = from_outside(spec.before)
            found = await find_entry(self._surroundings.journal, execution, path)
            if found is None:
                raise NotFound(
                    f"{execution.name} has no entry {spec.before!r}",
                    hint=f"give its path below the source: migmon files {execution.id[:6]}",
                )
            before = found.number
        selector = getattr(spec, "selector", None)
        if selector is not None and takes_long(selector.include, selector.exclude):
            return await trio.to_thread.run_sync(action_of, spec, execution.plan, before)
        return action_of(spec, execution.plan, before)

    async def undo(self, author: str, params: UndoParams, id_: str) -> InterventionResult:
        """Take one change back, or say what that would do; see `Undoing.undo`."""
        reason = checked_reason(params.reason)
        return _result(*await self._engine.undoing.undo(id_, author, reason, dry_run=params.dry_run))

    async def stop_all(self, executions: Iterable[Execution], author: str, reason: str) -> StopAllResult:
        """Stop these at once, and say what is where."""
        began, reason = self._surroundings.clock.monotonic(), checked_reason(reason)
        stopped = await self._engine.stopping.stop_all(list(executions), author, reason)
        views = []
        for one in stopped:
            view = self._engine.view(one.execution)
            in_hand = tuple(m.file for m in view.movers if m.file)
            percent, record = view.progress.percent_done, one.record
            where = (view.id, view.name, view.state, view.why, percent, in_hand)
            views.append(StoppedView(*where, one.busy, record.id, record.undo))
        return StopAllResult(tuple(views), self._surroundings.clock.monotonic() - began)


def _result(effect: Effect, record: Intervention | None) -> InterventionResult:
    return InterventionResult(effect, intervention_views([record])[0] if record is not None else None)
