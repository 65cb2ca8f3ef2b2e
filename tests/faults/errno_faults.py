"""Every errno at every system call that a mover makes on people's files: the first, one in the middle, or all of them.

Whatever fails, the migration says so and no file suffers; when the fault is gone, resuming it completes it.
"""

from __future__ import annotations

import contextlib
import enum
import itertools
import random
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from driving import ENDED, ended, failures, imperfect, resume, start
from forked import ForkedDaemon
from frozen import Meddle, judged, untouched
from judge import Case, Finding, Harm, at_the_fault
from migmond.client.errors import ClientError
from migmond.domain.api import (
    ExecutionView,
)
from routes import ROUTES, Ground, Route, Victim, ground
from steersman import Helm, Helms, unsteered
from tracing import fail_at
from trial import Trial, miscounted

ERRORS = ("EIO", "ENOSPC", "EDQUOT", "EROFS", "ESTALE", "EINTR", "EXDEV", "EPERM", "EACCES", "ENAMETOOLONG")

CALLS = frozenset({
    "close", "copy_file_range", "fadvise64", "fallocate", "fchmod", "fchmodat", "fchown", "fchownat", "fcntl",
    "fdatasync", "fgetxattr", "flistxattr", "fsetxattr", "fstat", "fstatfs", "fsync", "ftruncate", "getdents64",
    "getxattr", "ioctl", "lgetxattr", "linkat", "listxattr", "llistxattr", "lseek", "lsetxattr", "mkdir", "mkdirat",
    "mknodat", "newfstatat", "openat", "openat2", "pread64", "preadv2", "pwrite64", "pwritev2", "read", "readlink",
    "readlinkat", "renameat2", "rmdir", "sendfile", "setxattr", "statx", "symlinkat", "syncfs", "unlinkat", "utimensat",
    "write",
})  # fmt: skip
"""Calls on files. Those of them that no route makes are not tried."""

SETTINGS = "[retries]\nattempts = 2\n"
"""A fault that stays is given up soon."""

_INTERRUPTIONS = 20
"""EINTR that never ends would be tried again for ever, by Python itself."""

_SETTLE_S = 15.0
_BUG = "met a bug"


class Moment(enum.Enum):
    """Which of a thread's calls fail."""

    FIRST = "the first"
    MIDDLE = "one in the middle"
    REST = "all from the middle on"
    ALL = "all"


@dataclass(frozen=True)
class Fault:
    """`call` of `victim` fails with `error`; `when` as strace has it."""

    victim: Victim
    route: Route
    call: str
    error: str
    when: str

    def __str__(self) -> str:
        return f"{self.victim.value}: {self.error} at {self.call} {self.when} ({self.route})"


class ErrnoFaults:
    """A laboratory. Made by `laboratory`.

    Attributes:
        ground: where it works.
        faults: every fault there is, in the order of trials.
        meddle: for controls.
        helms: who steers.
    """

    def __init__(self, where: Ground, daemon: ForkedDaemon) -> None:
        self.ground = where
        self.faults: list[Fault] = []
        self.meddle: Meddle = untouched
        self.helms: Helms = unsteered
        self._daemon = daemon

    def trial(self, number: int) -> Trial:
        """Try the fault of that number."""
        return self.provoke(self.faults[number % len(self.faults)], number)

    def provoke(self, fault: Fault, number: int = 0) -> Trial:
        """Run with a fault until the migration ends, is held, or does not get on; then without. `number`: of the trial,
        by which it is steered."""
        began, helm = time.monotonic(), self.helms(self._daemon.socket, number)
        movers, log = self.ground.movers, len(self._daemon.log())
        with self.ground.laid_out(fault.route) as case:
            movers.order(*fail_at(fault.call, fault.error, fault.when), arrival=fault.victim.arrival)
            try:
                execution = self._start(fault, case, helm)
            except ClientError as e:
                found = at_the_fault(case, {}) if str(e) else [Finding(Harm.DIFFERENT, "refused without a reason")]
                movers.cancel()
                execution = self._start(fault, case, helm)
            else:
                found = self._look(execution, case, helm)
                movers.detach()
                movers.cancel()
            found += helm.to_the_end(self._daemon, execution, case)
            declared = imperfect(self._daemon.socket, execution)
            found = [f for f in found if f.harm is not Harm.DIFFERENT or not any(name in f.what for name in declared)]
            hit = "(INJECTED)" in movers.output()
        found += [Finding(Harm.DIFFERENT, line) for line in self._daemon.log()[log:].splitlines() if _BUG in line]
        return Trial(f"{fault}{helm}", hit, found, time.monotonic() - began)

    def _start(self, fault: Fault, case: Case, helm: Helm) -> str:
        operation = fault.route.operation
        return start(self._daemon.socket, case.source, case.target, operation, workers=1, limits=helm.limits)

    def _look(self, execution: str, case: Case, helm: Helm) -> list[Finding]:
        view = ended(self._daemon.socket, execution, _SETTLE_S, {*ENDED, "paused"}, helm.look)
        found = judged(self._daemon, execution, case, self.meddle)
        if view is not None:
            found += miscounted(view)
        asked_for = view is not None and (
            view.state in ("cancelled", "drained") or any(h.intervention for h in view.holds)
        )
        if view is not None and view.state != "completed" and not asked_for and not self._reason(view):
            found.append(Finding(Harm.DIFFERENT, f"it is {view.state} and does not say why"))
        if view is not None and view.state == "paused":
            resume(self._daemon.socket, execution)  # it may have lifted its hold by itself meanwhile
        return found

    def _reason(self, view: ExecutionView) -> str:
        return view.why or "".join(failures(self._daemon.socket, view.id))


@contextlib.contextmanager
def laboratory(work: Path, kind: str, seed: int) -> Iterator[ErrnoFaults]:
    """Make disk, tree and daemon below `work`, and see which calls there are on which routes.

    There is one fault for every process, call, error and moment. Of the routes with that call, the seed chooses one.
    """
    with prepared(work, kind) as ready:
        where, rng, faults = ready.ground, random.Random(seed), ready.faults
        for victim in (Victim.MOVER, Victim.SCANNER):
            counts = {route: where.calls(victim, route) for route in ROUTES}
            for call in sorted(CALLS & set().union(*counts.values())):
                routes = [route for route in ROUTES if call in counts[route]]
                for error, moment in itertools.product(ERRORS, Moment):
                    route = rng.choice(routes)
                    faults.append(Fault(victim, route, call, error, _when(moment, counts[route][call], error)))
        rng.shuffle(faults)
        yield ready


@contextlib.contextmanager
def prepared(work: Path, kind: str) -> Iterator[ErrnoFaults]:
    """The same without looking for calls: there are no faults yet but those that are provoked by name."""
    with ground(work, kind) as where, where.daemon(settings=SETTINGS) as daemon:
        yield ErrnoFaults(where, daemon)


def _when(moment: Moment, count: int, error: str) -> str:
    first = 1 if moment in (Moment.FIRST, Moment.ALL) else count // 2 + 1
    if moment in (Moment.FIRST, Moment.MIDDLE):
        return str(first)
    return f"{first}..{first + _INTERRUPTIONS}" if error == "EINTR" else f"{first}+"
