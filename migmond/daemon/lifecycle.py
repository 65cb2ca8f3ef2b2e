"""Signals, and the one decision to stop."""

from __future__ import annotations

import signal
from collections.abc import Callable

import trio


class Lifecycle:
    """SIGTERM and SIGINT stop, a second one stops without waiting; SIGHUP reloads.

    Attributes:
        stopping: set when the daemon is to stop.
        why: the reason, for log and subscribers.
    """

    def __init__(self, log: Callable[..., None], reload: Callable[[], None]) -> None:
        self._log = log
        self._reload = reload
        self._second = trio.Event()
        self.stopping = trio.Event()
        self.why = ""

    def stop(self, why: str) -> None:
        """Decide to stop."""
        if not self.stopping.is_set():
            self.why = why
            self.stopping.set()

    async def watch_signals(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """React to signals until cancelled."""
        with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT, signal.SIGHUP) as signals:
            task_status.started()
            async for number in signals:
                if number == signal.SIGHUP:
                    self._reload()
                elif self.stopping.is_set():
                    self._second.set()
                else:
                    self.stop(signal.Signals(number).name)

    async def cancel_on_second_signal(self, scope: trio.CancelScope) -> None:
        """Cancel `scope` when somebody insists."""
        await self._second.wait()
        self._log("a second signal: not waiting any longer")
        scope.cancel()
