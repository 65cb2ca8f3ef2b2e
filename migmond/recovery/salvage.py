"""Which ranges of a damaged file are read next, and what is known of each: after GNU ddrescue (manual, "Algorithm").

Large blocks forward at first, so that most of what can be read is safe before the bad spots are touched again; then
smaller and smaller ones within what failed. Every byte is tried at most once for each size: nothing is tried for ever.
"""

from __future__ import annotations

import bisect
from collections.abc import Iterator

from migmond.domain.salvage import Range

BLOCKS = (1 << 20, 64 << 10, 4096)
"""Sizes of reads, pass by pass. The last is a page and a sector of today's disks: nothing smaller can be read alone."""
UNTRIED, RESCUED = "?", "+"
_FAILED = ("*", "/", "-")
"""Status after a failed read of each size: not trimmed, not scraped, bad sector, in ddrescue's words."""
MOST_RANGES = 100_000
"""A file of more pieces than that is given up where it is: the map stays small."""


class SalvageMap:
    """What is known of a file of `size` bytes, at least 0.

    Attributes:
        rescued, untried: how many bytes were read, and how many nobody has tried to.
    """

    def __init__(self, size: int) -> None:
        self.size = self.untried = size
        self.rescued = 0
        self._starts = [0] if size else []
        self._statuses = [UNTRIED] if size else []

    def ranges(self) -> list[Range]:
        """Return all of it, in order; neighbours differ in status."""
        ends = [*self._starts[1:], self.size] if self._starts else []
        return [Range(s, e - s, status) for s, e, status in zip(self._starts, ends, self._statuses, strict=True)]

    def reads(self) -> Iterator[tuple[int, int, int]]:
        """Yield (start, size, number of the pass) of each read to try; tell how it went by `tell` before the next."""
        for number, block in enumerate(BLOCKS):
            wanted = (UNTRIED, *_FAILED)[number]
            for found in self.ranges():
                if found.status != wanted:
                    continue
                end = found.start + found.size
                for start in range(found.start, end, block):
                    if len(self._starts) > MOST_RANGES:
                        return
                    yield start, min(block, end - start), number

    def tell(self, start: int, size: int, number: int, *, rescued: bool) -> None:
        """The read of these bytes in that pass succeeded or failed."""
        self.untried -= size if number == 0 else 0
        self.rescued += size if rescued else 0
        self._put(start, start + size, RESCUED if rescued else _FAILED[number])

    def _put(self, start: int, end: int, status: str) -> None:
        first = bisect.bisect_left(self._starts, start)
        last = bisect.bisect_left(self._starts, end)
        after = self._statuses[last - 1] if last else status
        starts, statuses = [start], [status]
        if end < self.size and (last >= len(self._starts) or self._starts[last] != end):
            starts.append(end)
            statuses.append(after)
        self._starts[first:last], self._statuses[first:last] = starts, statuses
        self._merge(max(1, first), first + len(starts) + 1)

    def _merge(self, low: int, high: int) -> None:
        for i in range(min(high, len(self._starts)) - 1, low - 1, -1):
            if i and self._statuses[i] == self._statuses[i - 1]:
                del self._starts[i], self._statuses[i]

    def total(self, status: str) -> int:
        """Return how many bytes have that status."""
        return sum(r.size for r in self.ranges() if r.status == status)

    def text(self, command: str) -> str:
        """Return it as a mapfile of GNU ddrescue (manual, "Mapfile structure"), which ddrescue itself can go on from.

        Args:
            command: what made it, one line for people.
        """
        done = all(r.status in (RESCUED, _FAILED[-1]) for r in self.ranges())
        lines = ["# Mapfile. Created by migmond (format of GNU ddrescue)", f"# Command line: {command!a}"]
        lines += [
            "# current_pos  current_status  current_pass",
            f"0x{0:08X}     {'+' if done else '?'}               1",
        ]
        lines += ["#      pos        size  status"]
        lines += [f"0x{r.start:08X}  0x{r.size:08X}  {r.status}" for r in self.ranges()]
        return "\n".join(lines) + "\n"
