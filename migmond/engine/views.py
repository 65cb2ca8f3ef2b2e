"""From what the engine knows to what clients see. Pure."""

from __future__ import annotations

import datetime
import os
from collections.abc import Iterable, Sequence
from functools import lru_cache

import msgspec

from migmond.domain import api
from migmond.domain.entry import Lost
from migmond.domain.execution import Execution, Tally, Verification
from migmond.domain.fault import Fault
from migmond.domain.hints import SEE_LOG
from migmond.domain.hold import Hold
from migmond.domain.intervention import Intervention
from migmond.domain.names import to_text
from migmond.domain.plan import Plan, Source
from migmond.domain.states import ExecutionState, Outcome, TaskState
from migmond.domain.task import Directory, Task
from migmond.planning.pace import Estimate, percent
from migmond.ports import (
    FaultGroup,
)

HINTS = {
    "exists": "choose --conflict skip, newer, rename or replace-with-backup, or remove what is there",
    "source_changed": "it was written to while it was copied: resume when its writer is done",
    "source_in_use": "close the program that has it open for writing, then migmon resume",
    "same_file": "source and target are the same file: nothing to do",
    "target_missing": "look what became of the copy, then migmon resume: it is copied again",
    "target_changed": "look at both and remove the one you do not want, then migmon resume",
    "kept_aside": "look at both and give the one beside it a name of its own or remove it, then migmon resume",
    "left_aside": "migmon resume gives it its name back; when it was cancelled: rename it yourself, nobody else will",
    "source_unreachable": "look where its directory went: when it has its name again, migmon resume finds the source",
    "hash_mismatch": "the target did not keep what was written: check the disk (migmon doctor)",
    "taken_meanwhile": "look whether another migration writes there too, then migmon resume",
    "copy_replaced": "somebody removes or changes files that begin with .migmond- at the destination: stop that",
    "EACCES": "run it as a user who may read the source and write the target",
    "EPERM": "run it as a user who may, or ask an admin for --privileged",
    "ENOSPC": "make room on the destination, then migmon resume",
    "EDQUOT": "raise the quota or make room, then migmon resume",
    "EROFS": "the file system is read-only: check the kernel log, remount, then migmon resume",
    "EIO": "the disk could not read or write: check the kernel log and the disk's health",
    "ENAMETOOLONG": "the destination's file system allows shorter names only: rename the source",
    "ELOOP": "a symlink stands where a directory is expected: it is not followed",
    "ENOTDIR": "a file stands where a directory has to be made: move it away, then migmon resume",
    "EISDIR": "a directory stands where a file has to be: move it away, then migmon resume",
    "mover_died": f"reading this file killed the mover process repeatedly: {SEE_LOG}",
}
"""What to do next, by fault kind."""


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
        operation=plan.operation.value,
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
    )


@lru_cache(maxsize=256)
def _sources_text(sources: tuple[Source, ...]) -> tuple[str, ...]:
    """Return the sources of a plan as text, the same objects each time: they may take 256 KiB (MAX_PLAN_BYTES), 10,000
    events are remembered with a view each, and one user could fill gigabytes by pausing and resuming."""
    return tuple(to_text(s.path) for s in sources)


def _why(execution: Execution, live: Live | None) -> str:
    if execution.state is ExecutionState.PAUSED and execution.holds:
        first = execution.holds[0]
        text = f"paused by {first.author}" if first.reason.value == "user" else f"held: {first.reason.value}"
        return f"{text}: {first.note}" if first.note else text
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
        eta_low_s=estimate.low_s,
        eta_high_s=estimate.high_s,
    )


def _hold_view(hold: Hold) -> api.HoldView:
    return api.HoldView(
        hold.id, hold.reason.value, hold.author, time_text(hold.since), time_or_none(hold.until), hold.note
    )


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
    task: Task, place: Directory, plan: Plan, fault: Fault | None, *, state: TaskState | None = None
) -> api.TaskView:
    """Return what a client sees of a task.

    Args:
        place: the directory it lies in; for a source root itself, that root with path b"".
        state: overrides the journal's (RUNNING is never journaled).
    """
    path = os.path.join(place.path, task.name) if place.path else task.name
    source = plan.sources[place.root]
    base = os.path.join(plan.destination, source.into) if source.into else plan.destination
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


def error_group(group: FaultGroup, paths: Sequence[str]) -> api.ErrorGroup:
    fault = group.fault
    return api.ErrorGroup(
        phase=fault.phase.value,
        kind=fault.kind,
        errno=fault.errno,
        message=fault.message,
        count=group.count,
        first_at=time_text(group.first_at),
        last_at=time_text(group.last_at),
        examples=tuple(paths),
        hint=HINTS.get(fault.kind, SEE_LOG),
    )


def intervention_views(interventions: Iterable[Intervention]) -> tuple[api.InterventionView, ...]:
    return tuple(
        api.InterventionView(
            i.id, i.execution, i.kind.value, i.author, time_text(i.at), i.reason, i.before, i.after, i.undo
        )
        for i in interventions
    )
