"""Batches compared, and files one by one: pure figures from what a sampler sees."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from migmond.analytics.batches import RECENT, STEPS, Batches, BatchRecord
from migmond.analytics.files_at_hand import ENDED, LARGE_BYTES, SLOWEST, FilesAtHand

RECORDS = st.builds(
    BatchRecord, st.just(1.0), st.integers(1, 4), st.integers(1, 4000), st.integers(0, 1 << 30), st.floats(0, 10),
    st.just(200), st.just(1 << 20),
)  # fmt: skip


@given(st.lists(st.tuples(RECORDS, st.none() | st.floats(0, 100)), max_size=260))
def test_sums_hold_all_batches_and_the_last_ones_are_whole(history: list[tuple[BatchRecord, float | None]]) -> None:
    batches = Batches()
    for position, (record, percent) in enumerate(history):
        batches.add(record, percent)
        if position == len(history) // 2:
            batches = Batches(batches.state())
    state = batches.state()
    assert list(state.recent) == [record for record, _ in history][-RECENT:]
    for step, sums in enumerate(state.sums):
        low, high = step * 10, 101 if step == STEPS - 1 else step * 10 + 10
        its = [r for r, p in history if (p is None if step == STEPS else p is not None and low <= p < high)]
        assert (sums.batches, sums.entries, sums.bytes) == (
            len(its), sum(r.entries for r in its), sum(r.bytes for r in its)
        )  # fmt: skip
        assert sums.seconds == pytest.approx(sum(r.seconds for r in its))


def test_rate_and_time_left_of_a_large_file() -> None:
    files, size = FilesAtHand(), 10 * LARGE_BYTES
    files.look(1, 7, size, 0, 100.0, 5.0, paused=False)
    assert [(f.rate, f.eta_s, f.reason) for f in files.at_hand(100.0)] == [(None, None, "seen once only")]
    for tick in range(1, 41):  # 10 s at a hundredth a tick
        files.look(1, 7, size, tick * size // 100, 100 + tick / 4, 5.0, paused=False)
    (told,) = files.at_hand(110.0)
    assert told.rate == pytest.approx(size / 25, rel=0.01)
    assert told.eta_s == pytest.approx(15, rel=0.01)
    assert (told.number, told.mover, told.seconds) == (7, 1, 10.0)
    files.look(1, 7, size, 40 * size // 100, 110.25, 5.0, paused=True)
    assert [(f.rate, f.eta_s, f.reason) for f in files.at_hand(110.25)] == [(0.0, None, "paused")]
    for tick in range(1, 30):
        files.look(1, 7, size, 40 * size // 100, 110.25 + tick / 4, 5.0, paused=False)
    assert [(f.rate, f.reason) for f in files.at_hand(118.0)] == [(0.0, "no byte in the last seconds")]
    files.gone(1, 6.0)
    assert files.at_hand(120.0) == ()
    assert [(f.number, f.how) for f in files.ended_lately()] == [(7, "")]


def test_what_is_told_of_a_large_file_counts_once() -> None:
    """The sampler may see its end before its answer comes, or after, or not at all."""
    files = FilesAtHand()
    for number, order in enumerate(["first", "last", "never"], 1):
        if order != "never":
            files.look(1, number, LARGE_BYTES, 0, 1.0, 1.0, paused=False)
            files.look(1, number, LARGE_BYTES, 5, 1.25, 1.0, paused=False)
        if order == "first":
            files.look(1, 0, 0, 0, 1.5, 1.5, paused=False)
        files.ended(1, number, LARGE_BYTES, 0.4, 2.0, "copied")
        files.look(1, 0, 0, 0, 2.0, 2.0, paused=False)
    assert [(f.number, f.how, f.seconds) for f in files.ended_lately()] == [
        (3, "copied", 0.4), (2, "copied", 0.4), (1, "copied", 0.4)
    ]  # fmt: skip
    assert files.slowest() == tuple(reversed(files.ended_lately()))


@given(st.lists(st.floats(0.25, 100), min_size=1, max_size=60, unique=True))
def test_the_slowest_are_the_slowest_over_all_runs(seconds: list[float]) -> None:
    files = FilesAtHand()
    for number, s in enumerate(seconds, 1):
        if number == len(seconds) // 2:
            files = FilesAtHand(files.slowest())
        files.look(3, number, 10, 0, 0.0, 1.0, paused=False)
        files.look(3, number, 10, 10, s, 1.0, paused=False)
        files.gone(3, 1.0)
    assert [f.seconds for f in files.slowest()] == sorted(seconds, reverse=True)[:SLOWEST]


def test_memory_is_bounded() -> None:
    files = FilesAtHand()
    for number in range(1, 1000):
        files.ended(1, number, LARGE_BYTES, 1.0, 1.0, "copied")
    assert (len(files.ended_lately()), len(files.slowest())) == (ENDED, SLOWEST)
