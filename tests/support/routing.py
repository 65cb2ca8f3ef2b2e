"""Executions that are sent to two places, and what has to be at each of them in the end."""

from __future__ import annotations

import os
from pathlib import Path

from engine_harness import Laboratory
from migmond.domain.execution import Execution
from migmond.domain.intervention import Intervention
from migmond.domain.selector import Selector
from migmond.domain.states import TaskState
from migmond.domain.steering import Route, Throttle
from steering import change

FAST = Throttle(io_ops_per_s=None)
TEXTS = Selector(include=("*.txt",))
EVERYTHING = Selector()


def make(source: Path, count: int = 700) -> None:
    """Make a tree: directories with files of both kinds, one with texts only, an empty one, and names of one file. One
    mover has 400 entries in hand at most."""
    for directory, mode in (("both/below", 0o750), ("texts", 0o711), ("empty", 0o700)):
        (source / directory).mkdir(parents=True)
        (source / directory).chmod(mode)
    for i in range(count):
        name = f"{i:03}{'.txt' if i % 3 == 0 or i % 4 == 1 else '.bin'}"
        (source / ("both", "texts", "both/below", ".")[i % 4] / name).write_bytes(b"%d" % i * (i + 1))
    os.link(source / "both" / "000.txt", source / "both" / "link.bin")
    os.link(source / "both" / "004.bin", source / "both" / "below" / "link.bin")


def files(root: Path) -> dict[str, bytes]:
    """Return the content of every file below a directory by its path there; nothing when there is none."""
    return {str(p.relative_to(root)): p.read_bytes() for p in root.rglob("*") if p.is_file()}


def route(destination: Path, selector: Selector = TEXTS) -> Route:
    return Route(selector, bytes(destination))


async def rerouted(
    lab: Laboratory, execution: Execution, destination: Path, selector: Selector = TEXTS
) -> Intervention:
    """Change the route of an execution, and let it go on as fast as it can."""
    record = await change(lab, execution, route(destination, selector))
    await change(lab, execution, FAST)
    return record


async def whereabouts(lab: Laboratory, done: Execution) -> dict[str, bytes]:
    """Return to which destination each entry that is done went, by its path below the only source."""
    tasks = {t.number: t for t in await lab.journal.tasks(done.key, limit=100_000)}
    places = await lab.journal.places(done.key, list(tasks))
    sent = await lab.journal.sent_to(done.key, list(tasks))
    paths = [done.plan.destination, *(d.path for d in done.further)]
    found = {}
    for number, task in tasks.items():
        if task.state is TaskState.DONE and task.directory:
            path = os.path.join(places[task.directory].path, task.target_name or task.name)
            found[os.fsdecode(path)] = paths[sent.get(number, 0)]
    return found
