"""In which order pending entries are taken: by size, by where they lie on their disk, or as they were found."""

from __future__ import annotations

from array import array
from collections.abc import Callable
from contextlib import aclosing

import trio

from migmond.domain.errors import MigmondError
from migmond.domain.steering import Order
from migmond.domain.timeline import MilestoneKind
from migmond.engine.locating import by_extent
from migmond.engine.scope import Scope
from migmond.planning.line import Line
from migmond.planning.orders import in_turns

_GROWN = 2
"""Entries are put in order again when there are so many times as many, and when all are known."""


class Ordering:
    """Keeps the line in the order that was asked for.

    Args:
        line: it is sorted.
        changed: called whenever what is next may be something else.
    """

    def __init__(self, scope: Scope, line: Line, changed: Callable[[], None]) -> None:
        self._scope = scope
        self._line = line
        self._changed = changed
        self._order = Order.SCANNED
        self._lined_up = (0, True)
        self._locating = trio.CancelScope()

    @property
    def active(self) -> bool:
        """Whether it is another order than the one in which they were found."""
        return self._order is not Order.SCANNED

    def follow(self, order: Order) -> None:
        """From now on it is that one."""
        if order is not self._order:
            self._order, self._lined_up = order, (0, False)
            self._line.set_sequence(())
            self._locating.cancel()

    async def line_up(self, *, complete: bool) -> None:
        """Sort what is pending when the order says so, and again when much more is known.

        Args:
            complete: all that will ever be pending is known.
        """
        order, planned = self._order, self._scope.account.totals.planned.entries
        before, was_complete = self._lined_up
        if order is Order.SCANNED or was_complete or (not complete and planned < _GROWN * before):
            return
        wanted = {Order.MIXED: Order.SMALL_FIRST, Order.EXTENT: Order.INODE}.get(order, order)
        numbers = await self._scope.surroundings.journal.line_up(self._scope.key, wanted)
        if order is Order.MIXED:
            numbers = await trio.to_thread.run_sync(in_turns, numbers)
        if order is self._order:
            self._lined_up = (planned, complete)
            self._line.set_sequence(numbers)
            self._changed()
            if order is Order.EXTENT and complete:  # until all is known that of inodes is as close as it gets
                self._locating = trio.CancelScope()
                self._scope.nursery.start_soon(self._locate, numbers, self._locating)

    async def _locate(self, numbers: array[int], locating: trio.CancelScope) -> None:
        """Put what is lined up by inode in the order of its extents while it is at work."""
        scope, told = self._scope, ""
        with locating:
            try:
                async with aclosing(by_extent(scope, numbers)) as lots:
                    async for start, unable in lots:
                        self._line.reordered(start)
                        self._changed()
                        told = unable or told
            except MigmondError as e:  # that of inodes stays
                told = e.message
        if told and not scope.gate.ending:
            scope.surroundings.log("not all is ordered by extent", execution=scope.id, why=told)
            scope.timeline.tell(MilestoneKind.ORDER, f"by inode, not by extent: {told}")
