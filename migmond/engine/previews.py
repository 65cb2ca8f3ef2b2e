"""What a change would do to an execution, told before it is made."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from migmond.domain.entry import EntryType
from migmond.domain.errors import Conflict
from migmond.domain.execution import Execution, Tally
from migmond.domain.states import ExecutionState
from migmond.domain.steering import Action, Pause, Resume, Retry, Route, Skip, Standing, StandingAction, Throttle
from migmond.domain.steering_api import Effect
from migmond.domain.task import Task
from migmond.engine.account import task_bytes
from migmond.engine.counting import Counting
from migmond.engine.run import Run
from migmond.engine.settings import Surroundings
from migmond.planning.actions import selector_of_action
from migmond.planning.effects import (
    Eta,
    Pace,
    after_state,
    eta_with,
    eta_with_limits,
    phrases,
    throttle_phrases,
    with_change,
    with_standing,
)
from migmond.planning.phrases import told_limits

_BEFORE = frozenset({ExecutionState.WAITING, ExecutionState.DRAINED, ExecutionState.FAILED})
_WITH_ERRORS = frozenset({ExecutionState.FAILED, ExecutionState.COMPLETED_WITH_ERRORS})
_OPEN = frozenset({ExecutionState.CREATED, ExecutionState.WAITING, ExecutionState.RUNNING, ExecutionState.PAUSED})


class Picked(msgspec.Struct, frozen=True):
    """What a selector picks.

    Attributes:
        failed: the failed ones themselves: of a retry, or of what is to be done about a group of errors.
        doubtful: see `sieve.Counted`; what they are counts as soon as a mover has opened them.
        unknown: as many, of a change that would have to know before that: they are not picked.
    """

    tally: Tally
    failed: tuple[Task, ...] = ()
    doubtful: int = 0
    unknown: int = 0

    @property
    def nothing(self) -> bool:
        """Neither anything that is known, nor what may turn out to be of it."""
        return not self.tally.entries and not self.doubtful


def pace_of(execution: Execution, run: Run | None, surroundings: Surroundings) -> Pace:
    """Return how an execution goes now."""
    live = run.live if run is not None else None
    totals, flying = execution.totals, live.in_flight if live is not None else Tally()
    handled = totals.handled.plus(flying.entries, flying.bytes)
    left = Tally(max(0, totals.planned.entries - handled.entries), max(0, totals.planned.bytes - handled.bytes))
    workers = surroundings.settings.default_workers
    if live is None:
        return Pace(left, None, None, None, "it does not run now", workers)
    e = live.estimate
    return Pace(left, e.bytes_per_s, e.entries_per_s, e.seconds_remaining, e.reason, workers)


async def picked_by(surroundings: Surroundings, execution: Execution, run: Run | None, action: Action) -> Picked | None:
    """Return what `action` concerns of the entries that it can change; None when it is the execution as such."""
    selector = selector_of_action(action)
    if selector is None or isinstance(action, Resume):
        return None
    counting = Counting(surroundings, execution, run.running_tasks() if run is not None else ())
    if isinstance(action, Retry):
        tried = tuple(await counting.failed(selector))
        return Picked(Tally(len(tried), sum(map(task_bytes, tried))), tried)
    if run is not None:
        await run.brought_back()
    counted = await counting.count(selector)
    picks = await counting.failed(selector) if of_errors(action) and not execution.plan.removes_only else []
    # Of directories the scan failed, which goes through them once; what has a copy there is no skip's business.
    failed = tuple(t for t in picks if t.type is not EntryType.DIRECTORY and not t.target_inode)
    tally = counted.tally.plus(len(failed), sum(map(task_bytes, failed)))
    if isinstance(action, Skip | Pause):
        return Picked(tally, failed, doubtful=counted.doubtful)
    return Picked(tally, failed, unknown=counted.doubtful)


def effect_of(action: Action, now: Execution, picked: Picked | None, pace: Pace, for_s: float | None) -> Effect:
    """Return what `action` does to an execution that is as `now`."""
    then = msgspec.structs.replace(now, state=after_state(action, now))
    if isinstance(action, StandingAction):
        then = with_change(then, Standing("", "", 0.0, None, "", action))
    before, after = phrases(action, now, then, pace)
    tally = picked.tally if picked is not None else None
    eta = eta_with(action, now, then, tally, pace, for_s)
    notes = (*(_unread(picked) if picked is not None else ()), *_notes(action, now, picked))
    return _effect(before, after, pace, eta, tally, notes)


def undo_effect(now: Execution, id_: str, undone: Action | None, pace: Pace, before: str, after: str) -> Effect:
    """Return what taking a change back does.

    Args:
        undone: the action of the change; None when only its words are known.
        before, after: of its record: what is not worked out anew is told the other way round.
    """
    then = with_standing(now, tuple(s for s in now.standing if s.id != id_))
    tell, eta = (after, before), Eta(pace.eta_s, pace.eta_reason)
    if isinstance(undone, Throttle):
        tell = throttle_phrases(told_limits(undone), now.limits, then.limits, pace)
        eta = eta_with_limits(now.limits, then.limits, pace, None)
    elif isinstance(undone, Pause):
        eta = Eta(None, "known when it goes on")
    elif isinstance(undone, StandingAction):
        there = msgspec.structs.replace(then, holds=now.holds)
        tell = tell if selector_of_action(undone) is not None else phrases(undone, now, there, pace)
        eta = eta_with(undone, now, there, None, pace, None)
        if isinstance(undone, Skip | Route):
            again = "what was skipped is to be done as well" if isinstance(undone, Skip) else "known when it goes there"
            eta = Eta(None, again)
    return _effect(*tell, pace, eta, None, ())


def _effect(before: str, after: str, pace: Pace, eta: Eta, tally: Tally | None, notes: tuple[str, ...]) -> Effect:
    return Effect(
        entries=tally.entries if tally is not None else None,
        bytes=tally.bytes if tally is not None else None,
        eta_before_s=pace.eta_s,
        eta_after_s=eta.seconds,
        eta_reason=eta.reason,
        before=before,
        after=after,
        notes=notes,
    )


def _unread(picked: Picked) -> Iterator[str]:
    """Yield what is to be said of entries whose names do not tell the type that a selector asks for."""
    for count, what in ((picked.doubtful, "it counts when that is known"), (picked.unknown, "it is not picked")):
        if count:
            entries = "1 further entry" if count == 1 else f"{count:,} further entries"
            yield f"{entries}: the name does not tell the type, and nobody has read it yet; {what}"


def _notes(action: Action, now: Execution, picked: Picked | None) -> tuple[str, ...]:
    notes = []
    if picked is not None and picked.nothing:
        what = "has failed" if isinstance(action, Retry) else "is pending"
        if isinstance(action, Skip | Route) and action.selector.states:
            notes.append("of what has failed, --error KIND picks what is to be skipped or sent elsewhere")
        elif of_errors(action):
            what = "waits or has failed"
        every = isinstance(action, Retry) and action.selector.selects_all
        notes.append(f"nothing {what}" if every else f"nothing that the selector picks {what}: nothing is changed")
        if now.totals.growing and not isinstance(action, Retry):
            notes.append("the scan goes on: what it has not found yet does not count")
    elif isinstance(action, StandingAction) and now.state in _BEFORE:
        notes.append(f"it is {now.state.value}: this counts when it runs")
    elif isinstance(action, Skip):
        notes.append(
            "a large file that a mover has in hand is given up, small ones that were given to movers are finished"
        )
    elif isinstance(action, Route):
        notes.append("what movers have in hand goes where it was going, and what is there already stays there")
    return tuple(notes)


def of_errors(action: Action) -> bool:
    """Whether it is about groups of errors: what has failed by them is picked as well as what waits. By the state it
    cannot be: what is tried again is not failed any more, and has to be picked still."""
    return isinstance(action, Skip | Route) and bool(action.selector.errors) and not action.selector.states


def refuse_unsuitable(action: Action, now: Execution) -> None:
    """Raise Conflict when an execution in that state has nothing that a change that lasts, or a selection, could
    concern."""
    lasting = isinstance(action, StandingAction) or (
        isinstance(action, Pause | Resume) and not action.selector.selects_all
    )
    if not lasting or now.state in _OPEN or now.state in (ExecutionState.DRAINED, ExecutionState.DRAINING):
        return
    if isinstance(action, Route) and now.state is ExecutionState.FAILED:
        return  # it may have failed because where something was to go is not there
    again = now.state in _WITH_ERRORS
    if again and of_errors(action):
        return  # of what has failed
    hint = f"set it going first: migmon resume {now.id[:6]}" if again else "nothing of it can be changed any more"
    raise Conflict(f"{now.name} is {now.state.value}", hint=hint)
