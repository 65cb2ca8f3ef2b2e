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
    """Holds the mode. DRAIN and CANCEL are final for one scope; CANCEL overrides DRAIN.

    Attributes:
        frozen: an emergency: whatever the mode, nothing begins that reads or writes. What a drain or a cancel still has
            to do waits as well, and so does the commit of what is copied.
    """

    def __init__(self, mode: Mode) -> None:
        self.mode = mode
        self.frozen = False
        self.changed = Pulse()

    def set(self, mode: Mode) -> None:
        """Change the mode, unless the scope is ending already by an equal or stronger wish."""
        if self.mode is Mode.CANCEL or (self.mode is Mode.DRAIN and mode is not Mode.CANCEL):
            return
        self.mode = mode
        self.changed.set()

    def freeze(self, *, frozen: bool) -> None:
        if frozen != self.frozen:
            self.frozen = frozen
            self.changed.set()

    @property
    def ending(self) -> bool:
        return self.mode in (Mode.DRAIN, Mode.CANCEL)

    async def thawed(self) -> None:
        """Wait while an emergency stops everything."""
        while self.frozen:
            await self.changed.wait()

    async def passed(self) -> bool:
        """Wait while paused or frozen; return True to go on, False when the scope is ending."""
        while self.mode is Mode.PAUSE or self.frozen:
            await self.changed.wait()
        return self.mode is Mode.RUN

    async def passed_or_cancelling(self) -> bool:
        """As `passed`, for the tidying that a cancel needs as well: False only when draining."""
        return await self.passed() or self.mode is Mode.CANCEL
