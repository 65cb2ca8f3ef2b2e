"""When an execution will be done: the predictor, fed by what the observer sees, with earlier runs on the same devices
as its first guess."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec
import trio

from migmond.analytics.coverage import Promises
from migmond.analytics.decay import learnt
from migmond.analytics.measures import Cost, Forecast, LimitStep, Shape, SpeedChange, Tick, Unknown
from migmond.analytics.predictor import Predictor
from migmond.domain.device import Chain
from migmond.domain.execution import Tally, Totals
from migmond.domain.limits import Limits
from migmond.domain.names import to_text
from migmond.domain.observation import Outlook
from migmond.domain.session import DeviceSide, SessionRecord
from migmond.engine.scope import Scope
from migmond.engine.turns import crew_size
from migmond.fsys.device_graph import DeviceGraph, number_of, read_graph
from migmond.ports import Journal
from migmond.wire.items import RootInfo

HISTORY_RUNS = 20
"""Newest runs on the same devices that a forecast rests on."""
_SESSIONS_PAGE = 100
KEPT_TICKS = 2000
"""Ticks that are kept to find out in the end what the run cost; when there are more, every second one goes."""
LEARN_EVERY_S = 30.0
"""How often it is found out meanwhile: so much of it a crash may lose, as of the rest of monitoring."""


def side_of(chain: Chain) -> DeviceSide:
    """Return what one end of an execution is on, by what is known of the disks below its file system."""
    names = tuple(disk.name for disk in chain.disks)
    mount, type_ = ("", "") if chain.mount is None else (to_text(chain.mount.point), chain.mount.kind)
    if chain.server:
        return DeviceSide(names, chain.server, "network", mount, type_, chain.devices)
    if not chain.disks:
        kind = "memory" if chain.mount is not None and chain.mount.kind in ("tmpfs", "ramfs") else "unknown"
        return DeviceSide(names, "memory" if kind == "memory" else "", kind, mount, type_, chain.devices)
    identity = "+".join(sorted(f"{d.model}:{d.serial}" if d.serial else d.name for d in chain.disks))
    if chain.rotational:
        kind = "hdd"
    elif all(d.transport == "nvme" for d in chain.disks):
        kind = "nvme"
    else:
        kind = "ssd" if chain.rotational is False else "unknown"
    return DeviceSide(names, identity, kind, mount, type_, chain.devices)


async def sides(source_device: int, target_device: int) -> tuple[DeviceSide, DeviceSide]:
    """Return what source and target are on. Reads /proc and /sys, in a thread."""

    def look() -> tuple[DeviceSide, DeviceSide]:
        graph: DeviceGraph = read_graph(device_of=number_of)
        return side_of(graph.chain(source_device)), side_of(graph.chain(target_device))

    return await trio.to_thread.run_sync(look, abandon_on_cancel=True)


def costs_of(records: Iterable[SessionRecord], source: DeviceSide, target: DeviceSide) -> list[Cost]:
    """Return what earlier runs on the same two devices cost, the newest last. What a limit slowed down says nothing of
    them."""
    return [
        Cost(r.cost_a, r.cost_b, r.cliff_bytes, r.slowdown)
        for r in records
        if r.cost_a is not None
        and r.cost_b is not None
        and not r.limited
        and source.identity
        and target.identity
        and (r.source.identity, r.target.identity) == (source.identity, target.identity)
    ][-HISTORY_RUNS:]


class Forecasting:
    """Of one run. `begin` makes it work; before that, nothing is known.

    Attributes:
        source, target: what the execution's ends are on.
        changes: of its speed that nobody asked for, the newest last.
        ahead: limits and holds that are known to come.
    """

    def __init__(self) -> None:
        self._predictor: Predictor | None = None
        self._ticks: list[Tick] = []
        self._every = 1
        self._skipped = 0
        self._promises = Promises()
        self._cost: Cost | None = None
        self._limit: float | None = None
        self._workers = 0
        self._last_action_s = 0.0
        self.source = self.target = DeviceSide()
        self.changes: list[SpeedChange] = []
        self.ahead: Sequence[LimitStep] = ()

    def begin(
        self,
        totals: Totals,
        source: DeviceSide,
        target: DeviceSide,
        history: Sequence[Cost],
        workers: int,
        snapshot: bytes = b"",
    ) -> None:
        """Begin to predict.

        Args:
            history: of earlier runs on these devices.
            snapshot: of an earlier run of this execution, to go on from; another version's is left out.
        """
        self.source, self.target = source, target
        if snapshot:
            try:
                self._predictor = Predictor.restored(snapshot)
            except msgspec.MsgspecError:
                snapshot = b""
        if not snapshot:
            transport = "network" if "network" in (source.kind, target.kind) else "local"
            planned = _wanted(totals)
            shape = Shape(planned.entries, planned.bytes, source.kind, target.kind, transport, workers)
            self._predictor = Predictor(shape, history)

    @property
    def begun(self) -> bool:
        return self._predictor is not None

    @property
    def remote(self) -> bool:
        """Whether a source or the target is on a network file system, as far as is known."""
        return "network" in (self.source.kind, self.target.kind)

    def tick(self, active_s: float, settled: Tally, totals: Totals, workers: int, limit: float | None) -> None:
        """Take in how far it is.

        Args:
            active_s: seconds of work.
            settled: what is settled or durable, and what is in flight.
            workers: that were asked for.
            limit: bytes per second.
        """
        if self._predictor is None:
            return
        try:
            self._tick(active_s, settled, totals, workers, limit)
        except (ArithmeticError, ValueError):  # a forecast is not worth a migration
            self._predictor = None

    def _tick(self, active_s: float, settled: Tally, totals: Totals, workers: int, limit: float | None) -> None:
        assert self._predictor is not None
        if self._workers and (workers, limit) != (self._workers, self._limit):
            self._last_action_s = active_s
        self._workers, self._limit = workers, limit
        gone, planned = totals.given_up, _wanted(totals)
        done = settled.plus(-gone.entries, -gone.bytes)
        tick = Tick(active_s, done.entries, done.bytes, workers, limit, planned.entries, planned.bytes)
        change = self._predictor.tick(tick, growing=totals.growing)
        if change is not None:
            self.changes = [*self.changes[-9:], change]
        self._keep(tick)
        found = self._predictor.forecast()
        if isinstance(found, Forecast):
            self._promises.note(active_s, found)

    def _keep(self, tick: Tick) -> None:
        self._skipped += 1
        if self._skipped < self._every:
            return
        self._skipped = 0
        self._ticks.append(tick)
        if len(self._ticks) >= KEPT_TICKS:
            self._ticks, self._every = self._ticks[::2], self._every * 2

    def forecast(self) -> Forecast | Unknown:
        """Return what is left, with the band that people are shown (80 %)."""
        if self._predictor is None:
            return Unknown("not measured yet")
        try:
            return self._predictor.forecast(ahead=self.ahead)
        except (ArithmeticError, ValueError):  # a forecast is not worth a migration
            self._predictor = None
            return Unknown("the numbers are beyond what can be forecast")

    def kept(self, active_s: float) -> tuple[int, int]:
        """Return how many of its bands have come to their test, now that it has ended after `active_s`, and how many
        held. What was told before somebody changed limits or workers is not counted."""
        kept = self._promises.kept(active_s, self._last_action_s)
        return kept.bands, kept.held

    async def learn(self) -> None:
        """Find out what files and bytes have cost in this run, for `outlook`. It takes 16 ms on 2,000 ticks: a thread
        takes them, from which the loop has the interpreter back within 5 ms (sys.getswitchinterval)."""
        self._cost = await trio.to_thread.run_sync(_cost_of, tuple(self._ticks))

    def outlook(self, active_s: float) -> Outlook:
        """Return all that is known of what is to come, after so many seconds of work, and what the run has cost as far
        as that was learnt."""
        found, cost = self.forecast(), self._cost
        promised, kept = self.kept(active_s)
        outlook = Outlook(
            source=self.source,
            target=self.target,
            snapshot=self.snapshot(),
            promised=promised,
            kept=kept,
            changes=tuple((c.t, c.factor) for c in self.changes),
        )
        if cost is not None:
            outlook = msgspec.structs.replace(
                outlook, cost_a=cost.a, cost_b=cost.b, cliff_bytes=cost.cliff_bytes, slowdown=cost.slowdown
            )
        if isinstance(found, Unknown):
            return msgspec.structs.replace(outlook, reason=found.reason)
        return msgspec.structs.replace(
            outlook,
            remaining_s=found.remaining_s,
            low_s=found.low_s,
            high_s=found.high_s,
            reason="",
            file_s=found.file_s,
            byte_s=found.byte_s,
        )

    def snapshot(self) -> bytes:
        """Return what the next run of this execution goes on from."""
        return b"" if self._predictor is None else self._predictor.snapshot()


def _cost_of(ticks: Sequence[Tick]) -> Cost | None:
    """Return what files and bytes cost; None when it was too short or uniform to tell."""
    try:
        return learnt(ticks)
    except (ArithmeticError, ValueError):
        return None


async def known_of(journal: Journal, root: RootInfo, besides: int = 0) -> tuple[DeviceSide, DeviceSide, list[Cost]]:
    """Return what a source and its target are on, and what earlier runs between the same two have cost.

    Args:
        besides: key of an execution that is none of these.

    Raises:
        JournalError: it cannot be read.
    """
    try:
        source, target = await sides(root.source_device, root.target_device)
    except OSError:  # /proc or /sys is not to be read: then nothing is known of the disks
        source = target = DeviceSide()
    others, after = list[Cost](), 0
    while page := await journal.sessions(after=after, limit=_SESSIONS_PAGE):
        after = page[-1].key
        others += costs_of((r for r in page if r.key != besides), source, target)
        del others[:-HISTORY_RUNS]  # of years of runs, with all that was kept of each, the memory would not be small
    return source, target, others


async def estimate(
    journal: Journal, root: RootInfo, planned: Tally, workers: int, limits: Limits
) -> Forecast | Unknown:
    """Return what a plan would take that has not begun, by what earlier runs between the same two disks have cost.

    Raises:
        JournalError: it cannot be read.
    """
    source, target, costs = await known_of(journal, root)
    if not costs:
        return Unknown("no earlier run between these disks tells")
    forecasting = Forecasting()
    totals = Totals(planned, growing=False)
    forecasting.begin(totals, source, target, costs, workers)
    forecasting.tick(0.0, Tally(), totals, workers, limits.io_bytes_per_s)
    return forecasting.forecast()


async def begin(scope: Scope, forecasting: Forecasting) -> None:
    """Let `forecasting` begin with what the journal knows: an earlier run of this execution, or of others on the same
    devices. A mover has opened the roots."""
    root, journal = scope.roots[0], scope.surroundings.journal
    source, target, others = await known_of(journal, root, besides=scope.key)
    before = await journal.session(scope.key)
    own = before.forecast if before is not None and before.target.identity == target.identity else b""
    workers = crew_size(scope.account.execution, scope.surroundings.settings, scope.around.scheduled.workers)
    forecasting.begin(scope.account.totals, source, target, others, workers, own)


def _wanted(totals: Totals) -> Tally:
    """What is planned but for what is given up: that went all at once, which is no speed, and there is less to do."""
    gone = totals.given_up
    return totals.planned.plus(-gone.entries, -gone.bytes)
