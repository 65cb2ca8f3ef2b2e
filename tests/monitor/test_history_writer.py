"""The buffer before the history: nobody waits, nothing grows, and what is lost is counted and said."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import trio
from hypothesis import given
from hypothesis import strategies as st
from trio.testing import MockClock, wait_all_tasks_blocked

from migmond.domain.errors import HistoryError
from migmond.domain.telemetry import Annotation, Batch, HistoryCondition, Reading, series_of
from migmond.monitor.history import PRUNE_EVERY_S, HistoryWriter, SteadyClock, writing
from migmond.plugin_api.memory_history import MemoryHistory, open_memory_history

WALL = 1_790_000_000.0


class FakeClock:
    """Trio's clock; the wall clock is `ahead` of it."""

    def __init__(self) -> None:
        self.ahead = WALL

    def monotonic(self) -> float:
        return trio.current_time()

    def wall(self) -> float:
        return trio.current_time() + self.ahead


class Watched(MemoryHistory):
    """A history that can be slow or broken, and knows what it was asked."""

    def __init__(self) -> None:
        super().__init__({2: 1e9, 10: 1e9, 60: 1e9, 3600: 1e9})
        self.broken = ""
        self.lost = ""
        self.slow: trio.Event | None = None
        self.got: list[Batch] = []
        self.notes: list[Annotation] = []
        self.pruned: list[float] = []

    async def append(self, batches: Sequence[Batch], annotations: Sequence[Annotation] = ()) -> int:
        if self.slow is not None:
            await self.slow.wait()
        if self.broken:
            raise HistoryError(self.broken)
        self.got += batches
        self.notes += annotations
        return await super().append(batches, annotations)

    async def prune(self, now: float) -> None:
        self.pruned.append(now)

    def condition(self) -> HistoryCondition:
        return HistoryCondition(self.broken, self.lost)


def batch(at: float, count: int = 1) -> Batch:
    return Batch(WALL + at, 2.0, tuple(Reading(series_of("m", {"i": str(i)}), at) for i in range(count)))


def silent(message: str, **fields: Any) -> None:
    pass


async def test_it_is_written_from_time_to_time_and_at_the_end(autojump_clock: MockClock) -> None:
    history = Watched()
    async with writing(history, FakeClock(), silent, flush_s=10.0) as writer:
        for at in range(0, 26, 2):
            writer.put(batch(float(at)))
            await trio.sleep(2)
        writer.note(Annotation(WALL, "phase", "aa", "copying"))
        assert 8 <= len(history.got) < 13
        assert history.notes == []
    assert [b.at for b in history.got] == [WALL + at for at in range(0, 26, 2)]
    assert [n.text for n in history.notes] == ["copying"]
    assert (writer.state.waiting, writer.state.written, writer.state.dropped) == (0, 14, 0)


@given(st.lists(st.integers(0, 12), max_size=40), st.integers(1, 30))
def test_no_more_waits_than_may_and_the_newest_stays(sizes: list[int], most: int) -> None:
    writer = HistoryWriter(Watched(), FakeClock(), silent, max_waiting=most)
    for at, size in enumerate(sizes):
        writer.put(batch(float(at), size))
        assert writer.state.waiting <= most
    state = writer.state
    assert state.waiting + state.dropped == sum(sizes)
    # From behind, as many batches as fit; then everything older is gone.
    kept = 0
    for size in reversed(sizes):
        if kept + size > most:
            break
        kept += size
    assert state.waiting == kept


async def test_a_disk_that_hangs_keeps_nobody_waiting(autojump_clock: MockClock) -> None:
    history = Watched()
    history.slow = trio.Event()
    async with writing(history, FakeClock(), silent) as writer:
        for at in range(100):
            before = trio.current_time()
            writer.put(batch(float(at)))
            assert trio.current_time() == before
            await trio.sleep(1)
        assert history.got == []
        history.slow.set()
        await wait_all_tasks_blocked()
    assert len(history.got) == 100


async def test_what_is_cut_off_in_a_flush_is_written_at_the_end(autojump_clock: MockClock) -> None:
    history, hanging = Watched(), trio.Event()
    history.slow = hanging
    async with writing(history, FakeClock(), silent) as writer:
        writer.put(batch(1.0))
        writer.note(Annotation(WALL, "phase", "", ""))
        await trio.sleep(11)  # it hangs in the first flush
        writer.put(batch(2.0))
        history.slow = None
    assert [b.at for b in history.got] == [WALL + 1, WALL + 2]
    assert len(history.notes) == 1
    assert not hanging.is_set()
    assert writer.state.dropped == 0


async def test_trouble_is_said_once_and_so_is_its_end(autojump_clock: MockClock) -> None:
    history, said = Watched(), []

    def log(message: str, **fields: Any) -> None:
        said.append((message, fields))

    async with writing(history, FakeClock(), log) as writer:
        for broken in ("", "full", "full", "other", ""):
            history.broken = broken
            writer.put(batch(1.0, 3))
            await writer.flush()
        history.lost = "it was damaged"
        for _ in range(2):
            writer.put(batch(1.0, 3))
            await writer.flush()
    assert [m for m, _ in said] == [
        "telemetry is not recorded",
        "telemetry is not recorded",
        "telemetry is recorded again",
        "the history was damaged",
    ]
    assert said[2][1] == {"dropped": 9}
    assert writer.state.written == 12


async def test_pruned_only_when_the_clock_has_been_steady(autojump_clock: MockClock) -> None:
    history, clock = Watched(), FakeClock()
    async with writing(history, clock, silent):
        await trio.sleep(PRUNE_EVERY_S + 15)
        assert len(history.pruned) == 1
        clock.ahead += 365 * 86_400
        await trio.sleep(PRUNE_EVERY_S - 20)
        clock.ahead -= 365 * 86_400
        await trio.sleep(250)
        assert len(history.pruned) == 1  # it has jumped twice
        await trio.sleep(100)
        assert len(history.pruned) == 2
        assert abs(history.pruned[1] - clock.wall()) < 200


def test_a_clock_is_steady_some_minutes_after_its_last_jump() -> None:
    clock = SteadyClock()
    assert not clock.is_steady(1000.0, WALL)
    assert not clock.is_steady(1200.0, WALL + 200)
    assert clock.is_steady(1300.0, WALL + 300 + 30)  # adjusted a little
    assert not clock.is_steady(1310.0, WALL + 10_000)
    assert not clock.is_steady(1600.0, WALL + 10_290)
    assert clock.is_steady(1610.0, WALL + 10_300)


async def test_a_history_in_memory_opens_with_the_defaults() -> None:
    async with open_memory_history() as history:
        assert await history.append([batch(1.0)]) == 0
