"""What this mover may still do: its end of the page that it shares with all movers of its execution."""

from __future__ import annotations

import ctypes
import fcntl
import mmap
import threading
import time
from collections.abc import Callable, Mapping

from migmond.domain.activity import Activity
from migmond.wire.budget import BUCKET_BYTES, BUDGET_BYTES, OPERATION, Bucket, Kind
from migmond.wire.slots import Lane, Meter, MoverSide

Held = Callable[[], bool]
POLL_S = 0.01
"""How often who waits looks whether something else is wanted now."""


class Budget:
    """Of one execution; any thread may draw from it.

    Args:
        fd: of the page; it is kept for locking where there is no machine code.
        library: the machine code.
    """

    def __init__(self, fd: int, library: ctypes.CDLL | None) -> None:
        self._fd = fd
        memory = mmap.mmap(fd, BUDGET_BYTES)
        self.page = ctypes.c_char.from_buffer(memory)
        self._buckets = tuple(Bucket(memory, kind) for kind in Kind)
        self._lock = threading.Lock()
        self._library = library
        if library is not None:
            library.migmond_take.restype = library.migmond_left_ns.restype = ctypes.c_uint64
            library.migmond_take.argtypes = (ctypes.c_void_p, ctypes.c_uint64, ctypes.c_uint64)

    def __getitem__(self, kind: Kind) -> Bucket:
        return self._buckets[kind]

    def take(self, kind: Kind, amount: int, now_ns: int) -> int:
        """Take `amount` and return the mark that has to be allowed before more may be done."""
        if self._library is not None:
            address = ctypes.addressof(self.page) + kind * BUCKET_BYTES
            return int(self._library.migmond_take(address, amount, now_ns))
        bucket = self._buckets[kind]
        with self._lock:  # the kernel's lock is the process's: it keeps no thread of it out
            fcntl.lockf(self._fd, fcntl.LOCK_EX, BUCKET_BYTES, kind * BUCKET_BYTES)
            try:
                mark = bucket.terms().mark(bucket.taken, amount, now_ns)
                bucket.put(mark)
            finally:
                fcntl.lockf(self._fd, fcntl.LOCK_UN, BUCKET_BYTES, kind * BUCKET_BYTES)
        return mark

    def left_s(self, kind: Kind, mark: int, now_ns: int) -> float:
        """Return how long it is until `mark` is allowed."""
        return self._buckets[kind].terms().left_ns(mark, now_ns) / 1e9


class Payer:
    """One thread's way of drawing from the budget: it does something, takes what that was, and waits until it is paid.

    Attributes:
        cpu_ns: processor time of the thread until which it has paid for it; 0 when it need not.

    Args:
        lane, meter: the thread's.
    """

    def __init__(self, slot: MoverSide, lane: Lane, meter: Meter) -> None:
        self.budget: Budget | None = None
        self._slot = slot
        self._lane = lane
        self._meter = meter
        self.cpu_ns = 0

    @property
    def address(self) -> int | None:
        """Where the page is, for the machine code; None without one."""
        return None if self.budget is None else ctypes.addressof(self.budget.page)

    @property
    def piece(self) -> int:
        """Bytes that may be moved between two looks; 0 for as many as one likes."""
        return 0 if self.budget is None else self.budget[Kind.BYTES].piece

    def at_once(self, most: int) -> int:
        """Return how many operations may be done between two looks, at least one and at most `most`."""
        if self.budget is None or not (rate := self.budget[Kind.OPERATIONS].rate):
            return most
        return max(1, min(most, int(rate / OPERATION * POLL_S)))

    def moved(self, count: int, held: Held) -> None:
        """`count` bytes were moved; see `wait` for `held`."""
        budget = self.budget
        if budget is None:
            return
        if count and budget[Kind.BYTES].limited:
            self._pay(Kind.BYTES, count, held)
        if budget[Kind.CPU].limited:
            self.worked(held)

    def operations(self, amount: int, held: Held) -> None:
        """So many millionths of an operation are about to be done; see `wait` for `held`."""
        budget = self.budget
        if budget is None:
            return
        if budget[Kind.OPERATIONS].limited:
            self._pay(Kind.OPERATIONS, amount, held)
        if budget[Kind.CPU].limited:
            self.worked(held)

    def worked(self, held: Held) -> None:
        """Pay for the processor time since the last call."""
        budget = self.budget
        if budget is None or not budget[Kind.CPU].limited:
            self.cpu_ns = 0
            return
        now_ns = time.thread_time_ns()
        spent_ns, self.cpu_ns = now_ns - (self.cpu_ns or now_ns), now_ns
        if spent_ns > 0:
            self._pay(Kind.CPU, spent_ns, held)

    def _pay(self, kind: Kind, amount: int, held: Held) -> None:
        assert self.budget is not None
        self.wait({kind: self.budget.take(kind, amount, time.monotonic_ns())}, held)

    def wait(self, marks: Mapping[Kind, int], held: Held) -> None:
        """Wait until all of `marks` are allowed. A limit that changes meanwhile holds at once: what was begun at
        1 KiB/s must not keep one waiting for an hour when that has long been lifted.

        Args:
            held: called while something else than RUN is wanted; it may wait, raise, or return False for not to wait
                any more.
        """
        budget = self.budget
        if budget is None:
            return
        lapped = False
        while True:
            now_ns = time.monotonic_ns()
            left_s = max((budget.left_s(kind, mark, now_ns) for kind, mark in marks.items()), default=0.0)
            if left_s <= 0:
                return
            if not lapped:
                self._meter.lap(Activity.METADATA)
                lapped = True
            self._lane.goes_on(now_ns)  # throttled is not stalled
            time.sleep(min(left_s, POLL_S))
            self._meter.lap(Activity.THROTTLED)
            if not self._slot.running and not held():
                return
