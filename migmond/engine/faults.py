"""What is done about a task's fault: try again, hold the execution, or give the task up."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterable
from typing import Protocol, TypeAlias

import msgspec

from migmond.domain.changes import (
    AddFault,
)
from migmond.domain.fault import Disposition, Fault, Phase
from migmond.domain.hold import HoldReason
from migmond.domain.selector import Selector
from migmond.domain.session import DeviceSide
from migmond.domain.task import Task
from migmond.engine.scope import Scope
from migmond.planning.backoff import next_delay
from migmond.recovery.breaker import Breaker, State
from migmond.recovery.dispositions import DeviceKind, Row, Side, device_kind, row_of, side_of
from migmond.recovery.retries import Lessons, RetryBudget

ABANDONED = "abandoned"
"""Kind of the fault of a task that the mover gave up because it was told to, or because nothing went well any more."""

SOURCE_CHANGED = "source_changed"

_SPACE_KINDS = frozenset({"ENOSPC", "EDQUOT"})
_AFTER_OTHERS_S = 5.0
"""A task that opened a breaker is tried so much later than the first that may be: another one is a better probe."""
_Key: TypeAlias = tuple[Side, int, HoldReason, bool]
"""Side, number of the source's device, why it is held, and whether for what cannot be listed: names may come from a
cache when no content does."""
_SLACK_S = 0.5
"""Holds end by the observer's ticks and by another clock than breakers do."""


_EVERYTHING = Selector()


class Hold(Protocol):
    """Sets a hold on the execution."""

    def __call__(
        self, reason: HoldReason, note: str, *, for_s: float | None = None, selector: Selector = _EVERYTHING
    ) -> None:
        """It lifts itself after `for_s` seconds, None for as long as such holds last by default."""


def no_sides() -> tuple[DeviceSide, DeviceSide]:
    """Return what source and target are on, when nobody knows."""
    return DeviceSide(), DeviceSide()


class FaultDesk:
    """Decides by the error table (`migmond.recovery.dispositions`).

    Attributes:
        changed: tasks whose source changed after the scan, to be taken as they are found next time.

    Args:
        hold: see Hold.
        sides: returns what source and target are on.
    """

    def __init__(self, scope: Scope, hold: Hold, sides: Callable[[], tuple[DeviceSide, DeviceSide]] = no_sides) -> None:
        self._scope = scope
        self._hold = hold
        self._sides = sides
        self._delays: dict[int, float] = {}
        self._tries: Counter[int] = Counter()
        self._breakers: dict[_Key, Breaker] = {}
        self._budget = RetryBudget(scope.now())
        self._lessons = Lessons()
        self._retried: dict[int, str] = {}
        """Tasks that are tried again, with what they failed by."""
        self._unsynced: dict[int, int] = {}
        self._suspects: dict[int, int] = {}
        """Tasks that failed while their device was in doubt, with how often its breaker had been closed then."""
        self.changed: set[int] = set()

    def meet(self, task: Task, fault: Fault) -> None:
        """Deal with `fault` of `task`, which is in nobody's hands now."""
        scope, number = self._scope, task.number
        if fault.kind == ABANDONED:
            scope.requeue.put(task, scope.now())
            return
        # A target that fails, or may not be written to, may not have let its mover remove the temporary either.
        scope.untidy |= bool(fault.errno) and side_of(fault.phase) is Side.TARGET
        if (before := self._retried.pop(number, None)) is not None:
            self._lessons.learn(before, mended=False)
        row = self._row(fault)
        held, own = self._held_for(task, fault, row)
        if held:
            self._wait_for_device(task, fault, row)
            scope.progress.set()
            return
        # What was held is not counted as tried: the journal does, and a disk may be away over several starts.
        tried = self._tries[number] if row.device else task.attempts
        if not own and row.disposition is Disposition.RETRY and tried + 1 < self._attempts(fault, row):
            self._again(task, fault, row)
        else:
            self._forget(number)
            scope.fail(task, fault)
        scope.progress.set()

    def lists_again(self, task: Task, fault: Fault) -> bool:
        """Whether a directory that could not be listed is not to fail, but to be listed once more later: it is said
        why. Its device is held, or in a moment it may be listed."""
        row, scope = self._row(fault), self._scope
        held, own = self._held_for(task, fault, row)
        again = row.disposition is Disposition.RETRY and self._tries[task.number] + 1 < self._attempts(fault, row)
        if not held and (own or not again):
            self._forget(task.number)
            return False
        if not held:
            self._tries[task.number] += 1
        scope.ledger.record([AddFault(scope.key, task.number, scope.wall(), fault)])
        return True

    def listed(self, device: int) -> None:
        """A directory on that device was listed."""
        for (side, number, _, listing), breaker in self._breakers.items():
            if listing and side is Side.SOURCE and number == device:
                breaker.answered(self._scope.now())

    def is_held(self, devices: Iterable[int]) -> bool:
        """Whether nothing is tried on one of these devices at the moment."""
        self._settle_breakers()
        on = set(devices)
        return any(key[1] in on and b.state is State.OPEN for key, b in self._breakers.items() if key[0] is Side.SOURCE)

    def environmental(self, fault: Fault, device: int = 0) -> bool:
        """Whether no task is to blame for `fault` but what all of them stand on; then the execution is held.

        Args:
            device: number of the source's device, when that is what the fault is about.
        """
        row = self._row(fault)
        if not row.device:
            return False
        self._settle_breakers()
        return self._trips(self._breaker(fault, device), row, fault, _EVERYTHING)

    def unsynced(self, task: Task, fault: Fault) -> bool:
        """Whether `fault` only says that what was done about `task` may not be durable; the execution is held when it
        keeps saying so. Then the task is tried again for ever: to give it up would be to forget what was done."""
        if fault.phase is not Phase.SYNC:
            return False
        tries = self._unsynced[task.number] = self._unsynced.get(task.number, 0) + 1
        if not self.environmental(fault) and tries % self._scope.surroundings.settings.attempts == 0:
            self._hold(HoldReason.DEVICE, f"{fault.phase}: {fault.message}")
        return True

    def went_well(self, device: int, entries: int = 1) -> None:
        """So many entries' contents were read from `device` and written: it is there, and so is the target."""
        self._budget.earn(entries)
        if not self._breakers:
            return
        self._settle_breakers()
        for (side, number, _, _), breaker in self._breakers.items():
            if side is not Side.SOURCE or number == device:
                breaker.succeeded(self._scope.now(), entries)

    def mended(self, numbers: Iterable[int]) -> None:
        """These tasks were copied: those that had failed before have been worth another try."""
        if not (self._retried or self._suspects or self._delays):
            return
        for number in numbers:
            if (fingerprint := self._retried.pop(number, None)) is not None:
                self._lessons.learn(fingerprint, mended=True)
            self._forget(number)

    @property
    def probing(self) -> bool:
        """Whether one entry is to be tried alone, because a device that all need may or may not be back."""
        return any(self._covers(key).selects_all for key in self._half_open())

    @property
    def doubtful(self) -> frozenset[int]:
        """Devices that may or may not be back: of each one entry is to be tried alone, while all others go on."""
        return frozenset(key[1] for key in self._half_open() if not self._covers(key).selects_all)

    def mix(self, waiting: deque[Task]) -> None:
        """Let the next probe be any of those that wait: the neighbours of a bad file are often bad as well."""
        if len(waiting) > 1:
            waiting.rotate(self._scope.surroundings.rng.randrange(len(waiting)))

    def may_send(self) -> bool:
        """Whether another batch may be given to a mover now: a probe is alone."""
        return not (self.probing and any(s.flight.batches for s in self._scope.crew.stations.values()))

    # --- helpers -----------------------------------------------------------------------------------

    def _half_open(self) -> list[_Key]:
        if not self._breakers:
            return []
        self._settle_breakers()
        return [key for key, b in self._breakers.items() if b.state is State.HALF_OPEN]

    def _covers(self, key: _Key) -> Selector:
        """Return what is held for a device: of several that sources are on, what is on that one."""
        side, device, _, _ = key
        roots = self._scope.roots[: len(self._scope.plan.sources)]
        if side is Side.SOURCE and len({r.source_device for r in roots}) > 1:
            return Selector(devices=(device,))
        return _EVERYTHING

    def _row(self, fault: Fault) -> Row:
        source, target = self._sides()
        side = side_of(fault.phase)
        kind = device_kind((source if side is Side.SOURCE else target).file_system) if side else DeviceKind.LOCAL
        return row_of(fault, kind)

    @staticmethod
    def _key(fault: Fault, device: int) -> _Key:
        """Return what a fault is about. All targets are one: an entry that fails does not say on which of them it was
        to be."""
        side = side_of(fault.phase)
        reason = HoldReason.SPACE if fault.kind in _SPACE_KINDS else HoldReason.DEVICE
        return side, device if side is Side.SOURCE else 0, reason, fault.phase is Phase.SCAN

    def _breaker(self, fault: Fault, device: int) -> Breaker:
        """Return the one of the device that the fault is about."""
        key = self._key(fault, device)
        reason = key[2]
        if key not in self._breakers:
            open_s = self._scope.surroundings.settings.hold_s
            self._breakers[key] = Breaker(open_s, steady=reason is HoldReason.SPACE)
        return self._breakers[key]

    def _held_for(self, task: Task, fault: Fault, row: Row) -> tuple[bool, bool]:
        """Count a fault of `task` against its device. Returns whether that is held for it, so that it waits, and
        whether it is the entry that is to blame though its device was in doubt."""
        self._settle_breakers()
        if not row.device:
            return False, False
        breaker, number = self._breaker(fault, task.device), task.number
        suspect = number in self._suspects and row.disposition is not Disposition.HOLD
        vouched = suspect and breaker.closed > self._suspects[number]  # the device was there since: it is the file
        own = vouched or (suspect and breaker.state is not State.OPEN)
        covers = self._covers(self._key(fault, task.device))
        held = not vouched and self._trips(breaker, row, fault, covers) and not own
        if held and row.disposition is not Disposition.HOLD:
            self._suspects.setdefault(number, breaker.closed)
        return held, own

    def _trips(self, breaker: Breaker, row: Row, fault: Fault, covers: Selector) -> bool:
        """Count a fault against a device; whether `covers` is held for it."""
        # A sync that keeps failing concerns everything that was written, however few entries that is.
        at_once = row.disposition is Disposition.HOLD or fault.phase is Phase.SYNC
        if not breaker.failed(self._scope.now(), at_once=at_once):
            return False
        note = f"{fault.phase}: {fault.message}"
        if row.disposition is not Disposition.HOLD:
            note += ", again and again: is the disk there? check it, then migmon resume"
        reason = HoldReason.SPACE if fault.kind in _SPACE_KINDS else HoldReason.DEVICE
        self._hold(reason, note, for_s=breaker.open_s, selector=covers)
        return True

    def _settle_breakers(self) -> None:
        """A breaker whose hold is gone is not open any more."""
        opened = [(key, b) for key, b in self._breakers.items() if b.state is State.OPEN]
        if opened:
            held = [(h.reason, h.selector) for h in self._scope.account.execution.holds]
            for key, breaker in opened:
                if not any((key[2], covered) in held for covered in (_EVERYTHING, self._covers(key))):
                    breaker.lifted(self._scope.now(), _SLACK_S)

    def _wait_for_device(self, task: Task, fault: Fault, row: Row) -> None:
        scope, now = self._scope, self._scope.now()
        scope.ledger.record([AddFault(scope.key, task.number, scope.wall(), fault)])
        if row.disposition is Disposition.HOLD:
            scope.requeue.put(task, now)
        else:
            scope.requeue.put(task, now + min(_AFTER_OTHERS_S, self._breaker(fault, task.device).open_s))

    def _again(self, task: Task, fault: Fault, row: Row) -> None:
        scope, now = self._scope, self._scope.now()
        if fault.kind == SOURCE_CHANGED:
            self.changed.add(task.number)
        delay = next_delay(self._delays.get(task.number, 0.0), scope.surroundings.rng)
        self._delays[task.number] = delay
        self._tries[task.number] += 1
        self._retried[task.number] = fault.fingerprint
        wait = max(delay, self._budget.take(now)) if row.load else delay
        scope.retries += 1
        scope.ledger.record([AddFault(scope.key, task.number, scope.wall(), fault)])
        scope.requeue.put(msgspec.structs.replace(task, attempts=task.attempts + 1), now + wait)

    def _attempts(self, fault: Fault, row: Row) -> int:
        settings = self._scope.surroundings.settings
        if fault.kind == SOURCE_CHANGED:
            if self._scope.plan.undoes is not None:
                return 1  # a rollback is about what was left there, and about no other version
            return settings.changed_attempts
        most = settings.attempts if row.attempts is None else min(settings.attempts, row.attempts)
        return self._lessons.attempts(fault.fingerprint, most)

    def _forget(self, number: int) -> None:
        self._delays.pop(number, None)
        self._tries.pop(number, None)
        self._suspects.pop(number, None)
