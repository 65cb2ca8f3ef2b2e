"""From what the engine knows to what clients see. Pure."""

from __future__ import annotations

import datetime
import os
from collections.abc import Iterable, Sequence
from functools import lru_cache

import msgspec

from migmond.domain import api
from migmond.domain.entry import Lost
from migmond.domain.error_api import CauseView, ErrorGroup, FigureView
from migmond.domain.execution import Execution, Stage, Tally, Verification
from migmond.domain.fault import SALVAGED, Fault
from migmond.domain.hold import Hold, HoldReason
from migmond.domain.intervention import Intervention
from migmond.domain.journal import FaultGroup
from migmond.domain.names import to_text
from migmond.domain.plan import Plan, Source
from migmond.domain.states import ExecutionState, Outcome, TaskState
from migmond.domain.steering import Standing
from migmond.domain.steering_api import InterventionView
from migmond.domain.task import Directory, Task
from migmond.planning.pace import Estimate, percent
from migmond.planning.phrases import action_phrase, selector_phrase
from migmond.planning.routes import target_of
from migmond.recovery.advice import recommend
from migmond.recovery.commands import Situation
from migmond.recovery.correlation import Found, Where
from migmond.recovery.dispositions import device_kind, row_of, side_of
from migmond.recovery.figures import Figure, concerning


class Live(msgspec.Struct, frozen=True):
    """What only a running execution knows."""

    estimate: Estimate
    percent_done: float | None
    active_s: float
    in_flight: Tally
    movers: tuple[api.MoverView, ...]
    note: str = ""


def time_text(wall: float) -> str:
    """Return wall clock seconds as RFC 3339 text in UTC."""
    return datetime.datetime.fromtimestamp(wall, datetime.UTC).isoformat(timespec="milliseconds")


def local_text(wall: float) -> str:
    """Return wall clock seconds as people of this machine read them: in its zone, to the second."""
    return f"{datetime.datetime.fromtimestamp(wall, datetime.UTC).astimezone():%Y-%m-%d %H:%M:%S}"


def time_or_none(wall: float | None) -> str | None:
    return None if wall is None else time_text(wall)


def tally_view(tally: Tally) -> api.TallyView:
    return api.TallyView(tally.entries, tally.bytes)


def execution_view(execution: Execution, live: Live | None, now_wall: float) -> api.ExecutionView:
    """Return what a client sees of an execution; `live` is None when nothing works on it."""
    plan = execution.plan
    return api.ExecutionView(
        id=execution.id,
        name=execution.name,
        state=execution.state.value,
        why=_why(execution, live),
        stage=execution.stage.value,
        operation=_operation(plan),
        sources=_sources_text(plan.sources),
        destination=to_text(plan.destination),
        uid=execution.identity.uid,
        created_at=time_text(execution.created_at),
        started_at=time_or_none(execution.started_at),
        finished_at=time_or_none(execution.finished_at),
        progress=_progress(execution, live),
        holds=tuple(_hold_view(h) for h in execution.holds),
        movers=live.movers if live is not None else (),
        verify=plan.verify.value,
        conflict=plan.conflict.value,
        verification=verification_view(execution.verification) if execution.verification else None,
        as_of=time_text(now_wall),
        changes=tuple(_change_view(s) for s in execution.standing),
        further_destinations=tuple(to_text(d.path) for d in execution.further),
        rolls_back=plan.undoes.execution if plan.undoes is not None else "",
    )


def _operation(plan: Plan) -> str:
    if plan.undoes is None:
        return plan.operation.value
    return "recovery" if plan.undoes.again else "rollback"


@lru_cache(maxsize=256)
def _sources_text(sources: tuple[Source, ...]) -> tuple[str, ...]:
    """Return the sources of a plan as text, the same objects each time: they may take 256 KiB (MAX_PLAN_BYTES), 10,000
    events are remembered with a view each, and one user could fill gigabytes by pausing and resuming."""
    return tuple(to_text(s.path) for s in sources)


def _why(execution: Execution, live: Live | None) -> str:
    hold = execution.stopped_by
    if hold is not None:
        text = f"paused by {hold.author}" if hold.reason is HoldReason.USER else f"held: {hold.reason.value}"
        return f"{text}: {hold.note}" if hold.note else text
    if live is not None:
        hung = [m for m in live.movers if m.stalled_s is not None]
        if hung:
            mover = hung[0]
            return f"mover {mover.slot} hangs for {mover.stalled_s:.0f} s in {mover.doing} {mover.file or ''}".rstrip()
        if live.note:
            return live.note
    return execution.reason


def _progress(execution: Execution, live: Live | None) -> api.Progress:
    totals = execution.totals
    if live is not None:
        estimate, done = live.estimate, live.percent_done
        active_s, in_flight = live.active_s, live.in_flight
    else:
        estimate = Estimate(None, None, None, "not running")
        done = None if totals.growing else percent(totals.there, totals.planned)
        active_s, in_flight = execution.active_s, Tally()
        if execution.state in (ExecutionState.COMPLETED, ExecutionState.COMPLETED_WITH_ERRORS):
            estimate = Estimate(None, None, 0.0, "")
    if execution.state is ExecutionState.COMPLETED and not totals.gone.entries:
        done = 100.0
    return api.Progress(
        planned=tally_view(totals.planned),
        done=tally_view(totals.done),
        failed=tally_view(totals.failed),
        skipped=tally_view(totals.skipped),
        cancelled=tally_view(totals.cancelled),
        in_flight=tally_view(in_flight),
        growing=totals.growing,
        imperfect=totals.imperfect,
        percent_done=done,
        bytes_per_s=estimate.bytes_per_s,
        entries_per_s=estimate.entries_per_s,
        seconds_elapsed=active_s,
        seconds_remaining=estimate.seconds_remaining,
        eta_reason=estimate.reason,
        gone=tally_view(totals.gone),
        durable=tally_view(totals.durable),
        eta_low_s=estimate.low_s,
        eta_high_s=estimate.high_s,
    )


@lru_cache(maxsize=1000)
def _hold_view(hold: Hold) -> api.HoldView:
    covers = "" if hold.selector.selects_all else selector_phrase(hold.selector)
    return api.HoldView(
        hold.id, hold.reason.value, hold.author, time_text(hold.since), time_or_none(hold.until), hold.note, covers,
        hold.intervention,
    )  # fmt: skip


@lru_cache(maxsize=1000)
def _change_view(change: Standing) -> api.ChangeView:
    """The same object each time, as `_sources_text`: a hundred of them are part of every view and event."""
    type_ = str(change.action.__struct_config__.tag)
    since, until = time_text(change.since), time_or_none(change.until)
    what = action_phrase(change.action)
    return api.ChangeView(change.id, type_, what, change.author, since, until, change.reason)


def verification_view(verification: Verification) -> api.VerificationView:
    return api.VerificationView(
        time_text(verification.at),
        tally_view(verification.checked),
        verification.unhashed,
        verification.mismatches,
        verification.examples,
        verification.failure,
        verification.unreadable,
        verification.unreadable_examples,
    )


def task_view(
    task: Task,
    place: Directory,
    plan: Plan,
    fault: Fault | None,
    *,
    state: TaskState | None = None,
    destination: bytes | None = None,
) -> api.TaskView:
    """Return what a client sees of a task.

    Args:
        place: the directory it lies in; for a source root itself, that root with path b"".
        state: overrides the journal's (RUNNING is never journaled).
        destination: path of the one it went to; None for the plan's.
    """
    path = os.path.join(place.path, task.name) if place.path else task.name
    base = target_of(plan.sources[place.root], plan.destination if destination is None else destination)
    shown = state if state is not None else task.state
    has_target = shown in (TaskState.DONE, TaskState.DURABLE) or task.outcome is Outcome.UNCHANGED
    target: bytes | None = None
    if has_target:
        final = os.path.join(os.path.dirname(path), task.target_name) if task.target_name else path
        target = os.path.join(base, final) if task.directory and final else base
    return api.TaskView(
        number=task.number,
        path=to_text(path) or ".",
        type=task.type.name.lower(),
        size=task.size,
        state=shown.name.lower(),
        outcome=task.outcome.name.lower(),
        attempts=task.attempts,
        lost=tuple(flag.name.lower() for flag in Lost if flag & task.lost and flag.name),
        digest=None if task.digest is None or shown is TaskState.FAILED else task.digest.hex(),
        target_path=None if target is None else to_text(target),
        fault=None if fault is None else f"{fault.phase.value}: {fault.kind}: {fault.message}",
    )


def error_group(
    group: FaultGroup,
    paths: Sequence[str],
    execution: Execution | None = None,
    where: Where | None = None,
    found: Sequence[Found] = (),
    figures: Sequence[Figure] = (),
    example: str = "",
) -> ErrorGroup:
    """Return what a client sees of a group of errors.

    Args:
        paths: of its examples.
        execution: its migration; None: no command is wanted.
        where: what its entries are on, None when nobody looked.
        found: what it may come from.
        figures: what was recorded around it.
        example: one of its entries, as a command takes it.
    """
    fault, under, where = group.fault, to_text(group.under), where or Where()
    told = recommend(fault, found, None if execution is None else _situation(group, example, execution))
    return ErrorGroup(
        phase=fault.phase.value,
        kind=fault.kind,
        errno=fault.errno,
        message=fault.message.split(SALVAGED)[0],
        count=group.count,
        first_at=time_text(group.first_at),
        last_at=time_text(group.last_at),
        examples=tuple(paths),
        hint=told.action,
        waiting=group.waiting,
        fingerprint=fault.fingerprint,
        disposition=row_of(fault, device_kind(where.file_system)).disposition.value,
        side=side_of(fault.phase).value,
        device=where.device,
        mount=where.mount,
        under=under,
        causes=tuple(_cause_view(f, figures) for f in found),
        meaning=told.meaning,
        next=told.command,
    )


def _situation(group: FaultGroup, example: str, execution: Execution) -> Situation:
    return Situation(
        execution=execution.id[:6],
        state=execution.state,
        failed=group.count - group.waiting,
        waiting=group.waiting,
        copying=execution.stage in (Stage.SCAN, Stage.COPY),
        held=bool(execution.holds),
        undoes=execution.plan.undoes is not None,
        under=to_text(group.under),
        example=example,
    )


def _cause_view(found: Found, figures: Sequence[Figure]) -> CauseView:
    told = tuple(
        FigureView(f.metric, f.subject, f.unit, f.before, f.worst, f.after, f.text) for f in concerning(found, figures)
    )
    return CauseView(found.cause.name, found.cause.title, found.score, found.evidence, told)


def intervention_views(interventions: Iterable[Intervention]) -> tuple[InterventionView, ...]:
    return tuple(
        InterventionView(
            i.id,
            i.execution,
            i.kind.value,
            i.author,
            time_text(i.at),
            i.reason,
            i.before,
            i.after,
            i.undo if i.ended_at is None else "",
            action_phrase(i.action) if i.action is not None else "",
            time_or_none(i.until),
            i.entries,
            i.bytes,
            i.automatic,
            time_or_none(i.ended_at),
            i.ended_by,
        )
        for i in interventions
    )
