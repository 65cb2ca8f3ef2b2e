"""Every call into a plugin: its own deadline, its own error guard, its own health."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from typing import TypeVar

import trio

from migmond.domain.errors import PluginError

T = TypeVar("T")

FAILURES_TO_QUARANTINE = 3
"""So many failures in a row, and a spec is not called any more until the daemon starts again or is reloaded."""


class Health:
    """How one plugin is doing.

    Attributes:
        failures: all failures so far.
        last_failure: what the latest one was, "" when there was none.
        reason: why it is quarantined, "" while it is not.
    """

    def __init__(self, name: str, on_quarantine: Callable[[str, str], None]) -> None:
        self.name = name
        self.failures = 0
        self.last_failure = ""
        self.reason = ""
        self._in_a_row = 0
        self._on_quarantine = on_quarantine

    @property
    def quarantined(self) -> bool:
        return bool(self.reason)

    def succeeded(self) -> None:
        self._in_a_row = 0

    def failed(self, what: str) -> None:
        """Count a failure; the third in a row quarantines the plugin with `what` as the reason."""
        self.failures += 1
        self.last_failure = what
        self._in_a_row += 1
        if self._in_a_row >= FAILURES_TO_QUARANTINE:
            self.quarantine(f"{what} ({self._in_a_row} times in a row)")

    def quarantine(self, reason: str) -> None:
        """Never call the plugin again. The first reason stays."""
        if not self.reason:
            self.reason = reason
            self._on_quarantine(self.name, reason)


async def guarded(health: Health, what: str, call: Callable[[], Awaitable[T]], deadline_s: float) -> T | None:
    """Await `call()` under a deadline; None when it failed, was too slow, or the plugin is quarantined.

    Args:
        what: names the call in the reason, e.g. `collector disk-temperature`.
    """
    if health.quarantined:
        return None
    result: T | None = None
    with trio.move_on_after(deadline_s) as scope:
        try:
            result = await call()
        except Exception as e:  # the boundary: a plugin may raise anything; it is recorded and shown
            health.failed(f"{what} raised {type(e).__name__}: {e}")
            return None
    if scope.cancelled_caught:
        health.failed(f"{what} took longer than {deadline_s:g} s")
        return None
    health.succeeded()
    return result


def checked_list(what: str, found: object, kind: type[T]) -> list[T]:
    """Return what a hook registered as a list of specs.

    Raises:
        PluginError: it is no iterable of that spec type.
    """
    if inspect.iscoroutine(found):
        found.close()  # or Python warns of it later, far from here
        raise PluginError(f"{what} must not be async: it only registers")
    try:
        items: list[T] = list(found)  # type: ignore[call-overload]
    except TypeError as e:
        raise PluginError(f"{what} returned {type(found).__name__} instead of a list of {kind.__name__}") from e
    for item in items:
        if not isinstance(item, kind):
            raise PluginError(f"{what} returned a {type(item).__name__} instead of a {kind.__name__}")
    return items
