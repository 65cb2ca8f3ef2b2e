"""Which directories a cube tells apart, and where the cells of each are: see `migmond.analytics.cube`."""

from __future__ import annotations

import sys
import zlib
from array import array
from bisect import bisect_right
from collections.abc import Mapping

import msgspec

from migmond.analytics.classes import CELLS

OTHER = 0
"""In the place of a directory's number: all that were merged."""
SHIFT = 96
"""Entries and bytes are one number: entries << SHIFT plus bytes."""
BYTES = (1 << SHIFT) - 1

_DEEPEST = 2


class DirectoriesState(msgspec.Struct, frozen=True):
    """As they are kept. `starts`, `owners`, `merged`: arrays as bytes, little-endian, compressed; `slots`: by number of
    a directory, its first cell."""

    starts: bytes
    owners: bytes
    merged: bytes
    slots: dict[int, int]


class Directories:
    """Makes room in the cells for directories as they come, and merges the smaller half of them when that are too many.

    Args:
        most: that are told apart, at least two.
        fields: the cells, CELLS of them for each directory; those of "other" come first and are there. The first field
            is what is planned.
    """

    def __init__(self, most: int, fields: tuple[list[int], ...]) -> None:
        self._most = most
        self._fields = fields
        self._slots: dict[int, int] = {}
        self._free: list[int] = []
        self._merged = bytearray()
        """A bit for each directory that was merged."""
        self._starts, self._owners = array("q", [0]), array("q", [0])
        """From the task number in `starts` on, directories are known as `owners` has it: -d: each by itself, being d
        steps below its source; otherwise the number of the directory that they count with."""
        self._last, self._last_base = -1, 0

    @property
    def slots(self) -> Mapping[int, int]:
        """By the number of a directory that is told apart, its first cell."""
        return self._slots

    def note(self, first: int, directory: int) -> None:
        """Directories from number `first` on, up to what is noted of later ones, lie in `directory`."""
        owner = self._owner(directory)
        if owner <= 0:
            owner = owner - 1 if -owner < _DEEPEST else directory
        # Numbers ascend; what is told again is known, and what follows one of the same directory goes with it.
        if first > self._starts[-1] and self._owners[-1] != owner:
            self._starts.append(first)
            self._owners.append(owner)

    def base(self, directory: int) -> int:
        """Return the first cell of whom `directory` counts with."""
        if directory == self._last:
            return self._last_base
        owner = self._owner(directory)
        number = directory if owner <= 0 else owner
        base = self._slots.get(number)
        if base is None:
            base = OTHER if self._is_merged(number) else self._new(number)
        self._last, self._last_base = directory, base
        return base

    def _owner(self, directory: int) -> int:
        return self._owners[bisect_right(self._starts, directory) - 1]

    def _new(self, number: int) -> int:
        if len(self._slots) + 1 >= self._most:
            self._merge()
        if self._free:
            base = self._free.pop()
        else:
            base = len(self._fields[0])
            for field in self._fields:
                field += [0] * CELLS
        self._slots[number] = base
        return base

    def _merge(self) -> None:
        """Merge the smaller half of the directories into "other"."""
        planned = self._fields[0]
        everything = sum(planned)
        entries, size = max(1, everything >> SHIFT), max(1, everything & BYTES)

        def share(number: int) -> float:
            base = self._slots[number]
            its = sum(planned[base : base + CELLS])
            return (its >> SHIFT) / entries + (its & BYTES) / size

        by_share = sorted(self._slots, key=share)
        for number in by_share[: (len(by_share) + 1) // 2]:
            base = self._slots.pop(number)
            used = [c for c, amount in enumerate(planned[base : base + CELLS]) if amount]
            for field in self._fields:
                for cell in used:
                    field[cell] += field[base + cell]
                    field[base + cell] = 0
            self._free.append(base)
            at, bit = number >> 3, number & 7
            if at >= len(self._merged):
                self._merged.extend(bytes(at + 1 - len(self._merged)))
            self._merged[at] |= 1 << bit
        self._last = -1

    def _is_merged(self, number: int) -> bool:
        at = number >> 3
        return at < len(self._merged) and bool(self._merged[at] >> (number & 7) & 1)

    def snapshot(self, fields: tuple[list[int], ...]) -> Directories:
        """Return where cells are now, over a copy of these; to look at, not to count with."""
        copy = Directories(self._most, fields)
        copy._slots = dict(self._slots)
        return copy

    # --- keeping -----------------------------------------------------------------------------------

    def state(self) -> DirectoriesState:
        """Return what of them is kept beside the cells."""
        return DirectoriesState(
            _packed(self._starts), _packed(self._owners), zlib.compress(self._merged, 1), dict(self._slots)
        )

    def take_over(self, state: DirectoriesState) -> None:
        """Be as they were, with room for their cells, which are all empty.

        Raises:
            ValueError: it contradicts itself.
            zlib.error: it is damaged.
        """
        self._starts, self._owners = _unpacked(state.starts), _unpacked(state.owners)
        self._merged = bytearray(zlib.decompress(state.merged))
        places = [base // CELLS for base in state.slots.values()]
        end = max(places, default=0)
        if len(self._starts) != len(self._owners) or not self._starts or any(b % CELLS for b in state.slots.values()):
            raise ValueError("a kept cube contradicts itself")
        for field in self._fields:
            field += [0] * (end * CELLS)
        self._slots = dict(state.slots)
        self._free = [p * CELLS for p in sorted(set(range(1, end + 1)) - set(places))]


def _packed(numbers: array[int]) -> bytes:
    if sys.byteorder == "big":
        numbers = numbers[:]
        numbers.byteswap()
    return zlib.compress(numbers.tobytes(), 1)


def _unpacked(data: bytes) -> array[int]:
    numbers = array("q")
    numbers.frombytes(zlib.decompress(data))
    if sys.byteorder == "big":
        numbers.byteswap()
    return numbers
