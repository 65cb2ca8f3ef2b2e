"""What movers draw from together: in no stretch of two seconds more than is allowed, nor less when they want it."""

from __future__ import annotations

import heapq
import mmap
from collections.abc import Sequence

import msgspec
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from migmond.wire.budget import BUDGET_BYTES, Bucket, Kind, Terms, renewed

S = 1_000_000_000
BURST_S, PIECES_S, POLL_S = 0.03, 0.02, 0.01
LONGEST_S = 0.004
"""What moving a piece takes at most."""


class Change(msgspec.Struct, frozen=True):
    """`after_ms` after the one before, the rate (0: unlimited), and which movers die then."""

    after_ms: int
    rate: int
    dead: frozenset[int] = frozenset()


CHANGES = st.lists(
    st.builds(
        Change,
        st.integers(0, 4000),
        st.sampled_from((0, 1_000, 100_000, 1_000_000, 2_000_000, 50_000_000)),
        st.frozensets(st.integers(1, 3), max_size=2),
    ),
    max_size=5,
)


class World:
    """Movers that always want more, on one bucket, in a time of their own. They do as `mover.budget.Payer` does: move a
    piece, take it, wait for it."""

    def __init__(self, movers: int, first: int, changes: Sequence[Change], takes_ns: Sequence[int]) -> None:
        self._movers = movers
        self._takes = takes_ns
        self._turns = 0
        self.terms, self.taken = Terms(), 0
        self.rates = [(0, first)]
        self.moved: list[tuple[int, int]] = []
        self._change(0, first)
        self._changes, at = [], 0
        for change in changes:
            at += change.after_ms * S // 1000
            self._changes.append((at, change))
        self._dead: set[int] = set()
        self.end = at + 4 * S

    def _change(self, now: int, rate: int) -> None:
        piece = max(1, int(PIECES_S * rate / self._movers))
        self.terms = renewed(self.terms, self.taken, rate, BURST_S * rate, piece, now)

    def run(self) -> None:
        """Let it all happen. An unlimited mover takes a pause of 10 ms: what it moves is not looked at."""
        queue: list[tuple[int, int, int]] = [(0, m, 0) for m in range(self._movers)]  # when, who, mark that it awaits
        while queue:
            now, mover, mark = heapq.heappop(queue)
            while self._changes and self._changes[0][0] <= now:
                at, change = self._changes.pop(0)
                self._change(at, change.rate)
                self.rates.append((at, change.rate))
                self._dead |= change.dead
            if mover in self._dead or now > self.end:
                continue
            if mark and (left := self.terms.left_ns(mark, now)):
                heapq.heappush(queue, (now + min(left, int(POLL_S * S)), mover, mark))
                continue
            piece, self._turns = self.terms.piece or 1000, self._turns + 1
            took = self._takes[self._turns % len(self._takes)] if self.terms.rate else int(POLL_S * S)
            done = now + took
            # It is told when it is done, by what holds then.
            heapq.heappush(queue, (done, mover, self._moved(done, piece)))

    def _moved(self, now: int, piece: int) -> int:
        while self._changes and self._changes[0][0] <= now:
            at, change = self._changes.pop(0)
            self._change(at, change.rate)
            self.rates.append((at, change.rate))
            self._dead |= change.dead
        self.moved.append((now, piece))
        if self.terms.rate <= 0:
            return 0
        self.taken = self.terms.mark(self.taken, piece, now)
        return self.taken


def allowed_between(rates: Sequence[tuple[int, int]], start: int, end: int) -> tuple[float, int] | None:
    """By hand: what may be moved between two moments, and the highest rate there or just before; None when something in
    it was unlimited."""
    total, highest = 0.0, 0
    for position, (since, rate) in enumerate(rates):
        until = rates[position + 1][0] if position + 1 < len(rates) else 1 << 62
        if until < start - S // 10 or since > end:
            continue
        if rate == 0:
            return None
        highest = max(highest, rate)
        total += rate * max(0, min(end, until) - max(start, since)) / S
    return total, highest


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 4),
    st.sampled_from((0, 1_000, 100_000, 1_000_000, 50_000_000)),
    CHANGES,
    st.lists(st.integers(0, int(LONGEST_S * S)), min_size=1, max_size=20),
)
def test_in_any_two_seconds_what_is_allowed_is_moved_and_no_more(
    movers: int, first: int, changes: list[Change], takes_ns: list[int]
) -> None:
    world = World(movers, first, changes, takes_ns)
    world.run()
    moved = sorted(world.moved)
    sums = [0]
    for _, piece in moved:
        sums.append(sums[-1] + piece)
    last = 0
    for start_at in range(0, len(moved), max(1, len(moved) // 200)):
        start = moved[start_at][0]
        while last < len(moved) and moved[last][0] <= start + 2 * S:
            last += 1
        end = min(start + 2 * S, world.end)
        found = allowed_between(world.rates, start, end)
        if found is None or end - start < 2 * S:
            continue
        allowed, highest = found
        amount = sums[last] - sums[start_at]
        over = BURST_S * highest + max(movers, PIECES_S * highest) * 2 + movers
        assert amount <= allowed + over, (start, amount, allowed)
        under = max(movers, PIECES_S * highest) * 2 + (LONGEST_S + POLL_S) * highest + movers
        assert amount >= allowed - under, (start, amount, allowed)


@given(
    st.builds(Terms, st.integers(0, 2**40), st.floats(0, 2.0**40), st.just(0.0) | st.floats(1, 1e10)),
    st.integers(0, 2**40),
    st.just(0.0) | st.floats(1, 1e10),
    st.integers(0, 2**41),
)
def test_a_debt_is_paid_at_whichever_limit_is_the_quicker(terms: Terms, taken: int, rate: float, now: int) -> None:
    now = max(now, terms.anchor_ns)
    before = terms.left_ns(taken, now)
    assume(before < 1e17)  # more than three years is not told any more
    after = renewed(terms, taken, rate, 0.0, 0, now).left_ns(taken, now)
    if terms.rate <= 0 or rate <= 0:
        assert after == 0, "while there is no limit nothing is owed"
    else:
        exact = before * min(1.0, terms.rate / rate)
        assert abs(after - exact) <= 2 + exact * 1e-6 + 2.0**-2 * S / rate, (before, after)


def test_what_nobody_took_is_kept_for_a_burst_only() -> None:
    terms = renewed(Terms(), 0, 1000.0, 30.0, 0, 0)
    mark = terms.mark(0, 10, 100 * S)
    assert mark == 1000 * 100 - 30 + 10
    assert terms.left_ns(mark, 100 * S) == 0
    assert terms.left_ns(terms.mark(mark, 21, 100 * S), 100 * S) == S // 1000 + 1


def test_a_page_shows_what_was_told() -> None:
    memory = mmap.mmap(-1, BUDGET_BYTES)
    told = [Terms(5 + kind, 2.0, 3.0 * (kind != Kind.OPERATIONS), 4.0, 77) for kind in Kind]
    for kind in Kind:
        Bucket(memory, kind).tell(told[kind])
        Bucket(memory, kind).put(100 + kind)
    for kind in Kind:
        seen = Bucket(memory, kind)
        assert (seen.terms(), seen.taken, seen.rate) == (told[kind], 100 + kind, told[kind].rate)
        assert (seen.limited, seen.piece) == (kind != Kind.OPERATIONS, 77 * (kind != Kind.OPERATIONS))
