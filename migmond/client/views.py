"""Keeps the executions of a subscription as they are, out of its snapshot and whatever follows, deltas included."""

from __future__ import annotations

import msgspec

from migmond.domain import api
from migmond.domain.errors import ProtocolError
from migmond.domain.events import Delivery, ExecutionProgress
from migmond.domain.merge import merged_struct
from migmond.domain.states import TERMINAL_EXECUTION_STATES

_ENDED = frozenset(s.value for s in TERMINAL_EXECUTION_STATES)


class Views:
    """What one subscription made with `deltas` has told of each execution. For one connection: a new one begins anew.

    What was missed (`Delivery.missed`) needs no care here: after it each execution comes whole once.
    """

    def __init__(self) -> None:
        self._known: dict[str, api.ExecutionView] = {}

    def apply(self, delivery: Delivery) -> api.ExecutionView | None:
        """Return the whole execution as it is with this event; None when the event does not tell how one is.

        Every delivery of the subscription has to come by, in order.

        Raises:
            ProtocolError: the changes are of something that was never told, or do not fit.
        """
        event = delivery.event
        view: api.ExecutionView | None = getattr(event, "view", None)
        if view is None and isinstance(event, ExecutionProgress):
            view = self._changed(event)
        if view is not None:
            if view.state in _ENDED:
                self._known.pop(view.id, None)
            else:
                self._known[view.id] = view
        return view

    def _changed(self, event: ExecutionProgress) -> api.ExecutionView:
        known = self._known.get(event.execution)
        if known is None or event.changes is None:
            raise ProtocolError(
                f"event {event.id} has changes of {event.execution}, which was never told as a whole",
                hint="subscribe again",
            )
        try:
            return merged_struct(known, event.changes)
        except msgspec.ValidationError as e:
            raise ProtocolError(f"the changes of event {event.id} do not fit: {e}", hint="subscribe again") from e
