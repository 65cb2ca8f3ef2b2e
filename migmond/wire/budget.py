"""The shared-memory page from which all movers of an execution draw what they may do: one bucket for each kind.

The daemon says how much is allowed, a straight line in time; movers say how much they have taken. A mover that has
taken something goes on when the line has reached what had been taken by then, its mark: those that wait are served in
the order in which they came, however many there are, and nothing is kept for one that does not want it. What a mover
that dies has taken it has done: nothing is lost with it.

Of what is allowed and nobody takes, `burst` is kept. So in any stretch of time no more is done than the line rises,
plus a burst, plus one piece for each thread that draws (the last one of each is done before it waits for it).

One memfd per execution, `BUDGET_BYTES` long. Each bucket has `BUCKET_BYTES`:

    offset  writer  field
         0  daemon  sequence    odd while the daemon writes
         8  daemon  anchor_ns   CLOCK_MONOTONIC at which
        16  daemon  allowed     float64: so much was allowed in all,
        24  daemon  rate        float64: and so much more each second; 0 = nothing is limited
        32  daemon  burst       float64
        40  daemon  piece       at most so much is done between two looks; 0 = as the mover likes
        64  movers  taken       changed by compare-and-swap (fsys/budget.c), or under a lock where there is no machine
                                code

Amounts are bytes, millionths of an operation, and nanoseconds of processor time.
"""

from __future__ import annotations

import enum
import mmap
import struct

import msgspec

BUDGET_BYTES = 4096
BUCKET_BYTES = 128
_TERMS = struct.Struct("=QQdddQ")
_TAKEN = 64
_MOST = (1 << 63) - 1
_TRIES = 1000
OPERATION = 1_000_000
"""What one operation counts."""


class Kind(enum.IntEnum):
    """What is limited; the number of its bucket."""

    BYTES = 0
    OPERATIONS = 1
    CPU = 2


class Terms(msgspec.Struct, frozen=True):
    """What the daemon says of a bucket; see above. Pure: the time is an argument."""

    anchor_ns: int = 0
    allowed: float = 0.0
    rate: float = 0.0
    burst: float = 0.0
    piece: int = 0

    def allowed_at(self, now_ns: int) -> float:
        """Return how much is allowed until then."""
        return self.allowed + self.rate * ((now_ns - self.anchor_ns) / 1e9)

    def mark(self, taken: int, amount: int, now_ns: int) -> int:
        """Return what has been taken when `amount` more is, with `taken` before."""
        return max(taken, int(max(0.0, self.allowed_at(now_ns) - self.burst))) + amount

    def left_ns(self, mark: int, now_ns: int) -> int:
        """Return how long it is until `mark` is allowed, in nanoseconds; 0 when it is, or nothing is limited."""
        if self.rate <= 0:
            return 0
        left = (mark - self.allowed_at(now_ns)) / self.rate * 1e9
        return int(min(1e18, left)) + 1 if left > 0 else 0


def renewed(terms: Terms, taken: int, rate: float, burst: float, piece: int, now_ns: int) -> Terms:
    """Return the terms when the rate changes now; 0 is unlimited.

    What has been taken and is not allowed yet is paid at the new rate when that is the higher one, and takes no longer
    than it would have at the old one when it is not: whichever way a limit is changed, it holds at once.
    """
    allowed = terms.allowed_at(now_ns)
    if terms.rate <= 0 or rate <= 0:
        allowed = float(taken)
    elif taken > allowed:
        allowed = taken - (taken - allowed) * min(1.0, rate / terms.rate)
    return Terms(now_ns, allowed, rate, burst, piece)


class Bucket:
    """One bucket of a page, for either side. The daemon calls `tell`, movers `put`; all others may be called by both.

    Reading never blocks: a writer is so short that a reader that meets one tries again.
    """

    def __init__(self, memory: mmap.mmap, kind: Kind) -> None:
        self._memory = memory
        self._at = kind * BUCKET_BYTES
        self._words = memoryview(memory).cast("Q")
        self._rates = memoryview(memory).cast("d")
        self._rate = self._at // 8 + 3
        self._piece = self._at // 8 + 5
        self._taken = (self._at + _TAKEN) // 8

    @property
    def limited(self) -> bool:
        """What is asked for every chunk and entry."""
        return self._rates[self._rate] > 0

    @property
    def rate(self) -> float:
        """Amount a second, 0 for no limit."""
        return self._rates[self._rate]

    @property
    def piece(self) -> int:
        """At most so much is to be done between two looks; 0 for as much as one likes."""
        return self._words[self._piece] if self.limited else 0

    @property
    def taken(self) -> int:
        """What movers have taken so far."""
        return self._words[self._taken]

    def terms(self) -> Terms:
        """Return what the daemon says."""
        for _ in range(_TRIES):
            sequence, *fields = _TERMS.unpack_from(self._memory, self._at)
            if not sequence & 1 and self._words[self._at // 8] == sequence:
                break
        anchor_ns, allowed, rate, burst, piece = fields
        return Terms(anchor_ns, allowed, rate, burst, piece)

    def tell(self, terms: Terms) -> None:
        """Say what holds from now on."""
        words, at = self._words, self._at // 8
        sequence = words[at] & ~1
        words[at] = sequence + 1 & _MOST
        fields = (terms.anchor_ns, terms.allowed, terms.rate, terms.burst, terms.piece)
        _TERMS.pack_into(self._memory, self._at, sequence + 1 & _MOST, *fields)
        words[at] = sequence + 2 & _MOST

    def put(self, taken: int) -> None:
        """Say what has been taken: by whoever keeps all others from doing so."""
        self._words[self._taken] = min(taken, _MOST)

    def close(self) -> None:
        """Let go of the page."""
        self._words.release()
        self._rates.release()
