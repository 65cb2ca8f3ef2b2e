"""The timetable of a running execution: pauses and rates come into force when their time has come."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec

from migmond.analytics.measures import LimitStep
from migmond.domain.hold import Hold, HoldReason
from migmond.engine.scope import Scope
from migmond.planning.timetable import InForce, Row, changes, in_force, local_time, parse_timetable

AUTHOR = "timetable"
_AGAIN_S = 3600.0
"""How long a list of what is to come is good for."""

SetHold = Callable[[HoldReason, str, str, float | None], Hold]
LiftHolds = Callable[[Callable[[Hold], bool], str], int]


class Schedule:
    """Looked at four times a second, by the wall clock: whatever that clock does, what it says holds.

    A pause is set when its time comes, and not again when somebody has lifted it before it is over.

    Args:
        pause, lift: set a hold and lift some, see `Run`.
        steered: lets as many movers work as are wanted now.
    """

    def __init__(self, scope: Scope, pause: SetHold, lift: LiftHolds, steered: Callable[[], None]) -> None:
        self._scope = scope
        self._pause = pause
        self._lift = lift
        self._steered = steered
        self._text = ""
        self._table: tuple[Row, ...] = ()
        self._paused: bool | None = None
        self._coming: list[tuple[float, InForce]] = []
        self._coming_at: float | None = None

    def look(self) -> None:
        """Put into force what holds now."""
        scope = self._scope
        text = scope.account.execution.limits.timetable
        if not text and self._paused is None:
            return
        wall = scope.wall()
        if text != self._text:
            self._text, self._table, self._coming_at = text, parse_timetable(text), None
        now = in_force(self._table, local_time(wall))
        if now != scope.around.scheduled:
            self._coming_at = None
            workers, scope.around = (
                scope.around.scheduled.workers,
                msgspec.structs.replace(scope.around, scheduled=now),
            )
            if workers != now.workers:
                self._steered()
        if now.paused != self._paused and not scope.gate.ending:
            held = any(h.author == AUTHOR for h in scope.account.execution.holds)
            self._paused = now.paused
            if now.paused and not held:
                self._pause(HoldReason.SCHEDULE, AUTHOR, self._note(wall), None)
            elif held and not now.paused:
                self._lift(lambda h: h.author == AUTHOR, "lifted")

    def _note(self, wall: float) -> str:
        end = next((at for at, now in self._coming_from(wall) if not now.paused), None)
        return "its timetable says pause" + (f" until {local_time(end):%a %H:%M}" if end is not None else "")

    def ahead(self) -> Sequence[LimitStep]:
        """Return what is known to come, for forecasts."""
        if not self._table:
            return ()
        wall, own = self._scope.wall(), self._scope.account.execution.limits.io_bytes_per_s
        steps = [
            LimitStep(at - wall, _lower(own, now.rate), held=now.paused)
            for at, now in self._coming_from(wall)
            if at > wall
        ]
        while steps and steps[-1].held:  # it ends as well, beyond what is looked at
            steps.pop()
        return steps

    def _coming_from(self, wall: float) -> list[tuple[float, InForce]]:
        if self._coming_at is None or not self._coming_at <= wall < self._coming_at + _AGAIN_S:
            self._coming, self._coming_at = list(changes(self._table, wall)), wall
        return self._coming


def _lower(a: int | None, b: int | None) -> int | None:
    return b if a is None else a if b is None else min(a, b)
