"""The movers of one execution: started, opened, listened to, and replaced when they die."""

from __future__ import annotations

import contextlib
import itertools
from collections import deque
from collections.abc import Awaitable, Callable, Iterator
from typing import TypeVar

import msgspec
import trio

from migmond.domain.activity import Spent
from migmond.domain.errors import MoverError, NotPermitted, PlanInfeasible
from migmond.domain.execution import Tally
from migmond.domain.identity import Identity
from migmond.domain.task import Task
from migmond.engine.gate import CONTROL_OF, Gate, Mode
from migmond.engine.opening import part_of
from migmond.engine.pool import MoverPool
from migmond.engine.process import MoverProcess
from migmond.engine.pulse import Pulse
from migmond.engine.station import Station
from migmond.wire.from_mover import FromMover, Opened, OpenFailed
from migmond.wire.slots import Control
from migmond.wire.to_mover import AddRoots, Open, ToMover

A = TypeVar("A")

RESTART_WINDOW_S = 60.0
RESTART_PAUSE_S = 0.2


class Handler(msgspec.Struct, frozen=True):
    """What the crew calls. `joined` may use the station before anybody else does (to settle what others left). When
    one has died, `gone` takes back at once what it had in hand and returns how many tasks are pending again; `lost`
    tells so once it is known how it ended."""

    message: Callable[[Station, FromMover], Awaitable[None]]
    joined: Callable[[Station, Opened], Awaitable[None]]
    gone: Callable[[Station], int]
    lost: Callable[[Station, str, int], Awaitable[None]]
    failing: Callable[[str, bool], None]


class Crew:
    """Keeps movers running. `serve` is run once per slot.

    One mover begins; the others come when it is busy and there is more to do (`call_all`). Each takes a process, and
    some of the CPU that the first ones need, and a small migration is over before it has come.

    Args:
        pool: where movers come from.
        identity: whose rights the movers have.
        opening: returns the first message for a mover that is started now.
        gate: asked before a mover is started, and mirrored into every slot's control word.
        handler: see Handler; `failing(reason, final)` is called when movers die too often, or (final) when
            the roots cannot be opened again.
        restart_limit: deaths within RESTART_WINDOW_S that are too often.
        now: monotonic clock, seconds.
    """

    def __init__(
        self,
        pool: MoverPool,
        identity: Identity,
        opening: Callable[[], Awaitable[Open]],
        gate: Gate,
        handler: Handler,
        restart_limit: int,
        now: Callable[[], float],
    ) -> None:
        self._pool = pool
        self._identity = identity
        self._opening = opening
        self._gate = gate
        self._handler = handler
        self._restart_limit = restart_limit
        self._now = now
        self._deaths: deque[float] = deque()
        self._numbers = itertools.count(1)
        self._more = trio.Event()
        self.stations: dict[int, Station] = {}
        self.processes: dict[int, MoverProcess] = {}
        self.told: dict[int, Control] = {}
        """By slot, what some are told that the others are not; see `Parking`."""
        self.changed = Pulse()
        self.closing = False
        self.wanted = 1
        """How many get work at a time: slots from 1 to this number are staffed, and `stand_ins` more."""
        self.stand_ins = 0
        """Of movers that wait with a file."""
        self.roots = 0
        """How many every mover has to have opened; what it was told to open at first may be more."""
        self.most_entries: int | None = None
        """That somebody allows a batch; None for any number."""
        self._staffed: set[int] = set()
        self._spent = (Spent(), Spent())
        """By the copying and the committing threads of movers that are gone."""
        self._moved_bytes = 0
        """By movers that are gone."""

    async def serve(self, slot: int, first: MoverProcess | None, infos: Opened | None) -> None:
        """Keep the first slot staffed until the crew closes. `first` is a mover that was opened already."""
        with self._staffing(slot):
            await self._serve(slot, first, infos)

    async def reinforce(self, slot: int) -> None:
        """Keep a further slot staffed, from when there is more to do than the first mover can."""
        with self._staffing(slot):
            await self._more.wait()
            await self._serve(slot, None, None)

    @contextlib.contextmanager
    def _staffing(self, slot: int) -> Iterator[None]:
        self._staffed.add(slot)
        try:
            yield
        finally:
            self._staffed.remove(slot)

    @property
    def ready(self) -> list[Station]:
        """Movers that may be given something to do."""
        ready = [s for slot, s in sorted(self.stations.items()) if not s.leaving and slot not in self.told]
        return ready[: self.wanted]

    def resize(self, wanted: int) -> list[int]:
        """Let so many movers work from now on: of those that are too many each settles what it has in hand and ends.
        Returns the slots that nobody staffs: `reinforce` is to be run for each."""
        self.wanted = wanted
        return self._unstaffed()

    def stand_in(self) -> list[int]:
        """Let one more come, for one that waits with a file. Returns the slots that nobody staffs: `serve` is to be run
        for each."""
        self.stand_ins += 1
        return self._unstaffed()

    def _unstaffed(self) -> list[int]:
        last = self.wanted + self.stand_ins
        for station in self.stations.values():
            station.leaving = station.slot > last
        self.mirror_control()
        found = [slot for slot in range(1, last + 1) if slot not in self._staffed]
        self._staffed.update(found)  # at once: whoever asks before they have begun must not have them again
        return found

    def cap_batches(self, most_entries: int | None) -> None:
        """Give no mover more entries at once; None for as many as go well."""
        self.most_entries = most_entries
        for station in self.stations.values():
            station.sizer.most = most_entries

    def running_tasks(self) -> set[int]:
        """Return the numbers of the tasks that movers have in hand."""
        flights = [station.flight for station in self.stations.values()]
        return {n for flight in flights for batch in flight.batches.values() for n in batch.tasks}

    def copied(self) -> list[tuple[Task, Tally]]:
        """Return what movers have copied of large files that are not settled; see `Flight.copied`."""
        found: list[tuple[Task, Tally]] = []
        for station in self.stations.values():
            glimpse = station.process.control.look()
            found += station.flight.copied(glimpse.task, glimpse.file_done)
        return found

    def call_all(self) -> bool:
        """Whoever is there is busy, and there is more to do: let all others come. Returns whether they are here: what
        is given to a busy mover before, they cannot have."""
        self._more.set()
        return len(self.stations) >= len(self._staffed)

    async def _serve(self, slot: int, first: MoverProcess | None, infos: Opened | None) -> None:
        process, opened = first, infos
        if self.closing and process is not None:
            await process.end()
            return
        while not self.closing and slot <= self.wanted + self.stand_ins:
            if process is None or opened is None:
                if not await self._gate.passed() and not self._needed():
                    return
                opening = await self._opening()
                try:
                    process, opened = await open_mover(self._pool, slot, self._identity, opening)
                except (PlanInfeasible, NotPermitted) as e:
                    if await self._opening() != opening:
                        continue  # others were done with a source while this one was starting: tell it so
                    self._handler.failing(e.message, True)  # noqa: FBT003 (final: the roots are gone)
                    return
                except MoverError as e:
                    if self._died():
                        self._handler.failing(e.message, False)  # noqa: FBT003
                    await trio.sleep(RESTART_PAUSE_S * 5)
                    continue
            station = Station(process, next(self._numbers), len(opened.roots))
            station.leaving, station.sizer.most = slot > self.wanted + self.stand_ins, self.most_entries
            why = await self._attend(station, opened)
            process = opened = None
            if why is not None and not self.closing:
                if self._died():
                    self._handler.failing(f"movers keep dying ({why})", False)  # noqa: FBT003
                await trio.sleep(RESTART_PAUSE_S)

    async def ask(self, message: ToMover, answer: type[A]) -> A:
        """Ask any mover; if it dies, ask the next one: for what may be repeated."""
        while True:
            while not self.stations:
                await self.changed.mark().wait()
            try:
                return await self.stations[min(self.stations)].ask(message, answer)
            except MoverError:
                # Its end is told where its messages are read; until then it would only be asked again.
                await trio.lowlevel.checkpoint()

    async def add_roots(self, count: int) -> None:
        """There are so many roots from now on, as `opening` says: all movers open those that they have not before they
        do what they are asked after this."""
        self.roots = count
        for station in list(self.stations.values()):
            await self._catch_up(station)

    async def _catch_up(self, station: Station) -> None:
        while station.roots < self.roots:
            opening = await self._opening()
            first, station.roots = station.roots, len(opening.roots)
            await station.send(AddRoots(part_of(opening, first)))

    def mirror_control(self) -> None:
        """Put the gate's mode into every slot."""
        for process in self.processes.values():
            process.control.set_control(self._control(process))

    def _control(self, process: MoverProcess) -> Control:
        """What everybody is told, unless this one is told to wait with a file, or to give it up: as soon as nothing
        more begins, files that are held are given up as well. One that is to leave waits as well: told to drain, it
        would go on with its file."""
        if self._gate.frozen:
            return Control.PAUSE
        if process.slot in self.told and self._gate.mode is not Mode.PAUSE:
            return Control.ABANDON if self._gate.ending else self.told[process.slot]
        station = self.stations.get(process.slot)
        if station is not None and station.leaving and self._gate.mode is Mode.RUN:
            return Control.DRAIN  # the rest of what it was given is for others
        return CONTROL_OF[self._gate.mode]

    @contextlib.contextmanager
    def enlisted(self, process: MoverProcess) -> Iterator[None]:
        """Let `process` follow the gate while the context lasts."""
        process.control.set_control(self._control(process))
        self.processes[process.slot] = process
        try:
            yield
        finally:
            del self.processes[process.slot]
            self._spent = _both(self._spent, process.control.spent())
            self._moved_bytes += process.control.look().bytes_total

    def spent(self) -> tuple[Spent, Spent]:
        """Return what the copying threads of all movers, of those that are gone as well, have spent their time with,
        and their committing threads."""
        spent = self._spent
        for process in self.processes.values():
            spent = _both(spent, process.control.spent())
        return spent

    def moved_bytes(self) -> int:
        """Return how much all movers, those that are gone as well, have read from sources."""
        return self._moved_bytes + sum(p.control.look().bytes_total for p in self.processes.values())

    async def close(self) -> None:
        """Say that nobody is to be replaced, and let every mover end by closing its socket."""
        self.closing = True
        for station in list(self.stations.values()):
            await station.process.hang_up()

    def _needed(self) -> bool:
        """A drain or cancel still needs a mover to finish and clean up."""
        return not self.closing and not self.stations

    def _died(self) -> bool:
        now = self._now()
        self._deaths.append(now)
        while self._deaths[0] < now - RESTART_WINDOW_S:
            self._deaths.popleft()
        if len(self._deaths) < self._restart_limit:
            return False
        self._deaths.clear()
        return True

    async def _attend(self, station: Station, opened: Opened) -> str | None:
        """Listen to a mover until it ends; returns why it did, None when it was not wanted any more."""
        process, why, returned, died = station.process, "", 0, False
        try:
            with self.enlisted(process):
                await self._catch_up(station)
                await self._handler.joined(station, opened)
                await self._catch_up(station)
                self.stations[station.slot] = station
                self.changed.set()
                while (message := await process.receive()) is not None:
                    await self._handler.message(station, message)
            died = True
        except MoverError as e:
            why, died = e.message, True
        finally:
            # In one step with what it had in hand: there is no moment at which nobody has it.
            self.stations.pop(station.slot, None)
            self.told.pop(station.slot, None)
            station.last_glimpse = process.control.look()
            left = station.leaving and station.flight.empty
            if died and not self.closing and not left:
                returned = self._handler.gone(station)
            station.fail_waiting()
            ended = await process.end()
        if not self.closing and not left:
            await self._handler.lost(station, why or ended, returned)
        self.changed.set()
        return None if left else why or ended


def _both(a: tuple[Spent, Spent], b: tuple[Spent, Spent]) -> tuple[Spent, Spent]:
    return a[0].plus(b[0]), a[1].plus(b[1])


async def open_mover(pool: MoverPool, slot: int, identity: Identity, opening: Open) -> tuple[MoverProcess, Opened]:
    """Have a mover from `pool` open the roots.

    Raises:
        PlanInfeasible: it refused them: missing, unreadable, the same, nested, wrong type.
        NotPermitted: the asking user may not open them.
        MoverError: it could not be started or died.
    """
    process = await pool.start(slot, identity)
    try:
        await process.send(opening)
        answer = await process.receive()
    except BaseException:
        if not opening.probing:  # that makes a file and removes it; all else has been done by others, or need not be
            process.kill()  # it may still load its code, and those who are done need not wait for that
        await process.end()
        raise
    if isinstance(answer, Opened):
        return process, answer
    ended = await process.end()
    if isinstance(answer, OpenFailed):
        raise refused(answer)
    raise MoverError(f"a mover ended before it had opened the plan's roots: {ended}")


def refused(answer: OpenFailed) -> NotPermitted | PlanInfeasible:
    """Return what a mover's refusal of the roots means to whoever asked."""
    kind = NotPermitted if answer.fault.kind in ("EACCES", "EPERM") else PlanInfeasible
    return kind(answer.message, hint=answer.hint, path=answer.path, errno=answer.fault.errno or None)
