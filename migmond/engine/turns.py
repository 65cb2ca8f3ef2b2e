"""The line in which executions wait until they may run, and those that do."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from migmond.domain.errors import InvalidInput, LimitExceeded
from migmond.domain.execution import Execution
from migmond.domain.limits import Limits
from migmond.domain.plan import Plan
from migmond.domain.states import ExecutionState
from migmond.engine.settings import EngineSettings
from migmond.planning.allowances import movers_that_fit
from migmond.planning.standing import workers_of
from migmond.planning.turns import Obstacle, TurnLimits, Work, next_turns, obstacle

_SETTINGS = "or ask an administrator to raise it: migmon config executions"


def refuse_too_many_movers(plan: Plan, limits: TurnLimits) -> None:
    """Raise InvalidInput when `plan` asks for more movers than one execution may ever have."""
    if (plan.workers or 0) > limits.most_movers:
        raise InvalidInput(
            f"the plan asks for {plan.workers} movers, the limit is {limits.most_movers}",
            hint=f"--workers {limits.most_movers}, {_SETTINGS}",
            field="plan.workers",
        )


def crew_size(execution: Execution, settings: EngineSettings, scheduled: int = 0) -> int:
    """Return how many movers work on an execution: as many as its plan names, or its timetable says now (`scheduled`),
    or somebody has asked for since, if that is still allowed."""
    if execution.state is ExecutionState.CANCELLING:
        return 1  # it only tidies up
    wanted = workers_of(scheduled or execution.plan.workers, execution.standing)
    return _allowed(wanted, execution.limits, settings)


def crew_of(plan: Plan, settings: EngineSettings) -> int:
    """Return how many movers work on a plan."""
    return _allowed(plan.workers, plan.limits, settings)


def _allowed(wanted: int | None, limits: Limits, settings: EngineSettings) -> int:
    movers = wanted or settings.default_workers
    return min(movers, settings.turns.most_movers, movers_that_fit(limits.memory_bytes, movers))


class Turns:
    """Lets executions begin, within the limits and in the order in which they came. Nothing here waits or blocks."""

    def __init__(self, limits: TurnLimits) -> None:
        self._limits = limits
        self._running: dict[str, Work] = {}
        self._waiting: dict[str, tuple[Work, Callable[[], None]]] = {}
        self._coming: dict[str, Work] = {}
        self._places: dict[str, int] | None = None
        self.closed = False
        """Nothing begins any more."""

    def refuse_when_full(self, work: Work) -> None:
        """Raise LimitExceeded when `work` would have to wait and no more may."""
        if self._may_begin(work):
            return
        limits, line = self._limits, [*(w for w, _ in self._waiting.values()), *self._coming.values()]
        own = sum(1 for w in line if w.uid == work.uid)
        if own >= limits.waiting_per_user:
            raise LimitExceeded(
                f"{own} of your migrations wait for their turn, the limit is {limits.waiting_per_user}",
                hint=f"wait for some, cancel some (migmon ls --state waiting), {_SETTINGS}",
            )
        if len(line) >= limits.waiting:
            raise LimitExceeded(
                f"as many migrations wait for their turn as may, {limits.waiting}", hint=f"try later, {_SETTINGS}"
            )

    def _may_begin(self, work: Work) -> bool:
        line = [*(w for w, _ in self._waiting.values()), work]
        return self.closed or work in next_turns(self._running.values(), line, self._limits)

    def take(self, work: Work) -> Obstacle | None:
        """Take a turn at once if nobody with the same right waits and the limits allow it; returns why not."""
        if self._may_begin(work):
            self._running[work.id] = work
            return None
        return obstacle(work, self._running.values(), self._limits) or Obstacle("others came first", own=False)

    def come(self, work: Work) -> None:
        """It is about to `wait`, as soon as that is journaled: its place is taken already."""
        self._coming[work.id] = work

    def go_on(self, work: Work) -> None:
        """Take a turn whatever the limits say: it ran before the daemon ended."""
        self._running[work.id] = work

    def wait(self, work: Work, begin: Callable[[], None]) -> None:
        """Stand in the line; `begin` is called, and must not block, when its turn has come."""
        self._coming.pop(work.id, None)
        self._waiting[work.id], self._places = (work, begin), None
        self.call()

    def withdraw(self, id_: str) -> bool:
        """Leave the line, if it stands there; returns whether it did."""
        self._places = None
        return self._waiting.pop(id_, None) is not None

    def end(self, id_: str) -> None:
        """It does not run any more, or does not come: others may."""
        self._coming.pop(id_, None)
        self._running.pop(id_, None)
        self.call()

    def refuse_more(self, work: Work) -> None:
        """Raise LimitExceeded when something that runs may not take as many movers as `work` says."""
        others = [w for w in self._running.values() if w.id != work.id]
        if work.id in self._running and (why := obstacle(work, others, self._limits)) is not None:
            raise LimitExceeded(f"no more movers for it: {why.text}", hint=f"take fewer, {_SETTINGS}")

    def resize(self, work: Work) -> None:
        """It takes another number of movers from now on, whatever the limits say; others wait, or may begin."""
        if work.id in self._running:
            self._running[work.id] = work
        elif work.id in self._waiting:
            self._waiting[work.id] = (work, self._waiting[work.id][1])
        self.call()

    def call(self) -> None:
        """Let everything begin whose turn it is."""
        if self.closed:
            return
        for work in next_turns(self._running.values(), (w for w, _ in self._waiting.values()), self._limits):
            _, begin = self._waiting.pop(work.id)
            self._places = None
            self._running[work.id] = work
            begin()

    def why(self, id_: str) -> str:
        """Return what it waits for, one sentence; "" when it does not."""
        if id_ not in self._waiting:
            return ""
        found = obstacle(self._waiting[id_][0], self._running.values(), self._limits)
        ahead = self._ahead()[id_]
        text = found.text if found is not None else "others came first"
        return f"waits for its turn: {text}" + (f"; {ahead} of this user's come first" if ahead else "")

    def _ahead(self) -> dict[str, int]:
        """Return how many of the same user stand before each. Made once for a line: all of it may be asked about."""
        if self._places is None:
            seen = Counter[int]()
            self._places = {}
            for work, _ in self._waiting.values():
                self._places[work.id] = seen[work.uid]
                seen[work.uid] += 1
        return self._places
