"""What a forecast takes from earlier executions: their costs, not everything that was kept of them."""

from __future__ import annotations

import os
import tracemalloc
from pathlib import Path
from types import SimpleNamespace
from typing import cast

from migmond.domain.execution import Tally, Totals
from migmond.domain.session import MAX_COURSE, CoursePoint, DeviceSide, SessionRecord
from migmond.engine.forecasting import Forecasting, begin, costs_of, sides
from migmond.engine.scope import Scope
from migmond.engine.settings import EngineSettings
from migmond.engine.turns import crew_size
from migmond.planning.allowances import Circumstances
from migmond.plugin_api.conformance import execution

OWN = 400


class Kept:
    """A journal with 600 sessions, each with a long course; the newest cost the most."""

    def __init__(self, source: DeviceSide, target: DeviceSide) -> None:
        self._ends = source, target
        self.handed_out = 0

    async def sessions(self, *, after: int = 0, limit: int = 1000) -> list[SessionRecord]:
        return [self.made(key) for key in range(after + 1, min(after + limit, 600) + 1)]

    async def session(self, key: int) -> SessionRecord:
        return self.made(key)

    def made(self, key: int) -> SessionRecord:
        self.handed_out += 1
        course = tuple(CoursePoint(float(n), Tally(n, n), Tally(n + key, n)) for n in range(MAX_COURSE))
        own = b"not of this version" if key == OWN else b""
        return SessionRecord(
            key, f"{key:012x}", 5.0, source=self._ends[0], target=self._ends[1], cost_a=1e-6 * key, cost_b=1e-9,
            course=course, forecast=own,
        )  # fmt: skip


async def test_a_long_past_is_not_held_in_memory(tmp_path: Path) -> None:
    device = os.stat(tmp_path).st_dev
    source, target = await sides(device, device)
    journal = Kept(source, target)
    scope = SimpleNamespace(
        roots=(SimpleNamespace(source_device=device, target_device=device),),
        surroundings=SimpleNamespace(journal=journal, settings=EngineSettings()),
        key=OWN,
        around=Circumstances(),
        account=SimpleNamespace(execution=execution(OWN), totals=Totals(planned=Tally(100, 100))),
    )
    forecasting = Forecasting()
    tracemalloc.start()
    try:
        await begin(cast("Scope", scope), forecasting)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert forecasting.begun
    assert journal.handed_out == 601
    assert peak < 16 << 20
    others = [journal.made(key) for key in range(1, 601) if key != OWN]
    wanted = Forecasting()
    workers = crew_size(scope.account.execution, EngineSettings())
    wanted.begin(scope.account.totals, source, target, costs_of(others, source, target), workers)
    assert forecasting.forecast() == wanted.forecast()
