"""What the machine is to be kept from while anything moves. Pure."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from migmond.domain.execution import Execution
from migmond.domain.states import ExecutionState

OFF = "off"
CHOICES = (OFF, "sleep", "idle", "sleep:idle")
"""What may be configured; all but `off` are what `Inhibit` of systemd-logind takes (org.freedesktop.login1(5))."""
_AT_WORK = frozenset({ExecutionState.RUNNING, ExecutionState.DRAINING, ExecutionState.CANCELLING})


class Wish(msgspec.Struct, frozen=True):
    """What somebody wants prevented, one of CHOICES, and whether also while the machine runs on its battery."""

    what: str = "sleep"
    on_battery: bool = False


def prevented(executions: Iterable[Execution], wish: Wish, *, on_battery: bool | None) -> str:
    """Return what is to be prevented now, "" for nothing: what stands still does not keep anybody's machine awake.

    Args:
        on_battery: None when that is not known: then it has none, or nobody tells.
    """
    if wish.what == OFF or (on_battery and not wish.on_battery):
        return ""
    return wish.what if any(e.state in _AT_WORK and not e.stands_still for e in executions) else ""
