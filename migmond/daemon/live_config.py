"""The configuration over the daemon's life: what it started with, what was read since, and what of that holds."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from migmond.config.load import Config, changed_keys
from migmond.domain import daemon_api
from migmond.domain.errors import ConfigError

_UNSET = "unset"


class LiveConfig:
    """Settings that need a restart hold as they were at the start, all others as they were read last.

    Attributes:
        started: as the daemon started.
        newest: as it was read last, whole and without mistakes.
        trouble: why the last reload changed nothing, "" when it went well.

    Args:
        read: reads the configuration again; raises ConfigError.
    """

    def __init__(self, started: Config, read: Callable[[], Config]) -> None:
        self.started = started
        self.newest = started
        self.trouble = ""
        self._read = read

    def reload(self, log: Callable[..., None]) -> None:
        """Take a changed configuration in; a bad one leaves everything as it is."""
        try:
            new = self._read()
        except ConfigError as e:
            self.trouble = e.message
            log("configuration not reloaded", why=e.message)
            return
        at_once, _ = changed_keys(self.newest, new)
        self.newest, self.trouble = new, ""
        log("configuration reloaded", now=at_once, after_restart=self._waiting())

    def values(self, prefix: str) -> list[daemon_api.ConfigValue]:
        """Return what is in force of the settings at or below `prefix`, and what a restart will change."""
        waiting = set(self._waiting())
        before = {v.key: v for v in self.started.values(prefix)}
        after = {v.key: v for v in self.newest.values(prefix)}
        found = []
        for key in after | before:
            value = before.get(key) if key in waiting else after[key]
            if key in waiting:
                new = after.get(key)
                pending = _UNSET if new is None else f"{new.value} ({new.origin})"
                value = msgspec.structs.replace(value or daemon_api.ConfigValue(key, _UNSET, "", ""), pending=pending)
            assert value is not None
            found.append(value)
        return found

    def check(self) -> daemon_api.Check:
        """Return whether what the files say is in force."""
        if self.trouble:
            return daemon_api.Check(
                "configuration", "error", f"not reloaded, the one before holds: {self.trouble}", "mend it, reload again"
            )
        if waiting := self._waiting():
            return daemon_api.Check(
                "configuration", "warning", f"changed, not in force: {', '.join(waiting)}", "restart migmond"
            )
        return daemon_api.Check("configuration", "ok", "in force as it was read")

    def _waiting(self) -> list[str]:
        return changed_keys(self.started, self.newest)[1]
