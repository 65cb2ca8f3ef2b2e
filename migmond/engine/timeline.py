"""Writes down what happens to an execution and when, within bounds."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from migmond.domain.changes import (
    AddMilestone,
    Change,
)
from migmond.domain.timeline import Milestone, MilestoneKind

MOST = 400
"""Of one execution, so that one which is held and goes on every half minute for a week fills nobody's chart."""
_RESERVED = 20
"""Of these, for what tells most: what has been told before, and states."""
PERCENTS = (10, 25, 50, 75, 90, 100)
_ALWAYS = frozenset({MilestoneKind.STATE, MilestoneKind.PERCENT, MilestoneKind.SCANNED, MilestoneKind.FIRST_BYTE})


class Timeline:
    """Of one run.

    Args:
        key: the execution's.
        before: what is on record.
        record: puts changes on their way into the journal.
        wall: wall clock, seconds.
    """

    def __init__(
        self,
        key: int,
        before: Sequence[Milestone],
        record: Callable[[Sequence[Change]], None],
        wall: Callable[[], float],
    ) -> None:
        self._key = key
        self._record = record
        self._wall = wall
        self._count = len(before)
        self._once: set[tuple[MilestoneKind, str]] = {
            (m.kind, m.text) for m in before if m.kind is MilestoneKind.PERCENT
        }
        self._first_byte = any(m.kind is MilestoneKind.FIRST_BYTE for m in before)
        self._left_out = any(m.kind is MilestoneKind.LEFT_OUT for m in before)

    def tell(self, kind: MilestoneKind, text: str) -> None:
        """Put it on record, unless there is too much already."""
        room = MOST if kind in _ALWAYS else MOST - _RESERVED
        if self._count >= room:
            if not self._left_out and self._count < MOST:
                self._left_out = True
                self._add(MilestoneKind.LEFT_OUT, "so much happened that the rest is not on record")
            return
        self._add(kind, text)

    def progress(self, percent: float | None, there_bytes: int) -> None:
        """Tell what of the way is behind us that was not told before.

        Args:
            percent: of it that is durable; None when nobody knows.
            there_bytes: of content that has reached the target, durable or not.
        """
        if there_bytes and not self._first_byte:
            self._first_byte = True
            self.tell(MilestoneKind.FIRST_BYTE, "the first content arrived")
        for mark in PERCENTS:
            told: tuple[MilestoneKind, str] = (MilestoneKind.PERCENT, f"{mark} %")
            if percent is not None and percent >= mark and told not in self._once:
                self._once.add(told)
                self.tell(*told)

    def _add(self, kind: MilestoneKind, text: str) -> None:
        self._count += 1
        self._record([AddMilestone(self._key, Milestone(self._wall(), kind, text))])
