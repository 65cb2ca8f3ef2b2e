"""Migrations in whose way somebody works: saves, truncates, links, replaces and deletes, at sources and at targets.

Two migrations may meet as well, and daemon and movers are killed in between. Nothing that anybody had under a name is
lost, unless he gave it up himself or the policy says so; nothing is half; and what is told is true.

The number of a trial decides what is done, and at which event: a name that is there now, or has gone. Some movers are
slowed down at one system call, so that what happens before it and after it lies far apart.
"""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from books import misstated
from daemon import kill_all
from driving import ENDED, LOOK_S, ended, look, resume
from forked import ForkedDaemon
from judge import TEMPORARY, Finding, Harm
from keeping import Move, kept, told
from migmond.client.errors import ClientError
from migmond.client.sync import Client
from migmond.domain import api
from migmond.domain.limits import Limits
from migmond.domain.names import to_text
from migmond.domain.plan import ConflictPolicy, Operation, VerifyLevel
from migmond.domain.rollback_api import RollbackParams
from oracle import entries
from person import Person
from routes import Ground, ground
from steersman import Helm, Helms, unsteered
from trial import END_S, Trial, clear
from written import written

FILES = 30
LAYOUTS = ("one", "within", "opposite", "one", "same target", "same source", "one", "chain")
"""How the migrations of a trial meet: `one` and `within` a file system are alone."""

SLOWED = ("", "unlinkat", "renameat2", "renameat", "linkat", "syncfs", "openat2", "newfstatat", "utimensat", "fcntl")
"""The call that a trial's first mover takes long for; none in the first."""

_AT_DELETES = ("unlinkat", "openat2", "newfstatat", "fcntl")
"""Of them, those that come between a mover's last look at a copy and the delete of its source."""

_DELAY_US = 5_000
_ROUNDS = 2
_BUG_LINES = 30
_ORPHANED = "ConnectionResetError"
"""What a mover says whose daemon was killed while it was writing to it."""

_BUGS = ("met a bug", "internal error", "Traceback")
_DEEDS = {
    "save": 8, "overwrite": 4, "append": 3, "rewrite": 3, "truncate": 2, "delete": 1, "recreate": 3, "link": 3,
    "symlink": 1, "fifo": 1, "directory": 1,
}  # fmt: skip
"""What a person does, and how often compared with the others."""

Ready = Callable[[], bool]


@dataclass
class Deed:
    """Something that somebody does once, when it is time."""

    ready: Ready
    act: Callable[[], None]


@dataclass
class Scene:
    """Everything in one trial. `first`: what was at each source at first, by name."""

    moves: tuple[Move, ...]
    roots: tuple[Path, ...]
    person: Person
    plans: list[api.PlanSpec]
    deeds: list[Deed] = field(default_factory=list)
    first: dict[Path, dict[bytes, str]] = field(default_factory=dict)
    polls: int = 0
    helms: dict[str, Helm] = field(default_factory=dict)
    """By execution."""


class Interference:
    """A laboratory. Made by `laboratory`.

    Attributes:
        helms: who steers.
    """

    def __init__(self, where: Ground, daemon: ForkedDaemon, seed: int) -> None:
        self.helms: Helms = unsteered
        self._ground = where
        self._daemon = daemon
        self._seed = seed

    def trial(self, number: int) -> Trial:
        """Run the trial of that number."""
        began, log = time.monotonic(), len(self._daemon.log())
        rng = random.Random(f"{self._seed} {number}")
        layout, slowed = LAYOUTS[number % len(LAYOUTS)], SLOWED[number % len(SLOWED)]
        movers = self._ground.movers
        places = (self._ground.work / "here", self._ground.disk.root / "there")
        try:
            scene = self._scene(layout, slowed, places, rng)
            if slowed:
                movers.order("-e", f"trace={slowed}", "-e", f"inject={slowed}:delay_enter={_DELAY_US}")
            executions, refused = self._start(scene)
            for at, id_ in enumerate(executions):
                scene.helms[id_] = self.helms(self._daemon.socket, 2 * number + at)
            found = self._go_through(scene, list(executions))
            movers.detach()
            journals = [written(self._daemon.home / "state", id_) for id_ in executions]
            found += kept(scene.person, scene.moves, scene.roots, journals)
            for execution, move in executions.items():
                found += self._told(scene, execution, move)
            if not found and len(executions) == 1 and any(h.rolls_back for h in scene.helms.values()):
                found += self._rolled_back(scene, *executions)
        finally:
            movers.detach()
            movers.cancel()
            clear(*places)
        found += _bugs(self._daemon.log()[log:])
        asked = ", ".join(f"{p.operation} {p.conflict}" for p in scene.plans)
        what = f"{layout}: {asked}{f', slow {slowed}' * bool(slowed)}, {len(scene.person.deeds)} deeds"
        what += "".join(map(str, scene.helms.values()))
        hit = bool(scene.person.deeds and executions)
        return Trial(what, hit, found, time.monotonic() - began, f"refused: {refused}" if refused else "")

    def _scene(self, layout: str, slowed: str, places: tuple[Path, Path], rng: random.Random) -> Scene:
        for place in places:
            place.mkdir()
        here, there = places
        a, b, c = (there if layout == "within" else here) / "a", there / "b", here / "c"
        ways = {
            "one": [(a, b)], "within": [(a, b)], "opposite": [(a, b), (b, a)], "same target": [(a, b), (c, b)],
            "same source": [(a, b), (a, c)], "chain": [(a, b), (b, c)],
        }[layout]  # fmt: skip
        plans, moves = list[api.PlanSpec](), list[Move]()
        for source, target in ways:
            operation = Operation.MOVE if rng.random() < 0.75 else Operation.COPY
            conflict = rng.choice(list(ConflictPolicy))
            plans.append(
                api.PlanSpec(
                    (api.SourceSpec(to_text(bytes(source))),), to_text(bytes(target)), operation=operation,
                    conflict=conflict, verify=rng.choice((VerifyLevel.HASH, VerifyLevel.HASH, VerifyLevel.READ_BACK)),
                    limits=Limits(io_ops_per_s=rng.choice((None, 1000.0))), workers=rng.choice((1, 2)),
                )
            )  # fmt: skip
            moves.append(Move(source, target, operation is Operation.MOVE, newer=conflict is ConflictPolicy.NEWER))
        roots = tuple(dict.fromkeys(root for way in ways for root in way))
        person = Person(roots, [target for _, target in ways], rng, spoils=slowed in _AT_DELETES)
        scene = Scene(tuple(moves), roots, person, plans)
        names = self._lay_out(scene, layout, rng)
        self._intend(scene, names, rng)
        return scene

    def _lay_out(self, scene: Scene, layout: str, rng: random.Random) -> list[bytes]:
        names = [b"d%d/f%02d" % (n % 4, n) for n in range(FILES)]
        past, person = time.time_ns() - 10**15, scene.person
        for source in dict.fromkeys(move.source for move in scene.moves):
            for n, name in enumerate(names):
                if source != scene.moves[0].source and layout in ("opposite", "chain") and n % 3:
                    continue  # little comes from there: most arrives while it runs
                if layout == "opposite" and source != scene.moves[0].source and n % 2:
                    self._earlier_copy(scene, name)
                    continue
                size = 300_000 if n % 12 == 5 else rng.randrange(100, 3000)
                person.lay_down(source, name, size, past + rng.randrange(10**12))
            for name in names[4::9]:
                linked = os.path.join(bytes(source), name + b".h")
                if os.path.lexists(os.path.join(bytes(source), name)):
                    os.link(os.path.join(bytes(source), name), linked)
                    person.knows(source, name + b".h")
        for target in {move.target for move in scene.moves} - {move.source for move in scene.moves}:
            target.mkdir(exist_ok=True)
            for name in rng.sample(names, len(names) // 5):
                person.lay_down(target, name, rng.randrange(100, 3000), past + rng.randrange(10**12))
        for move in scene.moves:
            scene.first[move.source] = {
                name: facts.digest for name, facts in entries(move.source).items() if facts.digest
            }
        return names

    def _earlier_copy(self, scene: Scene, name: bytes) -> None:
        """Both sides have it, as after a copy that kept times: what a careless migration takes for its own copy."""
        source, target = (os.path.join(bytes(root), name) for root in (scene.moves[0].source, scene.moves[0].target))
        os.makedirs(os.path.dirname(target), exist_ok=True)
        shutil.copy2(source, target)
        scene.person.knows(scene.moves[0].target, name)

    def _intend(self, scene: Scene, names: list[bytes], rng: random.Random) -> None:
        """Choose who does what, and when. Half of the names are left in peace."""
        for name in rng.sample(names, len(names) // 2):
            for _ in range(rng.choice((1, 1, 2, 3))):
                move, deed = rng.choice(scene.moves), rng.choices(list(_DEEDS), list(_DEEDS.values()))[0]
                root = move.source if rng.random() < 0.6 else move.target
                act: Callable[[Path, bytes], None] = getattr(scene.person, deed)
                ready = _ready(rng, scene, move, name)
                scene.deeds.append(Deed(ready, lambda act=act, root=root, name=name: act(root, name)))  # type: ignore[misc]
        for _ in range(rng.choice((0, 0, 1, 2, 3))):
            kill = rng.choice((self._kill_all, self._kill_daemon, self._kill_mover))
            scene.deeds.append(Deed(_after(scene, rng.randrange(20, 4000)), kill))

    def _start(self, scene: Scene) -> tuple[dict[str, Move], str]:
        executions, refused = dict[str, Move](), ""
        for plan, move in zip(scene.plans, scene.moves, strict=True):
            try:
                with Client(self._daemon.socket) as client:
                    params = api.StartParams(plan)
                    executions[client.call("execution.start", params, api.ExecutionView).id] = move
            except ClientError as e:
                refused = str(e)
        return executions, refused

    def _go_through(self, scene: Scene, executions: list[str]) -> list[Finding]:
        """Let the person act until all is over, resuming what can be resumed as its user would."""
        for round_ in range(_ROUNDS):
            found = self._act_until_the_end(scene, executions)
            if found:
                return found
            again = [id_ for id_ in executions if (v := look(self._daemon.socket, id_)) and v.state != "completed"]
            if not again or round_ == _ROUNDS - 1:
                break
            for id_ in again:
                resume(self._daemon.socket, id_)  # what cannot be resumed says so: that is an end too
        return []

    def _act_until_the_end(self, scene: Scene, executions: list[str]) -> list[Finding]:
        deadline, look_at = time.monotonic() + END_S, 0.0
        while True:
            scene.polls += 1
            for deed in [deed for deed in scene.deeds if deed.ready()]:
                scene.deeds.remove(deed)
                deed.act()
            for id_, helm in scene.helms.items():
                helm.look(id_)
            now = time.monotonic()
            if now < look_at:
                continue
            look_at = now + LOOK_S
            views = [look(self._daemon.socket, id_) for id_ in executions]
            if all(view is not None and view.state in ENDED for view in views):
                return []
            for view in views:
                # What is held by whoever steers is held until he has done all that he will.
                steered = view is not None and any(hold.intervention for hold in view.holds)
                if view is not None and (scene.helms[view.id].done if steered else view.state == "paused"):
                    resume(self._daemon.socket, view.id)
            if now > deadline:
                states = [f"{view.state} {view.why}" if view is not None else "no answer" for view in views]
                return [Finding(Harm.DIFFERENT, f"no end within {END_S:.0f} s: {states}")]

    def _told(self, scene: Scene, execution: str, move: Move) -> list[Finding]:
        found = misstated(self._daemon, execution) + scene.helms[execution].forgotten(self._daemon, execution)
        if len(scene.moves) > 1:
            return found
        view = look(self._daemon.socket, execution)
        journal = written(self._daemon.home / "state", execution)
        return found + told(
            scene.person, move, view.state if view is not None else "", journal, scene.first[move.source]
        )

    def _rolled_back(self, scene: Scene, execution: str) -> list[Finding]:
        """What can be is where it came from; everything that anybody had is somewhere all the same."""
        with Client(self._daemon.socket) as client:
            try:
                back = client.call("execution.rollback", RollbackParams(execution), api.ExecutionView).id
            except ClientError as e:
                view = look(self._daemon.socket, execution)
                if view is None or view.state == "failed" or not view.progress.done.entries:
                    return []
                return [Finding(Harm.DIFFERENT, f"rollback: {e}")]
        if ended(self._daemon.socket, back, END_S) is None:
            return [Finding(Harm.DIFFERENT, f"the rollback has no end: {look(self._daemon.socket, back)}")]
        journals = [written(self._daemon.home / "state", id_) for id_ in (execution, back)]
        found = kept(scene.person, scene.moves, scene.roots, journals) + misstated(self._daemon, back)
        return [Finding(f.harm, f"rolled back: {f.what}") for f in found]

    def _kill_all(self) -> None:
        self._daemon.kill(movers=True)
        self._daemon.start()

    def _kill_daemon(self) -> None:
        self._daemon.kill(movers=False)
        self._daemon.start()

    def _kill_mover(self) -> None:
        kill_all(self._daemon.movers()[:1])


def _bugs(log: str) -> list[Finding]:
    """What no daemon must ever log, each with the lines after it."""
    lines = log.splitlines()
    starts = [at for at, line in enumerate(lines) if any(bug in line for bug in _BUGS)]
    found = [" / ".join(lines[at : at + _BUG_LINES]) for at in starts]
    return [Finding(Harm.DIFFERENT, f"log: {text}") for text in found if _ORPHANED not in text]


def _ready(rng: random.Random, scene: Scene, move: Move, name: bytes) -> Ready:
    source, target = os.path.join(bytes(move.source), name), os.path.join(bytes(move.target), name)
    first_there = os.path.lexists(target)

    def arrived() -> bool:
        return os.path.lexists(target) != first_there

    def left() -> bool:
        return not os.path.lexists(source)

    def arriving() -> bool:
        with contextlib.suppress(OSError):
            return any(entry.startswith(TEMPORARY) for entry in os.listdir(os.path.dirname(target)))
        return False

    return rng.choice((arrived, arrived, left, arriving, _after(scene, rng.randrange(3000))))


def _after(scene: Scene, polls: int) -> Ready:
    return lambda: scene.polls >= polls


@contextlib.contextmanager
def laboratory(work: Path, kind: str, seed: int) -> Iterator[Interference]:
    """Make the disk and a daemon below `work`."""
    with ground(work, kind) as where, where.daemon(settings="[retries]\nattempts = 2\n") as daemon:
        yield Interference(where, daemon, seed)
