"""What a collector promises, as checks that its author can run; migmond runs them on its own.

async def test_my_collector() -> None:
    for spec in my_plugin.migmond_collectors(my_plugin.SETTINGS()):
        assert await collector_problems(spec) == []
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import trio

from migmond.domain.samples import NoData
from migmond.domain.telemetry import MetricKind
from migmond.plugin_api.specs import CollectorSpec, MetricDesc, Note, Sample

_Series = tuple[str, tuple[tuple[str, str], ...]]


async def collector_problems(spec: CollectorSpec, looks: int = 3, pause_s: float = 0.05) -> list[str]:
    """Open a collector, have it look a few times, close it; return a sentence for each promise that it broke.

    Args:
        looks: how often it collects.
        pause_s: between two looks, instead of its interval.

    Raises:
        Exception: whatever the collector raises; the host would count that as a failure.
    """
    metrics = {metric.name: metric for metric in spec.metrics}
    problems: list[str] = []
    before: dict[_Series, float] = {}
    with trio.move_on_after(spec.deadline_s * (looks + 2) + pause_s * looks) as whole:
        async with spec.open() as collector:
            for _ in range(looks):
                with trio.move_on_after(spec.deadline_s) as scope:
                    told = list(await collector.collect())
                if scope.cancelled_caught:
                    return [*problems, f"it takes longer than {spec.deadline_s:g} s"]
                problems += _problems_of(told, spec, metrics, before)
                await trio.sleep(pause_s)
    if whole.cancelled_caught:
        problems.append(f"it cannot be opened or closed within {spec.deadline_s:g} s")
    return list(dict.fromkeys(problems))


def _problems_of(
    told: Iterable[Sample | Note], spec: CollectorSpec, metrics: dict[str, MetricDesc], before: dict[_Series, float]
) -> list[str]:
    problems, seen = [], set()
    for one in told:
        if isinstance(one, Note):
            if one.kind not in spec.note_kinds:
                problems.append(f"a note of kind {one.kind!r} was not described")
            continue
        series = (one.metric, tuple(sorted(one.labels.items())))
        metric = metrics.get(one.metric)
        if metric is None or set(one.labels) != set(metric.labels):
            problems.append(f"{series} was not described")
            continue
        if series in seen:
            problems.append(f"{series} was told twice in one look")
        seen.add(series)
        if isinstance(one.value, NoData):
            if not one.value.reason.strip():
                problems.append(f"{series} has no data and no reason")
        elif not math.isfinite(one.value):
            problems.append(f"{series} is {one.value}")
        else:
            if metric.kind is MetricKind.COUNTER and one.value < before.get(series, 0.0):
                problems.append(f"the counter {series} fell")
            before[series] = one.value
    return problems
