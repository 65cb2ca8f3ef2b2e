"""What undoing an execution means: for the whole of it, and for each of its entries. Pure."""

from __future__ import annotations

import enum
import os
from collections.abc import Iterable, Mapping
from types import MappingProxyType

import msgspec

from migmond.domain.entry import EntryType, Lost
from migmond.domain.errors import Conflict
from migmond.domain.examination import BackupTimes, Examined, ExamineItem, Version
from migmond.domain.execution import Execution
from migmond.domain.plan import ConflictPolicy, Operation, Plan, Source, Undoing, VerifyLevel
from migmond.domain.selector import Selector
from migmond.domain.states import Outcome, TaskState
from migmond.domain.task import Task
from migmond.planning.routes import target_of

_MADE = frozenset({Outcome.COPIED, Outcome.REFLINKED, Outcome.RENAMED, Outcome.LINKED, Outcome.CREATED})
_MAY_BE_THERE = frozenset({TaskState.DONE, TaskState.DURABLE, TaskState.CANCELLED, TaskState.FAILED})
_CLOCK_STEP_S = 0.02
"""Times of files come from the kernel's coarse clock, which is up to a tick (10 ms) behind the one that tells when an
execution began (clock_gettime(2), CLOCK_REALTIME_COARSE)."""
_STAYS = {
    "target_missing": Outcome.TARGET_GONE,
    "target_changed": Outcome.TARGET_CHANGED,
    "last_copy": Outcome.LAST_COPY,
}

_STAYS_AGAIN = {"target_missing": Outcome.SOURCE_GONE, "target_changed": Outcome.SOURCE_CHANGED}
_TOLD_AGAIN = {
    "target_missing": "what it was copied from is not there any more",
    "target_changed": "what it was copied from was changed since",
}


NOWHERE: Mapping[int, int] = MappingProxyType({})
"""Nothing was sent anywhere else."""
_NEVER_NS = 1 << 62


class Fate(enum.StrEnum):
    """What a rollback means for an entry."""

    RESTORE = "restore"
    """It is moved back to where it came from."""
    REMOVE = "remove"
    """The copy is removed; what it was copied from stays."""
    OCCUPIED = "occupied"
    """Something has the name that it came from: it stays, unless that is the same; then the copy goes."""
    GONE = "gone"
    """It is not there any more."""
    CHANGED = "changed"
    """What stands there is not, or not any more, what was brought there: it stays."""
    LAST_COPY = "last_copy"
    """What it was copied from is gone or was changed: it stays."""
    UNREADABLE = "unreadable"
    """It cannot be looked at: it stays."""
    WHOLE = "whole"
    """A source that was renamed as a whole, and is renamed back as a whole."""


_FATES = {"target_missing": Fate.GONE, "target_changed": Fate.CHANGED, "last_copy": Fate.LAST_COPY}


def fate_of(found: Examined, *, removing: bool) -> Fate:
    """Return what a rollback means for an entry of which that was found. `removing`: see `question`."""
    if found.kind:
        return _FATES.get(found.kind, Fate.UNREADABLE)
    if removing:
        return Fate.REMOVE
    return Fate.OCCUPIED if found.occupied else Fate.RESTORE


def undo_plan(
    first: Execution,
    roots: dict[int, Task],
    selector: Selector,
    now: float,
    before: Iterable[Execution] = (),
    sent: Mapping[int, int] = NOWHERE,
) -> Plan:
    """Return the plan that undoes what an ended execution did.

    Its sources are the first one's targets, and its targets the first one's sources; their paths are absolute below the
    destination `/`. Nothing that stands there now is replaced.

    Args:
        roots: the first execution's tasks of its sources, by number.
        now: wall clock seconds.
        before: earlier rollbacks of it.
        sent: which of them went to a further destination, those that are single files.

    Raises:
        Conflict: it is a rollback itself.
    """
    plan = first.plan
    if plan.undoes is not None:
        what = "recovery" if plan.undoes.again else "rollback"
        raise Conflict(
            f"{first.name} is a {what} itself: it cannot be rolled back", hint="run the migration again: migmon run"
        )
    places = [plan.destination, *(d.path for d in first.further)]
    targets = [_target(plan, i, roots.get(i + 1), places[sent.get(i + 1, 0)]) for i in range(len(plan.sources))]
    sources = [Source(target, s.path.lstrip(b"/")) for target, s in zip(targets, plan.sources, strict=True)]
    whole = tuple(n for n, t in sorted(roots.items()) if t.type is EntryType.DIRECTORY and t.outcome is Outcome.RENAMED)
    there_before = {i + 1 for i, a in enumerate(first.anchors) if a.path.rstrip(b"/") == targets[i].rstrip(b"/")}
    undoing = Undoing(
        execution=first.id,
        key=first.key,
        operation=plan.operation,
        ended_at=first.finished_at or first.created_at,
        born_after=first.created_at - _CLOCK_STEP_S,
        whole=whole,
        made=tuple(n for n in range(1, len(sources) + 1) if n not in there_before),
        backups=plan.conflict is ConflictPolicy.BACKUP,
        backed_up_until=first.finished_at or now,  # one that was drained has not finished, but does nothing
        undone=tuple((e.created_at, e.finished_at or now) for e in before),
        further=_further(first, roots),
        further_on=tuple(tuple(a.file_system for a in d.anchors) for d in first.further),
        absent=tuple(n for n, t in sorted(roots.items()) if _is_absent(t, removing=plan.operation is Operation.COPY)),
    )
    return Plan(
        name=f"rollback of {plan.name}",
        sources=tuple(sources),
        destination=b"/",
        operation=Operation.MOVE,
        selector=selector,
        conflict=ConflictPolicy.FAIL,
        verify=VerifyLevel.HASH if plan.verify is VerifyLevel.NONE else plan.verify,
        limits=plan.limits,
        one_file_system=bool(whole) and plan.one_file_system,  # below targets, everything was written to by the first
        privileged=plan.privileged,
        workers=plan.workers,
        reflink=plan.reflink,
        undoes=undoing,
    )


def recovery_plan(first: Execution, selector: Selector) -> Plan:
    """Return the plan that copies again, of what an ended copy has copied, what is not at its target as it was.

    All that is there is read. What is not what was copied is replaced, and kept as a backup.

    Raises:
        Conflict: it was no copy.
    """
    plan = first.plan
    if plan.undoes is not None or plan.operation is not Operation.COPY:
        what = "a move: its sources are gone" if plan.undoes is None else "no copy"
        hint = "what is left at its target can be moved back: migmon rollback" if plan.undoes is None else ""
        raise Conflict(f"{first.name} was {what}, nothing can be copied again", hint=hint)
    ended_at = first.finished_at or first.created_at
    return msgspec.structs.replace(
        plan,
        name=f"recovery of {plan.name}",
        selector=selector,
        conflict=ConflictPolicy.BACKUP,
        verify=VerifyLevel.READ_BACK,
        undoes=Undoing(first.id, first.key, plan.operation, ended_at, 0.0, again=True, further=_further(first, {})),
    )


def what_stays(plan: Plan, undoing: Undoing) -> tuple[str, ...]:
    """Return what a rollback of that plan cannot undo and nobody has on record, sentences for people."""
    told = []
    if plan.conflict is ConflictPolicy.NEWER:
        told.append("what was older than what was brought there was replaced without a backup: it does not come back")
    if len(undoing.made) < len(plan.sources):
        told.append("directories that were there before stay, with the owner, rights and times that they were given")
    return tuple(told)


def seen_from_target(task: Task) -> Task:
    """Return a task with its two ends exchanged: what is to be copied again is looked at where it came from, as what is
    to be undone is where it was brought to."""
    outcome = Outcome.COPIED if task.outcome is Outcome.UNCHANGED else task.outcome
    return msgspec.structs.replace(
        task,
        name=task.target_name or task.name,
        target_name=task.name if task.target_name else None,
        inode=task.target_inode,
        target_inode=task.inode if task.state is TaskState.DONE else 0,
        outcome=outcome,
    )


def is_undone(task: Task, *, removing: bool) -> bool:
    """Whether there is anything to undo of an entry of an ended execution: something of its making may be at the
    target. What was there already stays; of what was moved onto an equal entry the source comes back.

    `removing`: see `question`.
    """
    if stays_there(task):
        return not removing
    if task.state not in _MAY_BE_THERE or not task.target_inode:
        return False
    # What stands there though its sync failed, or its delete, has no outcome yet.
    return task.outcome in _MADE or task.outcome is Outcome.NONE


def _is_absent(root: Task, *, removing: bool) -> bool:
    return root.type is not EntryType.DIRECTORY and not is_undone(root, removing=removing)


def stays_there(task: Task) -> bool:
    """Whether a move found an equal entry at the target, and deleted the source: that is copied back."""
    return task.state is TaskState.DONE and task.outcome is Outcome.UNCHANGED and bool(task.target_inode)


def question(task: Task, *, removing: bool, published_ns: int = 0) -> ExamineItem:
    """Return what a mover is asked about an entry (not a root's directory) before it is undone.

    Args:
        removing: what was copied is removed: what it was copied from has to be there.
        published_ns: see `ExamineItem`.
    """
    directory = task.type is EntryType.DIRECTORY
    original = Version(task.inode, task.size, task.mtime_ns, task.ctime_ns)
    return ExamineItem(
        task.number,
        name_there(task),
        task.name,
        task.type,
        task.size,
        None if task.lost & Lost.TIMES else task.mtime_ns,
        0 if directory else task.target_inode,
        task.digest,
        original if removing and not directory else None,
        published_ns,
    )


def told(found: Examined, undoing: Undoing) -> str:
    """Return why an entry is left as it is, "" when that needs no words."""
    return _TOLD_AGAIN.get(found.kind, found.message) if undoing.again else found.message


def name_there(task: Task) -> bytes:
    """Return the name that an entry was given at the target; a source itself has the empty one at both ends."""
    return (task.target_name or task.name) if task.directory else b""


def undoing_task(task: Task, found: Examined, leader: int, undoing: Undoing) -> Task:
    """Return the task of the rollback that undoes `task`, of the same number.

    Args:
        found: what a mover found of it.
        leader: number of the task whose target it is a further name of, where that is one inode; 0 for none.
    """
    removing, stays = undoing.removing, _STAYS_AGAIN if undoing.again else _STAYS
    seen, directory = found.seen, task.type is EntryType.DIRECTORY
    state, outcome = TaskState.PENDING, Outcome.NONE
    if found.kind:
        state, outcome = TaskState.SKIPPED, stays.get(found.kind, Outcome.NONE)
        if outcome is Outcome.NONE:
            state = TaskState.FAILED
    elif removing and directory:
        state, outcome = TaskState.DONE, Outcome.CREATED
    elif stays_there(task):
        outcome = Outcome.UNCHANGED  # which says so as long as it waits
    elif removing:
        state, outcome = TaskState.DURABLE, task.outcome
    waits = state in (TaskState.PENDING, TaskState.DURABLE, TaskState.DONE)
    back = task.name if name_there(task) != task.name else None
    return Task(
        number=task.number,
        directory=task.directory,
        name=name_there(task),
        type=task.type,
        size=seen.size if waits and not directory else task.size,
        mtime_ns=task.mtime_ns if directory or not waits else seen.mtime_ns,
        ctime_ns=seen.ctime_ns,
        inode=seen.inode if waits else task.target_inode,
        device=found.device,
        links=max(1, found.links),
        state=state,
        outcome=outcome,
        leader=leader if waits else 0,
        digest=task.digest if state is TaskState.DURABLE else None,
        target_name=back if state is TaskState.DURABLE else None,
        target_inode=task.inode if state is TaskState.DURABLE else 0,
    )


def backup_times(undoing: Undoing, begun: float | None = None) -> BackupTimes | None:
    """Return when the backups were made that get their names back; None when none were made.

    Args:
        begun: wall clock seconds since when they get them.
    """
    if not undoing.backups:
        return None
    undone = [(_ns(since - _CLOCK_STEP_S), _ns(until)) for since, until in undoing.undone]
    if begun is not None:
        undone.append((_ns(begun - _CLOCK_STEP_S), _NEVER_NS))
    until = undoing.backed_up_until or undoing.ended_at
    return BackupTimes(_ns(undoing.born_after), _ns(until), tuple(undone))


def _ns(seconds: float) -> int:
    return int(seconds * 1e9)


def _further(first: Execution, roots: dict[int, Task]) -> tuple[tuple[bytes, ...], ...]:
    """Return where the targets are at the further destinations."""
    numbers = range(len(first.plan.sources))
    return tuple(tuple(_target(first.plan, i, roots.get(i + 1), d.path) for i in numbers) for d in first.further)


def _target(plan: Plan, index: int, root: Task | None, destination: bytes) -> bytes:
    target = target_of(plan.sources[index], destination)
    if root is not None and root.type is not EntryType.DIRECTORY and root.target_name:
        return os.path.join(os.path.dirname(target), root.target_name)
    return target
