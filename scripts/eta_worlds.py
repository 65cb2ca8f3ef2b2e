"""Simulated runs for scripts/eta-bench: devices, files, noise and what else happens to a migration, by family.

Constants are orders of magnitude of such devices and files, varied widely for each run. A run is simulated in handfuls
of small files and in single large ones, tick by tick.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from eta_traces import Trace
from migmond.analytics.measures import Cost, Shape, Tick

MOST_TICKS = 2000
"""A simulated run has about so many, or a half or a quarter of them; they are at least half a second apart."""

DEVICES = {
    "nvme": (0.15e-3, 1 / 1500e6),
    "ssd": (0.5e-3, 1 / 420e6),
    "hdd": (8e-3, 1 / 150e6),
    "smr": (10e-3, 1 / 110e6),
    "usb": (15e-3, 1 / 35e6),
    "net": (5e-3, 1 / 100e6),
}
"""Seconds for a file and for a byte with one worker."""

KINDS = {
    "photos": (4e6, 0.6),
    "videos": (500e6, 1.0),
    "music": (6e6, 0.5),
    "documents": (150e3, 1.5),
    "source code": (5e3, 1.4),
    "mail": (20e3, 1.3),
    "images of machines": (8e9, 0.7),
    "data sets": (250e3, 0.9),
}
"""Median size in bytes of a file and the deviation of its logarithm."""


@dataclass
class World:
    """How one simulated run goes. Shares are of the run's nominal time, costs are multiples."""

    device: str
    kinds: list[str]
    nominal_s: float
    workers: int = 1
    fast_noise: float = 0.2
    slow_noise: float = 0.1
    cost_spread: float = 0.25
    """How much a directory's cost per file differs (seeks, metadata), as a deviation of the logarithm."""
    directories: int = 20
    stalls: int = 0
    retries: float = 0.0
    """Share of the time in which work is done once more."""
    cliff: tuple[float, float] | None = None
    """Share of the bytes after which a byte costs so many times as much."""
    recovers: bool = False
    """Behind the cliff the device comes back to its speed every now and then (SMR between its cleanings)."""
    phases: list[tuple[float, float, float]] = field(default_factory=list)
    """From, to (shares of the nominal time) and speed: other load, nights, heat."""
    actions: list[tuple[float, float | None, int]] = field(default_factory=list)
    """At a share of the nominal time: limit as a multiple of the nominal byte rate, and workers."""
    runs_known: int = 4


Make = Callable[[random.Random], World]


def _some(rng: random.Random, most: int = 5) -> list[str]:
    return rng.sample(list(KINDS), rng.randint(1, most))


def _duration(rng: random.Random, least: float = 30.0, most: float = 14400.0) -> float:
    return math.exp(rng.uniform(math.log(least), math.log(most)))


def _world(rng: random.Random, devices: str = "nvme ssd hdd smr usb net", **more: Any) -> World:
    return World(
        device=rng.choice(devices.split()),
        kinds=more.pop("kinds", None) or _some(rng),
        nominal_s=more.pop("nominal_s", None) or _duration(rng),
        workers=rng.choice([1, 1, 2, 4, 8]),
        fast_noise=more.pop("fast_noise", None) or rng.uniform(0.1, 0.35),
        slow_noise=more.pop("slow_noise", None) or rng.uniform(0.05, 0.2),
        cost_spread=more.pop("cost_spread", None) or rng.uniform(0.1, 0.4),
        directories=more.pop("directories", None) or rng.randint(5, 40),
        runs_known=rng.choice([0, 1, 3, 8]),
        **more,
    )


def _load(rng: random.Random) -> list[tuple[float, float, float]]:
    found = []
    for _ in range(rng.randint(1, 6)):
        start = rng.random()
        found.append((start, start + rng.uniform(0.03, 0.2), rng.uniform(0.3, 0.75)))
    return found


def _nights(rng: random.Random) -> list[tuple[float, float, float]]:
    length, start, speed = rng.uniform(0.15, 0.6), rng.uniform(-0.3, 0.3), rng.uniform(0.45, 0.8)
    return [(start + 2 * k * length, start + (2 * k + 1) * length, speed) for k in range(12)]


def _heat(rng: random.Random) -> list[tuple[float, float, float]]:
    start, on, off, speed = (
        rng.uniform(0.05, 0.4),
        rng.uniform(0.02, 0.1),
        rng.uniform(0.02, 0.1),
        rng.uniform(0.4, 0.8),
    )
    return [(start + k * (on + off), start + k * (on + off) + on, speed) for k in range(60)]


def _limits(rng: random.Random) -> list[tuple[float, float | None, int]]:
    first, second = sorted((rng.uniform(0, 0.4), rng.uniform(0.1, 0.6)))
    back = rng.choice([None, None, rng.uniform(0.4, 1.2)])
    return [(first, rng.uniform(0.25, 0.8), 0)] + ([(second, back, 0)] if rng.random() < 0.7 else [])


def _staff(rng: random.Random) -> list[tuple[float, float | None, int]]:
    return [(rng.uniform(0.05, 0.6), None, rng.choice([1, 2, 4, 8])) for _ in range(rng.randint(1, 3))]


FAMILIES: dict[str, Make] = {
    "steady": lambda r: _world(r, kinds=[r.choice(list(KINDS))], fast_noise=0.05, slow_noise=0.03, cost_spread=0.05),
    "capped": lambda r: _world(r, kinds=["photos"], slow_noise=0.03, actions=[(0.0, r.uniform(0.3, 0.7), 0)]),
    "nvme": lambda r: _world(r, "nvme"),
    "ssd": lambda r: _world(r, "ssd"),
    "hdd": lambda r: _world(r, "hdd"),
    "usb": lambda r: _world(r, "usb"),
    "network": lambda r: _world(r, "net", slow_noise=r.uniform(0.1, 0.3)),
    "seeks": lambda r: _world(
        r, "hdd smr", kinds=["documents", "source code", "mail"], cost_spread=r.uniform(0.4, 0.7)
    ),
    "smr": lambda r: _world(r, "smr", cliff=(r.uniform(0.1, 0.7), r.uniform(1.5, 4)), recovers=True),
    "slc": lambda r: _world(r, "nvme ssd usb", cliff=(r.uniform(0.1, 0.8), r.uniform(1.5, 4))),
    "heat": lambda r: _world(r, "nvme usb", phases=_heat(r)),
    "load": lambda r: _world(r, phases=_load(r)),
    "nights": lambda r: _world(r, nominal_s=_duration(r, 3600, 86400), phases=_nights(r)),
    "limits": lambda r: _world(r, actions=_limits(r)),
    "workers": lambda r: _world(r, actions=_staff(r)),
    "retries": lambda r: _world(r, "net usb hdd", retries=r.uniform(0.05, 0.25)),
    "stalls": lambda r: _world(r, "net usb hdd", stalls=r.randint(1, 6)),
    "large": lambda r: _world(r, kinds=["images of machines", "videos"], directories=r.randint(1, 4)),
    "tiny": lambda r: _world(r, kinds=["source code", "mail"], directories=r.randint(3, 60)),
}


def simulated(family: str, seed: int, severity: float = 1.0) -> Trace:
    """Return a run of `family`; the same seed gives the same run.

    Args:
        severity: times as much noise, difference between directories and between runs as usual, for trials of what
            nothing was tuned on.
    """
    rng = random.Random(f"{family} {seed}")
    world = FAMILIES[family](rng)
    world.fast_noise *= severity
    world.slow_noise *= severity
    world.cost_spread *= severity
    true_a, true_b = (c * math.exp(rng.gauss(0, 0.35)) for c in DEVICES[world.device])
    history = [_earlier(true_a, true_b, world, rng) for _ in range(world.runs_known)]
    own_a, own_b = true_a * math.exp(rng.gauss(0, 0.15 * severity)), true_b * math.exp(rng.gauss(0, 0.12 * severity))
    return _run(f"{family}-{seed}", family, world, own_a, own_b, history, rng)


def _earlier(a: float, b: float, world: World, rng: random.Random) -> Cost:
    """Return what an earlier run has measured: other directories, other noise, as many workers."""
    k = world.workers
    spread_a, spread_b = 0.15 + world.cost_spread / 4, 0.12 + world.slow_noise / 2
    return Cost(a / k**0.7 * math.exp(rng.gauss(0, spread_a)), b / k**0.5 * math.exp(rng.gauss(0, spread_b)))


@dataclass
class _Lump:
    files: int
    bytes: float
    seconds_files: float
    seconds_bytes: float


def _lumps(world: World, a: float, b: float, rng: random.Random) -> list[_Lump]:
    """Return the work in order: directory by directory, each of one kind; small files by the handful."""
    weights = [rng.expovariate(1) + 0.05 for _ in range(world.directories)]
    kinds = (
        sorted(rng.choice(world.kinds) for _ in weights)
        if rng.random() < 0.5
        else rng.choices(world.kinds, k=len(weights))
    )
    power = world.nominal_s * world.workers**0.6 / sum(weights)
    found = []
    for weight, kind in zip(weights, kinds, strict=True):
        median, sigma = KINDS[kind]
        median *= math.exp(rng.gauss(0, 0.4))
        cost_a = a * math.exp(rng.gauss(0, world.cost_spread))
        cost_b = b * math.exp(rng.gauss(0, world.cost_spread / 3))
        left, mean = weight * power, median * math.exp(sigma * sigma / 2)
        each = cost_a + cost_b * mean
        handful = max(1, round(world.nominal_s / MOST_TICKS / 3 / each))
        while left > 0:
            if handful > 8:
                size = handful * mean * math.exp(rng.gauss(0, min(0.5, math.sqrt((math.exp(sigma**2) - 1) / handful))))
            else:
                size = sum(median * math.exp(rng.gauss(0, sigma)) for _ in range(handful))
            found.append(_Lump(handful, size, handful * cost_a, size * cost_b))
            left -= handful * cost_a + size * cost_b
    return found


def _run(name: str, family: str, world: World, a: float, b: float, history: list[Cost], rng: random.Random) -> Trace:
    lumps = _lumps(world, a, b, rng)
    files, size = sum(x.files for x in lumps), sum(x.bytes for x in lumps)
    shape = Shape(files, int(size), world.device, world.device, "local", world.workers)
    step = max(0.5, round(world.nominal_s / MOST_TICKS)) * rng.choice([1.0, 1.0, 2.0, 4.0])
    actions = sorted(world.actions, key=lambda x: x[0])
    stalls = sorted(
        (rng.random() * world.nominal_s, rng.uniform(0.005, 0.05) * world.nominal_s) for _ in range(world.stalls)
    )
    nominal_rate = size / world.nominal_s
    limit, workers = None, world.workers
    fast = slow = 0.0
    slow_memory = rng.uniform(0.02, 0.15) * world.nominal_s
    t, done_files, done_bytes, cleaning = 0.0, 0.0, 0.0, False
    ticks: list[Tick] = []
    number, inside, end = 0, 0.0, 0.0
    while number < len(lumps):
        keep_fast, keep_slow = math.exp(-step / 4), math.exp(-step / slow_memory)
        fast = fast * keep_fast + rng.gauss(0, world.fast_noise) * math.sqrt(1 - keep_fast**2)
        slow = slow * keep_slow + rng.gauss(0, world.slow_noise) * math.sqrt(1 - keep_slow**2)
        share = t / world.nominal_s
        while actions and actions[0][0] <= share:
            _, times, staff = actions.pop(0)
            workers = staff or workers
            limit = None if times is None else float(round(times * nominal_rate) or 1)
        speed = math.exp(fast + slow)
        for start, stop, factor in world.phases:
            speed *= factor if start <= share < stop else 1.0
        if any(start <= t < start + length for start, length in stalls) or rng.random() < world.retries:
            speed = 0.0
        steep = 1.0
        if world.cliff is not None and done_bytes >= world.cliff[0] * size:
            if world.recovers and rng.random() < step / (0.03 * world.nominal_s):
                cleaning = not cleaning
            steep = 1.0 if cleaning else world.cliff[1]
        power = step * speed
        per_file, per_byte = 1 / workers**0.7, 1 / workers**0.5
        used = 0.0
        while number < len(lumps) and power > 0:
            lump = lumps[number]
            for_bytes = lump.seconds_bytes * steep * per_byte
            if limit is not None:
                for_bytes = max(for_bytes, lump.bytes / limit * speed)
            cost = lump.seconds_files * per_file + for_bytes
            rest = cost * (1 - inside)
            if rest <= power:
                power -= rest
                used += rest
                done_files += lump.files if lump.files == 1 else lump.files * (1 - inside)
                done_bytes += lump.bytes * (1 - inside)
                number, inside = number + 1, 0.0
            else:
                inside += power / cost
                done_bytes += lump.bytes * power / cost
                done_files += 0 if lump.files == 1 else lump.files * power / cost
                used += power
                power = 0.0
        end = t + (step if number < len(lumps) or speed <= 0 else used / speed)
        t += step
        if number < len(lumps):
            ticks.append(Tick(t, int(done_files), int(done_bytes), workers, limit))
    ticks.append(Tick(end, files, int(size), workers, limit))
    return Trace(name, family, shape, history, ticks, end)
