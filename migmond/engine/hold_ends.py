"""When timed holds and changes are over, by the monotonic clock: somebody may set the other one (design page HAZARDS
row 28)."""

from __future__ import annotations

from migmond.domain.hold import Hold
from migmond.domain.steering import Standing


class HoldEnds:
    """Remembers for each hold, and each change that stands, when it ends. `wall` and `now` are both clocks' seconds at
    the same moment."""

    def __init__(self) -> None:
        self._ends: dict[str, float] = {}

    def over(self, hold: Hold | Standing, wall: float, now: float) -> bool:
        """Whether `hold` is over. Its end is settled when it is first asked for: one from before a restart lasts no
        longer than it was meant to."""
        if hold.until is None:
            return False
        left = min(hold.until - wall, hold.until - hold.since)
        return self._ends.setdefault(hold.id, now + left) <= now
