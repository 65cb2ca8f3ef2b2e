"""Calls of alert actions: at least once, in order, whatever fails and whenever the daemon dies; nobody waits for it."""

from __future__ import annotations

import contextlib
import itertools
import random
import secrets
from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st
from trio.testing import MockClock

from alerts_told import TrioClock, an_alert
from migmond.domain.alert import ActionCall, Alert, Delivery, Tried
from migmond.domain.changes import Change, PutDelivery
from migmond.domain.errors import JournalFull
from migmond.monitor.outbox import Outbox, OutboxLimits
from migmond.planning.delivering import MAX_AFTER_S, MAX_DELAY_S, MIN_DELAY_S, after_try, wait_of
from migmond.plugin_api.memory import MemoryJournal

MAIL, HOOK = ActionCall("mail", {"to": ["ops"]}), ActionCall("exec", {"argv": ["/etc/hook"]})


class Journal(MemoryJournal):
    """One that can be full."""

    full = False

    async def apply(self, changes: Sequence[Change]) -> None:
        if self.full:
            raise JournalFull("no space left")
        await super().apply(changes)


class Receiver:
    """Notes every try; `answers` by action, the last one again and again."""

    def __init__(self) -> None:
        self.tries: list[tuple[float, Delivery]] = []
        self.answers: dict[str, list[Tried | None]] = defaultdict(lambda: [Tried()])

    async def act(self, delivery: Delivery) -> Tried:
        self.tries.append((trio.current_time(), delivery))
        answers = self.answers[delivery.action]
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        if answer is None:
            await trio.sleep_forever()
            raise AssertionError
        return answer


class Scene:
    """A journal and a receiver that outlive the daemon."""

    def __init__(self, limits: OutboxLimits = OutboxLimits()) -> None:  # noqa: B008 (frozen)
        self.journal, self.receiver, self.clock = Journal(), Receiver(), TrioClock()
        self.limits = limits
        self.logged: list[tuple[str, dict[str, Any]]] = []

    @asynccontextmanager
    async def daemon(self) -> AsyncIterator[Outbox]:
        outbox = Outbox(
            self.journal, self.receiver.act, self.clock, random.Random(1), self._log, self.limits,
            lambda action: action == "pause",
        )  # fmt: skip
        async with trio.open_nursery() as nursery:
            await nursery.start(outbox.run)
            yield outbox
            nursery.cancel_scope.cancel()

    def _log(self, message: str, **facts: Any) -> None:
        self.logged.append((message, facts))

    def made(self, alert: Alert, call: ActionCall, *, firing: bool, also: tuple[str, ...] = ()) -> Delivery:
        now = self.clock.wall()
        return Delivery(
            secrets.token_hex(12), call.name, dict(call.parameters), alert, firing, now, next_at=now, also=also
        )

    async def send(
        self, outbox: Outbox, alert: Alert, call: ActionCall, *, firing: bool, also: tuple[str, ...] = ()
    ) -> None:
        """As the alerts do it: journaled first, and sent even if that could not be."""
        delivery = self.made(alert, call, firing=firing, also=also)
        with contextlib.suppress(JournalFull):
            await self.journal.apply([PutDelivery(delivery)])
        outbox.send([delivery])

    def told(self) -> list[tuple[str, bool]]:
        return [(d.alert, d.firing) for _, d in self.receiver.tries]


async def test_a_call_is_made_once_and_on_record(autojump_clock: MockClock) -> None:
    scene = Scene()
    async with scene.daemon() as outbox:
        await scene.send(outbox, an_alert(), MAIL, firing=True)
        assert scene.receiver.tries == []  # nobody waited for it
        await trio.sleep(1)
        (kept,) = await scene.journal.deliveries()
        assert (kept.attempts, kept.done_at, kept.error) == (1, kept.tried_at, "")
        assert kept.told == an_alert()
        assert outbox.waiting() == ()
        assert outbox.troubles() == ()
    async with scene.daemon():
        await trio.sleep(10_000)
    assert len(scene.receiver.tries) == 1


async def test_a_receiver_that_is_down_is_tried_until_it_is_back(autojump_clock: MockClock) -> None:
    scene = Scene()
    scene.receiver.answers["mail"] = [*[Tried("connection refused")] * 6, Tried()]
    async with scene.daemon() as outbox:
        await scene.send(outbox, an_alert(), MAIL, firing=True)
        await scene.send(outbox, an_alert(), MAIL, firing=False)
        await scene.send(outbox, an_alert(2), HOOK, firing=True)
        await trio.sleep(0.5)
        assert [(t.action, t.error, t.failing) for t in outbox.troubles()] == [("mail", "connection refused", True)]
        assert [d.firing for d in outbox.waiting()] == [True, False]
        await trio.sleep(10_000)
        assert [t.failing for t in outbox.troubles()] == [False]
    mails = [(at, d) for at, d in scene.receiver.tries if d.action == "mail"]
    assert [d.firing for _, d in mails] == [*[True] * 7, False]
    assert len({d.id for _, d in mails[:7]}) == 1
    assert [d.attempts for _, d in mails] == [0, 1, 2, 3, 4, 5, 6, 0]
    waits = [b[0] - a[0] for a, b in itertools.pairwise(mails[:7])]
    assert all(MIN_DELAY_S <= w <= MAX_DELAY_S for w in waits)
    hook = [at for at, d in scene.receiver.tries if d.action == "exec"]
    assert len(hook) == 1
    assert hook[0] < mails[1][0]  # nobody else waited for it
    assert [m for m, _ in scene.logged] == ["alert action failed, tried again"]


async def test_it_is_given_up_when_that_helps_nobody_or_its_time_is_over(autojump_clock: MockClock) -> None:
    scene = Scene(OutboxLimits(give_up_s=3600))
    scene.receiver.answers["mail"] = [Tried("no such user", final=True), Tried()]
    scene.receiver.answers["exec"] = [Tried("exit code 1")]
    async with scene.daemon() as outbox:
        await scene.send(outbox, an_alert(), MAIL, firing=True)
        await scene.send(outbox, an_alert(), MAIL, firing=False)
        await scene.send(outbox, an_alert(), HOOK, firing=True)
        await trio.sleep(3 * 3600)
        assert [(d.given_up, d.attempts, d.error) for d in await scene.journal.deliveries()][:2] == [
            (True, 1, "no such user"), (False, 1, ""),
        ]  # fmt: skip
        hook = (await scene.journal.deliveries())[2]
        assert hook.given_up
        assert 3600 <= hook.waited_s <= 3600 + MAX_DELAY_S
        assert {t.action: t.failing for t in outbox.troubles()} == {"mail": False, "exec": True}
    async with scene.daemon() as again:  # what failed is still known after a restart
        assert {t.action: (t.failing, t.error) for t in again.troubles()}["exec"] == (True, "exit code 1")


async def test_one_that_hangs_holds_up_neither_other_receivers_nor_what_acts_at_once(
    autojump_clock: MockClock,
) -> None:
    scene = Scene()
    scene.receiver.answers["mail"] = [None]
    async with scene.daemon() as outbox:
        for n in range(20):  # more receivers than may be tried at a time
            await scene.send(outbox, an_alert(n), ActionCall("mail", {"to": [str(n)]}), firing=True)
        await scene.send(outbox, an_alert(1), ActionCall("pause"), firing=True)
        await trio.sleep(1)
        assert [d.action for _, d in scene.receiver.tries].count("pause") == 1
        assert len(outbox.waiting()) == 20


async def test_receivers_of_one_action_that_hang_hold_up_no_other_action(autojump_clock: MockClock) -> None:
    scene = Scene()
    scene.receiver.answers["exec"] = [None]
    async with scene.daemon() as outbox:
        for n in range(50):  # each of them waits for its time limit
            await scene.send(outbox, an_alert(n), ActionCall("exec", {"argv": ["/hook", str(n)]}), firing=True)
        await scene.send(outbox, an_alert(1), MAIL, firing=True)
        await trio.sleep(1)
        assert [d.action for _, d in scene.receiver.tries].count("mail") == 1


async def test_nobody_hears_of_the_end_of_one_of_several_before_they_heard_of_all(autojump_clock: MockClock) -> None:
    scene = Scene()
    scene.receiver.answers["mail"] = [Tried("down"), Tried("down"), Tried()]
    async with scene.daemon() as outbox:
        await scene.send(outbox, an_alert(1), MAIL, firing=True, also=("a-2", "a-3"))
        await scene.send(outbox, an_alert(2), MAIL, firing=False)
        await scene.send(outbox, an_alert(4), MAIL, firing=True)
        await trio.sleep(1000)
    told = scene.told()
    assert told.count(("a-2", False)) == 1
    assert told.index(("a-2", False)) > max(i for i, call in enumerate(told) if call == ("a-1", True))
    assert told[1] == ("a-4", True)  # who has nothing to do with it does not wait


async def test_what_cannot_be_journaled_is_told_all_the_same(autojump_clock: MockClock) -> None:
    scene = Scene()
    scene.journal.full = True
    async with scene.daemon() as outbox:
        await scene.send(outbox, an_alert(), MAIL, firing=True)
        await scene.send(outbox, an_alert(), MAIL, firing=False)
        await trio.sleep(1)
        assert scene.told() == [("a-1", True), ("a-1", False)]
        assert await scene.journal.deliveries() == []
        assert [m for m, _ in scene.logged] == [
            "what came of alert actions cannot be journaled, they are called all the same"
        ]
        scene.journal.full = False
        await scene.send(outbox, an_alert(2), MAIL, firing=True)
        assert [d.alert for d in await scene.journal.deliveries()] == ["a-2"]


async def test_a_mistake_of_ours_ends_nothing(autojump_clock: MockClock) -> None:
    scene = Scene()

    async def broken(delivery: Delivery) -> Tried:
        raise ZeroDivisionError("a mistake")

    scene.receiver.act = broken  # type: ignore[method-assign]
    async with scene.daemon() as outbox:
        await scene.send(outbox, an_alert(), MAIL, firing=True)
        await trio.sleep(1)
        assert [t.error for t in outbox.troubles()] == ["ZeroDivisionError: a mistake"]


async def test_no_more_wait_and_no_more_are_kept_than_may(autojump_clock: MockClock) -> None:
    scene = Scene(OutboxLimits(waiting=10, kept=20))
    scene.receiver.answers["mail"] = [Tried("down")]
    async with scene.daemon() as outbox:
        calls = [scene.made(an_alert(n), MAIL, firing=True) for n in range(50)]
        await scene.journal.apply([PutDelivery(d) for d in calls])
        outbox.send(calls)
        await trio.sleep(0.5)
        assert [d.alert for d in outbox.waiting()] == [f"a-{n}" for n in range(40, 50)]
        settled = await scene.journal.deliveries(settled=True)
        assert [d.alert for d in settled] == [f"a-{n}" for n in range(20, 40)]
        assert {d.error for d in settled} == {"too many calls wait: the oldest is given up"}
        scene.receiver.answers["mail"] = [Tried()]
        await trio.sleep(10_000)
        assert outbox.waiting() == ()
        assert len(await scene.journal.deliveries()) == 20


async def test_a_daemon_that_lets_fewer_wait_gives_the_oldest_up(autojump_clock: MockClock) -> None:
    scene = Scene()
    scene.receiver.answers["mail"] = [Tried("down")]
    calls = [scene.made(an_alert(n), MAIL, firing=True) for n in range(30)]
    await scene.journal.apply([PutDelivery(d) for d in calls])
    scene.limits = OutboxLimits(waiting=10)
    async with scene.daemon() as outbox:
        await trio.sleep(0.5)
        assert [d.alert for d in outbox.waiting()] == [f"a-{n}" for n in range(20, 30)]
        assert len(await scene.journal.deliveries(settled=False)) == 10


async def test_an_execution_that_cannot_be_paused_holds_up_no_other(autojump_clock: MockClock) -> None:
    scene = Scene()
    scene.receiver.answers["pause"] = [None, Tried()]
    async with scene.daemon() as outbox:
        for n, execution in enumerate(("aa", "bb", "")):
            await scene.send(outbox, an_alert(n, execution=execution), ActionCall("pause"), firing=True)
        await trio.sleep(1)
        assert len(outbox.waiting()) == 1  # whichever was the first


def test_what_a_receiver_asks_for_is_heeded_within_bounds() -> None:
    delivery, rng = Delivery("d", "mail", {}, an_alert(), True, 0.0), random.Random(3)
    assert after_try(delivery, Tried("busy", after_s=120.0), 0.0, rng, 1e9).delay_s == 120.0
    assert after_try(delivery, Tried("busy", after_s=1e12), 0.0, rng, 1e9).delay_s == MAX_AFTER_S
    assert after_try(delivery, Tried("busy", after_s=-5.0), 0.0, rng, 1e9).delay_s >= MIN_DELAY_S
    assert len(after_try(delivery, Tried("x" * 10_000), 0.0, rng, 1e9).error) == 1000


@pytest.mark.parametrize(("now", "wait"), [(90.0, 10.0), (105.0, 0.0), (-1e9, 20.0)])
def test_a_clock_that_was_set_lets_nothing_wait_longer(now: float, wait: float) -> None:
    assert wait_of(Delivery("d", "mail", {}, an_alert(), True, 0.0, next_at=100.0, delay_s=20.0), now) == wait


Step = st.one_of(
    st.tuples(st.just("put"), st.integers(1, 3), st.integers(0, 1)),
    st.tuples(st.just("sleep"), st.sampled_from([0.0, 0.3, 5.0, 100.0]), st.just(0)),
    st.tuples(st.just("kill"), st.sampled_from([0, 1, 2, 3, 5, 8]), st.just(0)),
    st.tuples(st.just("answer"), st.integers(0, 3), st.integers(0, 1)),
)


@settings(max_examples=80, deadline=None)
@given(steps=st.lists(Step, max_size=25))
def test_against_an_oracle_of_crashes(steps: list[tuple[str, Any, int]]) -> None:
    """Every call that was durable reaches its receiver or is given up as refused; what a receiver was told of an alert
    last is what happened last; a call has the same id each time."""
    trio.run(_crashing, steps, clock=MockClock(autojump_threshold=0))


async def _crashing(steps: list[tuple[str, Any, int]]) -> None:
    scene, durable, firing = Scene(), list[tuple[str, str, bool, int]](), defaultdict[int, bool](bool)
    calls, answers = (MAIL, HOOK), (Tried(), Tried("down"), Tried("refused", final=True), None)
    order, left = 0, list(steps)
    while True:
        async with scene.daemon() as outbox:
            killed = False
            while left and not killed:
                kind, what, which = left.pop(0)
                if kind == "put":
                    order += 1
                    firing[what] = not firing[what]
                    alert = an_alert(what, message=str(order))
                    await scene.send(outbox, alert, calls[which], firing=firing[what])
                    durable.append((alert.id, calls[which].name, firing[what], order))
                elif kind == "sleep":
                    await trio.sleep(what)
                elif kind == "answer":
                    scene.receiver.answers[calls[which].name] = [answers[what]]
                else:
                    for _ in range(what):  # at any point of what it does
                        await trio.lowlevel.checkpoint()
                    killed = True
        if not left:
            break  # what hangs now hangs until the daemon ends: its time limit is somebody else's
    for call in calls:
        scene.receiver.answers[call.name] = [Tried()]
    async with scene.daemon() as outbox:
        await trio.sleep(10_000)
        assert outbox.waiting() == ()
    tries = [d for _, d in scene.receiver.tries]
    reached = {int(d.told.message) for d in tries}
    assert {number for *_, number in durable} <= reached
    by_lane: dict[tuple[str, str], list[int]] = defaultdict(list)
    ids: dict[int, set[str]] = defaultdict(set)
    for delivery in tries:
        by_lane[delivery.alert, delivery.action].append(int(delivery.told.message))
        ids[int(delivery.told.message)].add(delivery.id)
    assert all(numbers == sorted(numbers) for numbers in by_lane.values())
    assert all(len(found) == 1 for found in ids.values())
    kept = await scene.journal.deliveries()
    assert all(d.settled for d in kept)
    assert [int(d.told.message) for d in kept] == sorted(int(d.told.message) for d in kept)
