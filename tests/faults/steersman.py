"""Somebody who steers a migration while faults happen, at random moments, and how it is brought to its end and judged
then. `unsteered` is nobody who does.

What was acknowledged is on record whatever happened since; what was skipped, cancelled or has failed is at its source,
untouched; what was rolled back is where it came from.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import Protocol, TypeAlias

from books import misstated
from daemon import EmbeddedDaemon
from driving import ENDED, LOOK_S, ended, failures, look, resume
from judge import Case, Finding, Harm, at_the_end
from migmond.client.errors import ClientError, RemoteError
from migmond.client.sync import Client
from migmond.domain import api
from migmond.domain.limits import Limits
from migmond.domain.rollback_api import RollbackParams
from migmond.domain.steering import BatchSize, Cancel, Drain, Level, Order, Place, Reordering, Throttle, Weight, Workers
from migmond.domain.steering_api import (
    ActionSpec,
    InterveneParams,
    InterventionList,
    InterventionResult,
    MoveSpec,
    PauseSpec,
    PrioritiseSpec,
    ResumeSpec,
    RetrySpec,
    SkipSpec,
    StopAllParams,
    StopAllResult,
    UndoParams,
)
from oracle import differences
from partly import partly
from trial import END_S, MAX_RESUMES, brought_to_an_end, miscounted
from written import Written, written

OPS_PER_S = 250.0
"""Of a migration that is steered: it takes long enough for somebody to do several things meanwhile."""
_MOST = 9
"""Changes of one trial."""
_GAP_S = 0.06
"""Between two of them, on the average."""
_CALL_S = 20.0
_SHORT_S = (0.05, 0.3)
_POLL_S = 0.002
_RUN_ON = ("completed_with_errors", "failed", "drained")
_ROLLED_BACK = 0.3
"""The share of trials that end with a rollback."""

PATTERNS = ("*1*", "*2*", "*3*", "small/**", "mixed/**", "large-*", "d1/**", "f*5")


class Helm(Protocol):
    """Who is at the helm of a migration.

    Attributes:
        limits: of the plan.
        done: nothing more will be done.
        rolls_back: it is rolled back in the end.
    """

    limits: Limits
    rolls_back: bool

    @property
    def done(self) -> bool: ...

    def look(self, execution: str) -> None:
        """Do what it is time for. Called again and again by whoever waits for something else."""

    def steer_for(self, execution: str, seconds: float) -> None:
        """Do nothing else for so long."""

    def at_the_end(self, case: Case, journal: Written) -> list[Finding]:
        """Judge a migration that says that it is complete."""

    def to_the_end(self, daemon: EmbeddedDaemon, execution: str, case: Case) -> list[Finding]:
        """Let a migration go on without faults, and judge the result."""

    def forgotten(self, daemon: EmbeddedDaemon, execution: str) -> list[Finding]:
        """Judge whether what was acknowledged is on record."""


class Unsteered:
    """Nobody steers."""

    limits = Limits()
    rolls_back = False
    done = True

    def __str__(self) -> str:
        return ""

    def look(self, execution: str) -> None:
        """Nothing is done."""

    def steer_for(self, execution: str, seconds: float) -> None:
        """Time passes."""
        time.sleep(seconds)

    def at_the_end(self, case: Case, journal: Written) -> list[Finding]:
        """All of it is there."""
        return at_the_end(case)

    def to_the_end(self, daemon: EmbeddedDaemon, execution: str, case: Case) -> list[Finding]:
        """As its user would resume it."""
        return brought_to_an_end(daemon, execution, case)

    def forgotten(self, daemon: EmbeddedDaemon, execution: str) -> list[Finding]:
        """Nothing is."""
        return []


Helms: TypeAlias = Callable[[str, int], Helm]
"""Returns who steers through a daemon's socket in the trial of that number."""


def unsteered(socket: str, number: int) -> Helm:
    """Nobody."""
    return Unsteered()


def steered(seed: int) -> Helms:
    """Somebody who does what seed and number decide."""
    return lambda socket, number: Steersman(socket, random.Random(f"{seed} {number} steered"))


class Steersman:
    """Steers one migration, or several by turns.

    Args:
        socket: of the daemon.
        rng: decides what is done, and when.

    Attributes:
        deeds: what was done, for people.
        acknowledged: ids of interventions that were answered, by what they were: by execution.
        ends: whether it was cancelled.
    """

    limits = Limits(io_ops_per_s=OPS_PER_S)

    def __init__(self, socket: str, rng: random.Random) -> None:
        self._socket, self._rng = socket, rng
        self._left = rng.randint(1, _MOST)
        self._at = time.monotonic() + rng.expovariate(1 / _GAP_S)
        self.rolls_back = rng.random() < _ROLLED_BACK
        self.deeds: list[str] = []
        self.acknowledged: dict[tuple[str, str], str] = {}
        self.ends = False

    def __str__(self) -> str:
        return f", steered: {'; '.join(self.deeds) or 'not yet'}"

    @property
    def done(self) -> bool:
        """Whether nothing more will be done."""
        return not self._left

    def look(self, execution: str) -> None:
        """Change something if it is time."""
        now = time.monotonic()
        if self._left and now >= self._at:
            self._left -= 1
            self._at = now + self._rng.expovariate(1 / _GAP_S)
            self._steer(execution)

    def steer_for(self, execution: str, seconds: float) -> None:
        """Do nothing else for so long."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            self.look(execution)
            time.sleep(_POLL_S)

    # --- what is done ------------------------------------------------------------------------------

    def _steer(self, execution: str) -> None:
        rng = self._rng
        what = rng.choices(list(_SHARES), list(_SHARES.values()))[0]
        selector = api.SelectorSpec(include=(rng.choice(PATTERNS),))
        actions: dict[str, ActionSpec] = {
            "pause": PauseSpec(), "resume": ResumeSpec(), "hold": PauseSpec(selector), "skip": SkipSpec(selector),
            "throttle": Throttle(
                io_ops_per_s=rng.choice((None, 100.0, 500.0)), io_bytes_per_s=rng.choice((None, 8 << 20))
            ),
            "workers": Workers(rng.randint(1, 3)), "batch": BatchSize(rng.choice((0, 1, 5))),
            "order": Reordering(rng.choice([o for o in Order if o is not Order.EXTENT])), "weight": Weight(2.0),
            "priority": PrioritiseSpec(selector, rng.choice(list(Level))),
            "reorder": MoveSpec(selector, rng.choice((Place.FIRST, Place.LAST))), "retry": RetrySpec(),
            "drain": Drain(), "cancel": Cancel(),
        }  # fmt: skip
        for_s = rng.uniform(*_SHORT_S) if what in ("pause", "hold", "throttle", "skip") and rng.random() < 0.4 else None
        try:
            with Client(self._socket, _CALL_S) as client:
                if what == "undo":
                    self._answered(execution, client.call("execution.undo", UndoParams(), InterventionResult), what)
                elif what == "stop-all":
                    for stopped in client.call("system.stop_all", StopAllParams(), StopAllResult).stopped:
                        self.acknowledged[stopped.id, stopped.intervention] = what
                    self.deeds.append(what)
                else:
                    params = InterveneParams(execution, actions[what], for_s=for_s)
                    self._answered(execution, client.call("execution.intervene", params, InterventionResult), what)
                    self.ends |= what == "cancel"
        except RemoteError as e:
            self.deeds.append(f"{what} ({e.kind})")
        except ClientError:
            self.deeds.append(f"{what}?")  # whether it was done nobody knows
            self.ends |= what == "cancel"

    def _answered(self, execution: str, found: InterventionResult, what: str) -> None:
        if found.intervention is not None:
            self.acknowledged[found.intervention.execution, found.intervention.id] = what
            self.deeds.append(f"{what} {found.intervention.what if what == 'skip' else ''}".strip())

    # --- the end -----------------------------------------------------------------------------------

    def at_the_end(self, case: Case, journal: Written) -> list[Finding]:
        """All is where it may be."""
        return partly(case, journal, "completed")

    def to_the_end(self, daemon: EmbeddedDaemon, execution: str, case: Case) -> list[Finding]:
        """Lift what holds or slows it, resume it, and roll it back in some trials."""
        self._left = 0
        view = _ended(daemon, execution)
        if view is None:
            now = look(daemon.socket, execution)
            return [Finding(Harm.DIFFERENT, f"no end: {now and (now.state, now.why, now.holds, now.changes)}")]
        found = partly(case, written(daemon.home / "state", execution), view.state)
        found += miscounted(view) + misstated(daemon, execution) + self.forgotten(daemon, execution)
        if view.state != "completed" and not (view.state == "cancelled" and self.ends):
            found.append(Finding(Harm.DIFFERENT, f"it ended as {view.state}: {view.why}"))
            found += [Finding(Harm.DIFFERENT, line) for line in failures(daemon.socket, execution)[:5]]
        if self.rolls_back and not found and view.progress.done.entries:
            found = rolled_back(daemon, execution, case)
        return [Finding(f.harm, f"{f.what} [{'; '.join(self.deeds)}]") for f in found]

    def forgotten(self, daemon: EmbeddedDaemon, execution: str) -> list[Finding]:
        """Whoever was told that something was changed finds it on record."""
        with Client(daemon.socket) as client:
            params = api.ExecutionParams(execution)
            listed = client.call("execution.interventions", params, InterventionList).interventions
        there = {record.id for record in listed}
        missing = {id_: what for (of, id_), what in self.acknowledged.items() if of == execution and id_ not in there}
        return [
            Finding(Harm.LOST, f"{id_}, a {what}, was acknowledged, and is not on record")
            for id_, what in missing.items()
        ]


_SHARES = {
    "pause": 3, "resume": 4, "hold": 3, "skip": 3, "throttle": 3, "workers": 4, "batch": 1, "order": 2, "weight": 1,
    "priority": 2, "reorder": 2, "retry": 2, "undo": 5, "stop-all": 1, "drain": 1, "cancel": 0.5,
}  # fmt: skip
"""What is done, and how often compared with the others."""


def _ended(daemon: EmbeddedDaemon, execution: str) -> api.ExecutionView | None:
    """Wait for the end of what cannot be resumed any more, resuming as its user would; None when there is none."""
    deadline, resumes = time.monotonic() + END_S, 0
    fast = InterveneParams(execution, Throttle(io_ops_per_s=None, io_bytes_per_s=None))
    hurried = False
    while time.monotonic() < deadline:
        view = look(daemon.socket, execution)
        if view is not None and view.state in ENDED:
            if view.state not in _RUN_ON or resumes == MAX_RESUMES:
                return view
            resumes += 1
            if resume(daemon.socket, execution):
                return view
        elif view is not None and any(hold.intervention or hold.until is None for hold in view.holds):
            resume(daemon.socket, execution)
        elif view is not None and not hurried and view.state in ("running", "paused"):
            try:
                with Client(daemon.socket) as client:
                    client.call("execution.intervene", fast, InterventionResult)
                hurried = True
            except ClientError:
                pass  # it has ended this moment, or will be asked again
        time.sleep(LOOK_S)
    return None


def _back(daemon: EmbeddedDaemon, execution: str) -> str:
    """Order a rollback and return its id. What was to kill a mover of the migration may have waited for this one: then
    nothing is begun, and a person asks once more."""
    with Client(daemon.socket) as client:
        try:
            return client.call("execution.rollback", RollbackParams(execution), api.ExecutionView).id
        except RemoteError as e:
            if "a mover ended" not in str(e):
                raise
            return client.call("execution.rollback", RollbackParams(execution), api.ExecutionView).id


def rolled_back(daemon: EmbeddedDaemon, execution: str, case: Case) -> list[Finding]:
    """Roll a migration back that nobody but itself has touched, and judge: everything is where it came from, as it
    was. What stays at the target are complete copies beside their sources, of a move that was cancelled."""
    try:
        back = _back(daemon, execution)
    except RemoteError as e:
        return [Finding(Harm.DIFFERENT, f"it cannot be rolled back: {e}")]
    view = ended(daemon.socket, back, END_S)
    if view is None or view.state != "completed":
        return [Finding(Harm.DIFFERENT, f"rolled back: {view and (view.state, view.why)}")]
    lines = differences(case.pristine, case.source, directory_times=False)
    found = [Finding(Harm.LOST if "only in A" in line else Harm.DIFFERENT, f"rolled back: {line}") for line in lines]
    return found + misstated(daemon, back)
