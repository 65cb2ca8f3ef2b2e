"""Rollbacks under faults: SIGKILL at every system call of mover, examining mover and daemon, and power cuts.

A trial brings a tree to its target without any fault, rolls that back, lets the fault happen meanwhile, brings the
rollback to its end, and compares what is there, at the fault and at the end, with the tree.
"""

from __future__ import annotations

import contextlib
import os
import random
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from daemon import wait_gone
from driving import ENDED, LOOK_S, ended, failures, look, resume, start
from forked import ForkedDaemon
from judge import Case, Finding, Harm, at_the_fault, inodes
from migmond.client.errors import ClientError
from migmond.client.sync import Client
from migmond.domain import api
from migmond.domain.plan import Operation
from migmond.domain.rollback_api import RollbackParams
from oracle import differences, names_starting
from routes import ROUTES, Ground, Route, Victim, ground
from tracing import NOT_ITS_MOVERS, attach, counts, detach, kill_at, points
from trial import END_S, MAX_RESUMES, Trial, made_durable, miscounted
from written import written

POWER_EVERY = 4
"""Each so-many-th trial is a power cut, all others are deaths at system calls."""
_KILLED = "+++ killed by SIGKILL"
_RUN_ON = ("completed_with_errors", "failed", "drained")
_REQUEST = "rollback"


@dataclass(frozen=True)
class Point:
    """The `number`-th `call` of a thread of `victim`."""

    victim: Victim
    route: Route
    call: str
    number: int

    def __str__(self) -> str:
        return f"{self.victim.value} killed at {self.call} {self.number} (rollback of a {self.route})"


def roll_back(daemon: ForkedDaemon, first: str) -> str:
    """Start the rollback of an execution and return its id; the same one when it is called again."""
    with Client(daemon.socket) as client:
        params = RollbackParams(first, request_id=_REQUEST)
        return client.call("execution.rollback", params, api.ExecutionView).id


class Rollbacks:
    """A laboratory. Made by `laboratory`.

    Args:
        where: where kills happen.
        seed: decides the moment of every power cut.

    Attributes:
        points: every point there is to be killed at, in the order of trials.
    """

    def __init__(self, where: Ground, seed: int) -> None:
        self._ground = where
        self._seed = seed
        self._durations: dict[Route, float] = {}
        self.points: list[Point] = []

    def trial(self, number: int) -> Trial:
        """Cut the power, or kill at the point of that number, let the rollback go on, and judge."""
        if number % POWER_EVERY == 0:
            return self.cut(ROUTES[number // POWER_EVERY % len(ROUTES)], number)
        return self.kill(self.points[number % len(self.points)])

    # --- deaths ------------------------------------------------------------------------------------

    def kill(self, point: Point) -> Trial:
        """Kill at one point."""
        began = time.monotonic()
        with self._brought(point.route) as (daemon, case, first):
            if point.victim is Victim.DAEMON:
                hit, found = self._daemon_dies(point, daemon, case, first)
            else:
                hit, found = self._mover_dies(point, daemon, case, first)
        return Trial(str(point), hit, found, time.monotonic() - began)

    def _mover_dies(self, point: Point, daemon: ForkedDaemon, case: Case, first: str) -> tuple[bool, list[Finding]]:
        self._ground.movers.order(*kill_at(point.call, point.number), arrival=point.victim.arrival)
        try:
            back = roll_back(daemon, first)
        except ClientError:  # it died before it had opened the plan: nothing has begun
            back = roll_back(daemon, first)
        found = _brought_to_an_end(daemon, back, case, self._ground.pristine, into=point.route.into)
        return _KILLED in self._ground.movers.output(), found

    def _daemon_dies(self, point: Point, daemon: ForkedDaemon, case: Case, first: str) -> tuple[bool, list[Finding]]:
        output = self._ground.work / "output"
        tracer = attach(daemon.pid, output, *NOT_ITS_MOVERS, *kill_at(point.call, point.number))
        movers, back = set[int](), ""
        with contextlib.suppress(ClientError):  # it died before it could answer
            back = roll_back(daemon, first)
            deadline = time.monotonic() + END_S
            while daemon.running and time.monotonic() < deadline:
                view = look(daemon.socket, back)
                if view is not None and view.state in ENDED:
                    break
                movers.update(m.pid for m in view.movers) if view is not None else None
                time.sleep(LOOK_S)
        detach(tracer)
        hit, found = not daemon.running, list[Finding]()
        if hit:
            wait_gone(list(movers))
            states = written(daemon.home / "state", back).states() if back else {}
            found += self._at_the_fault(case, states if back else None)
            daemon.start()
        back = roll_back(daemon, first)
        found += _brought_to_an_end(daemon, back, case, self._ground.pristine, into=point.route.into)
        return hit, found

    # --- power -------------------------------------------------------------------------------------

    def cut(self, route: Route, number: int) -> Trial:
        """Let the disk that everything but the journal lies on lose its power in the middle, or right at the end."""
        began, rng = time.monotonic(), random.Random(f"{self._seed} {number}")
        if route not in self._durations:
            with self._brought(route) as (daemon, case, first):
                at = time.monotonic()
                ended(daemon.socket, roll_back(daemon, first), END_S)
                self._durations[route] = time.monotonic() - at
        at_s = rng.uniform(0, self._durations[route] * 1.05)
        with self._brought(route) as (daemon, case, first):
            made_durable(self._ground.disk.root)
            back = roll_back(daemon, first)
            time.sleep(at_s)
            view = look(daemon.socket, back)
            self._ground.disk.shut_down()
            daemon.kill(movers=True)
            self._ground.disk.mount_again()
            found = self._at_the_fault(case, written(daemon.home / "state", back).states())
            if view is not None and view.state == "completed":
                found += _at_the_end(case, self._ground.pristine, into=route.into)
            daemon.start()
            found += _brought_to_an_end(daemon, back, case, self._ground.pristine, into=route.into)
        made_durable(self._ground.disk.root)
        state = "?" if view is None else view.state
        what = (
            f"{self._ground.disk.kind}: power cut {at_s * 1000:.0f} ms after its start (rollback of a {route}; {state})"
        )
        return Trial(what, True, found, time.monotonic() - began)

    # --- ground ------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def _brought(self, route: Route) -> Iterator[tuple[ForkedDaemon, Case, str]]:
        """The tree at its target, brought there by a migration; the case is that of the way back."""
        with self._ground.daemon("rollback") as daemon, self._ground.laid_out(route) as there:
            first = start(daemon.socket, there.source, there.target, route.operation, workers=1)
            view = ended(daemon.socket, first, END_S)
            if view is None or view.state != "completed":
                raise RuntimeError(f"without a fault, {route}: {view and (view.state, view.why)}")
            moved = route.operation is Operation.MOVE
            yield (
                daemon,
                Case(there.pristine, there.known, there.target, there.source, moved, inodes(there.target)),
                first,
            )

    @staticmethod
    def _at_the_fault(case: Case, states: Mapping[bytes, int] | None) -> list[Finding]:
        if case.move:
            return at_the_fault(case, states)
        changed = differences(case.pristine, case.target)
        return [Finding(Harm.LOST, f"in what was copied from: {line}") for line in changed]

    def calls(self, victim: Victim, route: Route) -> dict[str, int]:
        """Roll back once without faults and count the system calls of `victim` (see `tracing.counts`).

        Raises:
            RuntimeError: it went wrong without any fault.
        """
        output = self._ground.work / "output"
        with self._brought(route) as (daemon, case, first):
            if victim is Victim.DAEMON:
                tracer = attach(daemon.pid, output, *NOT_ITS_MOVERS)
            else:
                self._ground.movers.order(arrival=victim.arrival)
            back = roll_back(daemon, first)
            found = _brought_to_an_end(daemon, back, case, self._ground.pristine, into=route.into)
            if victim is Victim.DAEMON:
                detach(tracer)
            if found:
                raise RuntimeError(f"without a fault, rollback of a {route}: {'; '.join(map(str, found[:5]))}")
            text = output.read_text(errors="replace") if victim is Victim.DAEMON else self._ground.movers.output()
        return counts(text)


def _brought_to_an_end(daemon: ForkedDaemon, back: str, case: Case, pristine: Path, *, into: bool) -> list[Finding]:
    deadline, resumes = time.monotonic() + END_S, 0
    while True:
        view = look(daemon.socket, back)
        if view is not None and view.state in ENDED:
            if view.state not in _RUN_ON or resumes == MAX_RESUMES:
                break
            resumes += 1
            if why := resume(daemon.socket, back):
                return [Finding(Harm.DIFFERENT, f"it is {view.state} ({view.why}) and cannot be resumed: {why}")]
        elif view is not None and any(hold.until is None for hold in view.holds) and resumes < MAX_RESUMES:
            resumes += 1
            resume(daemon.socket, back)
        elif time.monotonic() > deadline:
            state = "no answer" if view is None else f"{view.state} {view.why}"
            return [Finding(Harm.DIFFERENT, f"no end within {END_S:.0f} s: {state}")]
        time.sleep(LOOK_S)
    found = _at_the_end(case, pristine, into=into) + miscounted(view)
    if view.state != "completed" or view.why.startswith("left as"):
        found.append(Finding(Harm.DIFFERENT, f"it ended as {view.state}: {view.why}"))
        found += [Finding(Harm.DIFFERENT, line) for line in failures(daemon.socket, back)[:5]]
    return found


def _at_the_end(case: Case, pristine: Path, *, into: bool) -> list[Finding]:
    """Everything is where it came from, as it was, and nothing is where it had been brought to."""
    changed = differences(pristine, case.target) if case.target.exists() else ["there is nothing"]
    found = [Finding(Harm.LOST if line.startswith("only in A") else Harm.DIFFERENT, line) for line in changed]
    found += [Finding(Harm.DUPLICATE, repr(name)) for name in names_starting(case.target, b".migmond-")]
    left = os.listdir(case.source) if into and case.source.exists() else case.source.exists()
    if left or (into and not case.source.exists()):
        found.append(Finding(Harm.DUPLICATE, f"left where it had been brought to: {left}"))
    return found


@contextlib.contextmanager
def laboratory(work: Path, kind: str, seed: int) -> Iterator[Rollbacks]:
    """Make disk, tree and daemon below `work`, count the calls of undisturbed rollbacks, and shuffle the points."""
    with prepared(work, kind, seed) as ready:
        ready.points += [
            Point(victim, route, call, number)
            for route in ROUTES
            for victim in Victim
            for call, number in points(ready.calls(victim, route))
        ]
        random.Random(seed).shuffle(ready.points)
        yield ready


@contextlib.contextmanager
def prepared(work: Path, kind: str, seed: int) -> Iterator[Rollbacks]:
    """The same without counting calls: there are no points yet but those that are killed at by name."""
    with ground(work, kind) as where:
        yield Rollbacks(where, seed)
