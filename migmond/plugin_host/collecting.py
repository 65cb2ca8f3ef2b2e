"""Running collectors: each in a task of its own, its newest samples kept, its failures its own."""

from __future__ import annotations

import datetime
import math
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence

import trio

from migmond.domain.errors import PluginError
from migmond.domain.samples import NoData, NoteView, SampleView
from migmond.plugin_api.specs import Collector, CollectorSpec, MetricDesc, Note, Sample
from migmond.plugin_host.supervision import Health, guarded

OVERDUE_GRACE_S = 5.0
"""A call that is still not over so long after it was cancelled at its deadline will not end by itself."""
OVERDUE_LOOK_S = 1.0
MAX_NOTES = 500
"""Of one collector, the newest: a dying disk has the kernel write thousands a minute that say the same."""
MAX_NOTE_TEXT = 500


class Collecting:
    """The collector of one spec.

    Attributes:
        latest: the newest sample of every series; after a failure each metric once, without a value.
        notes: the newest notes, oldest first. They stay after a failure: they were true when they came.

    Args:
        wall: wall clock seconds, for people.
        collected: told the samples of each look, and the notes that are new; after a failure that there are none.
    """

    def __init__(
        self,
        spec: CollectorSpec,
        health: Health,
        wall: Callable[[], float],
        collected: Callable[[tuple[SampleView, ...], Sequence[NoteView]], None] = lambda samples, notes: None,
    ) -> None:
        self._spec = spec
        self._collected = collected
        self._health = health
        self._wall = wall
        self._what = f"collector {spec.name}"
        self._metrics = {m.name: m for m in spec.metrics}
        self._due = math.inf
        self.latest: tuple[SampleView, ...] = ()
        self.notes: deque[NoteView] = deque(maxlen=MAX_NOTES)

    async def run(self) -> None:
        """Collect once per interval for as long as the plugin is healthy; after a failure to open, open it afresh."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._watch)
            await self._life()
            while not self._health.quarantined:
                await trio.sleep(self._spec.interval_s)
                await self._life()
            self._missing(self._health.reason)
            nursery.cancel_scope.cancel()

    async def _life(self) -> None:
        """Open the collector, collect until its plugin is quarantined, close it."""
        deadline_s, doing = self._spec.deadline_s, "opened"
        # One scope whose deadline moves: an open context may hold a nursery, and scopes must nest.
        with trio.CancelScope() as scope:
            try:
                scope.deadline = self._expect_within(deadline_s)
                async with self._spec.open() as collector:
                    scope.deadline = self._due = math.inf
                    await self._collect(collector)
                    doing = "closed"
                    scope.deadline = self._expect_within(deadline_s)
            except Exception as e:  # the boundary: opening and closing run foreign code
                self._failed(f"{self._what} could not be {doing}: {type(e).__name__}: {e}")
        self._due = math.inf
        if scope.cancelled_caught:
            self._failed(f"{self._what} could not be {doing} within {deadline_s:g} s")

    async def _collect(self, collector: Collector) -> None:
        while not self._health.quarantined:
            next_at = trio.current_time() + self._spec.interval_s
            self._expect_within(self._spec.deadline_s)
            failures = self._health.failures

            async def collect() -> tuple[tuple[SampleView, ...], list[NoteView]]:
                return self._checked(await collector.collect())

            found = await guarded(self._health, self._what, collect, self._spec.deadline_s)
            self._due = math.inf
            if found is not None:
                self.latest = found[0]
                self.notes.extend(found[1])
                self._collected(*found)
            elif self._health.failures > failures:
                self._missing(self._health.reason or self._health.last_failure)
            await trio.sleep_until(next_at)

    async def _watch(self) -> None:
        """Notice a call that its cancellation does not end, such as a thread stuck in a dead network mount, and a
        quarantine that another collector of the plugin brought on: from then on the last value is no news."""
        while not self._health.quarantined:
            await trio.sleep(OVERDUE_LOOK_S)
            if trio.current_time() > self._due + OVERDUE_GRACE_S:
                self._health.quarantine(f"{self._what} goes on after its deadline and cannot be stopped")
        self._missing(self._health.reason)

    def _expect_within(self, seconds: float) -> float:
        self._due = trio.current_time() + seconds
        return self._due

    def _failed(self, what: str) -> None:
        self._health.failed(what)
        self._missing(self._health.reason or what)

    def _missing(self, reason: str) -> None:
        at = self._now()
        self.latest = tuple(SampleView(m.name, m.unit, {}, None, reason, at) for m in self._spec.metrics)
        self._collected(self.latest, ())

    def _checked(self, told: Iterable[Sample | Note]) -> tuple[tuple[SampleView, ...], list[NoteView]]:
        at, samples, notes = self._now(), [], []
        for one in told:
            if isinstance(one, Note):
                notes.append(self._note(one))
            else:
                samples.append(_view(one, self._metrics, at))
        return tuple(samples), notes

    def _note(self, note: Note) -> NoteView:
        if note.kind not in self._spec.note_kinds:
            raise PluginError(f"a note of kind {note.kind!r}, which was not described")
        message = " ".join(str(note.message).split())
        return NoteView(_time_text(note.at), str(note.device), note.kind, message[:MAX_NOTE_TEXT], self._spec.name)

    def _now(self) -> str:
        return _time_text(self._wall())


def _time_text(wall_s: float) -> str:
    return datetime.datetime.fromtimestamp(wall_s, datetime.UTC).isoformat(timespec="milliseconds")


def _view(sample: Sample, metrics: Mapping[str, MetricDesc], at: str) -> SampleView:
    metric = metrics.get(sample.metric)
    if metric is None or set(sample.labels) != set(metric.labels):
        raise PluginError(f"sample {sample.metric!r} {dict(sample.labels)} was not described by any metric")
    if isinstance(sample.value, NoData):
        return SampleView(metric.name, metric.unit, dict(sample.labels), None, sample.value.reason, at)
    value = float(sample.value)
    if not math.isfinite(value):
        return SampleView(metric.name, metric.unit, dict(sample.labels), None, f"the collector said {value}", at)
    return SampleView(metric.name, metric.unit, dict(sample.labels), value, "", at)
