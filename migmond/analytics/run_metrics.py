"""Executions as Prometheus families. Rates are the reader's to make from the counters, as the conventions want it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from migmond.analytics.exposition import Family, FamilyKind, Series
from migmond.analytics.period import Judged
from migmond.analytics.runs import active_s
from migmond.domain.samples import MetricView, SampleView

MOST_ENDED = 100
"""Executions that have ended and are still told of, the newest: each is a label's value that a server keeps."""

_OF = ("execution",)


def families() -> tuple[Family, ...]:
    """Return what is told of every execution. All but the first have only its id as a label."""
    gauge, counter = FamilyKind.GAUGE, FamilyKind.COUNTER
    return (
        Family(
            "migmond_execution_info", gauge, "", "1; name, state and operation of an execution.",
            ("execution", "name", "state", "operation"),
        ),
        Family("migmond_execution_planned_entries", gauge, "", "Directory entries found so far.", _OF),
        Family("migmond_execution_planned_bytes", gauge, "bytes", "Size of the files found so far.", _OF),
        Family("migmond_execution_done_entries_total", counter, "", "Entries that are complete and durable.", _OF),
        Family(
            "migmond_execution_done_bytes_total", counter, "bytes", "Size of the files that are complete and durable.",
            _OF,
        ),
        Family("migmond_execution_failed_entries_total", counter, "", "Entries that have failed for good.", _OF),
        Family("migmond_execution_skipped_entries", gauge, "", "Entries that were left alone on purpose.", _OF),
        Family("migmond_execution_active_seconds_total", counter, "seconds", "Time that it ran, not held.", _OF),
        Family("migmond_execution_held_seconds_total", counter, "seconds", "Time that it was held.", _OF),
        Family(
            "migmond_execution_moved_bytes_total", counter, "bytes", "Read from sources, every attempt counted.", _OF
        ),
        Family("migmond_execution_retries_total", counter, "", "Attempts that were repeated.", _OF),
        Family(
            "migmond_execution_cpu_seconds_total", counter, "seconds", "Processor time of its movers, where known.", _OF
        ),
        Family(
            "migmond_execution_read_bytes_total", counter, "bytes", "What its movers had disks read, where known.", _OF
        ),
        Family(
            "migmond_execution_written_bytes_total", counter, "bytes", "What its movers had disks write, where known.",
            _OF,
        ),
        Family(
            "migmond_execution_score_ratio", gauge, "ratio", "Efficiency: attainable by active time, useful by moved.",
            _OF,
        ),
    )  # fmt: skip


def execution_families(runs: Sequence[Judged]) -> Iterable[tuple[Family, list[Series]]]:
    """Yield each family with its series, one for each run."""
    values = [(r.past.execution.id, _values(r)) for r in runs]
    for family in families():
        if family.name == "migmond_execution_info":
            executions = [r.past.execution for r in runs]
            of = [(e.id, e.name, e.state.value, e.plan.operation.value) for e in executions]
            yield family, [Series(labels, 1.0) for labels in of]
        else:
            yield family, [Series((id_,), known[family.name]) for id_, known in values]


def _values(run: Judged) -> dict[str, float | None]:
    totals, record = run.past.execution.totals, run.past.record
    score = run.score.score if run.score is not None else None
    prefix = "migmond_execution_"
    known: dict[str, float | None] = {
        "planned_entries": totals.planned.entries,
        "planned_bytes": totals.planned.bytes,
        "done_entries_total": totals.done.entries,
        "done_bytes_total": totals.done.bytes,
        "failed_entries_total": totals.failed.entries,
        "skipped_entries": totals.skipped.entries,
        "active_seconds_total": active_s(run.past),
        "held_seconds_total": record.held_s if record else None,
        "moved_bytes_total": record.moved_bytes if record else None,
        "retries_total": record.retries if record else None,
        "cpu_seconds_total": record.cpu_s if record else None,
        "read_bytes_total": record.read_bytes if record else None,
        "written_bytes_total": record.written_bytes if record else None,
        "score_ratio": None if score is None else score / 100,
    }
    return {prefix + name: value for name, value in known.items()}


def collector_families(
    metrics: Iterable[MetricView], samples: Iterable[SampleView]
) -> Iterable[tuple[Family, list[Series]]]:
    """Yield each metric of the collectors with its newest values, each name once."""
    by_name: dict[str, list[SampleView]] = {}
    for sample in samples:
        by_name.setdefault(sample.metric, []).append(sample)
    seen: set[str] = set()
    for metric in metrics:
        if metric.name in seen:
            continue
        seen.add(metric.name)
        family = Family(metric.name, FamilyKind(metric.kind), metric.unit, metric.help, metric.labels)
        found = by_name.get(metric.name, [])
        yield family, [Series(tuple(s.labels.get(label, "") for label in metric.labels), s.value) for s in found]
