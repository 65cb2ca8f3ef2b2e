"""Labelled traces through the real evaluator and the built-in rules, and how well they do."""

from __future__ import annotations

import itertools
import math
import random
import statistics
from collections.abc import Iterable, Sequence

import msgspec

from alert_traces import (
    BASE_BYTES_PER_S,
    ENTRIES_PER_S,
    KINDS,
    LEARNS_WITHIN_S,
    PLANNED_S,
    TICK_S,
    Tick,
    Trace,
)
from migmond.alerting.builtin import builtin_rules
from migmond.alerting.evaluator import Evaluator
from migmond.alerting.figures import Figures
from migmond.domain.activity import Spent
from migmond.domain.alert import Alert, AlertState
from migmond.domain.execution import Execution, Stage, Tally, Totals
from migmond.domain.identity import Identity
from migmond.domain.observation import MoverAtWork, Observation, Outlook
from migmond.domain.plan import Plan, Source
from migmond.domain.states import ExecutionState
from migmond.domain.telemetry import Batch, Reading, series_of

LATE_S = 60.0
"""An alert that fires so soon after an incident has ended is still about it."""


class Score(msgspec.Struct):
    """Of one kind of trace. `right`: incidents that were told in time; `missed`: the others; `wrong`: alerts about
    nothing, and second ones about the same incident."""

    kind: str
    traces: int = 0
    right: int = 0
    missed: int = 0
    wrong: int = 0
    delays_s: list[float] = msgspec.field(default_factory=list)


class _Migration:
    """The pretended migration: turns ticks into what the sampler would see."""

    def __init__(self, rng: random.Random) -> None:
        plan = Plan("it", (Source(b"/a"),), b"/b")
        self._execution = Execution("aa", 1, "it", plan, Identity(0, 0), ExecutionState.RUNNING, 0.0, stage=Stage.COPY)
        self._rng = rng
        self._bytes = self._entries = self._failed = 0.0
        self._active_s = 0.0
        self._pace = 1.0
        self._byte_s = 1 / BASE_BYTES_PER_S

    def step(self, tick: Tick) -> Observation:
        self._active_s += TICK_S
        moved = tick.speed * BASE_BYTES_PER_S * TICK_S
        entries = tick.speed * ENTRIES_PER_S * TICK_S
        self._bytes += moved
        self._entries += entries
        self._failed += sum(self._rng.random() < tick.failing for _ in range(int(entries)))
        weight = TICK_S / LEARNS_WITHIN_S
        self._pace = self._pace * (1 - weight) + weight * tick.speed  # of means, not a mean of quotients
        self._byte_s = 1 / (max(0.01, self._pace) * BASE_BYTES_PER_S)
        planned = Tally(int(ENTRIES_PER_S * PLANNED_S), int(BASE_BYTES_PER_S * PLANNED_S))
        failed = Tally(int(self._failed), 0)
        done = Tally(max(0, int(self._entries) - failed.entries), int(self._bytes))
        left_s = (planned.bytes - self._bytes) * self._byte_s * tick.revised * self._rng.gauss(1.0, 0.01)
        mover = MoverAtWork(0, 1, "copying", 1, None, 0, 0, int(tick.hung_s * 1e9))
        return Observation(
            msgspec.structs.replace(self._execution, totals=Totals(planned, done, failed, growing=False)),
            self._active_s, Tally(0, 0), (mover,), Spent(), Spent(), 0, 0, 1, 10.0,
            outlook=Outlook(max(0.0, left_s), file_s=0.0, byte_s=self._byte_s),
        )  # fmt: skip


def alerts_of(trace: Trace, rng: random.Random) -> list[Alert]:
    """Return the alerts that fired: `fired_at` is seconds of the trace."""
    numbers = itertools.count(1)
    rules = builtin_rules()

    def begun() -> Evaluator:
        made = Evaluator(lambda: f"a-{next(numbers)}", 10.0)
        made.watch(rules)
        return made

    judge, figures, migration = begun(), Figures(), _Migration(rng)
    fired: dict[str, Alert] = {}
    for i, tick in enumerate(trace.ticks):
        now, seen = i * TICK_S, migration.step(tick)
        if tick.restart:
            kept, judge, figures = list(judge.open_alerts()), begun(), Figures()
            judge.restore(kept)
        if not tick.seen:
            continue
        known = figures.observe(seen, now, math.inf if tick.full_s is None else tick.full_s)
        readings = [
            Reading(series_of(f"migmond_execution_{name}", {"execution": "aa"}), value) for name, value in known.items()
        ]
        readings.append(Reading(series_of("migmond_disk_heat_margin_celsius", {"device": "sda"}), tick.margin_c))
        judge.put(Batch(now, TICK_S, tuple(readings)), now)
        for rule in rules:
            for _, after in judge.evaluate(rule, now, now):
                if after.state is AlertState.FIRING:
                    fired.setdefault(after.id, after)
    return list(fired.values())


def scored(trace: Trace, alerts: Iterable[Alert], score: Score) -> None:
    """Count what was right and wrong about a trace."""
    score.traces += 1
    left = list(alerts)
    for incident in trace.incidents:
        mine = [
            a
            for a in left
            if a.rule == incident.rule and incident.begin <= (a.fired_at or 0.0) <= incident.end + LATE_S
        ]
        if mine and (mine[0].fired_at or 0.0) <= incident.told_by:
            score.right += 1
            score.delays_s.append((mine[0].fired_at or 0.0) - incident.begin)
        else:
            score.missed += 1
        if mine:
            left.remove(mine[0])
    begin = min((i.begin for i in trace.incidents), default=math.inf)
    score.wrong += sum(1 for a in left if not (a.rule in trace.implied and (a.fired_at or 0.0) >= begin))


def run(seeds: Iterable[int]) -> list[Score]:
    """Return the scores of all kinds, with every seed."""
    found = [Score(kind) for kind in KINDS]
    for score in found:
        for seed in seeds:
            rng = random.Random(f"{score.kind} {seed}")
            trace = KINDS[score.kind](rng)
            scored(trace, alerts_of(trace, rng), score)
    return found


def precision(scores: Sequence[Score]) -> float:
    """Share of the alerts that were right."""
    right, wrong = sum(s.right for s in scores), sum(s.wrong for s in scores)
    return right / (right + wrong) if right + wrong else 1.0


def recall(scores: Sequence[Score]) -> float:
    """Share of the incidents that were told in time."""
    right, missed = sum(s.right for s in scores), sum(s.missed for s in scores)
    return right / (right + missed) if right + missed else 1.0


def table(scores: list[Score]) -> list[str]:
    """Return lines for people."""
    lines = [f"{'trace':12} {'traces':>6} {'right':>6} {'missed':>6} {'wrong':>6}  {'median':>8} {'slowest':>8}"]
    for s in scores:
        delays = f"{statistics.median(s.delays_s):5.0f} s {max(s.delays_s):6.0f} s" if s.delays_s else ""
        lines.append(f"{s.kind:12} {s.traces:6} {s.right:6} {s.missed:6} {s.wrong:6}  {delays}".rstrip())
    lines.append(f"precision {precision(scores):.2%}, recall {recall(scores):.2%}")
    return lines
