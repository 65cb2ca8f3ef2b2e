"""What each kind of change does to a journal in memory. See `memory`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from migmond.domain.alert_changes import (
    PruneAlerts,
    PutAlert,
    PutRule,
    PutSilence,
    RemoveAlerts,
    RemoveRule,
    RemoveSilence,
)
from migmond.domain.changes import (
    AddFault,
    AddListing,
    AddMilestone,
    AddRoot,
    AddTasks,
    BringBack,
    CancelPending,
    CancelSome,
    Change,
    CloseGroup,
    DirectoriesTouched,
    ForgetExecution,
    ForgetSome,
    KeepBreakdown,
    KeepCopyTimes,
    KeepKinds,
    LeaveOut,
    OpenGroup,
    Promote,
    PruneDeliveries,
    PruneSessions,
    PutDelivery,
    PutExecution,
    PutIntervention,
    PutSession,
    Record,
    Refresh,
    RemovePlan,
    Retry,
    RetrySome,
    SavePlan,
    SealReceipt,
    SendTo,
)
from migmond.domain.entry import EntryType
from migmond.domain.journal import FaultRecord
from migmond.domain.states import Outcome, TaskState
from migmond.domain.task import Directory, Task
from migmond.plugin_api.memory_state import State


def _put_execution(state: State, change: PutExecution) -> None:
    new = change.execution.key not in state.executions
    state.executions[change.execution.key] = change.execution
    if new and change.request_id:
        state.requests[change.request_id, change.execution.identity.uid] = change.execution.id


def _add_root(state: State, change: AddRoot) -> None:
    at = (change.key, change.task.number)
    state.tasks[at] = change.task
    if change.task.type is EntryType.DIRECTORY:
        state.directories[at] = Directory(change.task.number, change.root, b"")
        state.unread.add(at)


def _add_tasks(state: State, change: AddTasks) -> None:
    state.tasks |= {(change.key, t.number): t for t in change.tasks}
    state.directories |= {(change.key, d.number): d for d in change.places}


def _add_listing(state: State, change: AddListing) -> None:
    key, listing = change.key, change.listing
    place = state.directories.get((key, listing.directory))
    for position, e in enumerate(listing.entries):
        number = listing.first + position
        outcome = listing.outcomes.get(position, Outcome.NONE)
        leader = listing.leaders.get(position, 0)
        state.tasks[key, number] = Task(
            number, listing.directory, e.name, e.type, e.size, e.mtime_ns, e.ctime_ns, e.inode, listing.device, e.links,
            TaskState.SKIPPED if outcome else TaskState.PENDING, outcome, leader,
        )  # fmt: skip
        if position in listing.kinds:
            state.kinds[key, number] = listing.kinds[position]
        if e.type is EntryType.DIRECTORY and not outcome and place is not None:
            path = place.path + b"/" + e.name if place.path else e.name
            state.directories[key, number] = Directory(number, place.root, path)
            state.unread.add((key, number))
    if listing.complete:
        state.unread.discard((key, listing.directory))


def _directories_touched(state: State, change: DirectoriesTouched) -> None:
    state.touched |= {(change.key, n) for n in change.numbers}


def _send_to(state: State, change: SendTo) -> None:
    for at in ((change.key, n) for n in change.numbers):
        state.sent_to.pop(at, None)
        if change.destination:
            state.sent_to[at] = change.destination
            above = state.tasks[at].directory if at in state.tasks else 0
            if above:
                state.sent_directories.add((change.key, change.destination, above))


def _open_group(state: State, change: OpenGroup) -> None:
    state.groups[change.key, change.group.id] = change.group


def _close_group(state: State, change: CloseGroup) -> None:
    state.groups.pop((change.key, change.group), None)


def _record(state: State, change: Record) -> None:
    for r in change.results:
        state.update(
            (change.key, r.number),
            state=r.state,
            outcome=r.outcome,
            lost=r.lost,
            digest=r.digest,
            target_name=r.target_name,
            target_inode=r.target_inode,
        )
        if r.birth_ns:
            state.births[change.key, r.number] = r.birth_ns


def _keep_copy_times(state: State, change: KeepCopyTimes) -> None:
    for number, at_ns in (told for times in change.times for told in times.each()):
        at = (change.key, number)
        state.copy_times[at] = max(at_ns, state.copy_times.get(at, 0))


def _keep_kinds(state: State, change: KeepKinds) -> None:
    state.kinds |= {(change.key, n): kind for n, kind in change.kinds.items()}


def _refresh(state: State, change: Refresh) -> None:
    state.update(
        (change.key, change.number),
        size=change.size,
        mtime_ns=change.mtime_ns,
        ctime_ns=change.ctime_ns,
        inode=change.inode,
        links=change.links,
    )


def _put_session(state: State, change: PutSession) -> None:
    state.sessions[change.record.key] = change.record


def _seal_receipt(state: State, change: SealReceipt) -> None:
    state.seals.setdefault((change.key, change.seal.sha256), change.seal)


def _keep_breakdown(state: State, change: KeepBreakdown) -> None:
    state.breakdowns[change.key] = change.body


def _add_milestone(state: State, change: AddMilestone) -> None:
    state.milestones[change.key] = (*state.milestones.get(change.key, ()), change.milestone)


def _retry(state: State, change: Retry) -> None:
    for at, task in state.of(change.key):
        if task.state is TaskState.FAILED:
            state.update(at, state=_again(change), attempts=0)


def _retry_some(state: State, change: RetrySome) -> None:
    for at in ((change.key, n) for n in change.numbers):
        if at in state.tasks and state.tasks[at].state is TaskState.FAILED:
            state.update(at, state=_again(change), attempts=0)


def _again(change: Retry | RetrySome) -> TaskState:
    return TaskState.DURABLE if change.durable else TaskState.PENDING


def _cancel_pending(state: State, change: CancelPending) -> None:
    for at, task in list(state.of(change.key)):
        if task.state in (TaskState.PENDING, TaskState.DURABLE, TaskState.FAILED):
            state.update(at, state=TaskState.CANCELLED)


def _cancel_some(state: State, change: CancelSome) -> None:
    for at, task in state.of(change.key):
        if task.state is TaskState.PENDING and change.after < task.number <= change.last:
            state.update(at, state=TaskState.CANCELLED)


def _leave_out(state: State, change: LeaveOut) -> None:
    for at in ((change.key, n) for n in change.numbers):
        if at in state.tasks and state.tasks[at].state is TaskState.PENDING:
            state.update(at, state=TaskState.SKIPPED, outcome=Outcome.LEFT_OUT)
            state.left_out[at] = change.by


def _bring_back(state: State, change: BringBack) -> None:
    for at in ((change.key, n) for n in change.numbers):
        if at in state.tasks and state.tasks[at].outcome is Outcome.LEFT_OUT:
            state.update(at, state=TaskState.PENDING, outcome=Outcome.NONE)
        state.left_out.pop(at, None)


def _promote(state: State, change: Promote) -> None:
    names = [(at, t) for at, t in state.of(change.key) if t.leader == change.leader]
    followers = [at for at, t in names if t.state is TaskState.PENDING]
    old = (change.key, change.leader)
    if old in state.tasks:
        names.append((old, state.tasks[old]))
    for position, at in enumerate(followers):
        state.update(at, leader=0 if position == 0 else followers[0][1])
    for at, its in names if followers else ():
        if its.state is TaskState.FAILED or its.outcome is Outcome.LEFT_OUT:
            state.update(at, leader=followers[0][1])


def _add_fault(state: State, change: AddFault) -> None:
    at = (change.key, change.number)
    first_at = state.faults[at][1] if at in state.faults else change.at
    state.faults[at] = (FaultRecord(change.number, change.at, change.fault), first_at)
    if at in state.tasks:
        state.update(at, attempts=state.tasks[at].attempts + 1)


def _put_delivery(state: State, change: PutDelivery) -> None:
    state.deliveries[change.delivery.id] = change.delivery


def _prune_deliveries(state: State, change: PruneDeliveries) -> None:
    settled = [d.id for d in state.deliveries.values() if d.settled]
    for id_ in settled[: max(0, len(settled) - change.keep)]:
        del state.deliveries[id_]


def _put_intervention(state: State, change: PutIntervention) -> None:
    there = [i.id for i in state.interventions]
    if change.intervention.id in there:
        state.interventions[there.index(change.intervention.id)] = change.intervention
    else:
        state.interventions.append(change.intervention)


def _forget_execution(state: State, change: ForgetExecution) -> None:
    if (gone := state.executions.pop(change.key, None)) is None:
        return
    state.requests = {asked: id_ for asked, id_ in state.requests.items() if id_ != gone.id}
    state.interventions = [i for i in state.interventions if i.execution != gone.id]
    state.alerts = {id_: a for id_, a in state.alerts.items() if a.execution != gone.id or a.resolved_at is None}
    _forget_whole(state, change.key)


def _forget_whole(state: State, key: int) -> None:
    state.groups = {at: group for at, group in state.groups.items() if at[0] != key}
    state.seals = {at: seal for at, seal in state.seals.items() if at[0] != key}
    state.sent_directories = {at for at in state.sent_directories if at[0] != key}
    state.breakdowns.pop(key, None)
    state.milestones.pop(key, None)


def _forget_some(state: State, change: ForgetSome) -> None:
    if change.key in state.executions:
        return
    numbers = [number for (_, number), _ in state.of(change.key)]
    after = numbers[-change.rows - 1] if len(numbers) > change.rows else -1
    for rows in (
        state.tasks,
        state.directories,
        state.births,
        state.kinds,
        state.copy_times,
        state.left_out,
        state.sent_to,
        state.faults,
        state.unread,
        state.touched,
    ):
        for at in [at for at in rows if at[0] == change.key and at[1] > after]:
            rows.discard(at) if isinstance(rows, set) else rows.pop(at)
    _forget_whole(state, change.key)


def _prune_sessions(state: State, change: PruneSessions) -> None:
    old = sorted(state.sessions)[: max(0, len(state.sessions) - change.keep)]
    for key in [key for key in old if key not in state.executions][: change.rows]:
        del state.sessions[key]


def _save_plan(state: State, change: SavePlan) -> None:
    state.plans[change.uid, change.plan.name] = (change.plan, change.at)


def _remove_plan(state: State, change: RemovePlan) -> None:
    state.plans.pop((change.uid, change.name), None)


def _put_rule(state: State, change: PutRule) -> None:
    state.rules[change.rule.id] = change.rule


def _remove_rule(state: State, change: RemoveRule) -> None:
    state.rules.pop(change.id, None)


def _put_alert(state: State, change: PutAlert) -> None:
    state.alerts[change.alert.id] = change.alert


def _remove_alerts(state: State, change: RemoveAlerts) -> None:
    for id_ in change.ids:
        state.alerts.pop(id_, None)


def _prune_alerts(state: State, change: PruneAlerts) -> None:
    past = sorted((a for a in state.alerts.values() if a.resolved_at is not None), key=lambda a: -a.number)
    for position, alert in enumerate(past):
        if position >= change.keep or int(alert.resolved_at or 0) < change.before:
            del state.alerts[alert.id]


def _put_silence(state: State, change: PutSilence) -> None:
    state.silences[change.silence.id] = change.silence


def _remove_silence(state: State, change: RemoveSilence) -> None:
    state.silences.pop(change.id, None)


CARRYING_OUT: Mapping[type[Change], Callable[[State, Any], None]] = {
    PutExecution: _put_execution,
    AddRoot: _add_root,
    AddTasks: _add_tasks,
    AddListing: _add_listing,
    DirectoriesTouched: _directories_touched,
    SendTo: _send_to,
    OpenGroup: _open_group,
    CloseGroup: _close_group,
    Record: _record,
    KeepCopyTimes: _keep_copy_times,
    KeepKinds: _keep_kinds,
    Refresh: _refresh,
    PutSession: _put_session,
    SealReceipt: _seal_receipt,
    KeepBreakdown: _keep_breakdown,
    AddMilestone: _add_milestone,
    Retry: _retry,
    RetrySome: _retry_some,
    CancelPending: _cancel_pending,
    CancelSome: _cancel_some,
    LeaveOut: _leave_out,
    BringBack: _bring_back,
    Promote: _promote,
    AddFault: _add_fault,
    PutDelivery: _put_delivery,
    PruneDeliveries: _prune_deliveries,
    PutIntervention: _put_intervention,
    ForgetExecution: _forget_execution,
    ForgetSome: _forget_some,
    PruneSessions: _prune_sessions,
    SavePlan: _save_plan,
    RemovePlan: _remove_plan,
    PutRule: _put_rule,
    RemoveRule: _remove_rule,
    PutAlert: _put_alert,
    RemoveAlerts: _remove_alerts,
    PruneAlerts: _prune_alerts,
    PutSilence: _put_silence,
    RemoveSilence: _remove_silence,
}
"""What carries out each kind of change; a test holds it against `Change`, and each function against its kind."""


def apply(state: State, change: Change) -> None:
    """Carry out one change."""
    CARRYING_OUT[type(change)](state, change)
