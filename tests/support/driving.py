"""Driving a daemon through one migration, as scripts and tests need it."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Collection
from pathlib import Path

from migmond.client.errors import ClientError
from migmond.client.sync import Client
from migmond.domain import api
from migmond.domain.error_api import ErrorGroups
from migmond.domain.limits import Limits
from migmond.domain.names import from_text, to_text
from migmond.domain.plan import Operation
from migmond.domain.states import TERMINAL_EXECUTION_STATES

ENDED = frozenset(state.value for state in TERMINAL_EXECUTION_STATES)
NO_LIMITS = Limits()
LOOK_S = 0.03
"""How often a daemon is asked how far it is."""


def start(
    socket: str,
    source: Path,
    target: Path,
    operation: Operation,
    *,
    workers: int | None = None,
    request_id: str = "",
    limits: Limits = NO_LIMITS,
) -> str:
    """Start the migration and return its id; the same one for the same `request_id`."""
    plan = api.PlanSpec(
        (api.SourceSpec(to_text(bytes(source))),), to_text(bytes(target)), operation=operation, workers=workers,
        limits=limits,
    )  # fmt: skip
    with Client(socket) as client:
        return client.call("execution.start", api.StartParams(plan, request_id=request_id), api.ExecutionView).id


def look(socket: str, execution: str) -> api.ExecutionView | None:
    """What the daemon says of it now; None when the daemon does not answer."""
    try:
        with Client(socket) as client:
            return client.call("execution.get", api.ExecutionParams(execution), api.ExecutionView)
    except ClientError:
        return None


def ended(
    socket: str,
    execution: str,
    timeout_s: float,
    states: Collection[str] = ENDED,
    meanwhile: Callable[[str], None] = lambda execution: None,
) -> api.ExecutionView | None:
    """Wait for the end (or another of `states`); None when it does not come in time.

    Args:
        meanwhile: called with the execution before every look.
    """
    deadline = time.monotonic() + timeout_s
    while True:
        meanwhile(execution)
        view = look(socket, execution)
        if view is not None and view.state in states:
            return view
        if time.monotonic() >= deadline:
            return None
        time.sleep(LOOK_S)


def resume(socket: str, execution: str) -> str:
    """Lift all holds or set it going again; returns "", or why the daemon would not."""
    try:
        with Client(socket) as client:
            client.call("execution.resume", api.ReasonParams(execution), api.ExecutionView)
    except ClientError as e:
        return str(e)
    return ""


def failures(socket: str, execution: str) -> list[str]:
    """What the daemon says has failed."""
    with Client(socket) as client:
        groups = client.call("execution.errors", api.ExecutionParams(execution), ErrorGroups).groups
    return [f"{g.count} × {g.phase} {g.kind}: {g.message}: {', '.join(g.examples)}" for g in groups]


def imperfect(socket: str, execution: str) -> list[str]:
    """Of which entries the daemon says that something of them could not be kept, as the oracle writes their names."""
    found, after = list[str](), 0
    with Client(socket) as client:
        while True:
            page = client.call("execution.files", api.FilesParams(execution, after=after, limit=1000), api.TaskPage)
            lost = ["" if task.path == "." else os.fsdecode(from_text(task.path)) for task in page.tasks if task.lost]
            found += map(repr, lost)
            if page.next is None:
                return found
            after = page.next
