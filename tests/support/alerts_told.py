"""Alerts and clocks for tests of what is done about alerts."""

from __future__ import annotations

from typing import Any

import msgspec
import trio

from migmond.domain.alert import Alert, AlertState, Severity
from migmond.plugin_api import AlertNotice

WALL = 1_790_000_000.0


class TrioClock:
    """Trio's clock; the wall clock is `ahead` of it."""

    def __init__(self) -> None:
        self.ahead = WALL

    def monotonic(self) -> float:
        return trio.current_time()

    def wall(self) -> float:
        return trio.current_time() + self.ahead


def an_alert(number: int = 1, *, message: str = "sda is hot", execution: str = "", device: str = "sda") -> Alert:
    """An alert that fires."""
    return Alert(
        f"a-{number}", "hot-disk", "hot disk", Severity.ERROR, AlertState.FIRING, message, execution, device,
        {"device": device}, 61.0, 55.0, WALL - 60, WALL, WALL - 30,
    )  # fmt: skip


def a_notice(message: str = "sda is hot", **changes: Any) -> AlertNotice:
    """What an action is told of it."""
    notice = AlertNotice(
        "d1", "a-1", "hot disk", "error", message, True, "2026-11-27T10:00:00+00:00", "2026-11-27T09:59:00+00:00",
        61.0, 55.0, "8f3a1c", "media", "sda", {"device": "sda"}, "box",
    )  # fmt: skip
    return msgspec.structs.replace(notice, **changes)
