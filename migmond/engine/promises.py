"""What live executions have been promised of the room at their targets: it is not promised to others as well."""

from __future__ import annotations

from migmond.domain.preflight import Promise
from migmond.domain.states import TERMINAL_EXECUTION_STATES
from migmond.engine.scope import Scope
from migmond.engine.views import Live
from migmond.planning.room import outstanding


def promises_of(holder: str, scope: Scope, live: Live) -> list[Promise]:
    """Return what an execution has yet to bring to each file system that it writes to.

    It is certain when there is one such file system, nothing was there before, and no extents can be shared.

    Args:
        holder: what it is called to whoever asks.
    """
    execution, plan = scope.account.execution, scope.plan
    if execution.state in TERMINAL_EXECUTION_STATES:
        return []
    copied = [r for r in scope.roots if not (scope.moving and r.source_device == r.target_device)]
    devices = {r.target_device for r in copied}
    shares = plan.reflink and any(r.source_device == r.target_device for r in copied)
    certain = len(devices) == 1 and not shares and (scope.resumed or all(r.target_empty for r in copied))
    left = outstanding(execution.totals, live.in_flight)
    return [Promise(holder, device, left.bytes, left.entries, certain) for device in devices]
