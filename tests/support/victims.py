"""What root runs in the trees of an attacker: migrations of every kind, and `cp -a` as the control that does escape."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Mapping

import msgspec

from attack import Arena, Escapes
from migmond.cli.follow import ENDED
from migmond.client.errors import RemoteError
from migmond.client.sync import Client
from migmond.domain import api
from migmond.domain.names import to_text
from migmond.domain.plan import ConflictPolicy, Operation, VerifyLevel

_POLL_S = 0.01
_TIMEOUT_S = 120
CONTROL_RUNS = 10


def _plan(arena: Arena, operation: Operation, verify: VerifyLevel = VerifyLevel.HASH) -> api.PlanSpec:
    return api.PlanSpec(
        (api.SourceSpec(to_text(bytes(arena.source))),),
        to_text(bytes(arena.target)),
        operation=operation,
        verify=verify,
        conflict=ConflictPolicy.BACKUP,
        privileged=True,
    )


def _run(client: Client, plan: api.PlanSpec) -> str | None:
    """Run a migration to its end; returns its id, None when it was refused."""
    try:
        id_ = client.call("execution.start", api.StartParams(plan), api.ExecutionView).id
    except RemoteError:
        return None  # a symlink stood where a root had to be opened
    _wait(client, id_)
    return id_


def _wait(client: Client, id_: str) -> api.ExecutionView:
    deadline = time.monotonic() + _TIMEOUT_S
    while True:
        view = client.call("execution.get", api.ExecutionParams(id_), api.ExecutionView)
        if view.state in ENDED and not view.why.startswith("verifying"):
            return view
        if time.monotonic() > deadline:
            raise TimeoutError(f"{view.state}: {view.why}")
        time.sleep(_POLL_S)


def copy(client: Client, arena: Arena) -> None:
    _run(client, _plan(arena, Operation.COPY))


def move(client: Client, arena: Arena) -> None:
    _run(client, _plan(arena, Operation.MOVE))


def rename(client: Client, arena: Arena) -> None:
    """Move to a name that is free on the same file system: the whole tree is renamed."""
    plan = _plan(arena, Operation.MOVE)
    _run(client, msgspec.structs.replace(plan, destination=to_text(bytes(arena.home / "new" / "moved"))))


def verify(client: Client, arena: Arena) -> None:
    """A copy that is read back, resumed when it can be, verified, and cancelled when it can be."""
    id_ = _run(client, _plan(arena, Operation.COPY, VerifyLevel.READ_BACK))
    for method in ("resume", "verify", "cancel"):
        if id_ is None:
            return
        try:
            client.call(f"execution.{method}", {"id": id_}, dict)
        except RemoteError:
            continue  # nothing to resume or to cancel
        _wait(client, id_)


def check(client: Client, arena: Arena) -> None:
    """Only walk it."""
    for _ in range(3):
        try:
            client.call("plan.check", api.PlanParams(_plan(arena, Operation.COPY)), api.PlanVerdict)
        except RemoteError:
            continue  # a symlink stood where a root had to be opened


def cp(_: Client, arena: Arena) -> None:
    for _round in range(CONTROL_RUNS):  # each takes a few milliseconds
        subprocess.run(["cp", "-a", f"{arena.source}/.", f"{arena.target}/"], capture_output=True, check=False)


MIGRATIONS: Mapping[str, Callable[[Client, Arena], None]] = {
    "copy": copy, "move": move, "rename": rename, "verify": verify, "plan": check,
}  # fmt: skip


def escapes_of(run: Callable[[Client, Arena], None], socket: str, arena: Arena) -> Escapes:
    """Let root run it in the arena while it is attacked."""
    with Client(socket) as client, arena.attacked() as found:
        run(client, arena)
    return found
