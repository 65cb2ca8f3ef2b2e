"""How calls of alert actions look."""

from __future__ import annotations

from collections.abc import Sequence

from migmond.cli.render.text import clock, count, printable, table
from migmond.domain.delivery_api import ActionTrouble, DeliveryList

_STATES = {"done": "done", "waiting": "waits", "given_up": "GIVEN UP"}


def delivery_lines(found: DeliveryList) -> list[str]:
    """Return a table of calls, oldest first, and what fails."""
    if not found.deliveries:
        return [*trouble_lines(found.troubles), "no alert has called an action"]
    rows = [
        [
            clock(d.created_at),
            d.action,
            d.rule,
            "firing" if d.firing else "resolved",
            d.device or d.execution[:6],
            _STATES.get(d.state, d.state),
            f"{d.attempts}",
            clock(d.next_at) if d.next_at and d.attempts else "",
            d.error,
        ]
        for d in found.deliveries
    ]
    header = ["AT", "ACTION", "RULE", "TELLS", "ABOUT", "STATE", "TRIES", "NEXT", "LAST ERROR"]
    return [*trouble_lines(found.troubles), *table(header, rows, right=frozenset({6}))]


def trouble_lines(troubles: Sequence[ActionTrouble]) -> list[str]:
    """Return a line for each action that fails."""
    return [
        printable(f"✗ {t.action} fails: {t.error} (at {clock(t.at)}; {count(t.waiting, 'call')} waiting)")
        for t in troubles
        if t.failing
    ]
