"""What is done about a task's fault: try again, hold the execution, or give the task up."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from migmond.domain.fault import Disposition, Fault
from migmond.domain.hold import HoldReason
from migmond.domain.task import Task
from migmond.engine.scope import Scope
from migmond.planning.backoff import next_delay
from migmond.ports import AddFault

ABANDONED = "abandoned"
"""Kind of the fault of a task that the mover gave up because it was told to."""

SOURCE_CHANGED = "source_changed"

_SPACE_KINDS = frozenset({"ENOSPC", "EDQUOT"})


class FaultDesk:
    """Decides by the fault's disposition.

    Attributes:
        changed: tasks whose source changed after the scan, to be taken as they are found next time.

    Args:
        hold: sets a hold on the whole execution: (reason, note).
    """

    def __init__(self, scope: Scope, hold: Callable[[HoldReason, str], None]) -> None:
        self._scope = scope
        self._hold = hold
        self._delays: dict[int, float] = {}
        self.changed: set[int] = set()

    def meet(self, task: Task, fault: Fault) -> None:
        """Deal with `fault` of `task`, which is in nobody's hands now."""
        scope = self._scope
        if fault.kind == ABANDONED:
            scope.requeue.put(task, scope.now())
            return
        if fault.disposition is Disposition.RETRY and task.attempts + 1 < self._limit(fault):
            self._again(task, fault)
        elif self.environmental(fault):
            scope.ledger.record([AddFault(scope.key, task.number, scope.wall(), fault)])
            scope.requeue.put(task, scope.now())
        else:
            self._delays.pop(task.number, None)
            scope.fail(task, fault)
        scope.progress.set()

    def environmental(self, fault: Fault) -> bool:
        """Whether no task is to blame for `fault` but what all of them stand on; then the execution is held."""
        if fault.disposition is not Disposition.HOLD:
            return False
        space = fault.kind in _SPACE_KINDS
        self._hold(HoldReason.SPACE if space else HoldReason.DEVICE, f"{fault.phase}: {fault.message}")
        return True

    def _again(self, task: Task, fault: Fault) -> None:
        scope = self._scope
        if fault.kind == SOURCE_CHANGED:
            self.changed.add(task.number)
        delay = next_delay(self._delays.get(task.number, 0.0), scope.surroundings.rng)
        self._delays[task.number] = delay
        scope.ledger.record([AddFault(scope.key, task.number, scope.wall(), fault)])
        scope.requeue.put(msgspec.structs.replace(task, attempts=task.attempts + 1), scope.now() + delay)

    def _limit(self, fault: Fault) -> int:
        settings = self._scope.surroundings.settings
        return settings.changed_attempts if fault.kind == SOURCE_CHANGED else settings.attempts
