"""Whether an execution may go on: the one thing that every loop of it asks before it gives out work."""

from __future__ import annotations

import enum

from migmond.engine.pulse import Pulse
from migmond.wire.slots import Control


class Mode(enum.Enum):
    """What is wanted of an execution."""

    RUN = enum.auto()
    PAUSE = enum.auto()
    """Start nothing, keep everything open."""
    DRAIN = enum.auto()
    """Start nothing, finish what runs, then end the scope."""
    CANCEL = enum.auto()
    """Abandon what runs, clean up, then end the scope."""


CONTROL_OF = {
    Mode.RUN: Control.RUN,
    Mode.PAUSE: Control.PAUSE,
    Mode.DRAIN: Control.DRAIN,
    Mode.CANCEL: Control.ABANDON,
}
"""What the movers are told."""


class Gate:
    """Holds the mode. DRAIN and CANCEL are final for one scope; CANCEL overrides DRAIN."""

    def __init__(self, mode: Mode) -> None:
        self.mode = mode
        self.changed = Pulse()

    def set(self, mode: Mode) -> None:
        """Change the mode, unless the scope is ending already by an equal or stronger wish."""
        if self.mode is Mode.CANCEL or (self.mode is Mode.DRAIN and mode is not Mode.CANCEL):
            return
        self.mode = mode
        self.changed.set()

    @property
    def ending(self) -> bool:
        return self.mode in (Mode.DRAIN, Mode.CANCEL)

    async def passed(self) -> bool:
        """Wait while paused; return True to go on, False when the scope is ending."""
        while self.mode is Mode.PAUSE:
            await self.changed.wait()
        return self.mode is Mode.RUN

    async def passed_or_cancelling(self) -> bool:
        """As `passed`, for the tidying that a cancel needs as well: False only when draining."""
        return await self.passed() or self.mode is Mode.CANCEL
