"""Every shipped collector keeps its promises on this machine, and each promise that is broken is found."""

from __future__ import annotations

import contextlib
import math
from collections.abc import AsyncIterator
from typing import Any

import pytest
import trio

from migmond.daemon.app import BUILTIN_PLUGINS
from migmond.plugin_api import CollectorSpec, MetricDesc, MetricKind, NoData, Note, Sample, example
from migmond.plugin_api.collector_conformance import collector_problems
from migmond.plugin_host.discovery import installed, load_all
from migmond.plugin_host.found import Found

SPECS = [
    spec
    for plugin in load_all([*installed(BUILTIN_PLUGINS), Found("example", example)], {})
    for spec in plugin.collectors
]
COUNTER = MetricDesc("m_total", "", MetricKind.COUNTER, "Some.", ("of",))


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.name)
async def test_shipped_collectors(spec: CollectorSpec) -> None:
    assert await collector_problems(spec) == []


def test_all_of_them_were_looked_at() -> None:
    assert {"system", "filesystems", "smart-health", "smart-temperature", "kernel"} <= {spec.name for spec in SPECS}


def value(number: Any, of: str = "a") -> Sample:
    return Sample("m_total", number, {"of": of})


@pytest.mark.parametrize(
    ("looks", "problem"),
    [
        ([[value(1.0)], [value(2.0)], [value(2.0), value(0.0, "b")]], None),
        ([[value(1.0), value(NoData("asleep"), "b"), Note(0.0, "seen", "x")]] * 3, None),
        ([[value(1.0)], [value(0.5)], []], "fell"),
        ([[value(1.0), value(1.0)]] * 3, "told twice"),
        ([[value(math.nan)]] * 3, "is nan"),
        ([[value(NoData(" "))]] * 3, "no reason"),
        ([[Sample("m_total", 1.0)]] * 3, "was not described"),
        ([[Sample("other", 1.0)]] * 3, "was not described"),
        ([[Note(0.0, "unseen", "x")]] * 3, "a note of kind 'unseen'"),
        ([None], "longer than 5 s"),
    ],
)
async def test_a_broken_promise_is_found(
    looks: list[Any], problem: str | None, autojump_clock: trio.testing.MockClock
) -> None:
    class Told:
        def __init__(self) -> None:
            self.left = list(looks)

        async def collect(self) -> Any:
            if (told := self.left.pop(0)) is None:
                await trio.sleep_forever()
            return told

    @contextlib.asynccontextmanager
    async def opened() -> AsyncIterator[Told]:
        yield Told()

    spec = CollectorSpec("c", 1.0, (COUNTER,), opened, deadline_s=5.0, note_kinds={"seen": "Seen."})
    found = await collector_problems(spec)
    assert (found == []) if problem is None else (len(found) == 1 and problem in found[0])


async def test_one_that_does_not_open(autojump_clock: trio.testing.MockClock) -> None:
    @contextlib.asynccontextmanager
    async def opened() -> AsyncIterator[Any]:
        await trio.sleep(math.inf)
        yield

    problems = await collector_problems(CollectorSpec("c", 1.0, (COUNTER,), opened, deadline_s=5.0))
    assert problems == ["it cannot be opened or closed within 5 s"]
