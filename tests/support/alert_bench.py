"""Alerts with a journal and a clock of the test's own."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterable
from typing import Any

import msgspec
import trio

from migmond.alerting.metrics import known
from migmond.domain.alert import ActionCall, AlertRule, Condition, Delivery, Operator, Severity
from migmond.domain.events import Event
from migmond.domain.execution import Execution
from migmond.domain.identity import Identity
from migmond.domain.plan import Plan, Source
from migmond.domain.states import ExecutionState
from migmond.domain.telemetry import Annotation, Batch, Reading, series_of
from migmond.monitor.alerts import Alerts
from migmond.plugin_api.memory import MemoryJournal

METRIC = "migmond_execution_bytes_per_second"


class Clock:
    def __init__(self) -> None:
        self.now, self.ahead = 100.0, 1_000_000.0

    def monotonic(self) -> float:
        return self.now

    def wall(self) -> float:
        return self.now + self.ahead


class World:
    """Implements `World` and `Deliveries`."""

    def __init__(self, *executions: str) -> None:
        self.events: list[Event] = []
        self.notes: list[Annotation] = []
        self.calls: list[tuple[str, str, bool]] = []
        self.heard: list[tuple[str, str, bool]] = []
        """The same, for each alert that a call tells of."""
        self.there: frozenset[str] | None = None
        self.all = {id_: execution(id_, i) for i, id_ in enumerate(executions)}

    def executions(self) -> list[Execution]:
        return list(self.all.values())

    def publish(self, make: Callable[[int, str], Event]) -> object:
        self.events.append(make(1, "at"))
        return None

    def note(self, annotation: Annotation) -> None:
        self.notes.append(annotation)

    def devices(self) -> frozenset[str] | None:
        return self.there

    def retention(self) -> tuple[float, int]:
        return 1000.0, 10

    def send(self, calls: Iterable[Delivery]) -> None:
        for d in calls:
            self.calls.append((d.alert, d.action, d.firing))
            self.heard += [(id_, d.action, d.firing) for id_ in d.alerts]

    @property
    def types(self) -> list[object]:
        return [e.__struct_config__.tag for e in self.events]


def execution(id_: str, key: int) -> Execution:
    plan = Plan(id_, (Source(b"/a"),), b"/b")
    return Execution(id_, key, f"name of {id_}", plan, Identity(1000 + key, 1000), ExecutionState.RUNNING, 0.0)


def rule(id_: str = "r-1", **fields: Any) -> AlertRule:
    condition = Condition(METRIC, Operator.BELOW, 10.0)
    made = AlertRule(id_, f"rule {id_}", "It is slow", condition, Severity.ERROR, (ActionCall("hook"),))
    return msgspec.structs.replace(made, **fields)


class Bench:
    """One daemon's alerts after another on the same journal."""

    def __init__(self, *executions: str, journal: MemoryJournal | None = None) -> None:
        self.journal = journal or MemoryJournal()
        self.clock = Clock()
        self.world = World(*executions)
        self.logged: list[str] = []

    async def begin(self) -> Alerts:
        log = lambda message, **_: self.logged.append(message)  # noqa: E731
        self.alerts = Alerts(self.journal, self.clock, self.world, self.world, known(()), log, 2.0)
        await self.alerts.start()
        return self.alerts

    async def look(self, *values: tuple[str, float], after: float = 2.0) -> None:
        self.clock.now += after
        for id_, value in values:  # as the sampler does it, one by one
            reading = Reading(series_of(METRIC, {"execution": id_}), value)
            self.alerts.put(Batch(self.clock.wall(), 2.0, (reading,)))
            await trio.lowlevel.checkpoint()
        await self.alerts.round()


class Steps(trio.abc.Instrument):
    """The longest that one task has kept the loop, by the CPU time of it: not what others on the machine took."""

    def __init__(self) -> None:
        self.longest_s = self.total_s = 0.0
        self._since = time.thread_time()

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        self._since = time.thread_time()

    def after_task_step(self, task: trio.lowlevel.Task) -> None:
        took = time.thread_time() - self._since
        self.total_s += took
        self.longest_s = max(self.longest_s, took)

    def __enter__(self) -> Steps:
        gc.disable()  # pytest's own hundreds of thousands of objects would be looked through, 40 ms at a time
        trio.lowlevel.add_instrument(self)
        return self

    def __exit__(self, *_: object) -> None:
        trio.lowlevel.remove_instrument(self)
        gc.enable()
