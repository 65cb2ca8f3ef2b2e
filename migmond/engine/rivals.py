"""Two migrations of one source: what the loser is told."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from migmond.domain.execution import Execution
from migmond.domain.plan import Operation
from migmond.domain.states import ExecutionState


def with_rival(execution: Execution, others: Iterable[Execution]) -> Execution:
    """Return it with the likely cause in its reason, when it failed and another migration of the same user moved one of
    its sources meanwhile."""
    if execution.state is not ExecutionState.FAILED:
        return execution
    for other in others:
        if other.id != execution.id and _took_it(other, execution):
            reason = f"{execution.reason}; {other.name} ({other.id[:6]}) moved the same source"
            return msgspec.structs.replace(execution, reason=reason)
    return execution


def _took_it(other: Execution, execution: Execution) -> bool:
    if other.plan.operation is not Operation.MOVE or other.identity.uid != execution.identity.uid:
        return False
    if not other.totals.done.entries or (other.finished_at or execution.created_at) < execution.created_at:
        return False
    ours = [s.path.rstrip(b"/") + b"/" for s in execution.plan.sources]
    return any(path.startswith(s.path.rstrip(b"/") + b"/") for s in other.plan.sources for path in ours)
