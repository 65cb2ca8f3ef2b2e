"""What the movers of an execution may do: kept in the page that all of them draw from (`wire.budget`)."""

from __future__ import annotations

import contextlib
import fcntl
import mmap
import os
import time

from migmond.domain.errors import MoverError
from migmond.engine.process import MoverProcess
from migmond.fsys.control_groups import ControlGroups, Group
from migmond.planning.allowances import Allowance
from migmond.wire.budget import BUDGET_BYTES, OPERATION, Bucket, Kind, renewed

BURST_S = 0.03
"""So much of what is allowed is kept when nobody takes it: a mover that was not scheduled for a moment catches up. With
the pieces it is 2.5 % of two seconds: in no stretch of that length more than 3 % too much is done."""

PIECES_S = 0.02
"""What all threads of all movers may have in hand together, in time: each waits only after it has moved its piece."""

CPU_BURST_S = 0.1
"""Of ten seconds that is one point."""

LEAST_PIECE_BYTES, MOST_PIECE_BYTES = 1024, 1 << 20
_PAGE_BYTES = 4096


class Limiter:
    """Owns the page and the control group of one execution, from the first mover that is admitted until it is closed.

    Attributes:
        allowance: what holds now.
        kernel: a control group keeps the limits of processor time and memory. Without it the movers keep the first of
            them by themselves, and the second says how many movers there are (`engine.turns.crew_size`).

    Args:
        groups: makes control groups, None where there are none.
        name: of the group.
    """

    def __init__(self, groups: ControlGroups | None, name: str) -> None:
        self._groups = groups
        self._name = name
        self._group: Group | None = None
        self._fd = -1
        self._memory: mmap.mmap | None = None
        self._buckets: tuple[Bucket, ...] = ()
        self._threads = 1
        self.allowance = Allowance()

    def close(self) -> None:
        """Let go of the page; movers that have it keep it. What is allowed from now on nobody hears of."""
        buckets, self._buckets = self._buckets, ()
        for bucket in buckets:
            bucket.close()
        if self._memory is not None:
            self._memory.close()
            os.close(self._fd)
        self._memory = None
        if self._group is not None:
            self._group.remove()
        self._group = self._groups = None

    @property
    def kernel(self) -> bool:
        return self._group is not None

    async def admit(self, process: MoverProcess) -> None:
        """Let a mover draw from it: before it is given anything to do.

        Raises:
            MoverError: it is gone, or there is no page to be had.
        """
        try:
            fd = self.page()
        except OSError as e:  # too many open files among them
            raise MoverError(f"a mover cannot be limited: {e.strerror}", errno=e.errno) from e
        self._contain(process.pid)
        await process.join(fd)

    def _contain(self, pid: int) -> None:
        """Put a mover into the control group. Where that fails the movers keep to their limits themselves."""
        try:
            if self._group is None and self._groups is not None:
                self._group = self._groups.group(self._name)
                self._group.limit(self.allowance.cpu_percent, self.allowance.memory_bytes)
            if self._group is not None:
                self._group.add(pid)
        except OSError:
            self._no_group()
        if self._buckets:
            self._tell_cpu()

    def _no_group(self) -> None:
        group, self._group, self._groups = self._group, None, None
        if group is not None:
            with contextlib.suppress(OSError):  # what is in it already is not to be limited twice
                group.limit(None, None)

    def page(self) -> int:
        """Return the page's descriptor, which stays the limiter's. Raises OSError when there is none to be had."""
        if self._memory is None:
            self._open()
        return self._fd

    def _open(self) -> None:
        fd = os.memfd_create("migmond-budget", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        try:
            os.ftruncate(fd, BUDGET_BYTES)
            # A user's mover has it as well: nobody may take away the memory under the daemon.
            fcntl.fcntl(fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL)
            memory = mmap.mmap(fd, BUDGET_BYTES)
        except BaseException:
            os.close(fd)
            raise
        self._fd, self._memory = fd, memory
        self._buckets = tuple(Bucket(memory, kind) for kind in Kind)
        self._tell_all()

    def taken(self, kind: Kind) -> int:
        """Return how much movers have taken while it was limited: of what, and in which unit, see `wire.budget`."""
        return self._buckets[kind].taken if self._buckets else 0

    def allow(self, allowance: Allowance, threads: int) -> None:
        """Let this hold from now on: movers see it at their next look, 10 ms at most.

        Args:
            threads: how many draw from it, of all movers.
        """
        if allowance == self.allowance and threads == self._threads:
            return
        before, self.allowance, self._threads = self.allowance, allowance, threads
        contained = allowance.cpu_percent, allowance.memory_bytes
        if self._group is not None and contained != (before.cpu_percent, before.memory_bytes):
            try:
                self._group.limit(*contained)
            except OSError:
                self._no_group()
        if self._buckets:
            self._tell_all()

    def _tell_all(self) -> None:
        allowance = self.allowance
        rate = float(allowance.bytes_per_s or 0)
        self._tell(Kind.BYTES, rate, BURST_S * rate, _piece(rate, self._threads))
        rate = (allowance.ops_per_s or 0.0) * OPERATION
        self._tell(Kind.OPERATIONS, rate, BURST_S * rate, 0)
        self._tell_cpu()

    def _tell_cpu(self) -> None:
        rate = 0.0 if self.kernel else (self.allowance.cpu_percent or 0.0) / 100 * 1e9
        if rate != self._buckets[Kind.CPU].rate:
            self._tell(Kind.CPU, rate, CPU_BURST_S * rate, 0)

    def _tell(self, kind: Kind, rate: float, burst: float, piece: int) -> None:
        bucket, now_ns = self._buckets[kind], time.monotonic_ns()
        bucket.tell(renewed(bucket.terms(), bucket.taken, rate, burst, piece, now_ns))


def _piece(rate: float, threads: int) -> int:
    """Return how many bytes a thread may move at once: whole pages, if it can be so much."""
    if rate <= 0:
        return 0
    most = int(min(MOST_PIECE_BYTES, PIECES_S * rate / max(1, threads)))
    return max(LEAST_PIECE_BYTES, most - most % _PAGE_BYTES if most > _PAGE_BYTES else most)
