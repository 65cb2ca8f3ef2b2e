"""Torn writes: a disk that has lost any of the sectors that were not flushed, and has others in any order.

A migration runs once, on two disks that note every write and every flush in one log (loop devices on `sickfs`). Each
moment of that log is a power cut, and each choice among the writes that no flush covers is another disk that may be
found afterwards, so one run serves many trials. In a trial the disks of one moment are mounted, judged, and given to a
daemon, which brings the migration to its end.

The other disk is mounted so that every change of names is flushed at once: what has happened there is on it in every
later image. Some trials tear it too, as when the machine loses power; in others it keeps its own.
"""

from __future__ import annotations

import contextlib
import random
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from driving import ended, look, start
from forked import ForkedDaemon
from frozen import Meddle, untouched
from judge import Case, Finding, Harm, at_the_end, at_the_fault, inodes, known
from loopfs import LoopFs, make_image, mounted_image
from migmond.domain.plan import Operation
from power_cut import AFTER_THE_END, LAYOUTS, Layout
from sickfs import sick_fs
from torn_image import SECTOR_SIZES, copied, exposed, intact, torn
from trial import CONFIGURATION, Trial, brought_to_an_end, clear, lay_out, make_tree
from write_log import Event, read
from written import written

TRIALS_OF_A_RUN = 10
"""Then the layout is run again: runs differ in what is written when."""

_RUN_S = 120.0
_AT_ONCE = 0.3
"""So often the cut comes in the very moment when a migration is accepted or said to be complete, if it can do harm."""

_OPTIONS = {"xfs": "nouuid"}
"""All images have one UUID, and the kernel may not have forgotten the last one yet."""


@dataclass(frozen=True)
class Run:
    """A migration as its disks saw it.

    Attributes:
        execution: its id.
        events: of both disks.
        accepted: how many events there were when the daemon had accepted it.
        completed: and when it had said that it was complete.
    """

    execution: str
    events: list[Event]
    accepted: int
    completed: int


@dataclass(frozen=True)
class Disk:
    """One of the two.

    Attributes:
        logged: its image on the file system that keeps the log.
        options: of its mount while it is logged.
    """

    fs: LoopFs
    logged: str
    options: str = ""

    def base(self, *, source: bool) -> Path:
        """Its image before a migration, with the source on it or without."""
        return self.fs.image.with_suffix(".full" if source else ".empty")


class TornWrites:
    """A laboratory for one kind of file system. Made by `laboratory`.

    Args:
        work: a directory for everything, best in memory.
        kind: of the disk that is torn.
        seed: decides the moment of every cut and what is lost by it.
        files: how many small files are migrated.

    Attributes:
        meddle: for controls.
    """

    def __init__(self, work: Path, kind: str, seed: int, files: int) -> None:
        self._work = work
        self._seed = seed
        self._pristine = work / "pristine"
        make_tree(self._pristine, 1, files=files)
        self._known = known(self._pristine)
        self._inodes: dict[Path, dict[bytes, int]] = {}
        self._disk = Disk(LoopFs(work / "disk", work / "disk.img", kind, _OPTIONS.get(kind, "")), "/disk.img")
        self._other = Disk(LoopFs(work / "other", work / "other.img", "ext4"), "/other.img", "dirsync")
        for disk in (self._disk, self._other):
            self._make_bases(disk)
        self._runs: dict[Layout, tuple[Run, int]] = {}
        self.meddle: Meddle = untouched

    def trial(self, number: int) -> Trial:
        """Judge one of the disks that may be found after one moment of a run.

        Args:
            number: decides what lies on the disk, and whether the cut comes after the end.
        """
        began, rng = time.monotonic(), random.Random(f"{self._seed} {number}")
        layout = LAYOUTS[number % len(LAYOUTS)]
        run, left = self._runs.get(layout, (None, 0))
        if run is None or not left:
            run, left = self.run(layout), TRIALS_OF_A_RUN
        self._runs[layout] = run, left - 1
        at, tear_other = self._moment(run, rng, late=number % AFTER_THE_END == 0)
        return replace(self.cut(layout, run, at, rng, tear_other=tear_other), seconds=time.monotonic() - began)

    def _moment(self, run: Run, rng: random.Random, *, late: bool) -> tuple[int, bool]:
        """When power fails, and whether for the other disk too: a moment when there is something to lose."""
        first, last = (run.completed, len(run.events)) if late else (run.accepted, run.completed)
        for disk in (self._disk, self._other):
            moments = [at for at in exposed(run.events, disk.logged) if first <= at <= last]
            if moments:
                at = first if first in moments and rng.random() < _AT_ONCE else rng.choice(moments)
                return at, disk is self._other or rng.random() < 0.5
        return last, True

    def run(self, layout: Layout) -> Run:
        """Migrate undisturbed, with everything logged.

        Raises:
            RuntimeError: it went wrong without any fault; says how.
        """
        place, log = self._work / "logged", self._work / "log"
        try:
            with sick_fs(place, log=log) as sick, contextlib.ExitStack() as mounts:
                for disk in (self._disk, self._other):
                    name = disk.logged.removeprefix("/")
                    copied(self._base(disk, layout), sick.backing / name)
                    options = ",".join(filter(None, (disk.fs.options, disk.options)))
                    fs = replace(disk.fs, image=sick.root / name, options=options)
                    mounts.enter_context(mounted_image(fs))
                    mounts.callback(fs.unmount)
                case = self._case(layout)
                with self._daemon(layout) as daemon:
                    execution = start(daemon.socket, case.source, case.target, layout.operation)
                    accepted = sick.note("accepted")
                    ended(daemon.socket, execution, _RUN_S)
                    completed = sick.note("completed")
                    found = brought_to_an_end(daemon, execution, case)
            if found:
                raise RuntimeError(f"without a cut, {layout}: {'; '.join(map(str, found[:5]))}")
            return Run(execution, read(log), accepted, completed)
        finally:
            clear(place)
            log.unlink(missing_ok=True)

    def cut(
        self, layout: Layout, run: Run, at: int, rng: random.Random, *, tear_other: bool, other_at: int | None = None
    ) -> Trial:
        """Make disks as they may be found when power failed at an event, and judge.

        Args:
            at: how many events there were.
            rng: decides what of them is lost.
            tear_other: whether the other disk loses power too.
            other_at: for controls: another moment for the other disk. What has happened then was never true at once.
        """
        sector_bytes, complete = rng.choice(SECTOR_SIZES), at >= run.completed
        damages = []
        for disk, until in ((self._disk, at), (self._other, at if other_at is None else other_at)):
            base, events = self._base(disk, layout), run.events[:until]
            if disk is self._disk or tear_other:
                damages.append(torn(base, disk.fs.image, events, disk.logged, rng, sector_bytes))
            else:
                intact(base, disk.fs.image, events, disk.logged)
        what = (
            f"{self._disk.fs.kind}: power cut at event {at:,} of {len(run.events):,},"
            f" {'; other disk: '.join(map(str, damages))}, sectors of {sector_bytes} bytes"
            f" ({layout}; {'completed' if complete else 'running'})"
        )
        with contextlib.ExitStack() as mounts:
            for disk in (self._disk, self._other):
                try:
                    mounts.enter_context(mounted_image(disk.fs))
                except subprocess.CalledProcessError as e:
                    why = e.stderr.splitlines()[0].strip()
                    return Trial(what, False, remark=f"no {disk.fs.kind} any more, whatever was on it: {why}")
                mounts.callback(disk.fs.unmount)
            found = self._judged(layout, run, complete=complete)
        return Trial(what, any(damage.any for damage in damages), found)

    def _judged(self, layout: Layout, run: Run, *, complete: bool) -> list[Finding]:
        case = self._case(layout)
        try:
            states = written(self._root(layout.journal) / "state", run.execution).states()
        except sqlite3.DatabaseError as e:
            return [Finding(Harm.CORRUPT, f"the journal: {e}")]
        self.meddle(case, states)
        found = at_the_fault(case, states)
        if complete:
            found += at_the_end(case)
        try:
            with self._daemon(layout) as daemon:
                if look(daemon.socket, run.execution) is None:
                    found.append(Finding(Harm.LOST, "the journal has lost an execution that was acknowledged"))
                else:
                    found += brought_to_an_end(daemon, run.execution, case)
        except RuntimeError as e:
            found.append(Finding(Harm.DIFFERENT, f"{e}"))
        return found

    def _case(self, layout: Layout) -> Case:
        source, target = self._root(layout.source) / "source", self._root(layout.target) / "target"
        move = layout.operation is Operation.MOVE
        return Case(self._pristine, self._known, source, target, move, self._inodes[source])

    def _root(self, on_it: bool) -> Path:
        return (self._disk if on_it else self._other).fs.root

    def _base(self, disk: Disk, layout: Layout) -> Path:
        return disk.base(source=layout.source is (disk is self._disk))

    def _make_bases(self, disk: Disk) -> None:
        fs = disk.fs
        make_image(fs.image, fs.kind)
        with mounted_image(fs):
            (fs.root / "state").mkdir()
            fs.unmount()
        copied(fs.image, disk.base(source=False))
        with mounted_image(fs):
            source = fs.root / "source"
            lay_out(self._pristine, source)
            self._inodes[source] = inodes(source)
            fs.unmount()
        copied(fs.image, disk.base(source=True))

    @contextlib.contextmanager
    def _daemon(self, layout: Layout) -> Iterator[ForkedDaemon]:
        home = self._work / "home"
        try:
            home.mkdir()
            (home / "state").symlink_to(self._root(layout.journal) / "state")
            with ForkedDaemon(home, CONFIGURATION) as daemon:
                yield daemon
        finally:
            clear(home)


@contextlib.contextmanager
def laboratory(work: Path, kind: str, seed: int, files: int = 90) -> Iterator[TornWrites]:
    """Make the disks and the tree below `work`."""
    work.mkdir(parents=True, exist_ok=True)
    yield TornWrites(work, kind, seed, files)
    clear(work)
