"""Where a task is that has not ended: what a run knows of it and the journal does not."""

from __future__ import annotations

import msgspec

from migmond.engine.scope import Scope


class Whereabouts(msgspec.Struct, frozen=True):
    """Of one task.

    Attributes:
        handed: a mover was given it and has not answered.
        copied: its content has arrived, and waits for the sync that makes it durable.
        retry_in_s: seconds until it is tried again, when it waits for that.
    """

    handed: bool = False
    copied: bool = False
    retry_in_s: float | None = None


def whereabouts(scope: Scope, number: int) -> Whereabouts:
    """Return where a task is now. Takes time by what is to be tried again."""
    flights = [station.flight for station in scope.crew.stations.values()]
    ready_at = scope.requeue.ready_at(number)
    return Whereabouts(
        any(number in batch.tasks for flight in flights for batch in flight.batches.values()),
        any(number in group.tasks for flight in flights for group in flight.groups.values()),
        None if ready_at is None else max(0.0, ready_at - scope.now()),
    )
