"""Calls of alert actions on their way: tried until they succeed or their time is over.

Whoever sends one has journaled it, and does not wait. Each receiver (an action with its parameters) has a lane with a
task of its own, so that one that hangs holds up nobody else. A call is tried again after a crash unless it is on record
that it was done, and the next one about the same alert is tried only after that record: a receiver sees the calls about
an alert in order, some of them perhaps twice, with the same id.

What cannot be journaled is delivered all the same: a full disk is worth an alert.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable

import msgspec
import trio

from migmond.domain.alert import Delivery, Tried
from migmond.domain.changes import (
    Change,
    PruneDeliveries,
    PutDelivery,
)
from migmond.domain.errors import JournalError
from migmond.planning.delivering import after_try, lane_of, next_of, wait_of
from migmond.ports import (
    Clock,
    Journal,
)

AT_A_TIME = 8
"""Calls of one action that are tried side by side, all its receivers together."""
_ALL = 1_000_000
_CROWDED = "too many calls wait: the oldest is given up"


class OutboxLimits(msgspec.Struct, frozen=True):
    """How long and how much.

    Attributes:
        give_up_s: a call that has waited so long for its tries is given up.
        waiting: calls that may wait; with more, the oldest is given up.
        kept: settled calls that stay on record.
    """

    give_up_s: float = 86_400.0
    waiting: int = 5_000
    kept: int = 1_000


class Trouble(msgspec.Struct, frozen=True):
    """The newest failure of an action.

    Attributes:
        at: wall clock seconds.
        failing: it has not succeeded since.
    """

    action: str
    at: float
    error: str
    delivery: str
    failing: bool = True


class _Lane:
    def __init__(self) -> None:
        self.waiting: dict[str, Delivery] = {}
        self.due: dict[str, float] = {}
        self.changed = trio.Event()


class Outbox:
    """Implements `migmond.ports.Deliveries`.

    Args:
        act: tries a call once; it must come to an end by itself.
        at_once: whether an action waits for nobody (those that act within the daemon).
    """

    def __init__(
        self,
        journal: Journal,
        act: Callable[[Delivery], Awaitable[Tried]],
        clock: Clock,
        rng: random.Random,
        log: Callable[..., None],
        limits: OutboxLimits,
        at_once: Callable[[str], bool] = lambda action: False,
    ) -> None:
        self._journal = journal
        self._act = act
        self._clock = clock
        self._rng = rng
        self._log = log
        self._limits = limits
        self._at_once = at_once
        self._lanes: dict[tuple[str, bytes, str], _Lane] = {}
        self._open: dict[str, Delivery] = {}  # in the order in which they were sent
        self._fresh: dict[str, Delivery] = {}
        self._changes: list[Change] = []
        self._put = self._written = 0
        self._work, self._wrote = trio.Event(), trio.Event()
        self._limiters: defaultdict[str, trio.CapacityLimiter]
        self._limiters = defaultdict(lambda: trio.CapacityLimiter(AT_A_TIME))
        self._troubles: dict[str, Trouble] = {}
        self._unwritten = False

    # --- sending -----------------------------------------------------------------------------------

    def send(self, calls: Iterable[Delivery]) -> None:
        """See `migmond.ports.Deliveries`."""
        for delivery in calls:
            self._open[delivery.id] = self._fresh[delivery.id] = delivery
            self._work.set()
        while len(self._open) > self._limits.waiting:
            self._give_up_oldest()

    def _give_up_oldest(self) -> None:
        oldest = next(iter(self._open.values()))
        given_up = msgspec.structs.replace(oldest, given_up=True, error=oldest.error or _CROWDED)
        self._forget(oldest)
        self._record(PutDelivery(given_up), PruneDeliveries(self._limits.kept))
        self._note(given_up, Tried(_CROWDED))

    def _forget(self, delivery: Delivery) -> None:
        self._open.pop(delivery.id, None)
        self._fresh.pop(delivery.id, None)
        lane = self._lanes.get(lane_of(delivery))
        if lane is not None:
            lane.waiting.pop(delivery.id, None)
            lane.due.pop(delivery.id, None)

    def _record(self, *changes: Change) -> int:
        self._changes += changes
        self._put += len(changes)
        self._work.set()
        return self._put

    # --- looking -----------------------------------------------------------------------------------

    def troubles(self) -> tuple[Trouble, ...]:
        """Return the newest failure of each action that ever failed, those that still do first."""
        return tuple(sorted(self._troubles.values(), key=lambda t: (not t.failing, -t.at)))

    def waiting(self) -> tuple[Delivery, ...]:
        """Return the calls that are not settled, in the order in which they were made."""
        return tuple(self._open.values())

    # --- working -----------------------------------------------------------------------------------

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Deliver until cancelled; begins with what an earlier daemon left.

        Raises:
            JournalError: what was left cannot be read.
        """
        for delivery in await self._journal.deliveries(limit=self._limits.kept):
            if delivery.error:
                self._note(delivery, Tried(delivery.error))
            elif delivery.done_at is not None:
                self._note(delivery, Tried())
        left = await self._journal.deliveries(settled=False, limit=_ALL)
        self._open = {d.id: d for d in left} | self._open
        self.send(())  # of fewer than an earlier configuration let wait, the oldest are given up
        async with trio.open_nursery() as nursery:
            for delivery in tuple(self._open.values()):
                self._admit(delivery, wait_of(delivery, self._clock.wall()), nursery)
            task_status.started()
            while True:
                await self._work.wait()
                self._work = trio.Event()
                changes, self._changes = self._changes, []
                fresh, self._fresh = self._fresh, {}
                for delivery in fresh.values():
                    self._admit(delivery, 0.0, nursery)
                if changes:
                    await self._write(changes)

    async def _write(self, changes: list[Change]) -> None:
        try:
            await self._journal.apply(changes)
        except JournalError as e:
            if not self._unwritten:
                self._log("what came of alert actions cannot be journaled, they are called all the same", why=e.message)
            self._unwritten = True
        else:
            self._unwritten = False
        self._written += len(changes)
        self._wrote.set()
        self._wrote = trio.Event()

    def _admit(self, delivery: Delivery, wait_s: float, nursery: trio.Nursery) -> None:
        key = lane_of(delivery)
        lane = self._lanes.get(key)
        if lane is None:
            lane = self._lanes[key] = _Lane()
            nursery.start_soon(self._serve, key, lane)
        lane.waiting[delivery.id] = delivery
        lane.due[delivery.id] = self._clock.monotonic() + wait_s
        lane.changed.set()

    async def _serve(self, key: tuple[str, bytes, str], lane: _Lane) -> None:
        while True:
            lane.changed = trio.Event()
            delivery = next_of(lane.waiting.values(), lane.due)
            if delivery is None:
                del self._lanes[key]
                return
            wait_s = lane.due[delivery.id] - self._clock.monotonic()
            if wait_s > 0:
                with trio.move_on_after(wait_s):
                    await lane.changed.wait()
                continue
            tried = await self._try(delivery)
            if delivery.id not in self._open:
                continue  # given up meanwhile, in favour of newer ones
            after = after_try(delivery, tried, self._clock.wall(), self._rng, self._limits.give_up_s)
            await self._take(after, tried, lane)

    async def _try(self, delivery: Delivery) -> Tried:
        try:
            if self._at_once(delivery.action):
                return await self._act(delivery)
            async with self._limiters[delivery.action]:
                return await self._act(delivery)
        except Exception as e:  # an alert is worth less than what the daemon is for
            self._log("an alert action met a mistake in migmond", action=delivery.action, exc_info=e)
            return Tried(f"{type(e).__name__}: {e}")

    async def _take(self, after: Delivery, tried: Tried, lane: _Lane) -> None:
        self._note(after, tried)
        if tried.said:
            self._log("alert action said", action=after.action, alert=after.alert, said=tried.said)
        if after.settled:
            number = self._record(PutDelivery(after), PruneDeliveries(self._limits.kept))
        else:
            self._open[after.id] = lane.waiting[after.id] = after
            lane.due[after.id] = self._clock.monotonic() + after.delay_s
            number = self._record(PutDelivery(after))
        if tried.error and (after.attempts == 1 or after.given_up):
            what = "given up" if after.given_up else "tried again"
            self._log(f"alert action failed, {what}", action=after.action, alert=after.alert, why=after.error)
        while self._written < number:
            await self._wrote.wait()
        if after.settled:
            self._forget(after)

    def _note(self, delivery: Delivery, tried: Tried) -> None:
        action, before = delivery.action, self._troubles.get(delivery.action)
        at = delivery.tried_at if delivery.tried_at is not None else delivery.created_at
        if tried.error:
            self._troubles[action] = Trouble(action, at, tried.error, delivery.id)
        elif before is not None and before.at <= at:
            self._troubles[action] = msgspec.structs.replace(before, failing=False)
