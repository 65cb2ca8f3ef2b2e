"""When calls of alert actions are tried, in which order, and when they are given up. Pure."""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping

import msgspec

from migmond.domain.alert import STEERING_ACTIONS, Delivery, Tried

MIN_DELAY_S = 1.0
MAX_DELAY_S = 600.0
"""A receiver that comes back is told within ten minutes at most."""
MAX_AFTER_S = 3600.0
"""What a receiver may ask for (Retry-After): one that says a year is asked again in an hour."""
MAX_ERROR = 1000
"""Characters that are kept of why a try failed."""


def lane_of(delivery: Delivery) -> tuple[str, bytes, str]:
    """Return what tells where it goes: calls with the same action and parameters go to the same receiver. That of an
    action that changes executions is the one that the alert is about: one that cannot be paused holds up no other."""
    about = delivery.told.execution or delivery.told.device if delivery.action in STEERING_ACTIONS else ""
    return delivery.action, msgspec.json.encode(delivery.parameters, order="deterministic"), about


def after_try(delivery: Delivery, tried: Tried, now: float, rng: random.Random, give_up_s: float) -> Delivery:
    """Return what has become of a call.

    Between tries it waits with decorrelated jitter, min(600, U(1, 3 · previous)) seconds, so that what failed together
    does not come back together (M. Brooker, "Exponential Backoff and Jitter", AWS Architecture Blog, 2015).

    Args:
        now: wall clock seconds.
        give_up_s: after so many seconds of waiting it is given up, however late it is by the wall clock: a clock that
            is set right after the start would otherwise give up everything at once.
    """
    common = {"attempts": delivery.attempts + 1, "tried_at": now}
    if not tried.error:
        return msgspec.structs.replace(delivery, **common, done_at=now, error="")
    error = tried.error if len(tried.error) <= MAX_ERROR else f"{tried.error[: MAX_ERROR - 1]}…"
    if tried.final or delivery.waited_s >= give_up_s:
        return msgspec.structs.replace(delivery, **common, given_up=True, error=error)
    jitter = min(MAX_DELAY_S, rng.uniform(MIN_DELAY_S, max(MIN_DELAY_S, 3 * delivery.delay_s)))
    asked = min(MAX_AFTER_S, tried.after_s) if tried.after_s is not None and tried.after_s > 0 else 0.0
    delay = max(jitter, asked)
    return msgspec.structs.replace(
        delivery, **common, error=error, delay_s=delay, waited_s=delivery.waited_s + delay, next_at=now + delay
    )


def wait_of(delivery: Delivery, now: float) -> float:
    """Return how many seconds it still waits after a restart; never longer than it was to wait.

    Args:
        now: wall clock seconds.
    """
    return min(max(0.0, delivery.next_at - now), delivery.delay_s)


def next_of(waiting: Iterable[Delivery], due: Mapping[str, float]) -> Delivery | None:
    """Return which call of a lane comes next, None when none waits: that which is due first among those before which
    none about any of their alerts waits. So nobody is told that an alert is resolved before they were told of it.

    Args:
        waiting: in the order in which they were made.
        due: monotonic seconds, by id.
    """
    first: list[Delivery] = []
    met: set[str] = set()
    for delivery in waiting:
        if met.isdisjoint(delivery.alerts):
            first.append(delivery)
        met.update(delivery.alerts)
    return min(first, key=lambda d: due[d.id], default=None)
