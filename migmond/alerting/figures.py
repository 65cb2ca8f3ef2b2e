"""What rules want to know of an execution beyond its counters: pure, one object for each execution at work."""

from __future__ import annotations

from collections import deque

import msgspec

from migmond.alerting.metrics import NEVER_S
from migmond.domain.execution import Stage
from migmond.domain.limits import Limits
from migmond.domain.observation import Observation
from migmond.domain.states import ExecutionState

_WORKING = frozenset({ExecutionState.RUNNING, ExecutionState.DRAINING})
_ENDED = frozenset(
    {
        ExecutionState.COMPLETED,
        ExecutionState.COMPLETED_WITH_ERRORS,
        ExecutionState.FAILED,
        ExecutionState.CANCELLED,
    }
)
_BAD = frozenset({ExecutionState.COMPLETED_WITH_ERRORS, ExecutionState.FAILED})
_IN_A_CALL = frozenset({"scanning", "copying", "syncing", "publishing", "deleting", "verifying", "directories"})
"""What a mover does with the file system; the names of `wire.slots.Doing`."""

ERROR_SPAN_S = 300.0
ERROR_LEAST = 20
"""Of fewer entries a share says nothing: one failure of three is 33 %."""
PACE_SPAN_S = 120.0
REFERENCE_S = 1800.0
"""How old the forecast is that a speed is compared with: younger ones have learnt the slowness already."""
SLIP_SPAN_S = 3600.0
SLIP_LEAST_S = 600.0
"""Five minutes more are half as much again of ten, and nobody is to be woken for them."""
GROWN = 0.01
"""A plan that has grown by more is another one: what was promised of it does not count."""
_EVERY_S = 10.0
"""Looks of the past are kept so far apart, in seconds of work: at most 360 of them."""


class _Look(msgspec.Struct, frozen=True):
    active_s: float
    bytes: int
    entries: int
    failed: int
    file_s: float
    byte_s: float
    remaining_s: float | None


class Figures:
    """Takes observations of one execution in order; `now` is monotonic seconds."""

    def __init__(self) -> None:
        self._looks: deque[_Look] = deque()
        self._basis: tuple[Limits, int, int] | None = None
        self._moved_at: float | None = None
        self._moved: tuple[int, int, int] | None = None
        self._last: tuple[float, int] | None = None

    def observe(self, seen: Observation, now: float, full_in_s: float | None) -> dict[str, float]:
        """Take a look in and return what is known now, by the end of the metric's name; unknown is left out.

        Args:
            full_in_s: seconds until the target is full; infinite when it is not before the end; None unknown.
        """
        state = seen.execution.state
        if state in _ENDED:
            return {"finished": 1.0, "ended_badly": float(state in _BAD)}
        known = {"stalled_seconds": self._stalled(seen, now), "hung_seconds": _hung(seen)}
        if state not in _WORKING or seen.execution.stands_still:
            self._last = None
            return known
        totals, flying = seen.execution.totals, seen.in_flight
        there = totals.handled.bytes + flying.bytes
        if self._last is not None and now > self._last[0]:
            known["bytes_per_second"] = max(0, there - self._last[1]) / (now - self._last[0])
        self._last = (now, there)
        if full_in_s is not None:
            known["target_full_seconds"] = min(full_in_s, NEVER_S)
        look = _Look(
            seen.active_s, there, totals.handled.entries + flying.entries, totals.failed.entries,
            seen.outlook.file_s, seen.outlook.byte_s, seen.outlook.remaining_s,
        )  # fmt: skip
        known["error_ratio"] = self._errors(look)
        if self._is_comparable(seen):
            pace, slip = self._pace(look), self._slip(look)
            known |= {"forecast_ratio": pace} if pace is not None else {}
            known |= {"eta_slip_ratio": slip} if slip is not None else {}
        self._remember(look)
        return known

    def _stalled(self, seen: Observation, now: float) -> float:
        """Attempts count as movement: what is tried again and again is told by its errors. So does cleaning up, of
        which nothing is counted; whoever hangs there is told by `hung_seconds`."""
        totals, flying = seen.execution.totals, seen.in_flight
        moved = (
            totals.handled.bytes + flying.bytes + sum(m.file_done for m in seen.movers),
            totals.handled.entries + totals.settled.entries + flying.entries + totals.planned.entries,
            seen.retries,
        )
        working = seen.execution.state in _WORKING and seen.execution.stage is not Stage.CLEAN_UP
        if not working or seen.execution.stands_still or moved != self._moved or self._moved_at is None:
            self._moved, self._moved_at = moved, now
        return now - self._moved_at

    def _is_comparable(self, seen: Observation) -> bool:
        """Whether what was promised before is about the same work; if not, comparing begins anew."""
        planned = seen.execution.totals.planned
        basis = self._basis
        if (
            basis is None
            or seen.execution.totals.growing
            or basis[0] != seen.execution.limits
            or abs(planned.bytes - basis[1]) > GROWN * basis[1]
            or abs(planned.entries - basis[2]) > GROWN * basis[2]
        ):
            self._basis = (seen.execution.limits, planned.bytes, planned.entries)
            self._looks = deque(
                msgspec.structs.replace(k, file_s=0.0, byte_s=0.0, remaining_s=None) for k in self._looks
            )
        return not seen.execution.totals.growing

    def _before(self, look: _Look, span_s: float, *, forecast: bool) -> _Look | None:
        """The oldest look at most `span_s` of work ago."""
        for earlier in self._looks:
            if look.active_s - earlier.active_s <= span_s and (not forecast or earlier.remaining_s is not None):
                return earlier
        return None

    def _errors(self, look: _Look) -> float:
        before = self._before(look, ERROR_SPAN_S, forecast=False)
        failed = look.failed - (before.failed if before is not None else 0)
        settled = look.entries - (before.entries if before is not None else 0)
        return max(0, failed) / settled if settled >= ERROR_LEAST else 0.0

    def _pace(self, look: _Look) -> float | None:
        begin = self._before(look, PACE_SPAN_S, forecast=True)
        reference = self._before(look, REFERENCE_S, forecast=True)
        if begin is None or reference is None or look.active_s - begin.active_s < PACE_SPAN_S / 2:
            return None
        expected_s = (look.entries - begin.entries) * reference.file_s + (look.bytes - begin.bytes) * reference.byte_s
        return max(0.0, expected_s) / (look.active_s - begin.active_s)

    def _slip(self, look: _Look) -> float | None:
        before = self._before(look, SLIP_SPAN_S, forecast=True)
        if before is None or before.remaining_s is None or look.remaining_s is None:
            return None
        slipped = look.active_s + look.remaining_s - before.active_s - before.remaining_s
        return slipped / max(SLIP_LEAST_S, before.remaining_s)

    def _remember(self, look: _Look) -> None:
        if not self._looks or look.active_s - self._looks[-1].active_s >= _EVERY_S:
            self._looks.append(look)
        while len(self._looks) > 1 and look.active_s - self._looks[0].active_s > SLIP_SPAN_S:
            self._looks.popleft()


def _hung(seen: Observation) -> float:
    return max((m.busy_ns / 1e9 for m in seen.movers if m.doing in _IN_A_CALL), default=0.0)
