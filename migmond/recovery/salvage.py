"""Which ranges of a damaged file are read next, and what is known of each: after GNU ddrescue (manual, "Algorithm").

Large blocks forward at first, so that most of what can be read is safe before the bad spots are touched again; then
smaller and smaller ones within what failed. Every byte is tried at most once for each size: nothing is tried for ever.
A salvage that goes on from its map tries each sector that was bad once more, last of all: a disk that is plugged in
again, or cold, reads what it did not.
"""

from __future__ import annotations

import bisect
import re
from collections.abc import Iterator, Sequence

from migmond.domain.salvage import Range

BLOCKS = (1 << 20, 64 << 10, 4096)
"""Sizes of reads, pass by pass. The last is a page and a sector of today's disks: nothing smaller can be read alone."""
UNTRIED, RESCUED, BAD = "?", "+", "-"
_FAILED = ("*", "/", BAD)
"""Status after a failed read of each size: not trimmed, not scraped, bad sector, in ddrescue's words."""
_AGAIN = len(BLOCKS)
"""Number of the pass in which sectors that were bad before are tried once more, one by one."""
_SOURCE = "# Source: {} bytes, modified {} ns"
_SOURCE_LINE = re.compile(r"^# Source: (\d+) bytes, modified (-?\d+) ns$", re.MULTILINE)
MOST_RANGES = 100_000
"""A file of more pieces than that is given up where it is: the map stays small."""


class SalvageMap:
    """What is known of a file of `size` bytes, at least 0.

    Attributes:
        rescued, untried: how many bytes were read, and how many nobody has tried to.

    Args:
        known: what an earlier salvage has left of it, in order and without gaps; nothing for a first one.
    """

    def __init__(self, size: int, known: Sequence[Range] = ()) -> None:
        self.size = size
        ranges = known or ([Range(0, size, UNTRIED)] if size else [])
        self._starts = [r.start for r in ranges]
        self._statuses = [r.status for r in ranges]
        self._bad = [r for r in ranges if r.status == BAD]
        self.rescued, self.untried = self.total(RESCUED), self.total(UNTRIED)

    def ranges(self) -> list[Range]:
        """Return all of it, in order; neighbours differ in status."""
        ends = [*self._starts[1:], self.size] if self._starts else []
        return [Range(s, e - s, status) for s, e, status in zip(self._starts, ends, self._statuses, strict=True)]

    def reads(self) -> Iterator[tuple[int, int, int]]:
        """Yield (start, size, number of the pass) of each read to try; tell how it went by `tell` before the next."""
        for number, block in enumerate((*BLOCKS, BLOCKS[-1])):
            for found in self._due(number):
                end = found.start + found.size
                for start in range(found.start, end, block):
                    if len(self._starts) > MOST_RANGES:
                        return
                    yield start, min(block, end - start), number

    def _due(self, number: int) -> list[Range]:
        """Return what is read in a pass."""
        if number == _AGAIN:
            return self._bad
        wanted = (UNTRIED, *_FAILED)[number]
        return [r for r in self.ranges() if r.status == wanted]

    def tell(self, start: int, size: int, number: int, *, rescued: bool) -> None:
        """The read of these bytes in that pass succeeded or failed."""
        self.untried -= size if number == 0 else 0
        self.rescued += size if rescued else 0
        self._put(start, start + size, RESCUED if rescued else _FAILED[min(number, _AGAIN - 1)])

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

    def text(self, command: str, mtime_ns: int) -> str:
        """Return it as a mapfile of GNU ddrescue (manual, "Mapfile structure"), which ddrescue itself can go on from.

        Args:
            command: what made it, one line for people.
            mtime_ns: of the file: it is about that version of it.
        """
        done = all(r.status in (RESCUED, BAD) for r in self.ranges())
        lines = ["# Mapfile. Created by migmond (format of GNU ddrescue)", f"# Command line: {command!a}"]
        lines += [_SOURCE.format(self.size, mtime_ns)]
        lines += [
            "# current_pos  current_status  current_pass",
            f"0x{0:08X}     {'+' if done else '?'}               1",
        ]
        lines += ["#      pos        size  status"]
        lines += [f"0x{r.start:08X}  0x{r.size:08X}  {r.status}" for r in self.ranges()]
        return "\n".join(lines) + "\n"


class MapUnusable(Exception):
    """No salvage can go on from that map; the text says why."""


def parse(text: str, size: int, mtime_ns: int) -> SalvageMap:
    """Return what `SalvageMap.text` has written of a file that has now `size` bytes and that modification time.

    Raises:
        MapUnusable: it is of something else, or no whole map.
    """
    about = _SOURCE_LINE.search(text)
    if about is None:
        raise MapUnusable("does not say of which version of the file it is")
    if (int(about[1]), int(about[2])) != (size, mtime_ns):
        raise MapUnusable("is of another version of the file")
    lines = [line.split() for line in text.splitlines() if line and not line.startswith("#")]
    ranges: list[Range] = []
    at = 0
    for line in lines[1:]:  # the first is where ddrescue was
        try:
            found = Range(int(line[0], 16), int(line[1], 16), line[2])
        except (ValueError, IndexError):
            raise MapUnusable("is damaged") from None
        if found.start != at or found.size <= 0 or found.status not in (UNTRIED, RESCUED, *_FAILED):
            raise MapUnusable("is damaged")
        at += found.size
        ranges.append(found)
    if at != size:
        raise MapUnusable("is damaged")
    return SalvageMap(size, ranges)
