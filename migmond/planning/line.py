"""Which of the entries that are ready begins next, by all rules that are in force. Pure.

Entries are known by the numbers of their tasks, and sets of them are maps of bits: 1.25 MB for each rule at 10^7
entries, however many it concerns. What follows from all rules is found out for a window of 65,536 numbers at a time,
with a few operations on long integers for each rule.
"""

from __future__ import annotations

import enum
from array import array
from collections.abc import Iterable, Iterator, Sequence
from typing import TypeAlias

import msgspec

from migmond.domain.steering import Level, Move, Pause, Place, Prioritise, Route, Skip

_SHIFT = 16
WINDOW = 1 << _SHIFT
_BYTES = WINDOW >> 3
_FULL = (1 << WINDOW) - 1
_OFFSETS = tuple(tuple(bit for bit in range(8) if byte >> bit & 1) for byte in range(256))
LOOKED_AT = 10_000
"""Positions of a sequence that one call of `Line.next` looks at, 10 ms or so."""


class Marks:
    """A set of task numbers."""

    def __init__(self) -> None:
        self._bits = bytearray()

    def add(self, numbers: Iterable[int]) -> None:
        bits = self._bits
        for number in numbers:
            at = number >> 3
            if at >= len(bits):
                # Whole windows, and an eighth more: growing copies everything.
                bits.extend(bytes(((at + (len(bits) >> 3)) // _BYTES + 1) * _BYTES - len(bits)))
            bits[at] |= 1 << (number & 7)

    def discard(self, number: int) -> None:
        at = number >> 3
        if at < len(self._bits):
            self._bits[at] &= ~(1 << (number & 7))

    def __contains__(self, number: int) -> bool:
        at = number >> 3
        return at < len(self._bits) and bool(self._bits[at] >> (number & 7) & 1)

    @property
    def windows(self) -> int:
        return -(-len(self._bits) // _BYTES)

    def window(self, index: int) -> int:
        """Return the bits of one window as a number."""
        return int.from_bytes(self._bits[index * _BYTES : (index + 1) * _BYTES], "little")


Effect: TypeAlias = Prioritise | Move | Skip | Pause | Route
"""What a rule does with entries that it picks; a Pause holds them. A Route says where to, not when."""


class Rule:
    """One change in force.

    Attributes:
        id: of the intervention, or of the hold.
        marks: which entries it picks, of those that were looked at.
    """

    def __init__(self, id_: str, effect: Effect) -> None:
        self.id = id_
        self.effect = effect
        self.marks = Marks()


class _Class(enum.Enum):
    FREE = enum.auto()
    """To be moved before an entry that is not there any more: at once."""
    MOVED = enum.auto()
    LEVEL = enum.auto()


class _Rank(msgspec.Struct, frozen=True):
    """A part of the line. `which`: position of the rule that moved entries there."""

    kind: _Class
    which: int
    level: Level = Level.NORMAL


class Line:
    """The order in which entries begin.

    What was moved first comes first, the latest move before the others; then by level; then what was moved last, the
    latest of these at the very end. What was moved before an entry begins right before it, or at once when that is not
    ready (any more). Of several rules of a kind that pick an entry the latest counts. What is held or skipped never
    begins, and never keeps others.

    Attributes:
        ready: entries that may begin, and further names of files that may.
    """

    def __init__(self) -> None:
        self.ready = (Marks(), Marks())
        self._rules: tuple[Rule, ...] = ()
        self._sequence: Sequence[int] = array("Q")
        self._from: dict[tuple[bool, _Rank], int] = {}
        self._masks: dict[tuple[_Rank, int], bytes] = {}

    def set_rules(self, rules: Iterable[Rule]) -> None:
        """Have these rules in force, in the order in which they were made."""
        self._rules = tuple(rules)
        self.changed()

    def set_sequence(self, numbers: Sequence[int]) -> None:
        """Let entries of one part of the line begin in this order, and those that are not in it after them."""
        self._sequence = numbers
        self.changed()

    def reordered(self, start: int) -> None:
        """The sequence is another one from position `start` on."""
        self._from = {rank: min(at, start) for rank, at in self._from.items()}

    def changed(self) -> None:
        """Marks of rules have changed."""
        self._from.clear()
        self._masks.clear()

    def put(self, numbers: Iterable[int], *, followers: bool) -> None:
        """These are ready (again)."""
        self.ready[followers].add(numbers)
        self._from.clear()

    def clear(self) -> None:
        """Nothing is ready."""
        self.ready = (Marks(), Marks())
        self._from.clear()

    def next(self, limit: int, *, followers: bool) -> list[int] | None:
        """Return the next entries, at most `limit`, which are to be discarded from what is ready before the next call.
        None: it has looked at enough for one call, and knows more at the next one."""
        anchors, ranks = self._ranks(followers=followers)
        found: list[int] = []
        seen: set[int] = set()
        budget = [LOOKED_AT]
        for rank in ranks:
            for number in self._in_rank(rank, anchors, budget, followers=followers):
                self._emit(number, anchors, found, seen, followers=followers)
                if len(found) >= limit:
                    return found
            if budget[0] <= 0:
                return found or None
        return found

    def blocked(self, number: int) -> bool:
        """Whether it is held or skipped."""
        return any(isinstance(r.effect, Pause | Skip) and number in r.marks for r in self._rules)

    def held(self, *, followers: bool) -> int:
        """Return how many are ready but held."""
        ready = self.ready[followers]
        return sum((ready.window(w) & self._holds(w) & ~self._skips(w)).bit_count() for w in range(ready.windows))

    def skipped(self, rule: Rule, limit: int, *, followers: bool) -> list[int]:
        """Return entries that are ready and that a skip picks, at most `limit`."""
        ready, found = self.ready[followers], list[int]()
        for w in range(min(ready.windows, rule.marks.windows)):
            found += _numbers(ready.window(w) & rule.marks.window(w), w)
            if len(found) >= limit:
                return found[:limit]
        return found

    # --- the parts of the line ---------------------------------------------------------------------

    def _moves(self) -> Iterator[tuple[int, Rule, Move]]:
        for position, rule in enumerate(self._rules):
            if isinstance(rule.effect, Move):
                yield position, rule, rule.effect

    def _ranks(self, *, followers: bool) -> tuple[dict[int, list[int]], list[_Rank]]:
        """Return the rules that move entries before another one, by that, and the other parts in order."""
        moved = list(self._moves())
        anchors: dict[int, list[int]] = {}
        free: list[int] = []
        for position, _, move in moved:
            if move.place is Place.BEFORE:
                if self._stands(position, followers=followers):
                    anchors.setdefault(move.before, []).append(position)
                else:
                    free.append(position)
        first = [p for p, _, move in reversed(moved) if move.place is Place.FIRST]
        last = [p for p, _, move in moved if move.place is Place.LAST]
        return anchors, [
            *(_Rank(_Class.FREE, p) for p in free),
            *(_Rank(_Class.MOVED, p) for p in first),
            *(_Rank(_Class.LEVEL, -1, level) for level in (Level.HIGH, Level.NORMAL, Level.LOW)),
            *(_Rank(_Class.MOVED, p) for p in last),
        ]

    def _stands(self, position: int, *, followers: bool) -> bool:
        """Whether the entry that others were moved before has a place of its own: one that was moved before them in
        turn has none."""
        met: set[int] = set()
        at: int | None = position
        while at is not None:
            effect = self._rules[at].effect
            if not isinstance(effect, Move) or effect.place is not Place.BEFORE:
                return True
            if at in met or effect.before not in self.ready[followers]:
                return False
            met.add(at)
            at = self._mover(effect.before)
        return True

    def _mover(self, number: int) -> int | None:
        """Return which rule says where an entry was moved to. Nothing is moved before itself."""
        found = None
        for position, rule, move in self._moves():
            if number in rule.marks and not (move.place is Place.BEFORE and move.before == number):
                found = position
        return found

    def _emit(
        self,
        number: int,
        anchors: dict[int, list[int]],
        found: list[int],
        seen: set[int],
        *,
        followers: bool,
    ) -> None:
        if number in seen:
            return
        seen.add(number)
        for position in anchors.get(number, ()):
            rank, ready = _Rank(_Class.MOVED, position), self.ready[followers]
            for w in range(ready.windows):
                for member in _numbers(self._mask(rank, w) & ready.window(w), w):
                    self._emit(member, anchors, found, seen, followers=followers)
        if not self.blocked(number):
            found.append(number)

    def _in_rank(
        self,
        rank: _Rank,
        anchors: dict[int, list[int]],
        budget: list[int],
        *,
        followers: bool,
    ) -> Iterator[int]:
        ready, key = self.ready[followers], (followers, rank)
        at = self._from.get(key, 0)
        sequence = self._sequence if not followers else ()
        while at < len(sequence):
            if budget[0] <= 0:
                self._from[key] = at
                return
            number = sequence[at]
            budget[0] -= 1
            if number in ready and self._is_in(rank, number, anchors):
                self._from[key] = at
                yield number
            at += 1
        for w in range(at - len(sequence), ready.windows):
            self._from[key] = len(sequence) + w
            bits = ready.window(w)
            if bits:
                bits &= self._mask(rank, w)
                stop = self._blocked(w)
                for anchor in anchors:
                    if anchor >> _SHIFT == w:
                        stop &= ~(1 << (anchor & WINDOW - 1))
                yield from _numbers(bits & ~stop, w)

    def _is_in(self, rank: _Rank, number: int, anchors: dict[int, list[int]]) -> bool:
        w = number >> _SHIFT
        bits = self._masks.get((rank, w))
        if bits is None:
            bits = self._masks[rank, w] = self._mask(rank, w).to_bytes(_BYTES, "little")
        at = number & WINDOW - 1
        return bool(bits[at >> 3] >> (at & 7) & 1) and (number in anchors or not self.blocked(number))

    # --- windows -----------------------------------------------------------------------------------

    def _mask(self, rank: _Rank, w: int) -> int:
        """Return which entries of a window belong to a part of the line, held and skipped ones among them."""
        moved = 0
        for position, rule, move in reversed(list(self._moves())):
            its = rule.marks.window(w)
            if move.place is Place.BEFORE and move.before >> _SHIFT == w:
                its &= ~(1 << (move.before & WINDOW - 1))
            if rank.kind is not _Class.LEVEL and position == rank.which:
                return its & ~moved
            moved |= its
        high = leveled = low = 0
        for rule in reversed(self._rules):
            if isinstance(rule.effect, Prioritise):
                its = rule.marks.window(w) & ~leveled
                leveled |= its
                high |= its if rule.effect.level is Level.HIGH else 0
                low |= its if rule.effect.level is Level.LOW else 0
        normal = _FULL & ~(high | low)
        return {Level.HIGH: high, Level.NORMAL: normal, Level.LOW: low}[rank.level] & ~moved

    def _holds(self, w: int) -> int:
        return self._all_of(Pause, w)

    def _skips(self, w: int) -> int:
        return self._all_of(Skip, w)

    def _blocked(self, w: int) -> int:
        return self._holds(w) | self._skips(w)

    def _all_of(self, kind: type[Effect], w: int) -> int:
        bits = 0
        for rule in self._rules:
            if isinstance(rule.effect, kind):
                bits |= rule.marks.window(w)
        return bits


def _numbers(bits: int, w: int) -> Iterator[int]:
    """Yield the numbers whose bits are set in window `w`."""
    if bits:
        base = w << _SHIFT
        for at, byte in enumerate(bits.to_bytes(_BYTES, "little")):
            if byte:
                for offset in _OFFSETS[byte]:
                    yield base + (at << 3) + offset
