"""SIGKILL at every system call of mover, scanner and daemon."""

from __future__ import annotations

import contextlib
import random
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from daemon import wait_gone
from driving import ENDED, look, start
from forked import ForkedDaemon
from judge import Case, at_the_fault, vouched
from migmond.client.errors import ClientError
from routes import ROUTES, Ground, Route, Victim, ground
from tracing import NOT_ITS_MOVERS, attach, detach, kill_at, points
from trial import Trial, brought_to_an_end

_KILLED = "+++ killed by SIGKILL"
_WAIT_S = 60.0
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
        points: every point there is, in the order of trials.
    """

    def __init__(self, ground: Ground, daemon: ForkedDaemon, found: list[Point]) -> None:
        self._ground = ground
        self._daemon = daemon
        self.points = found

    def trial(self, number: int) -> Trial:
        """Kill at the point of that number, let the migration go on, and judge."""
        point, began = self.points[number % len(self.points)], time.monotonic()
        with self._ground.laid_out(point.route) as case:
            trial = self._daemon_dies(point, case) if point.victim is Victim.DAEMON else self._mover_dies(point, case)
        return Trial(str(point), trial.hit, trial.findings, time.monotonic() - began)

    def _mover_dies(self, point: Point, case: Case) -> Trial:
        movers, socket = self._ground.movers, self._daemon.socket
        movers.order(*kill_at(point.call, point.number), arrival=point.victim.arrival)
        try:
            execution = start(socket, case.source, case.target, point.route.operation, workers=1)
        except ClientError:  # it died before it had opened the plan: nothing has begun
            found = at_the_fault(case)
            execution = start(socket, case.source, case.target, point.route.operation, workers=1)
        else:
            found = []
        found += brought_to_an_end(self._daemon, execution, case)
        return Trial(str(point), _KILLED in movers.output(), found)

    def _daemon_dies(self, point: Point, case: Case) -> Trial:
        output = self._ground.work / "output"
        with self._ground.daemon("victim") as daemon:
            tracer = attach(daemon.pid, output, *NOT_ITS_MOVERS, *kill_at(point.call, point.number))
            movers: set[int] = set()
            with contextlib.suppress(ClientError):  # it died before it could answer
                execution = _start(daemon, point, case)
                movers = _until_it_dies(daemon, execution)
            detach(tracer)
            hit, found = not daemon.running, []
            if hit:
                wait_gone(list(movers))
                found = at_the_fault(case, None if point.route.within else vouched(daemon.home / "state"))
                daemon.start()
            found += brought_to_an_end(daemon, _start(daemon, point, case), case)
        return Trial(str(point), hit, found)


def _start(daemon: ForkedDaemon, point: Point, case: Case) -> str:
    return start(daemon.socket, case.source, case.target, point.route.operation, workers=1, request_id=_REQUEST)


def _until_it_dies(daemon: ForkedDaemon, execution: str) -> set[int]:
    """Wait until the daemon has died or the execution ended; returns the movers that were seen."""
    deadline, movers = time.monotonic() + _WAIT_S, set[int]()
    while daemon.running:
        view = look(daemon.socket, execution)
        if view is not None and view.state in ENDED:
            break
        if view is not None:
            movers.update(m.pid for m in view.movers)
        if time.monotonic() > deadline:
            break
        time.sleep(0.01)
    return movers


@contextlib.contextmanager
def laboratory(work: Path, kind: str, seed: int) -> Iterator[KillPoints]:
    """Make disk, tree and daemon below `work`, count the calls of undisturbed runs, and shuffle the points."""
    with ground(work, kind) as where, where.daemon() as daemon:
        found = [
            Point(victim, route, call, number)
            for route in ROUTES
            for victim in Victim
            for call, number in points(where.calls(victim, route))
        ]
        random.Random(seed).shuffle(found)
        yield KillPoints(where, daemon, found)
