"""Which executions a list has, by their state and by what people know them by."""

from __future__ import annotations

import msgspec
import pytest

from migmond.daemon.listing import wanted
from migmond.domain import api
from migmond.domain.execution import Execution
from migmond.domain.identity import Identity
from migmond.domain.plan import Plan, Source
from migmond.domain.states import ExecutionState

ONE = Execution(
    "aaaaaa000000", 1, "Photos 2026", Plan("p", (Source(b"/mnt/Tank/\xff\xf6"), Source(b"/srv/more")), b"/mnt/cold"),
    Identity(1000, 1000), ExecutionState.PAUSED, created_at=0.0,
)  # fmt: skip
OTHER = msgspec.structs.replace(
    ONE,
    id="bbbbbb000000",
    name="mail",
    plan=Plan("p", (Source(b"/var/vmail"),), b"/mnt/new"),
    state=ExecutionState.RUNNING,
)


@pytest.mark.parametrize(
    ("states", "search", "names"),
    [
        ((), "", ["Photos 2026", "mail"]),
        ((), "  ", ["Photos 2026", "mail"]),
        ((), "photos", ["Photos 2026"]),
        ((), "TANK", ["Photos 2026"]),
        ((), r"tank/\xff\xf6", ["Photos 2026"]),
        ((), "srv/more", ["Photos 2026"]),
        ((), "/mnt/new", ["mail"]),
        ((), "/mnt/", ["Photos 2026", "mail"]),
        ((), "bbbb", ["mail"]),
        (("running",), "/mnt/", ["mail"]),
        (("running",), "photos", []),
        (("paused", "running"), "", ["Photos 2026", "mail"]),
        ((), "nobody has this", []),
    ],
)
def test_lists_are_searched(states: tuple[str, ...], search: str, names: list[str]) -> None:
    listed = wanted(api.ListParams(states, search=search))
    assert [e.name for e in (ONE, OTHER) if listed(e)] == names
