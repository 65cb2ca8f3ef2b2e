"""What the parts of one running execution share."""

from __future__ import annotations

import itertools
import secrets
from collections import deque
from collections.abc import Callable, Iterable, Sequence

import msgspec
import trio

from migmond.domain.changes import (
    AddFault,
    Change,
    PutExecution,
    Record,
)
from migmond.domain.entry import Lost
from migmond.domain.events import TaskFailed
from migmond.domain.execution import Execution, Stage
from migmond.domain.fault import Fault
from migmond.domain.plan import Operation, VerifyLevel
from migmond.domain.states import Outcome, TaskState
from migmond.domain.task import CommitGroup, Directory, Member, Task
from migmond.domain.timeline import Milestone, MilestoneKind
from migmond.engine.account import Account
from migmond.engine.crew import Crew
from migmond.engine.gate import Gate
from migmond.engine.in_hand import InHand
from migmond.engine.ledger import Ledger
from migmond.engine.leftovers import Leftovers
from migmond.engine.limiter import Limiter
from migmond.engine.parts import Parts
from migmond.engine.places import Places
from migmond.engine.pulse import Pulse
from migmond.engine.requeue import Requeue
from migmond.engine.routes import Routes
from migmond.engine.settings import Surroundings
from migmond.engine.timeline import Timeline
from migmond.engine.views import task_view
from migmond.planning.allowances import Circumstances, allowance_of
from migmond.wire.items import RootInfo

DEAD_REMEMBERED = 1000
"""What movers left that died before that many others is removed in the end only."""


class Orphan(msgspec.Struct, frozen=True):
    """A journaled commit group whose mover is gone, and the tasks in it that are not settled yet."""

    group: CommitGroup
    tasks: dict[int, Task]

    @property
    def members(self) -> dict[int, Member]:
        """What the mover said of those tasks, by number."""
        return {m.number: m for m in self.group.members if m.number in self.tasks}


class Scope:
    """The shared state of one running execution. Its parts change it only through the methods of its members.

    Attributes:
        key, id, plan: the execution's, for ever.
        moving: sources are deleted.
        removing: that is all that is done: what was copied is removed again.
        in_hand: which entries are waiting, at work or being settled: each once.
        limiter: what its movers draw from.
        around: what limits it beside its own limits.
        timeline: where milestones are put on record.
        routes: where entries go that do not go to the plan's destination.
        away: destinations whose disks are not there, and that nothing is to go to; see `engine.away`.
        parts: progress by kind, size and directory, and what is kept with it.
        requeue: tasks to be dispatched again.
        orphans: groups that the next mover has to settle before it gets work.
        settling: how many groups a mover is settling right now.
        scan_done: no more tasks will come.
        resumed: somebody worked on it before: some of it is finished.
        untidy: a mover or the daemon died, or the target failed: temporaries may lie about and are swept at the end.
        roots: the sources and their targets as the first mover that opened them found them; empty before that.
        disks: names of those that it reads from or writes to, as far as is known; see `engine.disks`.
        single_roots: indexes of the sources that are no directories.
        leftovers: what is to be told at the end of what stays where nobody looks.
        name: of this run; no other one of this execution has it.
        deaths: how many of its movers have died.
        retries: how many attempts were repeated.
        dead_movers: stations' numbers; what they left under temporary names may be removed.
        progress: set whenever anything in flight has moved.
    """

    def __init__(
        self,
        surroundings: Surroundings,
        execution: Execution,
        gate: Gate,
        nursery: trio.Nursery,
        parts: Parts,
        limiter: Limiter,
        milestones: Sequence[Milestone],
        *,
        resumed: bool,
    ) -> None:
        self.surroundings = surroundings
        self.key, self.id, self.plan = execution.key, execution.id, execution.plan
        self.moving = execution.plan.operation is Operation.MOVE
        self.removing = execution.plan.undoes is not None and execution.plan.undoes.removing
        self.in_hand = InHand()
        self.parts = parts
        self.timeline = Timeline(execution.key, milestones, self.record, surroundings.clock.wall)
        self.account = Account(execution, self.in_hand, parts.counts)
        self.gate = gate
        self.limiter = limiter
        # Until what all may do is divided anew it may have all of it.
        self.around = Circumstances(share=surroundings.whole().alone_at(surroundings.clock.wall()))
        self.nursery = nursery
        self.ledger = Ledger(surroundings.journal, self._closing, self.in_hand.written)
        self.places = Places(surroundings.journal, execution.key)
        self.routes = Routes(surroundings.journal, execution)
        self.away: frozenset[int] = frozenset()
        self.requeue = Requeue(self.in_hand)
        self.orphans: list[Orphan] = []
        self.settling = 0
        self.scan_done = False
        self.resumed = resumed
        self.untidy = resumed
        self.progress = Pulse()
        self.roots: tuple[RootInfo, ...] = ()
        self.single_roots: tuple[int, ...] = ()
        self.disks: frozenset[str] = frozenset()
        self.leftovers = Leftovers()
        self.crew: Crew
        self.name = secrets.token_hex(6)
        self.deaths = 0
        self.retries = 0
        self.dead_movers: deque[int] = deque(maxlen=DEAD_REMEMBERED)
        self._batches = itertools.count(1)
        self._groups = itertools.count(1)
        self._failures = FailureThrottle(surroundings.clock.monotonic)

    @property
    def unsettled(self) -> bool:
        """Whether there are groups of which nobody knows yet what became of them. Their tasks are pending in the
        journal, but must not be dispatched: they may be published already."""
        return bool(self.orphans or self.settling)

    @property
    def removes_elsewhere(self) -> bool:
        """Whether it is a rollback that leaves directories empty at further destinations of what it undoes."""
        return self.plan.undoes is not None and not self.plan.undoes.again and self.routes.active

    def record(self, changes: Sequence[Change]) -> None:
        """Put changes on their way into the journal."""
        self.ledger.record(changes)

    def stage(self, stage: Stage) -> None:
        """It is busy with something else from now on."""
        if self.account.execution.stage is not stage:
            self.account.stage(stage)
            self.timeline.tell(MilestoneKind.STAGE, stage.value)

    def now(self) -> float:
        """Monotonic seconds."""
        return self.surroundings.clock.monotonic()

    def wall(self) -> float:
        """Wall clock seconds, for people."""
        return self.surroundings.clock.wall()

    def _closing(self) -> tuple[Change, ...]:
        self.in_hand.composed()
        return (PutExecution(self.account.execution),)

    def next_batch(self) -> int:
        return next(self._batches)

    def next_group(self) -> int:
        return next(self._groups)

    def skip_groups_to(self, used: int) -> None:
        """Number new groups above `used`."""
        self._groups = itertools.count(used + 1)

    def mover_name(self, number: int) -> bytes:
        """Return what the mover of station `number` is called: as no other one of this execution, in any run."""
        return f"{self.name}-{number}".encode()

    def share_limits(self) -> None:
        """Let movers know what they may do now: whenever that, or how many they are, has changed."""
        threads = len(self.crew.processes) * (2 if self.plan.verify is VerifyLevel.READ_BACK else 1)
        self.limiter.allow(allowance_of(self.account.execution.limits, self.around), max(1, threads))

    async def directory_of(self, tasks: list[Task]) -> dict[int, Directory]:
        """Return where each of `tasks` lies, by task number. A root that is no directory lies in (its root, b"")."""
        places = await self.places.find(t.directory for t in tasks if t.directory)
        return {t.number: places[t.directory] if t.directory else Directory(0, t.number - 1, b"") for t in tasks}

    async def bound_for(self, tasks: list[Task]) -> dict[int, Directory]:
        """Return where each of `tasks` lies, as `directory_of`, by the root that it has at its destination."""
        return await self.routes.applied(tasks, await self.directory_of(tasks))

    async def reopen(self, numbers: Iterable[int]) -> list[Change]:
        """Return the changes that make those of the directories `numbers` pending that are finished already: something
        is about to be put into them, which moves their times."""
        if not self.resumed:
            return []
        found = await self.surroundings.journal.get_tasks(self.key, sorted(set(numbers)))
        done = [t for t in found.values() if t.state is TaskState.DONE]
        return [Record(self.key, tuple(self.account.reopen(t) for t in done))] if done else []

    def fail(self, task: Task, fault: Fault) -> None:
        """Settle `task` as failed, record why and tell subscribers.

        What is ours at the target stays on record: when the task is tried again, it may be replaced, if it is
        still what we put there.
        """
        ours = task.target_inode if task.outcome is not Outcome.UNCHANGED else 0
        name = task.target_name if ours else None
        digest, lost = (task.digest, task.lost) if ours else (None, Lost.NOTHING)
        keeps = task.state is TaskState.PENDING and task.outcome is Outcome.UNCHANGED  # see `planning.undo.stays_there`
        outcome = Outcome.UNCHANGED if keeps else Outcome.NONE
        result = self.account.settle(
            task, TaskState.FAILED, outcome, lost=lost, digest=digest, target_name=name, target_inode=ours
        )
        self.ledger.record(
            [Record(self.key, (result,)), AddFault(self.key, task.number, self.wall(), fault)],
        )
        suppressed = self._failures.admit()
        if suppressed is not None:
            self.nursery.start_soon(self._tell_failure, task, fault, suppressed)

    async def _tell_failure(self, task: Task, fault: Fault, suppressed: int) -> None:
        place = (await self.directory_of([task]))[task.number]
        view = task_view(task, place, self.plan, fault, state=TaskState.FAILED)
        self.surroundings.bus.publish(lambda i, at: TaskFailed(i, at, self.id, view, suppressed))


class FailureThrottle:
    """At most 20 failure events a second: an unplugged disk must not become a storm of messages."""

    PER_SECOND = 20

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._second = -1
        self._sent = 0
        self._suppressed = 0

    def admit(self) -> int | None:
        """Return how many were suppressed before this one, or None when this one is to be suppressed."""
        second = int(self._now())
        if second != self._second:
            self._second, self._sent = second, 0
        if self._sent >= self.PER_SECOND:
            self._suppressed += 1
            return None
        self._sent += 1
        suppressed, self._suppressed = self._suppressed, 0
        return suppressed
