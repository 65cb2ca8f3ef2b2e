"""What is not as it should be while an execution runs: each with value, threshold and evidence, or not told at all."""

from __future__ import annotations

from collections.abc import Iterator

from migmond.analytics.shares import (
    BUSY,
    CPU_FULL,
    SLOW_FACTOR,
    Cause,
    DeviceLoad,
    Situation,
    latency_text,
    limits_in_words,
    shares,
    slower_than_usual,
)
from migmond.domain.analysis import IssueView, RatesView

IDLE = 0.25
"""Movers without work for more of the time than this are too many, or fed too slowly."""
WORKING = 0.5
"""Movers that work less of the time do not wait for processors, however full those are."""
LIMITED = 0.05
BELOW_AVERAGE = 0.5
"""A rate below half of the average is told. The slow-transfer alert knows the mix of files; this is a hint."""
MEASURED_S = 120.0
"""Before so much active time an average says nothing."""


def issues(situation: Situation, rates: RatesView) -> tuple[IssueView, ...]:
    """Return what is wrong now, warnings first."""
    found = [*_rate_issues(rates), *_time_issues(situation), *_device_issues(situation)]
    return tuple(sorted(found, key=lambda i: (i.severity != "warning", i.kind)))


def _rate_issues(rates: RatesView) -> Iterator[IssueView]:
    trend = rates.trend
    if trend.direction == "falling" and trend.percent_per_hour is not None and trend.p is not None:
        yield IssueView(
            "falling", "warning", "it gets slower", trend.percent_per_hour, 0.0, "percent per hour",
            f"{trend.percent_per_hour:.3g} % an hour over {trend.points} means, p = {trend.p:.2g}",
        )  # fmt: skip
    if rates.current is None or rates.average is None or rates.active_s < MEASURED_S or rates.average.bytes_per_s <= 0:
        return
    part = rates.current.bytes_per_s / rates.average.bytes_per_s
    entries = rates.current.entries_per_s, rates.average.entries_per_s
    if part < BELOW_AVERAGE and entries[0] <= entries[1]:  # small files come with fewer bytes and more entries
        yield IssueView(
            "slow", "note", "it goes slower than on average", part, BELOW_AVERAGE, "ratio",
            f"{part:.0%} of the average in bytes, and no more entries than on average",
        )  # fmt: skip


def _time_issues(situation: Situation) -> Iterator[IssueView]:
    of = shares(situation)
    if not of:
        return
    if of[Cause.WAITING] > IDLE and not situation.scanning and situation.pending:
        yield IssueView(
            "idle_movers", "warning", "movers are without work", of[Cause.WAITING], IDLE, "ratio",
            f"{of[Cause.WAITING]:.0%} of the time, with {situation.pending:,} tasks pending",
        )  # fmt: skip
    words = limits_in_words(situation.limits, situation.shared)
    if of[Cause.THROTTLED] > LIMITED and words:
        yield IssueView(
            "limited", "note", "a limit keeps it back", of[Cause.THROTTLED], LIMITED, "ratio",
            f"{of[Cause.THROTTLED]:.0%} of the time, {words[0]}",
        )  # fmt: skip
    idle = sum(of[cause] for cause in (Cause.THROTTLED, Cause.HELD, Cause.WAITING, Cause.SCANNING))
    if situation.cpu_busy is not None and situation.cpu_busy >= CPU_FULL and idle <= 1 - WORKING:
        yield IssueView(
            "cpu_full", "warning", "the processor is full", situation.cpu_busy, CPU_FULL, "ratio",
            f"{situation.cpu_busy:.0%} busy; hashing takes {of[Cause.HASH]:.0%} of the movers' time",
        )  # fmt: skip


def _device_issues(situation: Situation) -> Iterator[IssueView]:
    seen: set[str] = set()
    for side, device in (("source", situation.source), ("target", situation.target)):
        if device is None or device.name in seen:
            continue
        seen.add(device.name)
        yield from _one_device(side, device)


def _one_device(side: str, device: DeviceLoad) -> Iterator[IssueView]:
    if device.busy is not None and device.busy >= BUSY:
        yield IssueView(
            "device_full", "note", f"{device.name} is at its end", device.busy, BUSY, "ratio",
            f"the {side}, {device.name}, is busy {device.busy:.0%} of the time",
        )  # fmt: skip
    if device.await_s is not None and device.usual_await_s and slower_than_usual(device):
        yield IssueView(
            "device_slow", "warning", f"{device.name} answers slowly", device.await_s / device.usual_await_s,
            SLOW_FACTOR, "ratio", f"the {side}, {device.name}, takes {latency_text(device)}",
        )  # fmt: skip
