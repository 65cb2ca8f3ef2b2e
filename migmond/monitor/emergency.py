"""Looks for emergencies and holds what has to do with them."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterable, Mapping, Sequence

import msgspec
import trio

from migmond.analytics.temperature import limits
from migmond.domain.errors import MigmondError
from migmond.domain.execution import Execution
from migmond.domain.mount_table import parse_mounts
from migmond.domain.names import to_text
from migmond.domain.samples import SampleView
from migmond.domain.states import ExecutionState
from migmond.fsys.device_graph import read_graph
from migmond.fsys.power_supply import on_battery
from migmond.planning.emergency import Bounds, DiskKind, Emergencies, EmergencyKind, Facts, Step, Uses, verdict_of
from migmond.ports import Clock, Journal, Steerer

INTERVAL_S = 2.0
_ERRORS = frozenset({"io_error", "timeout", "offline", "raid_error"})
"""Kinds of the kernel's messages that tell of a disk, not of a file system."""
_HELD = frozenset({ExecutionState.RUNNING, ExecutionState.PAUSED})
"""What can be held. Others do nothing yet, and are looked at when they begin, or are about to end."""
_TELLING = ("sd", "hd")
"""Names of disks begin so that have a temperature, besides NVMe: nothing is read of loops and the like."""
_PLAUSIBLE = range(45, 126)
"""Degrees that a disk may name as the most: one field that its maker left empty must not hold everything for ever."""
_NVME_BAD = 0b01100
"""Of the critical warning: reliability is degraded (4), the medium is read-only (8); NVMe base specification, SMART."""


class Places(msgspec.Struct, frozen=True):
    """What is there now.

    Attributes:
        kinds: of disks, as far as they count for heat.
        mounts: points; `mounted`: device numbers of what is mounted.
        below: of each device number that was asked for, the devices and the mount of its file system.
        named: of each name in the kernel's messages that was asked for, the devices that are meant, each with the disks
            that it is on.
    """

    disks: frozenset[str] | None
    kinds: dict[str, DiskKind]
    mounts: frozenset[str] | None
    mounted: frozenset[int]
    on_battery: bool | None
    below: dict[int, tuple[frozenset[str], frozenset[str]]]
    named: dict[str, dict[str, tuple[str, ...]]]


def read_places(devices: Sequence[int], names: Sequence[str], root: str = "/") -> Places:
    """Look at the machine; reads what the kernel makes on the spot, no disk."""
    try:
        disks: frozenset[str] | None = frozenset(os.listdir(os.path.join(root, "sys/block")))
    except OSError:
        disks = None
    try:
        with open(os.path.join(root, "proc/self/mountinfo"), "rb") as table:
            lines = parse_mounts(table.read())
        mounts: frozenset[str] | None = frozenset(to_text(m.point) for m in lines)
    except OSError:
        lines, mounts = (), None
    below: dict[int, tuple[frozenset[str], frozenset[str]]] = {}
    named: dict[str, dict[str, tuple[str, ...]]] = {}
    if devices or names:
        graph = read_graph(root)
        for device in devices:
            chain = graph.chain(device)
            points = frozenset({to_text(chain.mount.point)} if chain.mount is not None else ())
            below[device] = (frozenset((*chain.devices, *(d.name for d in chain.disks))), points)
        named = {name: graph.meant(name) for name in names}
    mounted = frozenset(m.device for m in lines)
    kinds = {name: _kind_of(name, root) for name in disks or ()}
    return Places(disks, kinds, mounts, mounted, on_battery(os.path.join(root, "sys")), below, named)


def _kind_of(disk: str, root: str) -> DiskKind:
    """A 1 says little: the kernel assumes it of whatever does not tell, such as bridges to USB."""
    if disk.startswith("nvme"):
        return DiskKind.NVME
    if not disk.startswith(_TELLING):
        return DiskKind.OTHER
    try:
        with open(os.path.join(root, "sys/block", disk, "queue/rotational")) as file:
            return DiskKind.SSD if file.read().strip() == "0" else DiskKind.OTHER
    except OSError:
        return DiskKind.OTHER


class Touching(msgspec.Struct, frozen=True):
    """Ids of executions that use a device. `complete`: of none that runs it is unknown what it is on."""

    executions: tuple[str, ...]
    complete: bool


class EmergencyWatch:
    """Args:
    executions: returns all there are.
    devices: returns the device numbers of the roots of an execution, as far as they are known.
    samples: returns the collectors' newest.
    bounds: returns what counts as an emergency now.
    read: as `read_places`.
    """

    def __init__(
        self,
        steerer: Steerer,
        executions: Callable[[], Iterable[Execution]],
        devices: Callable[[str], Sequence[int]],
        samples: Callable[[], Iterable[SampleView]],
        bounds: Callable[[], Bounds],
        journal: Journal,
        clock: Clock,
        log: Callable[..., None],
        read: Callable[[Sequence[int], Sequence[str]], Places] = read_places,
    ) -> None:
        self._steerer = steerer
        self._executions = executions
        self._devices = devices
        self._samples = samples
        self._bounds = bounds
        self._journal = journal
        self._clock = clock
        self._log = log
        self._read = read
        self._emergencies = Emergencies()
        self._below: dict[int, tuple[frozenset[str], frozenset[str]]] = {}
        self._counted: dict[tuple[str, str], float] = {}
        self._uses: list[Uses] = []
        self._all_known = False
        self._again: list[Step] = []

    def touching(self, device: str) -> Touching:
        """Return which executions at work use a disk, or another device that the kernel has a name for."""
        found = tuple(u.execution for u in self._uses if device in u.devices or device in u.mounts)
        return Touching(found, complete=self._all_known)

    async def run(self) -> None:
        """Look until cancelled. What goes wrong is logged, the first time."""
        told = False
        while True:
            try:
                await self.look()
            except Exception as e:
                if not told:
                    self._log("looking for emergencies failed, and is tried again", exc_info=e)
                told = True
            await trio.sleep(INTERVAL_S)

    async def look(self) -> None:
        """Take one look, and do what is to be done."""
        live = [e for e in self._executions() if e.state in _HELD]
        used = {e.id: tuple(self._devices(e.id)) for e in live}
        samples = list(self._samples())
        errors = self._new_errors(samples)
        wanted = {d for devices in used.values() for d in devices}
        ask = functools.partial(self._read, sorted(wanted - self._below.keys()), sorted(errors))
        places = await trio.to_thread.run_sync(ask)
        # What an execution is on stays as it was first seen: a disk that has gone is below nothing any more.
        self._below = {d: found for d, found in (self._below | places.below).items() if d in wanted}
        self._uses = [self._use(e, used[e.id]) for e in live]
        self._all_known = all(used[e.id] for e in live if e.state is ExecutionState.RUNNING)
        facts = _facts(samples, self._with_binds(places), errors)
        steps = [*self._again, *self._emergencies.look(facts, self._uses, self._bounds(), self._clock.monotonic())]
        self._again = []
        for step in steps:
            await self._do(step)

    def _with_binds(self, places: Places) -> Places:
        """What is mounted at several points has not gone while one of them is left."""
        if places.mounts is None:
            return places
        left = (points for device, (_, points) in self._below.items() if device in places.mounted)
        return msgspec.structs.replace(places, mounts=places.mounts.union(*left))

    def _use(self, execution: Execution, devices: Sequence[int]) -> Uses:
        found = [self._below[d] for d in devices if d in self._below]
        return Uses(
            execution.id,
            frozenset().union(*(devices for devices, _ in found)),
            frozenset().union(*(mounts for _, mounts in found)),
            frozenset(h.author for h in execution.holds),
        )

    async def _do(self, step: Step) -> None:
        try:
            if not step.hold:
                await self._steerer.take_back(step.execution, step.author, step.note)
            elif not await self._decided(step):
                await self._steerer.pause(step.execution, step.author, step.note, step.reason, None)
                self._log("emergency", execution=step.execution, why=step.note)
        except MigmondError as e:
            if e.retryable:
                self._again.append(step)
            else:  # it has ended, or is about to
                self._log("emergency could not be heeded", execution=step.execution, why=step.note, error=e.message)

    async def _decided(self, step: Step) -> bool:
        """Whether somebody has resumed it for all that the disk fails, before this daemon was started."""
        verdict = verdict_of(step.author, step.note)
        if verdict is None or verdict.kind is not EmergencyKind.DISK_FAILING:
            return False
        return any(i.author == step.author for i in await self._journal.interventions(step.execution))

    def _new_errors(self, samples: Iterable[SampleView]) -> dict[str, int]:
        """Return how many errors the kernel has reported since the last look, by the name that it used."""
        new: dict[str, int] = {}
        for sample in samples:
            if sample.metric != "migmond_kernel_io_messages_total" or sample.value is None:
                continue
            device, kind = sample.labels.get("device", ""), sample.labels.get("kind", "")
            if not device or kind not in _ERRORS:
                continue
            # A series that is new began with 0: the collector counts from its start on.
            more = sample.value - self._counted.get((device, kind), 0.0)
            self._counted[device, kind] = sample.value
            if more > 0:
                new[device] = new.get(device, 0) + int(more)
        return new


def _facts(samples: Iterable[SampleView], places: Places, errors: dict[str, int]) -> Facts:
    failing: dict[str, str] = {}
    well: set[str] = set()
    temperatures: dict[str, float] = {}
    named: dict[str, dict[str, float]] = {}
    for sample in samples:
        disk, value = sample.labels.get("device", ""), sample.value
        if value is None or not disk:
            continue
        match sample.metric:
            case "migmond_disk_healthy":
                if value:
                    well.add(disk)
                else:
                    failing.setdefault(disk, f"{disk} says that it is failing (SMART)")
            case "migmond_disk_critical_warning" if int(value) & _NVME_BAD:
                failing.setdefault(disk, f"{disk} warns that it is unreliable or read-only (NVMe, {int(value)})")
            case "migmond_disk_temperature_celsius":
                temperatures[disk] = value
            case "migmond_disk_temperature_limit_celsius" if int(value) in _PLAUSIBLE:
                named.setdefault(disk, {})[sample.labels.get("limit", "")] = value
    counts: dict[str, int] = {}
    below: dict[str, tuple[str, ...]] = {}
    for name, count in errors.items():
        for device, disks in places.named.get(name, {}).items():
            counts[device] = counts.get(device, 0) + count
            below[device] = disks
    return Facts(
        failing,
        frozenset(well - failing.keys()),
        counts,
        below,
        temperatures,
        {disk: _own_limit(told) for disk, told in named.items()},
        places.kinds,
        places.disks,
        places.mounts,
        places.on_battery,
    )


def _own_limit(told: Mapping[str, float]) -> float:
    """What a disk names as critical, or lies as far above the first warning that it names as usual."""
    return limits("", told.get("warning"), told.get("critical")).critical
