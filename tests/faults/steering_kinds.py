"""Every kind of intervention, each with how the migration stands before it: what `steering_cuts` kills a daemon in."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeAlias, TypeVar

import msgspec

from driving import ENDED, LOOK_S, ended, look
from forked import ForkedDaemon
from judge import Case
from migmond.client.sync import Client
from migmond.domain import api
from migmond.domain.limits import Limits
from migmond.domain.names import to_text
from migmond.domain.plan import Operation
from migmond.domain.rollback_api import RollbackParams
from migmond.domain.steering import BatchSize, Cancel, Drain, Level, Order, Place, Reordering, Throttle, Weight, Workers
from migmond.domain.steering_api import (
    ActionSpec,
    InterveneParams,
    InterventionResult,
    MoveSpec,
    PauseSpec,
    PrioritiseSpec,
    ResumeSpec,
    RetrySpec,
    RouteSpec,
    SkipSpec,
    StopAllParams,
    StopAllResult,
    UndoParams,
)

QUICK, QUIET = 3000.0, 0.5
"""Operations a second while it gets going, and while it is changed: nothing else is to be written meanwhile."""
ROUTED = "routed"
"""Where what is picked is sent to by a change of route."""
SOME = api.SelectorSpec(include=("*7",))
WAIT_S = 20.0
CALL_S = 20.0

T = TypeVar("T")


class NotReady(Exception):
    """It did not come to stand as it should, as it was too quick: try again."""


@dataclass
class Scene:
    """A migration that is about to be changed.

    Attributes:
        id: of the migration; "" before it was started.
        latest: the latest intervention.
        obstructed: files are in the way of some of it.
        others: ids of migrations that have to end as well.
    """

    daemon: ForkedDaemon
    case: Case
    obstructed: list[bytes] = field(default_factory=list)
    id: str = ""
    latest: str = ""
    others: list[str] = field(default_factory=list)

    def call(self, method: str, params: api.Params, result: type[T]) -> T:
        """Call the daemon; raises ClientError."""
        with Client(self.daemon.socket, CALL_S) as client:
            return client.call(method, params, result)

    def view(self) -> api.ExecutionView:
        """What the daemon says of the migration now."""
        return self.call("execution.get", api.GetParams(self.id), api.ExecutionView)

    def until(self, wanted: Callable[[api.ExecutionView], bool], look_s: float = LOOK_S) -> api.ExecutionView:
        """Wait until what the daemon says is as wanted.

        Raises:
            NotReady: it does not come, or the migration has ended before.
        """
        deadline = time.monotonic() + WAIT_S
        while not wanted(view := self.view()):
            if view.state in ENDED or time.monotonic() > deadline:
                raise NotReady(f"{view.state} {view.why}: {view.progress}")
            time.sleep(look_s)
        return view

    def intervene(self, action: ActionSpec, request_id: str = "") -> None:
        """Change it. The destination of a route is a name beside the target.

        Raises:
            ClientError: refused, or no answer came.
            NotReady: there was nothing to change.
        """
        if isinstance(action, RouteSpec):
            there = self.case.target.with_name(action.destination)
            action = msgspec.structs.replace(action, destination=to_text(bytes(there)))
        params = InterveneParams(self.id, action, request_id=request_id)
        found = self.call("execution.intervene", params, InterventionResult)
        if found.intervention is None:
            raise NotReady(f"nothing is changed: {found.effect}")
        self.latest = found.intervention.id

    def start(self, limits: Limits) -> str:
        """Start it and return its id."""
        plan = api.PlanSpec(
            (api.SourceSpec(to_text(bytes(self.case.source))),), to_text(bytes(self.case.target)), workers=1,
            operation=Operation.MOVE if self.case.move else Operation.COPY, limits=limits,
        )  # fmt: skip
        return self.call("execution.start", api.StartParams(plan), api.ExecutionView).id


Step: TypeAlias = Callable[[Scene], None]


def do(action: ActionSpec) -> Step:
    """Return the step that makes a change."""
    return lambda scene: scene.intervene(action)


def undo(scene: Scene) -> None:
    """Take the latest change back."""
    scene.call("execution.undo", UndoParams(scene.latest), InterventionResult)


def stop_all(scene: Scene) -> None:
    """Stop everything."""
    found = scene.call("system.stop_all", StopAllParams(), StopAllResult)
    (scene.latest,) = [s.intervention for s in found.stopped if s.id == scene.id]


def running(scene: Scene) -> None:
    """It runs, all of it is known, some of it has failed if files are in the way, and now it is slow."""
    scene.id = scene.start(Limits(io_ops_per_s=QUICK))
    scene.until(lambda v: not v.progress.growing and v.progress.failed.entries >= 3 * bool(scene.obstructed), 0.001)
    scene.intervene(Throttle(io_ops_per_s=QUIET))
    _clear_the_way(scene)
    p = scene.view().progress
    if p.planned.entries - p.done.entries - p.failed.entries < 50:
        raise NotReady("hardly anything is left to do")


def drained(scene: Scene) -> None:
    """It was drained in the middle."""
    running(scene)
    scene.intervene(Drain())
    view = ended(scene.daemon.socket, scene.id, WAIT_S)
    if view is None or view.state != "drained":
        raise NotReady(f"it does not drain: {view}")


def finished(scene: Scene) -> None:
    """It has ended: with errors, if files were in the way, which are not any more."""
    scene.id = scene.start(Limits())
    view = ended(scene.daemon.socket, scene.id, WAIT_S)
    if view is None or view.state != ("completed_with_errors" if scene.obstructed else "completed"):
        raise NotReady(f"it does not end: {view}")
    _clear_the_way(scene)


def waiting(scene: Scene) -> None:
    """Another one has the only turn."""
    running(scene)
    scene.others.append(scene.id)
    scene.case = Case(  # what the other one leaves is brought over by this one
        scene.case.pristine, scene.case.known, scene.case.source, scene.case.target.with_name("later"),
        scene.case.move, scene.case.inodes,
    )  # fmt: skip
    scene.id = scene.start(Limits())
    if scene.view().state != "waiting":
        raise NotReady("it does not wait")


def _clear_the_way(scene: Scene) -> None:
    for name in scene.obstructed:
        (scene.case.target / name.decode()).unlink()


@dataclass(frozen=True)
class Kind:
    """One kind of intervention.

    Attributes:
        before: how the migration comes to stand as it does.
        action: what is asked for; None for `act`.
        act: what is done instead.
        obstructed: whether files are in the way at first, so that some of it fails.
        settles: it goes on by itself until it has ended; then it is looked at.
        move: files are moved, for what cares; None for either.
    """

    name: str
    before: tuple[Step, ...]
    action: ActionSpec | None = None
    act: Step | None = None
    obstructed: bool = False
    settles: bool = False
    move: bool | None = None

    @property
    def is_rollback(self) -> bool:
        """Whether another execution is what it starts."""
        return self.act is roll_back

    def request(self, scene: Scene, request_id: str) -> None:
        """Ask for it; raises as `Scene.intervene`."""
        if self.action is not None:
            scene.intervene(self.action, request_id)
        else:
            assert self.act is not None
            self.act(scene)


def roll_back(scene: Scene) -> None:
    """Start a rollback; asked for again, it starts none."""
    back = scene.call("execution.rollback", RollbackParams(scene.id, request_id=f"back {scene.id}"), api.ExecutionView)
    if back.id not in scene.others:
        scene.others.append(back.id)


LASTING: dict[str, ActionSpec] = {
    "throttle": Throttle(io_bytes_per_s=1 << 20, cpu_percent=80.0),
    "workers up": Workers(3),
    "batch size": BatchSize(20),
    "order": Reordering(Order.LARGE_FIRST),
    "weight": Weight(2.0),
    "priority": PrioritiseSpec(SOME, Level.HIGH),
    "first": MoveSpec(SOME, Place.FIRST),
    "last": MoveSpec(SOME, Place.LAST),
    "before": MoveSpec(SOME, Place.BEFORE, "d00000/f0000003"),
    "skip": SkipSpec(SOME),
    "route": RouteSpec(SOME, ROUTED),
    "hold": PauseSpec(SOME),
    "pause": PauseSpec(),
}
"""Changes that last until they are taken back."""


def _kinds() -> list[Kind]:
    found: list[Kind] = []
    for how in (running, drained):
        for name, action in LASTING.items():
            if how is drained and name == "pause":
                continue
            found.append(Kind(f"{name}, {how.__name__}", (how,), action))
            found.append(Kind(f"undo of {name}, {how.__name__}", (how, do(action)), act=undo))
    three, paused, stopped = (running, do(Workers(3))), (running, do(PauseSpec())), (running, stop_all)
    found += [
        Kind("workers down, running", three, Workers(1)),
        Kind("undo of workers down, running", (*three, do(Workers(1))), act=undo),
        Kind("resume of some, running", (running, do(PauseSpec(SOME))), ResumeSpec(SOME)),
        Kind("resume, paused", paused, ResumeSpec()),
        Kind("resume, stopped", stopped, ResumeSpec()),
        Kind("undo of stop-all, stopped", stopped, act=undo),
        Kind("resume, drained", (drained,), ResumeSpec()),
        Kind("resume, with errors", (finished,), ResumeSpec(), obstructed=True, settles=True),
        Kind("stop-all, running", (running,), act=stop_all),
        Kind("stop-all, paused", paused, act=stop_all),
        Kind("stop-all, waiting", (waiting,), act=stop_all, move=False),
        Kind("drain, running", (running,), Drain()),
        Kind("drain, paused", paused, Drain()),
        Kind("drain, waiting", (waiting,), Drain(), move=False),
        Kind("cancel, running", (running,), Cancel(), settles=True),
        Kind("cancel, paused", paused, Cancel(), settles=True),
        Kind("cancel, stopped", stopped, Cancel(), settles=True),
        Kind("cancel, drained", (drained,), Cancel(), settles=True),
        Kind("cancel, waiting", (waiting,), Cancel(), settles=True, move=False),
        Kind("weight, waiting", (waiting,), Weight(2.0), move=False),
        Kind("retry, running", (running,), RetrySpec(), obstructed=True),
        Kind("retry, with errors", (finished,), RetrySpec(), obstructed=True, settles=True),
        Kind("retry of some, with errors", (finished,), RetrySpec(SOME), obstructed=True, settles=True),
        Kind("rollback", (finished,), act=roll_back, settles=True),
        Kind("rollback, with errors", (finished,), act=roll_back, obstructed=True, settles=True),
    ]
    return found


KINDS = _kinds()


def until_ended(scene: Scene, id_: str) -> str:
    """Wait for the end of a migration of the scene; returns its state, or says that there was none."""
    view = ended(scene.daemon.socket, id_, WAIT_S)
    if view is None:
        now = look(scene.daemon.socket, id_)
        return f"no end: {now.state} {now.why}" if now is not None else "no answer"
    return view.state
