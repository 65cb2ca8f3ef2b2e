"""Power cuts: the file system is shut down under a migration, everything is killed, mounted and started again.

`FS_IOC_SHUTDOWN` without a log flush is what a power cut is to a file system: what it had not made durable is gone.
Where a driver does not have it, the device fails (`power_disk`). Cuts land anywhere in a run, and at the moment when
the daemon has just said "completed".
"""

from __future__ import annotations

import contextlib
import itertools
import random
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from driving import NO_LIMITS, ended, look, start
from forked import ForkedDaemon
from frozen import Meddle, untouched
from judge import Case, Finding, Harm, at_the_fault, inodes, known
from loopfs import LoopFs
from migmond.domain.plan import Operation
from power_disk import power_disk
from steersman import Helms, unsteered
from trial import CONFIGURATION, Trial, brought_to_an_end, clear, lay_out, made_durable, make_tree
from written import written

AFTER_THE_END = 4
"""Each so-many-th cut comes when the migration has been reported as complete."""

_AFTERWARDS_S = 0.05


@dataclass(frozen=True)
class Layout:
    """What lies on the file system that loses power."""

    source: bool
    target: bool
    journal: bool
    operation: Operation

    def __str__(self) -> str:
        on = [name for name in ("source", "target", "journal") if getattr(self, name)]
        return f"{self.operation}, {' and '.join(on)} on it"


LAYOUTS = tuple(
    Layout(source, target, journal, operation)
    for operation, (source, target), journal in itertools.product(
        Operation, ((False, True), (True, False), (True, True)), (False, True)
    )
    if not (source and target and operation is Operation.COPY and journal)
)


class PowerCuts:
    """A laboratory for one kind of file system. Made by `laboratory`.

    Args:
        disk: the file system that loses power.
        work: a directory on another file system.
        seed: decides the moment of every cut.
        files: how many small files are migrated.

    Attributes:
        meddle: for controls.
        helms: who steers; then no cut waits for the end.
    """

    def __init__(self, disk: LoopFs, work: Path, seed: int, files: int) -> None:
        self._disk = disk
        self._work = work
        self._seed = seed
        self._pristine = work / "pristine"
        make_tree(self._pristine, 1, files=files)
        self._known = known(self._pristine)
        self._durations: dict[Layout, float] = {}
        self.meddle: Meddle = untouched
        self.helms: Helms = unsteered

    def trial(self, number: int) -> Trial:
        """Cut once and judge. One number after the other goes through all layouts and kinds of moments.

        Args:
            number: decides what lies on the disk, and whether the cut comes after the end.
        """
        began, rng = time.monotonic(), random.Random(f"{self._seed} {number}")
        layout = LAYOUTS[number % len(LAYOUTS)]
        if layout not in self._durations:
            self._measure(layout)
        at_s, after_s = rng.uniform(0, self._durations[layout] * 1.05), None
        steered = bool(self.helms("", number).limits != NO_LIMITS)
        if number % AFTER_THE_END == 0 and not steered:
            after_s = rng.choice((0.0, rng.uniform(0, _AFTERWARDS_S)))
        with self._ready(layout) as (daemon, case):
            helm = self.helms(daemon.socket, number)
            execution = start(daemon.socket, case.source, case.target, layout.operation, limits=helm.limits)
            if after_s is None:
                helm.steer_for(execution, at_s)
                moment = f"{at_s * 1000:.0f} ms after its start"
            else:
                ended(daemon.socket, execution, 60)
                time.sleep(after_s)
                moment = f"{after_s * 1000:.0f} ms after its end"
            view = look(daemon.socket, execution)
            self._disk.shut_down()
            daemon.kill(movers=True)
            self._disk.mount_again()
            completed = view is not None and view.state == "completed"
            journal = written(daemon.home / "state", execution)
            self.meddle(case, journal.states())
            found = at_the_fault(case, journal.states())
            if completed:
                found += helm.at_the_end(case, journal)
            daemon.start()
            if look(daemon.socket, execution) is None:
                found.append(Finding(Harm.LOST, "the journal has lost an execution that was acknowledged"))
            else:
                found += helm.to_the_end(daemon, execution, case)
        what = f"{self._disk.kind}: power cut {moment} ({layout}; {'completed' if completed else 'running'}){helm}"
        return Trial(what, True, found, time.monotonic() - began)

    def _measure(self, layout: Layout) -> None:
        with self._ready(layout) as (daemon, case):
            began, limits = time.monotonic(), self.helms(daemon.socket, 0).limits
            execution = start(daemon.socket, case.source, case.target, layout.operation, limits=limits)
            ended(daemon.socket, execution, 60)
            self._durations[layout] = time.monotonic() - began
            found = brought_to_an_end(daemon, execution, case)
        if found:
            raise RuntimeError(f"without a cut, {layout}: {'; '.join(map(str, found[:5]))}")

    @contextlib.contextmanager
    def _ready(self, layout: Layout) -> Iterator[tuple[ForkedDaemon, Case]]:
        disk, work = self._disk.root, self._work
        source = (disk if layout.source else work) / "source"
        target = (disk if layout.target else work) / "target"
        home, state = work / "home", (disk if layout.journal else work) / "state"
        try:
            lay_out(self._pristine, source)
            state.mkdir()
            home.mkdir()
            (home / "state").symlink_to(state)
            with ForkedDaemon(home, CONFIGURATION) as daemon:
                move = layout.operation is Operation.MOVE
                yield daemon, Case(self._pristine, self._known, source, target, move, inodes(source))
        finally:
            clear(source, target, home, state)
            made_durable(disk)  # or the next cut brings it back


@contextlib.contextmanager
def laboratory(work: Path, kind: str, seed: int, files: int = 90) -> Iterator[PowerCuts]:
    """Make the disk and the tree below `work`."""
    work.mkdir(parents=True, exist_ok=True)
    with power_disk(work / "disk", kind) as disk:
        yield PowerCuts(disk, work, seed, files)
