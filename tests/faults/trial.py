"""What all trials share: the tree that is migrated, how it gets to its source, and how a run is brought to its end."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path

import trees
from books import misstated
from daemon import EmbeddedDaemon
from driving import ENDED, LOOK_S, failures, look, resume
from judge import Case, Finding, Harm, at_the_end
from migmond.domain.api import (
    ExecutionView,
)

CONFIGURATION = "[movers]\nretry_held = '1s'\nrestart_limit = 50\nspare = 0\n"
"""Holds lift themselves soon, and a mover may die often: trials are short. None is kept ready: which mover comes when,
and what the daemon calls, are the same in every run."""

END_S = 120.0
MAX_RESUMES = 4
_RUN_ON = ("completed_with_errors", "failed", "drained")


@dataclass(frozen=True)
class Trial:
    """How one trial went.

    Attributes:
        what: the fault, for people and for repeating it.
        hit: it struck a migration at work; otherwise it proves nothing.
        seconds: how long it took.
        remark: what people should read even where nothing was harmed.
    """

    what: str
    hit: bool
    findings: list[Finding] = field(default_factory=list)
    seconds: float = 0.0
    remark: str = ""


def make_tree(root: Path, seed: int, *, files: int, large: int = 2) -> None:
    """Make a tree with everything in it that matters to a fault, quick to copy and to compare.

    Args:
        files: how many plain small files; other kinds come on top.
        large: how many of a megabyte.
    """
    rng = random.Random(seed)
    trees.small_files(root / "small", files, 1500, rng, per_directory=max(1, files // 3))
    if large:
        trees.large_files(root / "large", large, 1_300_000, rng)
    trees.random_tree(root / "mixed", rng, max(8, files // 4))
    trees.sparse_file(root / "sparse", 200_000, rng)
    for number in range(2):
        (root / f"linked-{number}").write_bytes(rng.randbytes(5000))
        os.link(root / f"linked-{number}", root / "small" / f"name-{number}")
    (root / "link").symlink_to("sparse")
    os.mkfifo(root / "fifo")
    (root / "given away").write_bytes(b"somebody's")
    os.chown(root / "given away", 1234, 5678)
    os.setxattr(root / "given away", "user.note", b"kept")
    (root / "empty").mkdir()


def lay_out(pristine: Path, source: Path) -> None:
    """Make `source` a durable copy of `pristine`.

    Raises:
        RuntimeError: it cannot be made; says why.
    """
    _run("cp", "-aT", "--", str(pristine), str(source))
    made_durable(source)


def made_durable(place: Path) -> None:
    """Write everything of the file system of `place` to its disk."""
    _run("sync", "-f", str(place))


def _run(*command: str) -> None:
    done = subprocess.run(command, check=False, capture_output=True)
    if done.returncode:
        raise RuntimeError(f"{command[0]}: {done.stderr.decode(errors='replace')[:1000]}")


def clear(*places: Path) -> None:
    """Remove what a trial left, whatever it is."""
    for place in places:
        shutil.rmtree(place, ignore_errors=True)


def brought_to_an_end(daemon: EmbeddedDaemon, execution: str, case: Case) -> list[Finding]:
    """Let a migration go on without faults, resuming it as its user would, and judge the result."""
    deadline, resumes = time.monotonic() + END_S, 0
    while True:
        view = look(daemon.socket, execution)
        if view is not None and view.state in ENDED:
            if view.state not in _RUN_ON or resumes == MAX_RESUMES:
                break
            resumes += 1
            why = resume(daemon.socket, execution)
            if why:
                return [Finding(Harm.DIFFERENT, f"it is {view.state} ({view.why}) and cannot be resumed: {why}")]
        elif view is not None and any(hold.until is None for hold in view.holds) and resumes < MAX_RESUMES:
            resumes += 1  # as the hold says: the disk is there again
            resume(daemon.socket, execution)
        elif time.monotonic() > deadline:
            state = "no answer" if view is None else f"{view.state} {view.why}"
            return [Finding(Harm.DIFFERENT, f"no end within {END_S:.0f} s: {state}"), *_log(daemon)]
        time.sleep(LOOK_S)
    found = at_the_end(case) + miscounted(view) + misstated(daemon, execution, case)
    if view.state != "completed":
        found.append(Finding(Harm.DIFFERENT, f"it ended as {view.state}: {view.why}"))
        found += [Finding(Harm.DIFFERENT, line) for line in failures(daemon.socket, execution)[:5]]
    return found


def miscounted(view: ExecutionView) -> list[Finding]:
    """Every entry is counted once: as done, failed, skipped or cancelled, or as still to be done."""
    told = view.progress
    parts = {"done": told.done, "failed": told.failed, "skipped": told.skipped, "cancelled": told.cancelled}
    counts = {name: part.entries for name, part in parts.items()}
    sizes = {name: part.bytes for name, part in parts.items()}
    wrong = min(*counts.values(), *sizes.values()) < 0
    wrong |= sum(counts.values()) > told.planned.entries or sum(sizes.values()) > told.planned.bytes
    return [Finding(Harm.DIFFERENT, f"of {told.planned.entries} entries: {counts}, bytes {sizes}")] if wrong else []


def _log(daemon: EmbeddedDaemon) -> list[Finding]:
    return [Finding(Harm.DIFFERENT, f"log: {line}") for line in daemon.log().splitlines()[-15:]]
