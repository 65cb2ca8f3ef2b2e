"""SIGKILL at every system call of mover, scanner and daemon."""

from __future__ import annotations

import contextlib
import random
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from daemon import wait_gone
from driving import ENDED, LOOK_S, look, start
from forked import ForkedDaemon
from frozen import Meddle, judged, untouched
from judge import Case, Finding, at_the_fault
from migmond.client.errors import ClientError
from routes import ROUTES, Ground, Route, Victim, ground
from steersman import Helm, Helms, unsteered
from tracing import NOT_ITS_MOVERS, attach, detach, kill_at, points
from trial import Trial
from written import written

_KILLED = "+++ killed by SIGKILL"
_WAIT_S = 60.0
_POLL_S = 0.002
"""A mover that has died is missed after a tenth of a second, when there is a new one."""
_REQUEST = "trial"


@dataclass(frozen=True)
class Point:
    """The `number`-th `call` of a thread of `victim`."""

    victim: Victim
    route: Route
    call: str
    number: int

    def __str__(self) -> str:
        return f"{self.victim.value} killed at {self.call} {self.number} ({self.route})"


class KillPoints:
    """A laboratory. Made by `laboratory`.

    Attributes:
        ground: where it works.
        points: every point there is, in the order of trials.
        meddle: for controls.
        helms: who steers.
    """

    def __init__(self, where: Ground, daemon: ForkedDaemon) -> None:
        self.ground = where
        self.points: list[Point] = []
        self._daemon = daemon
        self.meddle: Meddle = untouched
        self.helms: Helms = unsteered

    def trial(self, number: int) -> Trial:
        """Kill at the point of that number, let the migration go on, and judge."""
        return self.kill(self.points[number % len(self.points)], number)

    def kill(self, point: Point, number: int = 0) -> Trial:
        """The same at any point; `number`: of the trial, by which it is steered."""
        began = time.monotonic()
        with self.ground.laid_out(point.route) as case:
            dies = self._daemon_dies if point.victim is Victim.DAEMON else self._mover_dies
            trial = dies(point, case, number)
        return Trial(trial.what, trial.hit, trial.findings, time.monotonic() - began)

    def _mover_dies(self, point: Point, case: Case, number: int) -> Trial:
        movers, socket = self.ground.movers, self._daemon.socket
        helm = self.helms(socket, number)
        movers.order(*kill_at(point.call, point.number), arrival=point.victim.arrival)
        try:
            execution = _begin(socket, point, case, helm)
        except ClientError:  # it died before it had opened the plan: nothing has begun
            found = at_the_fault(case, {})
            execution = _begin(socket, point, case, helm)
        else:
            found = self._at_the_kill(execution, case, helm)
        found += helm.to_the_end(self._daemon, execution, case)
        return Trial(f"{point}{helm}", _KILLED in movers.output(), found)

    def _at_the_kill(self, execution: str, case: Case, helm: Helm) -> list[Finding]:
        """Judge when the mover has died, before another one has taken up its work; nothing when it does not die."""
        deadline, look_at = time.monotonic() + _WAIT_S, time.monotonic()
        while _KILLED not in self.ground.movers.output():
            helm.look(execution)
            now = time.monotonic()
            if now >= look_at:
                view, look_at = look(self._daemon.socket, execution), now + LOOK_S
                if (view is not None and view.state in ENDED) or now > deadline:
                    return []
            time.sleep(_POLL_S)
        return judged(self._daemon, execution, case, self.meddle)

    def _daemon_dies(self, point: Point, case: Case, number: int) -> Trial:
        output = self.ground.work / "output"
        with self.ground.daemon("victim") as daemon:
            helm = self.helms(daemon.socket, number)
            tracer = attach(daemon.pid, output, *NOT_ITS_MOVERS, *kill_at(point.call, point.number))
            movers, execution = set[int](), ""
            with contextlib.suppress(ClientError):  # it died before it could answer
                execution = _begin(daemon.socket, point, case, helm, _REQUEST)
                movers = _until_it_dies(daemon, execution, helm)
            detach(tracer)
            hit, found = False, list[Finding]()
            while True:
                if not daemon.running:
                    hit = True
                    wait_gone(list(movers))
                    states = written(daemon.home / "state", execution).states()
                    self.meddle(case, states)
                    found += at_the_fault(case, states)
                    daemon.start()
                try:
                    execution = _begin(daemon.socket, point, case, helm, _REQUEST)
                    found += helm.to_the_end(daemon, execution, case)
                except ClientError:
                    if hit or daemon.running:
                        raise
                    continue  # the kill was on its way when the tracer left
                return Trial(f"{point}{helm}", hit, found)


def _begin(socket: str, point: Point, case: Case, helm: Helm, request_id: str = "") -> str:
    operation = point.route.operation
    return start(
        socket, case.source, case.target, operation, workers=1, request_id=request_id, limits=helm.limits
    )  # fmt: skip


def _until_it_dies(daemon: ForkedDaemon, execution: str, helm: Helm) -> set[int]:
    """Wait until the daemon has died or the execution ended; returns the movers that were seen."""
    deadline, movers = time.monotonic() + _WAIT_S, set[int]()
    while daemon.running:
        helm.look(execution)
        view = look(daemon.socket, execution)
        if view is not None and view.state in ENDED:
            break
        if view is not None:
            movers.update(m.pid for m in view.movers)
        if time.monotonic() > deadline:
            break
        time.sleep(LOOK_S)
    return movers


@contextlib.contextmanager
def laboratory(work: Path, kind: str, seed: int) -> Iterator[KillPoints]:
    """Make disk, tree and daemon below `work`, count the calls of undisturbed runs, and shuffle the points."""
    with prepared(work, kind) as ready:
        ready.points += [
            Point(victim, route, call, number)
            for route in ROUTES
            for victim in Victim
            for call, number in points(ready.ground.calls(victim, route))
        ]
        random.Random(seed).shuffle(ready.points)
        yield ready


@contextlib.contextmanager
def prepared(work: Path, kind: str) -> Iterator[KillPoints]:
    """The same without counting calls: there are no points yet but those that are killed at by name."""
    with ground(work, kind) as where, where.daemon() as daemon:
        yield KillPoints(where, daemon)
