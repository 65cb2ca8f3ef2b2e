"""Where trees lie and go in trials at system calls: every way that a mover has of bringing a file over."""

from __future__ import annotations

import contextlib
import enum
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from driving import start
from forked import ForkedDaemon
from judge import Case, Finding, inodes, known
from loopfs import LoopFs, mounted
from migmond.domain.plan import Operation
from tracing import NOT_ITS_MOVERS, TracedMovers, attach, counts, detach
from trial import CONFIGURATION, brought_to_an_end, clear, lay_out, make_tree

FILES = 9
"""Few, so that all calls can be tried: they are the same for every further file."""


@dataclass(frozen=True)
class Route:
    """One of the ways.

    Attributes:
        within: source and target are on one file system (renames, reflinks); otherwise on two.
        into: the target directory is there already, so that no single rename does it.
    """

    operation: Operation
    within: bool
    into: bool = False

    def __str__(self) -> str:
        return f"{self.operation} {'within a' if self.within else 'to another'} file system{', into' * self.into}"


ROUTES = (
    Route(Operation.MOVE, within=False),
    Route(Operation.COPY, within=False),
    Route(Operation.MOVE, within=True),
    Route(Operation.MOVE, within=True, into=True),
    Route(Operation.COPY, within=True),
)


class Victim(enum.Enum):
    """Which process a fault hits. A migration with one worker starts a mover, then another one that scans."""

    MOVER = "mover"
    SCANNER = "scanner"
    DAEMON = "daemon"

    @property
    def arrival(self) -> int:
        return 1 if self is Victim.SCANNER else 0


class Ground:
    """A small tree, a disk, and a daemon whose movers can be put under strace.

    Args:
        disk: where targets lie.
        work: a directory on another file system.
    """

    def __init__(self, disk: LoopFs, work: Path) -> None:
        self.disk = disk
        self.work = work
        self.movers = TracedMovers(work / "movers")
        self.pristine = work / "pristine"
        make_tree(self.pristine, 1, files=FILES, large=1)
        self._known = known(self.pristine)

    @contextlib.contextmanager
    def daemon(self, name: str = "home", settings: str = "") -> Iterator[ForkedDaemon]:
        """A daemon with a journal of its own, for one or many trials; `settings` come on top of what trials need."""
        home = self.work / name
        try:
            with ForkedDaemon(home, CONFIGURATION + settings, self.movers.interpreter) as daemon:
                yield daemon
        finally:
            clear(home)

    @contextlib.contextmanager
    def laid_out(self, route: Route) -> Iterator[Case]:
        """The tree at its source."""
        source, target = (self.disk.root if route.within else self.work) / "source", self.disk.root / "target"
        lay_out(self.pristine, source)
        if route.into:
            target.mkdir()
        try:
            yield Case(self.pristine, self._known, source, target, route.operation is Operation.MOVE, inodes(source))
        finally:
            self.movers.cancel()
            clear(source, target)

    def calls(self, victim: Victim, route: Route) -> dict[str, int]:
        """Run once without faults and count the system calls of `victim` (see `tracing.counts`).

        Raises:
            RuntimeError: it went wrong without any fault.
        """
        with self.daemon("counted") as daemon, self.laid_out(route) as case:
            output = self.work / "output"
            if victim is Victim.DAEMON:
                tracer = attach(daemon.pid, output, *NOT_ITS_MOVERS)
            else:
                self.movers.order(arrival=victim.arrival)
            execution = start(daemon.socket, case.source, case.target, route.operation, workers=1)
            found: list[Finding] = brought_to_an_end(daemon, execution, case)
            if victim is Victim.DAEMON:
                detach(tracer)
            if found:
                raise RuntimeError(f"without a fault, {route}: {'; '.join(map(str, found[:5]))}")
            return counts(output.read_text(errors="replace") if victim is Victim.DAEMON else self.movers.output())


@contextlib.contextmanager
def ground(work: Path, kind: str) -> Iterator[Ground]:
    """Make the disk and the tree below `work`."""
    work.mkdir(parents=True, exist_ok=True)
    with mounted(work / "disk", kind) as disk:
        yield Ground(disk, work)
