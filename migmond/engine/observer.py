"""Looks at a running execution's movers four times a second: progress, rates, limits, stalls, expired holds."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import trio

from migmond.analytics.measures import Unknown
from migmond.domain import api
from migmond.domain.events import ExecutionProgress, MoverRecovered, MoverStalled
from migmond.domain.execution import Tally
from migmond.domain.limits import Limits
from migmond.domain.names import to_text
from migmond.domain.observation import MoverAtWork, Observation
from migmond.domain.states import ExecutionState
from migmond.engine.forecasting import LEARN_EVERY_S, Forecasting
from migmond.engine.process import MoverProcess
from migmond.engine.schedule import Schedule
from migmond.engine.scope import Scope
from migmond.engine.station import Station
from migmond.engine.turns import crew_size
from migmond.engine.views import Live, execution_view
from migmond.planning.allowances import Share
from migmond.planning.pace import Estimate, Pace, percent
from migmond.wire.slots import Doing, Glimpse

TICK_S = 0.25
FASTEST_TICK_S = 0.1
"""When somebody asks for progress that often."""
KEEP_S = 30.0
"""How often what was seen of files and batches is journaled: what a killed daemon forgets at most."""
_WORKING = frozenset({ExecutionState.RUNNING, ExecutionState.DRAINING, ExecutionState.CANCELLING})
_ENDING = frozenset({ExecutionState.DRAINING, ExecutionState.CANCELLING})
_STALLING = frozenset({Doing.SCANNING, Doing.COPYING, Doing.SYNCING, Doing.PUBLISHING, Doing.DELETING, Doing.VERIFYING})


class Observer:
    """The one place that samples the movers; everybody else reads `live`.

    Args:
        expire: lifts holds whose time is over.
        schedule: puts the timetable into force.
        held_back: whether some entries are held, so that it cannot end before somebody lifts that.
    """

    def __init__(
        self, scope: Scope, expire: Callable[[], None], schedule: Schedule, held_back: Callable[[], bool]
    ) -> None:
        self._scope = scope
        self._held_back = held_back
        self._expire = expire
        self._schedule = schedule
        self._pace = Pace()
        self._percent = 0.0
        self._left_out = 0
        self._active_before_s = scope.account.execution.active_s
        self._active_s = 0.0
        self._last_look = self._kept_at = scope.now()
        self._movers: tuple[api.MoverView, ...] = ()
        self.forecasting = Forecasting()
        self.note = ""

    @property
    def live(self) -> Live:
        """What a client sees beyond the journal: rates as of the last tick, what movers do as well, unless one has come
        or gone since; what is in flight as of now.

        Totals are as of now as well: what was in flight a quarter of a second ago may be among what is done.
        """
        scope, totals = self._scope, self._scope.account.totals
        estimate = self._with_forecast(self._pace.estimate(totals.planned, growing=totals.growing))
        execution = scope.account.execution
        if execution.stands_still:
            paused = execution.state is ExecutionState.PAUSED
            why = "paused" if paused else "held" if execution.stopped_by is not None else "what is left is held"
            estimate = Estimate(0.0, 0.0, None, why)
        elif execution.state in _ENDING:  # what is left is not done
            estimate = Estimate(estimate.bytes_per_s, estimate.entries_per_s, None, execution.state.value)
        elif self._held_back():
            estimate = Estimate(estimate.bytes_per_s, estimate.entries_per_s, None, "some of it is held")
        done = None if totals.growing else max(self._percent, percent(totals.there, totals.planned))
        return Live(estimate, done, self.active_s, self._in_flight(), self._movers, self.note)

    @property
    def active_s(self) -> float:
        """Seconds in which work was done, over all scopes that the execution has had."""
        return self._active_before_s + self._active_s

    def _with_forecast(self, estimate: Estimate) -> Estimate:
        """What the predictor says counts, as soon as there is one; the recent rates stay."""
        if not self.forecasting.begun:
            return estimate
        found = self.forecasting.forecast()
        rates = estimate.bytes_per_s, estimate.entries_per_s
        if isinstance(found, Unknown):
            return Estimate(*rates, None, found.reason)
        held_s = found.wall_s - found.remaining_s  # people look at the clock on the wall
        return Estimate(*rates, found.wall_s, "", found.low_s + held_s, found.high_s + held_s)

    @property
    def _workers(self) -> int:
        """That are asked for now."""
        return crew_size(
            self._scope.account.execution, self._scope.surroundings.settings, self._scope.around.scheduled.workers
        )

    def observation(self) -> Observation:
        """Return what the monitor sees."""
        scope, now = self._scope, self._scope.now()
        crew, roots = scope.crew, scope.roots
        copying, committing = crew.spent()
        batches = [s.sizer.limit.entries for s in crew.stations.values()]
        return Observation(
            scope.account.execution,
            self.active_s,
            self._in_flight(),
            tuple(_at_work(process, now) for _, process in sorted(crew.processes.items())),
            copying,
            committing,
            scope.deaths,
            scope.retries,
            self._workers,
            sum(batches) / len(batches) if batches else 0.0,
            tuple(r.source_device for r in roots),
            tuple(r.target_device for r in roots),
            self.forecasting.outlook(self.active_s),
            scope.limiter.allowance.slows,
            crew.moved_bytes(),
            scope.surroundings.settings.turns.most_movers,
            _shared(scope.around.share),
        )

    async def run(self) -> None:
        """Tick, and learn what it costs, until cancelled."""
        scope = self._scope
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._learn)
            nursery.start_soon(self._keep_up)
            while True:
                self._schedule.look()  # here only: the last tick is when it ends, which no pause is to come into
                self.tick()
                await trio.sleep(min(TICK_S, max(FASTEST_TICK_S, scope.surroundings.bus.fastest_s)))

    async def _keep_up(self) -> None:
        """Who has more movers come, or fewer, sees them come and go at once."""
        crew = self._scope.crew
        while True:
            await crew.changed.mark().wait()
            self._look(self._scope.now())

    async def _learn(self) -> None:
        while True:
            await trio.sleep(LEARN_EVERY_S)
            await self.forecasting.learn()

    def tick(self) -> None:
        """Take one look and tell subscribers."""
        scope, now = self._scope, self._scope.now()
        self._expire()
        if self.forecasting.begun:
            scope.around = msgspec.structs.replace(scope.around, remote=self.forecasting.remote)
        self.forecasting.ahead = self._schedule.ahead()
        scope.share_limits()
        working = scope.account.execution.state in _WORKING and not scope.account.execution.stands_still
        if working:
            self._active_s += now - self._last_look
        else:
            self._pace.restart()
        self._last_look = now
        self._look(now)
        in_flight = self._in_flight()
        totals = scope.account.totals
        if working:
            flown = in_flight.entries, in_flight.bytes
            self._pace.observe(now, totals.handled.plus(*flown), totals.paced.plus(*flown))
            rate = scope.limiter.allowance.bytes_per_s
            self.forecasting.tick(self.active_s, totals.handled.plus(*flown), totals, self._workers, rate)
        if totals.left_out.entries < self._left_out:  # what was skipped is to be done again: there is less of it, truly
            self._percent = 0.0
        self._left_out = totals.left_out.entries
        if not totals.growing:
            flying = totals.there.plus(in_flight.entries, in_flight.bytes)
            self._percent = max(self._percent, percent(flying, totals.planned))
        scope.account.change(active_s=self.active_s)
        durable = None if totals.growing else percent(totals.there, totals.planned)
        scope.timeline.progress(durable, totals.brought.bytes + in_flight.bytes)
        if now - self._kept_at >= KEEP_S:
            self._kept_at = now
            scope.record([scope.parts.working(totals)])
        view = execution_view(scope.account.execution, self.live, scope.wall())
        scope.surroundings.bus.publish(lambda i, at: ExecutionProgress(i, at, scope.id, view))

    def _in_flight(self) -> Tally:
        """What movers have copied that is not journaled as done."""
        entries = size = 0
        for station in self._scope.crew.stations.values():
            glimpse, told = station.process.control.look(), station.answered_for
            entries += max(0, glimpse.entries_total - told.entries)
            size += max(0, glimpse.bytes_total - told.bytes)
            for group in station.flight.groups.values():
                entries += len(group.members)
                size += group.size_bytes
        return Tally(entries, size)

    def _look(self, now: float) -> None:
        movers: list[api.MoverView] = []
        crew = self._scope.crew
        for slot in {m.slot for m in self._movers} - crew.processes.keys():
            self._scope.parts.files.gone(slot, self._scope.wall())
        for slot, process in sorted(crew.processes.items()):
            glimpse = process.control.look()
            self._look_at_file(slot, glimpse, now)
            since_ns, doing = glimpse.longest
            busy_s = now - since_ns / 1e9 if since_ns else 0.0
            committing = since_ns == glimpse.commit_started_ns
            stalled = (
                busy_s > self._scope.surroundings.settings.stall_after_s
                and doing in _STALLING
                and (committing or not glimpse.paused)
            )
            if stalled and committing:  # whatever file the copying thread has in hand is not to blame
                glimpse = msgspec.structs.replace(glimpse, doing=doing, task=0, name=None, paused=False)
            movers.append(_mover_view(process, glimpse, busy_s if stalled else None))
            station = crew.stations.get(slot)
            if station is not None:
                self._tell_stall(station, glimpse, busy_s, stalled=stalled)
        self._movers = tuple(movers)

    def _look_at_file(self, slot: int, glimpse: Glimpse, now: float) -> None:
        """What else than copies a mover has at hand (it scans, it makes directories) is no file whose pace tells."""
        files, copying = self._scope.parts.files, glimpse.doing is Doing.COPYING or glimpse.paused
        task = glimpse.task if copying and slot in self._scope.crew.stations else 0
        size, done = glimpse.file_bytes, glimpse.file_done
        files.look(slot, task, size, done, now, self._scope.wall(), paused=glimpse.paused)

    def _tell_stall(self, station: Station, glimpse: Glimpse, busy_s: float, *, stalled: bool) -> None:
        if stalled == station.stalled:
            return
        station.stalled = stalled
        scope, process = self._scope, station.process
        file = to_text(glimpse.name) if glimpse.name else None
        if stalled:
            doing = glimpse.doing.name.lower()
            scope.surroundings.log("mover hangs", execution=scope.id, slot=process.slot, doing=doing, file=file)
            scope.surroundings.bus.publish(
                lambda i, at: MoverStalled(i, at, scope.id, process.slot, process.pid, doing, file, busy_s)
            )
        else:
            scope.surroundings.bus.publish(lambda i, at: MoverRecovered(i, at, scope.id, process.slot, process.pid))


def _at_work(process: MoverProcess, now: float) -> MoverAtWork:
    glimpse = process.control.look()
    since_ns = glimpse.longest[0]
    busy_ns = max(0, int(now * 1e9) - since_ns) if since_ns else 0
    doing = "paused" if glimpse.paused else glimpse.doing.name.lower()
    return MoverAtWork(
        process.slot, process.pid, doing, glimpse.task, glimpse.name, glimpse.file_bytes, glimpse.file_done, busy_ns,
        process.control.kind_of(glimpse.task) if glimpse.task else None,
    )  # fmt: skip


def _mover_view(process: MoverProcess, glimpse: Glimpse, stalled_s: float | None) -> api.MoverView:
    name = to_text(glimpse.name) if glimpse.name and glimpse.task else None
    doing = "paused" if glimpse.paused else glimpse.doing.name.lower()
    return api.MoverView(process.slot, process.pid, doing, name, glimpse.file_bytes, glimpse.file_done, stalled_s)


def _shared(share: Share) -> Limits:
    rate = None if share.bytes_per_s is None else round(share.bytes_per_s)
    return Limits(io_bytes_per_s=rate, io_ops_per_s=share.ops_per_s)
