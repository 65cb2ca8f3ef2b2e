"""Synthetic migrations with labels, for the alert harness. The labels are what the generator did, not what a rule said.

A trace is made of seconds of a pretended migration: how fast it goes, how many entries fail, whether it stands, hangs,
or heats its disk, what its forecast says. The forecast learns as a real one does: slowly, and with an error of its own.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping

import msgspec

TICK_S = 2.0
BASE_BYTES_PER_S = 120e6
ENTRIES_PER_S = 40.0
PLANNED_S = 4 * 3600.0
LEARNS_WITHIN_S = 900.0
"""Time constant of the pretended forecast: it has forgotten two thirds of what was after so long."""


class Incident(msgspec.Struct, frozen=True):
    """Something that a rule has to tell.

    Attributes:
        rule: its id.
        begin, end: seconds of the trace in which it is so.
        told_by: it has to have fired by then.
    """

    rule: str
    begin: float
    end: float
    told_by: float


class Tick(msgspec.Struct, frozen=True):
    """What is so in one interval.

    Attributes:
        speed: of the migration, 1 is what it was planned with.
        failing: share of its entries that fail.
        hung_s: for how long its mover has been in one system call.
        revised: factor by which the forecast is off from here on.
        full_s: seconds until the target is full; None: it is not before the end.
        margin_c: degrees to the limit of its disk.
        seen: False is a gap: nobody looks.
        restart: another daemon looks from here on.
    """

    speed: float
    failing: float = 0.0
    hung_s: float = 0.0
    revised: float = 1.0
    full_s: float | None = None
    margin_c: float = 20.0
    seen: bool = True
    restart: bool = False


class Trace(msgspec.Struct, frozen=True):
    """`implied`: rules that may fire besides, as what is labelled is reason enough for them (who stands is slow)."""

    kind: str
    ticks: tuple[Tick, ...]
    incidents: tuple[Incident, ...] = ()
    implied: frozenset[str] = frozenset()


_SLOWNESS = frozenset({"slow", "eta-slipping"})


def _times(minutes: float) -> Iterator[float]:
    return (i * TICK_S for i in range(int(minutes * 60 / TICK_S)))


def _noisy(rng: random.Random, spread: float = 0.12) -> float:
    return max(0.05, rng.gauss(1.0, spread))


def steady(rng: random.Random) -> Trace:
    """Nothing is wrong; a pause of up to 90 s now and then, as syncs make them: not two at once, which would be long
    enough to be a stall."""
    rests = [300.0 + 900 * i + rng.uniform(0, 600) for i in range(rng.randrange(4))]
    lengths = [rng.uniform(10, 90) for _ in rests]
    share = rng.choice([0.0, 0.0, 0.005, 0.015])
    ticks = []
    for t in _times(60):
        resting = any(b <= t < b + n for b, n in zip(rests, lengths, strict=True))
        ticks.append(Tick(0.0 if resting else _noisy(rng), failing=share, margin_c=rng.gauss(12, 1.0)))
    return Trace("steady", tuple(ticks))


def bursty(rng: random.Random) -> Trace:
    """Fast and slow by turns, as fast on the whole as was planned."""
    ticks: list[Tick] = []
    while len(ticks) < 1800:
        fast_s, slow_s = rng.uniform(6, 40), rng.uniform(6, 40)
        slow = rng.uniform(0.1, 0.6)
        fast = (fast_s + slow_s - slow * slow_s) / fast_s
        for length_s, speed in ((fast_s, fast), (slow_s, slow)):
            ticks += [Tick(speed * _noisy(rng, 0.2)) for _ in range(int(length_s / TICK_S))]
    return Trace("bursty", tuple(ticks))


def stalls(rng: random.Random) -> Trace:
    """One stall of 200 s to 15 min."""
    begin, length = rng.uniform(400, 1500), rng.uniform(200, 900)
    ticks = [Tick(0.0 if begin <= t < begin + length else _noisy(rng)) for t in _times(50)]
    incident = Incident("stalled", begin, begin + length, begin + 140)
    return Trace("stalls", tuple(ticks), (incident,), _SLOWNESS)


def hangs(rng: random.Random) -> Trace:
    """A mover hangs in a system call for 90 s to 10 min, and nothing comes forward."""
    begin, length = rng.uniform(400, 1500), rng.uniform(90, 600)
    ticks = [
        Tick(0.0, hung_s=t - begin) if begin <= t < begin + length else Tick(_noisy(rng), hung_s=rng.uniform(0, 20))
        for t in _times(45)
    ]
    incident = Incident("mover-hung", begin, begin + length, begin + 75)
    return Trace("hangs", tuple(ticks), (incident,), _SLOWNESS | {"stalled"})


def decay(rng: random.Random) -> Trace:
    """It gets slower within some minutes, to a third of what it was or less, and stays there."""
    begin, length, floor = rng.uniform(1200, 2000), rng.uniform(60, 900), rng.uniform(0.12, 0.33)

    def speed(t: float) -> float:
        return 1.0 - (1.0 - floor) * min(1.0, max(0.0, (t - begin) / length))

    ticks = tuple(Tick(speed(t) * _noisy(rng)) for t in _times(75))
    half = begin + length * 0.5 / (1 - floor)
    """From then on it is less than half as fast as it was."""
    return Trace("decay", ticks, (Incident("slow", half, 75 * 60, half + 900),), frozenset({"eta-slipping"}))


def mild_decay(rng: random.Random) -> Trace:
    """It gets slower by a twentieth to a sixth: the end is later by less than a fifth of what is left."""
    begin, length, floor = rng.uniform(600, 2000), rng.uniform(60, 900), rng.uniform(0.84, 0.95)
    ticks = (Tick((1 - (1 - floor) * min(1.0, max(0.0, (t - begin) / length))) * _noisy(rng)) for t in _times(60))
    return Trace("mild decay", tuple(ticks))


def gaps(rng: random.Random) -> Trace:
    """Nobody looks for half a minute to five, several times; in half of these traces it stands in the middle of it."""
    holes = [
        (b, b + rng.uniform(30, 300)) for b in (rng.uniform(200, 500), rng.uniform(1000, 1300), rng.uniform(1900, 2200))
    ]
    begin, length = rng.uniform(700, 900), rng.uniform(900, 1100)
    standing = rng.random() < 0.5
    ticks = []
    for t in _times(50):
        stands = standing and begin <= t < begin + length
        seen = not any(b <= t < e for b, e in holes)
        ticks.append(Tick(0.0 if stands else _noisy(rng), seen=seen))
    if not standing:
        return Trace("gaps", tuple(ticks))
    unseen = sum(max(0.0, min(e, begin + 140) - max(b, begin)) for b, e in holes)
    incident = Incident("stalled", begin, begin + length, begin + 140 + unseen)
    return Trace("gaps", tuple(ticks), (incident,), _SLOWNESS)


def restarts(rng: random.Random) -> Trace:
    """Another daemon every few minutes; in half of these traces it stands for long enough between two of them."""
    standing = rng.random() < 0.5
    begin = rng.uniform(700, 900)
    length = rng.uniform(1000, 1400)
    again: list[float] = []
    t = 0.0
    while t < 3000:
        t += rng.uniform(240, 600)
        again.append(t)
    ticks = []
    for t in _times(50):
        down = any(r <= t < r + 8 for r in again)
        back = any(r + 8 <= t < r + 8 + TICK_S for r in again)
        stands = standing and begin <= t < begin + length
        ticks.append(Tick(0.0 if stands or down else _noisy(rng), seen=not down, restart=back))
    if not standing:
        return Trace("restarts", tuple(ticks))
    # What is not known to have stood before a daemon began counts from there: with restarts 240 s apart at the least
    # a stall of two minutes is seen after one of them at the latest.
    first = min((r for r in again if r > begin), default=begin)
    told_by = begin + 140 if first > begin + 140 else first + 8 + 140
    return Trace("restarts", tuple(ticks), (Incident("stalled", begin, begin + length, told_by),), _SLOWNESS)


def flapping(rng: random.Random) -> Trace:
    """Around the thresholds of speed, errors and heat without ever being past one for long enough; or past the one of
    errors for good, while it goes up and down: then that is one alert, not many."""
    bad = rng.random() < 0.5
    begin, length = rng.uniform(600, 900), rng.uniform(900, 1500)
    ticks: list[Tick] = []
    share = speed = 0.0
    margin = 4.0
    for i, t in enumerate(_times(45)):
        if i % rng.randrange(8, 25) == 0:
            speed, margin = rng.choice([(0.55, 1.5), (1.3, 6.0), (1.0, 3.0)])
            share = rng.uniform(0.1, 0.4) if bad and begin <= t < begin + length else rng.choice([0.0, 0.01, 0.02])
        ticks.append(Tick(speed * _noisy(rng), failing=share, margin_c=margin + rng.uniform(-0.5, 0.5)))
    if not bad:
        return Trace("flapping", tuple(ticks))
    return Trace("flapping", tuple(ticks), (Incident("errors", begin, begin + length, begin + 300),))


def errors(rng: random.Random) -> Trace:
    """Of its entries 12 to 60 % fail for ten minutes and more."""
    begin, length, share = rng.uniform(300, 1500), rng.uniform(600, 1200), rng.uniform(0.12, 0.6)
    ticks = (Tick(_noisy(rng), failing=share if begin <= t < begin + length else 0.004) for t in _times(50))
    return Trace("errors", tuple(ticks), (Incident("errors", begin, begin + length, begin + 300),))


def later(rng: random.Random) -> Trace:
    """The forecast finds that it will take half as long again and more, or only a tenth more."""
    begin, much = rng.uniform(900, 1800), rng.random() < 0.5
    factor = rng.uniform(1.5, 2.2) if much else rng.uniform(1.02, 1.12)
    ticks = tuple(Tick(_noisy(rng), revised=factor if t >= begin else 1.0) for t in _times(60))
    found = (Incident("eta-slipping", begin, 3600.0, begin + 900),) if much else ()
    return Trace("later", ticks, found)


def filling(rng: random.Random) -> Trace:
    """The target fills up within an hour, or does not."""
    begin, much = rng.uniform(600, 1500), rng.random() < 0.5
    ticks = []
    for t in _times(45):
        left = max(60.0, 3500 - (t - begin)) if much and t >= begin else None
        ticks.append(Tick(_noisy(rng), full_s=left if left is None else left * _noisy(rng, 0.03)))
    found = (Incident("target-filling", begin, 45 * 60, begin + 240),) if much else ()
    return Trace("filling", tuple(ticks), found)


def heat(rng: random.Random) -> Trace:
    """A disk warms up past its limit and cools down, with the noise of a sensor in whole degrees."""
    begin, length, beyond = rng.uniform(600, 1200), rng.uniform(500, 900), rng.uniform(2.0, 8.0)
    ticks = []
    for t in _times(45):
        hot = begin <= t < begin + length
        ticks.append(Tick(_noisy(rng), margin_c=round((-beyond if hot else 11.0) + rng.gauss(0, 0.4))))
    return Trace("heat", tuple(ticks), (Incident("disk-hot", begin, begin + length, begin + 180),))


KINDS: Mapping[str, Callable[[random.Random], Trace]] = {
    "steady": steady,
    "bursty": bursty,
    "stalls": stalls,
    "hangs": hangs,
    "decay": decay,
    "mild decay": mild_decay,
    "gaps": gaps,
    "restarts": restarts,
    "flapping": flapping,
    "errors": errors,
    "later": later,
    "filling": filling,
    "heat": heat,
}
