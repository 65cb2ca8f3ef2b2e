"""When copies got their names, packed: so that a rollback of millions can tell which of them were touched since."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping

import msgspec

SPAN = 4096
"""Numbers that one `CopyTimes` may reach over: whoever looks for a number need not look further back."""
_MOST_NS = (1 << 32) - 1
_FIRST_NS, _LAST_NS = 1, (1 << 63) - 1
"""Of times that are kept: no clock of a file system that is right shows another one."""


class CopyTimes(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """The ctimes that some copies of one commit group had when they got their names. Whatever changes a copy from then
    on moves its ctime. 4 bytes each where their tasks' numbers have no gaps, else 6.

    Attributes:
        first: the lowest of the numbers.
        base_ns: the earliest of the times, in nanoseconds since the epoch by the clock of their file system.
        after: by ascending number, nanoseconds after that: 4 bytes each, little-endian.
        numbers: numbers after `first`: 2 bytes each, little-endian; b"" when there are no gaps.
    """

    first: int
    base_ns: int
    after: bytes
    numbers: bytes = b""

    def each(self) -> Iterator[tuple[int, int]]:
        """Yield numbers and times, ascending by number.

        Raises:
            ValueError: these are no packed times.
        """
        count = len(self.after) // 4
        if len(self.after) != 4 * count or len(self.numbers) not in (0, 2 * count):
            raise ValueError(f"{len(self.after)} bytes of times and {len(self.numbers)} of numbers do not fit together")
        times = struct.unpack(f"<{count}I", self.after)
        numbers = struct.unpack(f"<{count}H", self.numbers) if self.numbers else range(count)
        for number, after_ns in zip(numbers, times, strict=True):
            yield self.first + number, self.base_ns + after_ns


def pack_times(times: Mapping[int, int]) -> tuple[CopyTimes, ...]:
    """Return what says the same as `times`, nanoseconds since the epoch by task number, in about a microsecond for
    each. What is no time of a clock (see `_FIRST_NS`) is left out."""
    found: list[CopyTimes] = []
    stretch: list[int] = []
    low = high = 0
    for number in sorted(times):
        at_ns = times[number]
        if not _FIRST_NS <= at_ns <= _LAST_NS:
            continue
        lower, higher = (min(low, at_ns), max(high, at_ns)) if stretch else (at_ns, at_ns)
        if stretch and (number - stretch[0] >= SPAN or higher - lower > _MOST_NS):
            found.append(_packed(stretch, times, low))
            stretch, lower, higher = [], at_ns, at_ns
        stretch.append(number)
        low, high = lower, higher
    if stretch:
        found.append(_packed(stretch, times, low))
    return tuple(found)


def _packed(stretch: list[int], times: Mapping[int, int], base_ns: int) -> CopyTimes:
    first, count = stretch[0], len(stretch)
    after = struct.pack(f"<{count}I", *[times[number] - base_ns for number in stretch])
    gaps = stretch[-1] - first >= count
    numbers = struct.pack(f"<{count}H", *[number - first for number in stretch]) if gaps else b""
    return CopyTimes(first, base_ns, after, numbers)
