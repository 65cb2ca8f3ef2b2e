"""Parameter and result types of the methods about events; the events themselves are in `migmond.domain.events`."""

from __future__ import annotations

from migmond.domain.api import ExecutionView, Params, Result


class SubscribeParams(Params, frozen=True):
    """`types`: event types or prefixes (`execution.` matches all of them); empty for all.

    `executions`: ids, unique prefixes or names; empty for all that the caller may see.
    `since`: id of the last event seen; the daemon replays what it still has after it and says if there is a gap.
    `interval_s`: progress of an execution comes once in every interval of so many seconds, at least 0.1. Intervals
    begin for everybody at once, so that all who chose the same one share what they are sent.
    `deltas`: let progress carry only what changed, see `execution.progress`.
    """

    types: tuple[str, ...] = ()
    executions: tuple[str, ...] = ()
    since: int | None = None
    interval_s: float = 2.0
    deltas: bool = False


class Subscription(Result, frozen=True):
    """The snapshot. Events follow as notifications `event` with `Delivery` as params, in order of id."""

    subscription: int
    last_event: int
    gap: bool
    executions: tuple[ExecutionView, ...]


class UnsubscribeParams(Params, frozen=True):
    subscription: int
