"""What clients are told of calls of alert actions."""

from __future__ import annotations

from migmond.domain.api import Params, Result


class DeliveriesParams(Params, frozen=True):
    """The newest calls of alert actions. `action`: only of this one; `open_only`: only those that still wait."""

    action: str = ""
    open_only: bool = False
    limit: int = 100


class DeliveryView(Result, frozen=True):
    """A call. `id` is the idempotency key that its receiver sees. `state`: `waiting`, `done` or `given_up`."""

    id: str
    alert: str
    rule: str
    severity: str
    message: str
    execution: str
    device: str
    action: str
    firing: bool
    state: str
    created_at: str
    attempts: int
    tried_at: str | None
    next_at: str | None
    error: str


class ActionTrouble(Result, frozen=True):
    """The newest failure of an action. `failing`: it has not succeeded since. `waiting`: calls of it that wait."""

    action: str
    at: str
    error: str
    failing: bool
    waiting: int


class DeliveryList(Result, frozen=True):
    """Oldest first. `troubles`: of all actions that have failed of late, those that still do first."""

    deliveries: tuple[DeliveryView, ...]
    troubles: tuple[ActionTrouble, ...]
