"""The history on SQLite gives the answers of the one in memory, which keeps every tier from every reading: whatever is
recorded, in whatever order of times, over restarts and prunings."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TypeAlias

import msgspec
import trio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from migmond.domain.telemetry import Annotation, Batch, Curve, MetricKind, Reading, Selection, series_of
from migmond.plugin_api.history_conformance import T0, near
from migmond.plugin_api.memory_history import MemoryHistory
from migmond.ports import (
    History,
)
from migmond_sqlite import open_history

KEEP_S = {2: 3600.0, 10: 7200.0, 60: 4 * 86_400.0, 3600: 60 * 86_400.0}
SERIES = [
    series_of("a", {"execution": "x"}),
    series_of("a", {"execution": "y"}, unit="bytes"),
    series_of("b", {"disk": "sda"}, MetricKind.COUNTER),
    series_of("b", {"disk": "sda"}),
]


class Go(msgspec.Struct, frozen=True):
    """So many batches, so far apart, after the time has moved by `jump`, forwards or back."""

    jump: float
    count: int
    apart: float
    values: tuple[float, ...]
    flush: int


class Restart(msgspec.Struct, frozen=True):
    pass


class Prune(msgspec.Struct, frozen=True):
    ahead: float


class Forget(msgspec.Struct, frozen=True):
    execution: str


Step: TypeAlias = Go | Restart | Prune | Forget

JUMPS = st.sampled_from(
    [0.0, 0.0, 2.0, 2.0, 30.0, 700.0, 4000.0, 90_000.0, 3e6, -1.0, -5.0, -300.0, -5000.0, -100_000.0]
)
VALUES = st.one_of(st.integers(-1000, 1000).map(float), st.floats(-1e15, 1e15), st.just(0.0))


def steps() -> st.SearchStrategy[Step]:
    go = st.builds(
        Go,
        JUMPS,
        st.integers(1, 120),
        st.sampled_from([0.3, 2.0, 2.0, 2.1, 10.0, 61.0]),
        st.lists(VALUES, min_size=1, max_size=7).map(tuple),
        st.sampled_from([1, 5, 5, 200]),
    )
    return st.one_of(go, go, st.just(Restart()), st.builds(Prune, st.just(0.0)), st.builds(Forget, st.just("x")))


class Both:
    """Drives both, and compares what they answer."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._stack = AsyncExitStack()
        self.memory = MemoryHistory(KEEP_S)
        self.at = T0
        self.first, self.latest = T0, T0
        self._turn = 0
        self._pruned = False

    async def open(self) -> None:
        self.sqlite = await self._stack.enter_async_context(open_history(self._directory, KEEP_S))

    async def close(self) -> None:
        await self._stack.aclose()

    async def take(self, step: Step) -> None:
        match step:
            case Go():
                await self._go(step)
            case Restart():
                await self.close()
                await self.open()
            case Prune(ahead):
                self._pruned = True
                for history in self.both:
                    await history.prune(max(self.latest, self.at) + ahead)
            case Forget(execution):
                for history in self.both:
                    await history.forget(execution)

    @property
    def both(self) -> tuple[History, History]:
        return self.memory, self.sqlite

    async def _go(self, step: Go) -> None:
        self.at = max(100.0, self.at + step.jump)
        batches = []
        for i in range(step.count):
            self._turn += 1
            value = step.values[i % len(step.values)]
            readings = tuple(
                Reading(s, abs(value) * self._turn if s.kind is MetricKind.COUNTER else value + n)
                for n, s in enumerate(SERIES)
            )
            batches.append(Batch(self.at, step.apart, readings))
            self.at += step.apart
        self.first = min(self.first, *(b.at for b in batches))
        self.latest = max(self.latest, self.at)
        notes = [Annotation(batches[0].at, "phase", "x", f"{self._turn}")]
        for start in range(0, len(batches), step.flush):
            part = batches[start : start + step.flush]
            assert [await h.append(part, notes) for h in self.both] == [0, 0]

    async def compare(self) -> None:
        spans = [(self.first - 10, self.latest + 10), (self.at - 3600, self.at), (self.at - 90, self.at + 30)]
        for start, end in spans:
            for points in (2, 60, 600, 2000):
                answers = [
                    await h.query([Selection("a"), Selection("b")], max(0.0, start), end, points, most_series=9)
                    for h in self.both
                ]
                reference, other = answers
                # Whole rows are removed, and only what was rolled up: a finer tier may still be there where the
                # reference has none, or more of the last one.
                assert other.tier_s <= reference.tier_s
                kept, edge = self.memory.kept_from[int(reference.tier_s)], start - 2 * reference.step_s - 200
                if other.step_s != reference.step_s or kept > max(0.0, edge):
                    assert self._pruned
                    continue
                assert (other.first_at, other.buckets) == (reference.first_at, reference.buckets)
                assert self._pruned or other.tier_s == reference.tier_s
                wanted, found = (sorted(a.curves, key=name) for a in answers)
                assert [name(c) for c in found] == [name(c) for c in wanted]
                for expected, curve in zip(wanted, found, strict=True):
                    agree(curve, expected)
            if not self._pruned:
                notes = [await h.annotations(max(0.0, start), end, limit=50) for h in self.both]
                assert sorted(map(repr, notes[0])) == sorted(map(repr, notes[1]))
        if self._pruned:
            return  # a series that the reference has forgotten may have a row left
        listed = [[i.series for i in await h.series()] for h in self.both]
        assert listed[0] == listed[1]


def name(curve: Curve) -> str:
    return repr(curve.series)


def agree(found: Curve, wanted: Curve) -> None:
    """To what 32-bit floats hold. A mean of values that cancel each other is only as exact as they are large."""
    assert found.count == wanted.count
    assert near(found.low, wanted.low, 1e-6)
    assert near(found.high, wanted.high, 1e-6)
    size = max((abs(v) for column in (wanted.low, wanted.high) for v in column if v is not None), default=0.0)
    for a, b in zip(found.mean, wanted.mean, strict=True):
        assert (a is None) == (b is None)
        assert a is None or b is None or math.isclose(a, b, rel_tol=1e-4, abs_tol=size * 1e-6 + 1e-30)


@given(st.lists(steps(), min_size=1, max_size=12))
@settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow])
def test_both_give_the_same_answers(taken: Sequence[Step]) -> None:
    async def run() -> None:
        with tempfile.TemporaryDirectory() as directory:
            both = Both(Path(directory))
            await both.open()
            try:
                for step in taken:
                    await both.take(step)
                    if isinstance(step, Go):
                        await both.compare()
                await both.compare()
            finally:
                await both.close()

    trio.run(run)
