"""The one sampler: what it keeps of executions whose runs end, go on, and whose records cannot be read."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import pytest
import trio
from trio.testing import MockClock

from migmond.analytics.cube import Cube
from migmond.analytics.shares import DeviceLoad
from migmond.domain.activity import Activity, Spent
from migmond.domain.changes import Change
from migmond.domain.errors import JournalDamaged
from migmond.domain.execution import Execution, Tally
from migmond.domain.limits import Limits
from migmond.domain.observation import Observation
from migmond.domain.samples import SampleView
from migmond.domain.session import SessionRecord
from migmond.domain.states import ExecutionState
from migmond.monitor.disks import Disks
from migmond.monitor.sampler import Sampler, Sinks, machine_load
from migmond.plugin_api.conformance import execution
from migmond.plugin_api.memory import MemoryJournal


class FakeClock:
    def monotonic(self) -> float:
        return trio.current_time()

    def wall(self) -> float:
        return trio.current_time() + 1_790_000_000.0


class Watched:
    """A sampler, and what is at work for it to see."""

    def __init__(self, journal: MemoryJournal) -> None:
        self.journal = journal
        self.live: list[Observation] = []
        self.ended: list[Observation] = []
        self.said: list[str] = []
        sinks = Sinks(lambda _: None, lambda _: None)
        self.sampler = Sampler(self._observe, lambda: (), self._parts, journal, sinks, FakeClock(), self._log)

    async def _parts(self, execution: Execution) -> Cube | None:
        return None

    def _observe(self) -> tuple[list[Observation], list[Observation]]:
        ended, self.ended = self.ended, []
        return self.live, ended

    def _log(self, message: str, **_: object) -> None:
        self.said.append(message)

    async def look(self, *live: Observation, ended: tuple[Observation, ...] = ()) -> None:
        self.live, self.ended = list(live), list(ended)
        await self.sampler.look()

    async def record(self, key: int = 1) -> SessionRecord:
        found = await self.journal.session(key)
        assert found is not None
        return found


def seen(of: Execution, copied_s: int, deaths: int = 0, state: ExecutionState = ExecutionState.RUNNING) -> Observation:
    """A look at a run whose movers have read for `copied_s` seconds since that run began."""
    read = [0] * len(Activity)
    read[Activity.SOURCE_READ] = copied_s * 10**9
    return Observation(
        msgspec.structs.replace(of, state=state), float(copied_s), Tally(), (), Spent(tuple(read)), Spent(), deaths,
        0, 2, 0.0,
    )  # fmt: skip


async def test_a_run_that_ends_and_one_that_goes_on_are_both_counted() -> None:
    """Drained and resumed between two looks: the counters of the second run begin anew."""
    it = execution()
    watched = Watched(MemoryJournal())
    await watched.look(seen(it, 10))
    await watched.look(seen(it, 1), ended=(seen(it, 20, deaths=2, state=ExecutionState.DRAINED),))
    session = watched.sampler.session(it.id)
    assert session is not None
    assert session.record.copying[Activity.SOURCE_READ] == 21 * 10**9
    assert all(ns >= 0 for ns in session.situation().spent.values())
    await watched.look(ended=(seen(it, 5, deaths=1, state=ExecutionState.COMPLETED),))
    record = await watched.record()
    assert record.copying[Activity.SOURCE_READ] == 25 * 10**9
    assert record.deaths == 3


async def test_what_has_ended_is_there_until_it_is_journaled(monkeypatch: pytest.MonkeyPatch) -> None:
    """For a moment there was neither: whoever asked was told of a migration that had worked for 0 s."""
    it = execution()
    watched = Watched(MemoryJournal())
    await watched.look(seen(it, 10))
    apply, asked = watched.journal.apply, list[bool]()

    async def watching(changes: Sequence[Change]) -> None:
        asked.append(watched.sampler.session(it.id) is not None)
        await apply(changes)

    monkeypatch.setattr(watched.journal, "apply", watching)
    await watched.look(ended=(seen(it, 20, state=ExecutionState.COMPLETED),))
    assert asked == [True]
    assert watched.sampler.session(it.id) is None
    assert (await watched.record()).copying[Activity.SOURCE_READ] == 20 * 10**9


async def test_a_limit_in_force_for_most_of_all_runs_is_remembered_when_another_run_has_none(
    autojump_clock: MockClock,
) -> None:
    """What such a run cost says nothing of its devices: see `engine.forecasting.costs_of`."""
    it = execution()
    limited = msgspec.structs.replace(it, limits=Limits(io_bytes_per_s=1 << 20))
    watched = Watched(MemoryJournal())
    for second in range(0, 101, 10):
        await watched.look(seen(limited, second))
        await trio.sleep(10)
    await watched.look(ended=(seen(limited, 110, state=ExecutionState.DRAINED),))
    assert (await watched.record()).limited
    await watched.look(seen(it, 110))
    await trio.sleep(10)
    await watched.look(ended=(seen(it, 120),))
    assert (await watched.record()).limited


async def test_a_limit_is_not_in_force_while_it_is_held(autojump_clock: MockClock) -> None:
    it = execution()
    held = msgspec.structs.replace(it, limits=Limits(io_bytes_per_s=1 << 20))
    watched = Watched(MemoryJournal())
    await watched.look(seen(it, 0))
    await trio.sleep(100)
    await watched.look(seen(it, 100))
    await trio.sleep(3600)
    await watched.look(seen(held, 100, state=ExecutionState.PAUSED))
    await trio.sleep(10)
    await watched.look(ended=(seen(it, 110),))
    record = await watched.record()
    assert (record.limited, record.held_s) == (False, 3600.0)


async def test_two_runs_that_ended_between_two_looks_are_both_counted() -> None:
    it = execution()
    watched = Watched(MemoryJournal())
    await watched.look(ended=(seen(it, 20, deaths=2), seen(it, 5, deaths=1)))
    record = await watched.record()
    assert (record.copying[Activity.SOURCE_READ], record.deaths) == (25 * 10**9, 3)
    assert watched.sampler.session(it.id) is None


async def test_a_record_that_cannot_be_read_stops_nobody() -> None:
    class Damaged(MemoryJournal):
        async def session(self, key: int) -> SessionRecord | None:
            raise JournalDamaged("a row makes no sense")

    it = execution()
    watched = Watched(Damaged())
    await watched.look(seen(it, 10))
    session = watched.sampler.session(it.id)
    assert session is not None
    assert session.record.copying[Activity.SOURCE_READ] == 10 * 10**9
    assert watched.said == ["monitoring could not be read from the journal"]


@pytest.mark.parametrize("metric", ["migmond_disk_busy_ratio", "migmond_disk_latency_seconds"])
def test_a_plugin_that_calls_its_metric_as_the_system_collector_does_spoils_nothing(metric: str) -> None:
    own = SampleView(metric, "", {}, 0.5, "", "2026-11-26T22:00:00Z")
    disk = SampleView("migmond_disk_busy_ratio", "", {"device": "sda"}, 0.25, "", "2026-11-26T22:00:00Z")
    assert machine_load([own, disk], Disks()).disks == {"sda": DeviceLoad("sda", 0.25, None)}


def test_what_the_machine_uses_is_told_by_zone_without_what_is_in_another_one() -> None:
    def told(metric: str, value: float | None, **labels: str) -> SampleView:
        return SampleView(metric, "", labels, value, "" if value is not None else "no", "2026-11-26T22:00:00Z")

    energy, cpu = "migmond_energy_joules_total", "migmond_cpu_seconds_total"
    zones = {"package-0": 5.0, "package-0/dram": 2.0, "package-0/core": 4.0, "psys": 9.0, "package-1": None}
    modes = {"user": 10.0, "system": 3.0, "idle": 1000.0, "iowait": 50.0}
    samples = [told(energy, v, zone=z) for z, v in zones.items()] + [told(cpu, v, mode=m) for m, v in modes.items()]
    load = machine_load([*samples, told(cpu, 7.0, of="another plugin")], Disks())
    assert (load.joules, load.busy_s) == ({"package-0": 5.0, "package-0/dram": 2.0}, 13.0)
    nothing = machine_load([told(energy, None, zone="")], Disks())
    assert (nothing.joules, nothing.busy_s) == ({}, None)
