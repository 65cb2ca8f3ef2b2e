"""What is done about a task's fault: try again, hold the execution, or give the task up."""

from __future__ import annotations

import errno
from typing import Protocol

import msgspec

from migmond.domain.changes import (
    AddFault,
)
from migmond.domain.fault import Disposition, Fault, Phase
from migmond.domain.hold import HoldReason
from migmond.domain.task import Task
from migmond.engine.scope import Scope
from migmond.planning.backoff import next_delay

ABANDONED = "abandoned"
"""Kind of the fault of a task that the mover gave up because it was told to."""

SOURCE_CHANGED = "source_changed"

_SPACE_KINDS = frozenset({"ENOSPC", "EDQUOT"})

IO_ERRORS_IN_A_ROW = 8
"""So many entries that fail with an input/output error, and none between that is copied: not some blocks are bad but
the device is gone. The file system on it may well be mounted and answer from its cache (design page HAZARDS row 21)."""


class Hold(Protocol):
    """Sets a hold on the whole execution."""

    def __call__(self, reason: HoldReason, note: str, *, lasting: bool = False) -> None:
        """Unless `lasting`, it lifts itself after a while to try again."""


class FaultDesk:
    """Decides by the fault's disposition.

    Attributes:
        changed: tasks whose source changed after the scan, to be taken as they are found next time.

    Args:
        hold: see Hold.
    """

    def __init__(self, scope: Scope, hold: Hold) -> None:
        self._scope = scope
        self._hold = hold
        self._delays: dict[int, float] = {}
        self._io_errors = 0
        self._unsynced: dict[int, int] = {}
        self._doubtful: set[int] = set()
        """Tasks that were held for an input/output error: their next one is their own."""
        self.changed: set[int] = set()

    def meet(self, task: Task, fault: Fault) -> None:
        """Deal with `fault` of `task`, which is in nobody's hands now."""
        scope = self._scope
        if fault.kind == ABANDONED:
            scope.requeue.put(task, scope.now())
            return
        if fault.disposition is Disposition.RETRY and task.attempts + 1 < self._limit(fault):
            self._again(task, fault)
        elif task.number not in self._doubtful and self.environmental(fault):
            if fault.errno == errno.EIO:
                self._doubtful.add(task.number)
            scope.ledger.record([AddFault(scope.key, task.number, scope.wall(), fault)])
            scope.requeue.put(task, scope.now())
        else:
            if task.number in self._doubtful:
                self.went_well()  # whoever lifted the hold says that the device is there: the count starts anew
            self._delays.pop(task.number, None)
            scope.fail(task, fault)
        scope.progress.set()

    def environmental(self, fault: Fault) -> bool:
        """Whether no task is to blame for `fault` but what all of them stand on; then the execution is held."""
        if fault.errno == errno.EIO:
            return self._device_gone(fault)
        if fault.disposition is not Disposition.HOLD:
            return False
        space = fault.kind in _SPACE_KINDS
        self._hold(HoldReason.SPACE if space else HoldReason.DEVICE, f"{fault.phase}: {fault.message}")
        return True

    def unsynced(self, task: Task, fault: Fault) -> bool:
        """Whether `fault` only says that what was done about `task` may not be durable; the execution is held when it
        keeps saying so. Then the task is tried again for ever: to give it up would be to forget what was done."""
        if fault.phase is not Phase.SYNC:
            return False
        tries = self._unsynced[task.number] = self._unsynced.get(task.number, 0) + 1
        if not self.environmental(fault) and tries % self._scope.surroundings.settings.attempts == 0:
            self._hold(HoldReason.DEVICE, f"{fault.phase}: {fault.message}")
        return True

    def went_well(self) -> None:
        """An entry's content was read and written: the devices are there."""
        self._io_errors = 0

    def _device_gone(self, fault: Fault) -> bool:
        self._io_errors += 1
        # A sync that keeps failing concerns everything that was written, however few entries that is.
        if self._io_errors < IO_ERRORS_IN_A_ROW and fault.phase is not Phase.SYNC:
            return False
        note = f"{fault.phase}: {fault.message}, again and again: is the disk there? check it, then migmon resume"
        self._hold(HoldReason.DEVICE, note, lasting=True)  # trying again by itself would fail what is left
        return True

    def _again(self, task: Task, fault: Fault) -> None:
        scope = self._scope
        if fault.kind == SOURCE_CHANGED:
            self.changed.add(task.number)
        delay = next_delay(self._delays.get(task.number, 0.0), scope.surroundings.rng)
        self._delays[task.number] = delay
        scope.retries += 1
        scope.ledger.record([AddFault(scope.key, task.number, scope.wall(), fault)])
        scope.requeue.put(msgspec.structs.replace(task, attempts=task.attempts + 1), scope.now() + delay)

    def _limit(self, fault: Fault) -> int:
        settings = self._scope.surroundings.settings
        return settings.changed_attempts if fault.kind == SOURCE_CHANGED else settings.attempts
