"""One task brings events to everybody: each in time, nobody twice, and the loop is free in between."""

from __future__ import annotations

import trio
import trio.testing
from hypothesis import given, settings
from hypothesis import strategies as st

from migmond.rpc.fanout import Fanout

LEAST_S = 0.01


class Scripted:
    """A receiver that returns one of `waits` after another, then None; and keeps when it was asked."""

    def __init__(self, waits: list[float | None]) -> None:
        self._waits = list(waits)
        self.calls: list[float] = []

    def move_events(self, now: float) -> float | None:
        self.calls.append(now)
        return self._waits.pop(0) if self._waits else None


def expected(wakes: list[float], waits: list[float | None]) -> list[float]:
    """When a receiver is to be asked: when it is woken, and when what it waits for is due, if nothing came before."""
    calls: list[float] = []
    left, due, at = sorted(set(wakes)), float("inf"), list(waits)
    while left or due < float("inf"):
        now = min([*left[:1], due])
        if left and left[0] == now:
            left.pop(0)
        calls.append(now)
        wait_s = at.pop(0) if at else None
        due = float("inf") if wait_s is None else now + max(LEAST_S, wait_s)
    return calls


times = st.integers(0, 40).map(lambda n: n / 16)
waits_s = st.integers(0, 16).map(lambda n: n / 8 + 1 / 4096)
"""Nothing is ever due in the very moment in which somebody is woken: then it is asked once or twice."""
scripts = st.tuples(st.lists(times, max_size=5), st.lists(st.none() | waits_s, max_size=6))


@given(st.lists(scripts, min_size=1, max_size=5))
@settings(deadline=None)
def test_each_is_asked_when_it_is_woken_and_when_something_is_due(plan: list[tuple[list[float], list[float]]]) -> None:
    receivers = [Scripted(list(waits)) for _, waits in plan]

    async def run() -> None:
        fanout = Fanout()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(fanout.run)
            for at in sorted({at for wakes, _ in plan for at in wakes}):
                await trio.sleep_until(at)
                for (wakes, _), receiver in zip(plan, receivers, strict=True):
                    if at in wakes:
                        fanout.wake(receiver)
                        fanout.wake(receiver)
            await trio.sleep(100)
            nursery.cancel_scope.cancel()

    trio.run(run, clock=trio.testing.MockClock(autojump_threshold=0))
    for (wakes, waits), receiver in zip(plan, receivers, strict=True):
        assert receiver.calls == expected(wakes, list(waits))


async def test_who_is_forgotten_is_not_asked(autojump_clock: trio.testing.MockClock) -> None:
    fanout, waiting, woken = Fanout(), Scripted([1.0]), Scripted([])
    async with trio.open_nursery() as nursery:
        nursery.start_soon(fanout.run)
        fanout.wake(waiting)
        await trio.sleep(0.5)
        fanout.wake(woken)
        for receiver in (waiting, woken):
            fanout.forget(receiver)
        await trio.sleep(10)
        nursery.cancel_scope.cancel()
    assert (len(waiting.calls), woken.calls) == (1, [])


async def test_a_thousand_at_once_leave_the_loop_to_others(mock_clock: trio.testing.MockClock) -> None:
    """Each takes a millisecond: without a breath nobody else would be served for a second."""

    class Slow(Scripted):
        def move_events(self, now: float) -> float | None:
            mock_clock.jump(0.001)
            return super().move_events(now)

    fanout, receivers, turns = Fanout(), [Slow([]) for _ in range(1000)], 0
    for receiver in receivers:
        fanout.wake(receiver)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(fanout.run)
        while not receivers[-1].calls:
            await trio.lowlevel.checkpoint()
            turns += 1
        nursery.cancel_scope.cancel()
    assert all(len(r.calls) == 1 for r in receivers)
    assert turns > 150
