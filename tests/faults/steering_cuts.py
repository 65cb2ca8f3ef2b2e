"""SIGKILL of the daemon between any two steps of every kind of intervention.

A step is a system call by which something leaves the daemon: into a file, to a client, to a mover, or a process that
comes. After a restart the migration is either as it was before or as it is when nobody gets in the way, and the record
says which: there is one of the intervention (or, for an undo, of its end) exactly when it is so. Who got an answer
finds it so. Asked for again as a client would, it is so once, and the migration comes to its end with every file in its
place.
"""

from __future__ import annotations

import collections
import contextlib
import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeAlias

import trees
from daemon import wait_gone
from driving import ENDED, LOOK_S, look, resume
from forked import ForkedDaemon
from judge import Case, Finding, Harm, inodes, known
from loopfs import LoopFs, mounted
from migmond.client.errors import ClientError, RemoteError, Unreachable
from migmond.domain import api
from migmond.domain.steering import Throttle
from migmond.domain.steering_api import InterventionList
from oracle import differences
from partly import partly
from steering_kinds import KINDS, ROUTED, Kind, NotReady, Scene, until_ended
from together import bring_together, left_over
from tracing import NOT_ITS_MOVERS, attach, counts, detach, kill_at
from trial import CONFIGURATION, Trial, clear, lay_out
from written import written

FILES = 400
OBSTRUCTED_EVERY = 4
STEPS = frozenset({
    "clone", "clone3", "fallocate", "fdatasync", "fork", "fsync", "ftruncate", "kill", "memfd_create", "mkdir",
    "mkdirat", "pwrite64", "pwritev", "rename", "renameat", "renameat2", "rmdir", "sendmsg", "sendto", "shutdown",
    "socketpair", "sync_file_range", "tgkill", "unlink", "unlinkat", "vfork", "write", "writev",
})  # fmt: skip
"""Calls that change something outside the process: a death at any other is one at the next of them."""

CONFIG = CONFIGURATION + "[executions]\nrunning = 1\n"
ATTEMPTS = 5
_SETTLE_S = 15.0
_LOOKS = 4
_SAME_STATE = {"cancelling": "cancelled", "draining": "drained", "created": "running"}
"""States that lead to the other one whether anybody dies or not."""


Meddle: TypeAlias = Callable[[Path, str], None]


def untouched(state: Path, execution: str) -> None:
    """Nobody meddles."""


@dataclass(frozen=True)
class Shown:
    """What is told of a migration that interventions may change. Times, ids and how far it is are left out."""

    state: str
    holds: tuple[tuple[str, str], ...]
    changes: tuple[str, ...]
    failed: int
    rollbacks: int
    records: tuple[tuple[str, str, str], ...]
    """Kind, what was asked for, and who ended it."""


def shown(scene: Scene) -> Shown:
    """Ask the daemon."""
    view = scene.view()
    records = scene.call("execution.interventions", api.ExecutionParams(scene.id), InterventionList).interventions
    return Shown(
        _SAME_STATE.get(view.state, view.state),
        tuple((h.reason, h.covers) for h in view.holds),
        tuple(c.what for c in view.changes),
        view.progress.failed.entries,
        len(view.rolled_back),
        tuple((r.kind, r.what, r.ended_by) for r in records),
    )


@dataclass(frozen=True)
class Point:
    """The `number`-th `call` of a thread of the daemon, from right before it is asked."""

    call: str
    number: int

    def __str__(self) -> str:
        return f"{self.call} {self.number}"


@dataclass
class Known:
    """What is known of a kind from a run without a fault. `steps`: the points to be killed at, in the order of
    trials."""

    steps: list[Point]
    before: Shown
    after: Shown


@dataclass
class Cut:
    """How an intervention went that was cut off."""

    died: bool = False
    answered: bool = False
    refused: str = ""
    movers: set[int] = field(default_factory=set)


class SteeringCuts:
    """A laboratory. Made by `laboratory`.

    Args:
        disk: where targets lie.
        work: a directory on another file system.
        seed: decides the order of the points of each kind.

    Attributes:
        seen: how many trials found what: for people.
        ready, meddle: for controls: called with the journal's directory and the execution right before an intervention,
            and when the daemon has died.
    """

    def __init__(self, disk: LoopFs, work: Path, daemon: ForkedDaemon, seed: int) -> None:
        self._disk, self._work, self._daemon, self._seed = disk, work, daemon, seed
        self._pristine = work / "pristine"
        trees.small_files(self._pristine, FILES, 100, random.Random(1), per_directory=100)
        self._names = [b"d%05d/f%07d" % (n // 100, n) for n in range(3, FILES, OBSTRUCTED_EVERY)]
        self._files = known(self._pristine)
        self._kinds: dict[str, Known] = {}
        self.seen: collections.Counter[str] = collections.Counter()
        self.ready: Meddle = untouched
        self.meddle: Meddle = untouched

    def points(self) -> int:
        """Count the points of all kinds: a run of each."""
        return sum(len(self.known(kind).steps) for kind in KINDS)

    def trial(self, number: int) -> Trial:
        """Kill at a point of the kind of that number; one number after the other goes through all kinds."""
        kind = KINDS[number % len(KINDS)]
        steps = self.known(kind).steps
        return self.kill(kind, steps[number // len(KINDS) % len(steps)], number)

    def known(self, kind: Kind) -> Known:
        """Make an intervention without a fault, and count its steps.

        Raises:
            RuntimeError: it goes wrong without any fault.
        """
        if kind.name not in self._kinds:
            with self._scene(kind, 0) as scene:
                before, output = shown(scene), self._work / "output"
                tracer = attach(self._daemon.pid, output, *NOT_ITS_MOVERS, "-e", f"trace={','.join(sorted(STEPS))}")
                kind.request(scene, scene.id)
                time.sleep(LOOK_S)
                detach(tracer)
                after = self._settled(kind, scene)
                found = self._to_the_end(kind, scene)
            if found or before == after:
                raise RuntimeError(f"without a fault, {kind.name}: {found[:5] or after}")
            made = counts(output.read_text(errors="replace"))
            steps = [Point(call, n) for call in sorted(made.keys() & STEPS) for n in range(1, made[call] + 1)]
            random.Random(f"{self._seed} {kind.name}").shuffle(steps)
            self._kinds[kind.name] = Known(steps, before, after)
        return self._kinds[kind.name]

    def kill(self, kind: Kind, point: Point, number: int) -> Trial:
        """Kill at one point of one kind, start again and judge."""
        began, expected = time.monotonic(), self.known(kind)
        with self._scene(kind, number) as scene:
            before = shown(scene)
            after = _as_found(expected, before)
            cut = self._cut_off(kind, scene, point)
            found = self._judged(kind, scene, cut, before, after)
            if not found:
                found = self._again(kind, scene, after)
            found += self._to_the_end(kind, scene)
        return Trial(f"{kind.name}: killed at {point}", cut.died, found, time.monotonic() - began)

    # --- the cut -----------------------------------------------------------------------------------

    def _cut_off(self, kind: Kind, scene: Scene, point: Point) -> Cut:
        daemon, cut = self._daemon, Cut(movers=set(self._daemon.children()))
        self.ready(daemon.home / "state", scene.id)
        tracer = attach(daemon.pid, self._work / "output", *NOT_ITS_MOVERS, *kill_at(point.call, point.number))
        try:
            kind.request(scene, scene.id)
            cut.answered = True
        except RemoteError as e:
            cut.refused = str(e)
        except ClientError:
            pass  # it died before it could answer
        if cut.answered:
            time.sleep(LOOK_S)
        cut.movers.update(daemon.children())
        detach(tracer)
        cut.died = self._died(scene)
        if cut.died:
            wait_gone(list(cut.movers))
            self.meddle(daemon.home / "state", scene.id)
            daemon.start()
        return cut

    def _died(self, scene: Scene) -> bool:
        """The kill may be on its way when the tracer leaves: whoever answers a while later lives."""
        for _ in range(_LOOKS):
            if not self._daemon.running:
                return True
            time.sleep(LOOK_S / 2)
        while self._daemon.running:
            try:
                scene.view()
            except Unreachable:
                time.sleep(LOOK_S)
            else:
                return False
        return True

    def _judged(self, kind: Kind, scene: Scene, cut: Cut, before: Shown, after: Shown) -> list[Finding]:
        """What is shown must be the one or the other, all of it."""
        if cut.refused:
            return [Finding(Harm.DIFFERENT, f"refused: {cut.refused}")]
        deadline, now = time.monotonic() + _SETTLE_S, shown(scene)
        while True:
            made = now.records != before.records
            wanted = after if made else before
            if cut.answered and not made:
                return [Finding(Harm.LOST, f"it was answered, and is not on record: {now}")]
            if now == wanted:
                self.seen["new, answered" if cut.answered else "new" if made else "old"] += cut.died
                return []
            if time.monotonic() > deadline:
                return [Finding(Harm.DIFFERENT, f"neither the old nor the new: {now}; the record says {wanted}")]
            time.sleep(LOOK_S)
            now = shown(scene)

    def _again(self, kind: Kind, scene: Scene, after: Shown) -> list[Finding]:
        """Ask for it again, as a client does that got no answer: it is so once, whatever was so before."""
        it_is_so = shown(scene).records == after.records
        if not it_is_so or kind.action is not None or kind.is_rollback:
            try:
                kind.request(scene, scene.id)
            except (ClientError, NotReady) as e:
                return [Finding(Harm.DIFFERENT, f"asked for again: {e}")]
        now = self._settled(kind, scene, after)
        return [] if now == after else [Finding(Harm.DIFFERENT, f"asked for again: {now}; it should be {after}")]

    def _settled(self, kind: Kind, scene: Scene, wanted: Shown | None = None) -> Shown:
        """What is shown when nothing more comes of it by itself."""
        if kind.settles:
            for id_ in [*scene.others, scene.id] if kind.is_rollback else [scene.id]:
                until_ended(scene, id_)
        deadline, now = time.monotonic() + _SETTLE_S, shown(scene)
        while wanted is not None and now != wanted and time.monotonic() < deadline:
            time.sleep(LOOK_S)
            now = shown(scene)
        return now

    # --- the end -----------------------------------------------------------------------------------

    def _to_the_end(self, kind: Kind, scene: Scene) -> list[Finding]:
        """Let everything end as a user would, and judge every file."""
        # What is rolled back is not set going again: it would bring over what had failed.
        for id_ in dict.fromkeys(scene.others if kind.is_rollback else [*scene.others, scene.id]):
            if why := self._ended(scene, id_):
                return [Finding(Harm.DIFFERENT, why)]
        if kind.is_rollback:
            lines = differences(self._pristine, scene.case.source, directory_times=False)
            return [Finding(Harm.LOST if "only in A" in line else Harm.DIFFERENT, line) for line in lines]
        routed = scene.case.target.with_name(ROUTED)
        bring_together(routed, scene.case.target)
        twice = [Finding(Harm.DUPLICATE, f"at both destinations: {path}") for path in left_over(routed)]
        journal = written(self._daemon.home / "state", scene.id)
        return [*twice, *partly(scene.case, journal, scene.view().state)]

    def _ended(self, scene: Scene, id_: str) -> str:
        """Lift what holds a migration and wait for its end; returns "", or what is wrong."""
        one, deadline = replace(scene, id=id_), time.monotonic() + _SETTLE_S * 2
        while True:
            view = look(self._daemon.socket, id_)
            if view is not None and view.state in ("completed", "cancelled"):
                return ""
            if time.monotonic() > deadline:
                return f"no end: {view and (view.state, view.why)}"
            if view is not None and view.state in ENDED:
                if why := resume(self._daemon.socket, id_):
                    return f"{view.state}, and cannot be resumed: {why}"
            elif view is not None and view.state not in ("cancelling", "draining"):
                with contextlib.suppress(ClientError, NotReady):  # it may end this moment
                    if view.holds:
                        resume(self._daemon.socket, id_)
                    if not any("operations unlimited" in c.what for c in view.changes[-1:]):
                        one.intervene(Throttle(io_ops_per_s=None, cpu_percent=None, io_bytes_per_s=None))
            time.sleep(LOOK_S)

    # --- the ground --------------------------------------------------------------------------------

    @contextlib.contextmanager
    def _scene(self, kind: Kind, number: int) -> Iterator[Scene]:
        """A migration that stands as it does before the intervention."""
        last: NotReady | None = None
        for _ in range(ATTEMPTS):
            with self._laid_out(kind, number) as scene:
                try:
                    for step in kind.before:
                        step(scene)
                except NotReady as e:
                    last = e
                    self._give_up(scene)
                    continue
                yield scene
                return
        raise RuntimeError(f"{kind.name} cannot be set up: {last}")

    def _give_up(self, scene: Scene) -> None:
        for id_ in filter(None, {*scene.others, scene.id}):
            with contextlib.suppress(ClientError):
                scene.call("execution.cancel", api.ReasonParams(id_), api.ExecutionView)
            until_ended(scene, id_)

    @contextlib.contextmanager
    def _laid_out(self, kind: Kind, number: int) -> Iterator[Scene]:
        source, target = self._work / "source", self._disk.root / "target"
        moves = number // len(KINDS) % 2 == 1 if kind.move is None else kind.move
        try:
            lay_out(self._pristine, source)
            obstructed = self._names if kind.obstructed else []
            for name in obstructed:
                path = target / name.decode()
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(b"in the way")
            case = Case(self._pristine, self._files, source, target, moves, inodes(source))
            yield Scene(self._daemon, case, list(obstructed))
        finally:
            clear(source, target, target.with_name("later"), target.with_name(ROUTED))


def _as_found(expected: Known, before: Shown) -> Shown:
    """What it must be when it was done, from what it was: as many may have failed as happened to have been tried."""
    after = expected.after
    return replace(after, failed=before.failed) if expected.before.failed == after.failed else after


@contextlib.contextmanager
def laboratory(work: Path, kind: str, seed: int) -> Iterator[SteeringCuts]:
    """Make disk, tree and daemon below `work`."""
    work.mkdir(parents=True, exist_ok=True)
    with mounted(work / "disk", kind) as disk:
        try:
            with ForkedDaemon(work / "home", CONFIG) as daemon:
                yield SteeringCuts(disk, work, daemon, seed)
        finally:
            clear(work / "home")
