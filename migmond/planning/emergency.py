"""Emergencies: what is held by itself, and when it goes on. Pure: what was seen comes in, what to do goes out.

A verdict stands on a disk, a mount or the machine. An execution that uses it is held once for each verdict: whoever
resumes it meanwhile has decided otherwise, and is not overruled. What is missing from the readings never ends a
verdict.
"""

from __future__ import annotations

import enum
from collections import deque
from collections.abc import Iterable, Mapping, Sequence

import msgspec

from migmond.domain.device import device_text
from migmond.domain.hold import HoldReason
from migmond.domain.units import show_degrees

_PREFIX = "emergency: "
_LOOKS_TO_VANISH = 2
"""So many looks in a row must miss a mount: the kernel's table may lack one for the moment in which another changes."""
_FOR_EVER = 10_000
"""Executions of which it is remembered that they were held for a failing disk."""


class EmergencyKind(enum.StrEnum):
    DISK_FAILING = "disk failing"
    TOO_HOT = "too hot"
    VANISHED = "vanished"
    ON_BATTERY = "on battery"


_REASONS = {
    EmergencyKind.DISK_FAILING: HoldReason.DEVICE,
    EmergencyKind.TOO_HOT: HoldReason.THERMAL,
    EmergencyKind.VANISHED: HoldReason.DEVICE,
    EmergencyKind.ON_BATTERY: HoldReason.POWER,
}


class DiskKind(enum.StrEnum):
    """What a disk that names no limit of its own is judged by."""

    NVME = "nvme"
    SSD = "ssd"
    OTHER = "other"
    """Rotating, or nobody knows: the lowest limit."""


class Bounds(msgspec.Struct, frozen=True):
    """What counts as one; see `[emergency]` of the configuration. Degrees Celsius, seconds.

    Attributes:
        temperature: of disks that name none and rotate, or may: data sheets allow 60 to 65 degrees (Seagate Exos X18
            and WD Gold 60, Seagate IronWolf and WD Red 65).
        temperature_ssd: the same of SATA disks that do not rotate: 70 in data sheets (Samsung 870 EVO, Crucial MX500).
        temperature_nvme: the same of NVMe disks. 70 degrees are what the NVMe base specification recommends for the
            first warning (WCTEMP, 0157h); what disks name as critical (CCTEMP) is 80 (Intel 660p) to 88 (WD SN770).
    """

    disk_failing: bool = True
    errors: int = 10
    within_s: float = 60.0
    too_hot: bool = True
    temperature: float = 65.0
    temperature_ssd: float = 70.0
    temperature_nvme: float = 80.0
    cooler_by: float = 8.0
    cool_for_s: float = 120.0
    vanished: bool = True
    on_battery: bool = False

    def too_hot_of(self, kind: DiskKind) -> float:
        """Return what is too hot for a disk of that kind that names no limit itself."""
        return {DiskKind.NVME: self.temperature_nvme, DiskKind.SSD: self.temperature_ssd}.get(kind, self.temperature)


class Facts(msgspec.Struct, frozen=True):
    """What was seen at one look.

    Attributes:
        failing: disks that say they are failing, with what they say; `well`: those that say they are not.
        errors: what the kernel has reported of each device since the last look, how many; `below`: the disks that such
            a device is on, when it is none itself.
        temperatures: of disks that told; `limits`: critical ones that disks name themselves; `kinds`: of disks, as far
            as they are known.
        disks, mounts: all that are there; None when nobody could look.
        on_battery: None when that is not known.
    """

    failing: Mapping[str, str] = {}
    well: frozenset[str] = frozenset()
    errors: Mapping[str, int] = {}
    below: Mapping[str, tuple[str, ...]] = {}
    temperatures: Mapping[str, float] = {}
    limits: Mapping[str, float] = {}
    kinds: Mapping[str, DiskKind] = {}
    disks: frozenset[str] | None = None
    mounts: frozenset[str] | None = None
    on_battery: bool | None = None


class Uses(msgspec.Struct, frozen=True):
    """An execution that is at work or held, and what it uses.

    Attributes:
        devices: its disks, and what is made of them or of files on them.
        authors: who has set the holds that it has.
    """

    execution: str
    devices: frozenset[str] = frozenset()
    mounts: frozenset[str] = frozenset()
    authors: frozenset[str] = frozenset()


class Verdict(msgspec.Struct, frozen=True):
    """An emergency that lasts.

    Attributes:
        about: device or mount; "" for the machine.
        why: one sentence with value and limit.
    """

    kind: EmergencyKind
    about: str
    why: str

    @property
    def author(self) -> str:
        """Who holds say has set them."""
        return f"{_PREFIX}{self.kind.value} {self.about}".rstrip()

    @property
    def reason(self) -> HoldReason:
        return _REASONS[self.kind]

    def concerns(self, uses: Uses) -> bool:
        """Whether an execution has to do with it."""
        match self.kind:
            case EmergencyKind.ON_BATTERY:
                return True
            case EmergencyKind.VANISHED:
                return self.about in uses.devices or self.about in uses.mounts
            case _:
                return self.about in uses.devices


class Step(msgspec.Struct, frozen=True):
    """What to do about one execution: hold it (`hold`), or take back that it was held, as `author`."""

    execution: str
    author: str
    reason: HoldReason
    note: str
    hold: bool


def verdict_of(author: str, note: str) -> Verdict | None:
    """Return which emergency has set a hold, None when none has."""
    if not author.startswith(_PREFIX):
        return None
    rest = author.removeprefix(_PREFIX)
    kind = next((k for k in EmergencyKind if rest == k.value or rest.startswith(f"{k.value} ")), None)
    return None if kind is None else Verdict(kind, rest.removeprefix(kind.value).lstrip(), note)


class Emergencies:
    """Remembers what stands."""

    def __init__(self) -> None:
        self._standing: dict[str, Verdict] = {}  # by author
        self._cool_since: dict[str, float] = {}
        self._errors: dict[str, deque[tuple[float, int]]] = {}
        self._below: dict[str, tuple[str, ...]] = {}  # of devices with errors
        self._bad: set[str] = set()  # disks that have said that they fail
        self._there: set[str] = set()
        self._missed: dict[str, int] = {}
        self._held: dict[tuple[str, str], None] = {}

    @property
    def standing(self) -> Sequence[Verdict]:
        """What lasts now."""
        return tuple(self._standing.values())

    def look(self, facts: Facts, uses: Sequence[Uses], bounds: Bounds, now: float) -> list[Step]:
        """Take in what was seen and return what to do.

        Args:
            now: monotonic seconds.
        """
        self._adopt(uses)
        found = {
            v.author: v
            for v in (
                *self._failing(facts, bounds, now),
                *self._hot(facts, bounds, now),
                *self._vanished(facts, uses, bounds),
                *self._battery(facts, bounds),
            )
        }
        ended = [v for author, v in self._standing.items() if author not in found]
        self._standing = found
        steps = [*self._lifts(ended, uses), *self._holds(uses)]
        at_work = {u.execution for u in uses}
        for key in [k for k in self._held if k[0] not in at_work][: max(0, len(self._held) - _FOR_EVER)]:
            del self._held[key]
        return steps

    def _adopt(self, uses: Iterable[Uses]) -> None:
        """What an earlier daemon held is ours: it is to go on when it may."""
        for one in uses:
            for author in one.authors:
                verdict = verdict_of(author, "")
                if verdict is None or (one.execution, author) in self._held:
                    continue
                self._held[one.execution, author] = None
                self._standing.setdefault(author, verdict)
                if verdict.kind is EmergencyKind.VANISHED:
                    self._there.add(verdict.about)
                    self._missed.setdefault(verdict.about, _LOOKS_TO_VANISH)

    def _holds(self, uses: Iterable[Uses]) -> Iterable[Step]:
        for one in uses:
            for author, verdict in self._standing.items():
                if (one.execution, author) not in self._held and verdict.why and verdict.concerns(one):
                    self._held[one.execution, author] = None
                    yield Step(one.execution, author, verdict.reason, _note(verdict), hold=True)

    def _lifts(self, ended: Iterable[Verdict], uses: Iterable[Uses]) -> Iterable[Step]:
        for verdict in ended:
            if verdict.kind is EmergencyKind.DISK_FAILING:
                continue  # it does not become a good disk: somebody has to decide, once
            for key in [k for k in self._held if k[1] == verdict.author]:
                del self._held[key]
            for one in uses:
                if verdict.author in one.authors:
                    yield Step(one.execution, verdict.author, verdict.reason, _over(verdict), hold=False)

    # --- what lasts --------------------------------------------------------------------------------

    def _failing(self, facts: Facts, bounds: Bounds, now: float) -> Iterable[Verdict]:
        self._below.update(facts.below)
        for disk, count in facts.errors.items():
            self._errors.setdefault(disk, deque()).append((now, count))
        for disk, told in list(self._errors.items()):
            while told and told[0][0] <= now - bounds.within_s:
                told.popleft()
            if not told:
                del self._errors[disk]
                self._below.pop(disk, None)
        self._bad = (self._bad | facts.failing.keys()) - facts.well
        if not bounds.disk_failing:
            return
        failing = dict(facts.failing)
        for disk, told in self._errors.items():
            count = sum(c for _, c in told)
            if count >= bounds.errors:
                shown = device_text(disk, self._below.get(disk, ()))
                failing.setdefault(disk, f"the kernel reported {count} errors of {shown} within {bounds.within_s:g} s")
        for disk, why in failing.items():
            yield Verdict(EmergencyKind.DISK_FAILING, disk, why)
        for verdict in self._standing.values():  # one that does not answer any more is no better for that
            if verdict.kind is EmergencyKind.DISK_FAILING and verdict.about in self._bad - failing.keys():
                yield verdict

    def _hot(self, facts: Facts, bounds: Bounds, now: float) -> Iterable[Verdict]:
        if not bounds.too_hot:
            return
        hot = {v.about: v for v in self._standing.values() if v.kind is EmergencyKind.TOO_HOT}
        for disk in hot.keys() | facts.temperatures.keys():
            value, limit = facts.temperatures.get(disk), facts.limits.get(disk)
            if limit is None:
                limit = bounds.too_hot_of(facts.kinds.get(disk, DiskKind.OTHER))
            if value is None:
                self._cool_since.pop(disk, None)  # nobody knows how it was meanwhile
                yield hot[disk]
            elif value >= limit:
                self._cool_since.pop(disk, None)
                yield Verdict(
                    EmergencyKind.TOO_HOT, disk, f"{disk} has {show_degrees(value)}; {show_degrees(limit)} are too hot"
                )
            elif disk in hot:
                if value > limit - bounds.cooler_by:
                    self._cool_since.pop(disk, None)
                    yield hot[disk]
                elif now - self._cool_since.setdefault(disk, now) < bounds.cool_for_s:
                    yield hot[disk]
                else:
                    del self._cool_since[disk]

    def _vanished(self, facts: Facts, uses: Iterable[Uses], bounds: Bounds) -> Iterable[Verdict]:
        if not bounds.vanished:
            return
        standing = {v.about: v for v in self._standing.values() if v.kind is EmergencyKind.VANISHED}
        places = {"disk": (facts.disks, {d for u in uses for d in u.devices})}
        places["mount"] = (facts.mounts, {m for u in uses for m in u.mounts})
        wanted = {name for _, names in places.values() for name in names} | standing.keys()
        for what, (there, names) in places.items():
            mine = names | {a for a in standing if a.startswith("/") is (what == "mount")}
            for name in mine:
                if there is None:
                    if name in standing:
                        yield standing[name]
                    continue
                if name in there:
                    self._there.add(name)
                    self._missed.pop(name, None)
                elif name in self._there:  # one that never was there is called otherwise here
                    self._missed[name] = self._missed.get(name, 0) + 1
                    if self._missed[name] >= _LOOKS_TO_VANISH:
                        yield Verdict(EmergencyKind.VANISHED, name, f"the {what} {name} has gone")
        self._there &= wanted
        self._missed = {name: n for name, n in self._missed.items() if name in wanted}

    def _battery(self, facts: Facts, bounds: Bounds) -> Iterable[Verdict]:
        if not bounds.on_battery:
            return
        standing = [v for v in self._standing.values() if v.kind is EmergencyKind.ON_BATTERY]
        if facts.on_battery:
            yield Verdict(EmergencyKind.ON_BATTERY, "", "the machine runs on its battery")
        elif facts.on_battery is None:
            yield from standing


def _note(verdict: Verdict) -> str:
    if verdict.kind is not EmergencyKind.DISK_FAILING:
        return verdict.why
    return f"{verdict.why}; resume it to go on all the same, such as to save what is there"


def _over(verdict: Verdict) -> str:
    match verdict.kind:
        case EmergencyKind.TOO_HOT:
            return f"{verdict.about} has cooled down"
        case EmergencyKind.VANISHED:
            return f"{verdict.about} is back"
        case _:
            return "the machine has mains power again"
