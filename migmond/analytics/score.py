"""How well an execution used its time, as one number with everything it is made of.

    E = 100 · A · S,   S = R · U

- A, speed: attainable ÷ active time. Attainable is what the best decile of earlier runs on these devices would have
  needed for the same files: with a seconds a file and b seconds a byte in run i, a_i·n + b_i·B, and the 10 % quantile
  of those. Whole runs are compared, not the best a beside the best b: nobody had both. Under a limit of L bytes/s b is
  at least 1/L: who asked for less speed is not told off for it. A is at most 1.
- S, what of the effort was of use: R, resources, is the bytes of files that are done ÷ the bytes moved for it (retries
  and changed sources move more); U, success, is the entries done ÷ those tried. Without failures S is useful ÷ moved.

Each factor is shown beside the score, and the wall time as a waterfall whose steps sum to it.
(Formula: design page ETA, "Efficiency". U is in it so that a run that failed at everything has no good score.)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from migmond.analytics.robust import quantile
from migmond.analytics.shares import Cause, title
from migmond.domain.analysis import LostTime, ScoreView

BEST_SHARE = 0.1
ENOUGH_RUNS = 3
"""With fewer, the best of them is an accident."""


class Pace(msgspec.Struct, frozen=True):
    """What an earlier run on these devices cost: `a` wall seconds a file and `b` a byte, all its workers together."""

    a: float
    b: float


class Work(msgspec.Struct, frozen=True):
    """What an execution has done, and what it took.

    Attributes:
        wall_s: since it started, less what nobody could have used (the daemon was off).
        active_s: of that, what it was not held.
        done, done_bytes: entries that are done, and the bytes of their files.
        failed: entries that were tried and failed for good.
        moved_bytes: read from sources, every attempt counted, but not what is yet to become durable.
        cpu_s: of its movers; None when not measured.
        limit: bytes per second that it was allowed; None is unlimited.
        shares: of the movers' time over the active time (`migmond.analytics.shares.shares`); may be empty.
        held_s: what holds took of the wall time; None is all of it that was not active.
    """

    wall_s: float
    active_s: float
    done: int
    done_bytes: int
    failed: int
    moved_bytes: int
    cpu_s: float | None = None
    limit: float | None = None
    shares: Mapping[Cause, float] = {}
    held_s: float | None = None


def attainable(done: int, done_bytes: int, earlier: Sequence[Pace], limit: float | None) -> float | None:
    """Return the seconds that the best decile of earlier runs would need; None with fewer than `ENOUGH_RUNS`."""
    if len(earlier) < ENOUGH_RUNS:
        return None
    least = 1 / limit if limit else 0.0
    return quantile([pace.a * done + max(pace.b, least) * done_bytes for pace in earlier], BEST_SHARE)


def score(work: Work, earlier: Sequence[Pace]) -> ScoreView:
    """Return the score of an execution, ended or not; null parts have their reason.

    Args:
        earlier: runs on the same pair of devices, this one not among them.
    """
    tried = work.done + work.failed
    success = 100 * work.done / tried if tried else None
    moved = max(work.moved_bytes, work.done_bytes)  # reflinks and renames arrive without being moved
    resources = 100 * work.done_bytes / moved if moved else (100.0 if work.done else None)
    ideal = attainable(work.done, work.done_bytes, earlier, work.limit) if work.done else None
    speed = 100 * min(1.0, ideal / work.active_s) if ideal is not None and work.active_s > 0 else None
    total = None
    if speed is not None and resources is not None and success is not None:
        total = speed * resources * success / 10_000
    return ScoreView(
        score=total,
        speed=speed,
        resources=resources,
        success=success,
        cpu_s_per_gb=None if work.cpu_s is None or not work.done_bytes else work.cpu_s / (work.done_bytes / 1e9),
        ideal_s=ideal,
        active_s=work.active_s,
        wall_s=work.wall_s,
        attainable=f"best decile of {len(earlier)} earlier runs on these devices" if ideal is not None else "",
        waterfall=waterfall(work, earlier),
        reason=_reason(work, earlier, total),
    )


def _reason(work: Work, earlier: Sequence[Pace], total: float | None) -> str:
    if total is not None:
        return ""
    if not work.done:
        return "nothing is done yet"
    if len(earlier) < ENOUGH_RUNS:
        runs = "1 earlier run" if len(earlier) == 1 else f"{len(earlier)} earlier runs"
        return f"{runs} on these devices; {ENOUGH_RUNS} are needed to say what is attainable"
    return "no active time was measured"


def waterfall(work: Work, earlier: Sequence[Pace]) -> tuple[LostTime, ...]:
    """Return where the wall time went: what was needed, then what was lost, by cause. It sums to the wall time.

    Time lost to waiting is taken from the shares as far as anything was lost; the rest was lost by being slower than
    the best, and is shared out by what movers were busy with. Without earlier runs nobody knows what was needed: then
    all work counts as needed, and only what is no work is lost.
    """
    active = min(work.active_s, work.wall_s)
    free = attainable(work.done, work.done_bytes, earlier, None)
    capped = attainable(work.done, work.done_bytes, earlier, work.limit)
    known = free is not None and capped is not None
    idle = _idle(work, active)
    needed = min(active, free) if free is not None else max(0.0, active - sum(idle.values()))
    steps = [("needed", "needed" if known else "at work", needed)]
    left = active - needed
    if free is not None and capped is not None and capped > free:
        asked = min(left, capped - free)
        steps.append(("limit", "the limit that was asked for", asked))
        left -= asked
        idle["throttled"] = max(0.0, idle["throttled"] - asked)
    scale = min(1.0, left / total) if (total := sum(idle.values())) > 0 else 0.0
    for kind, seconds in idle.items():
        steps.append((kind, _lost_title(kind), seconds * scale))
        left -= seconds * scale
    at_work = {c: work.shares.get(c, 0.0) for c in _working()}
    whole = sum(at_work.values())
    if whole > 0:
        steps += [
            (f"slow_{c.value}", f"slower than the best: {title(c)}", left * s / whole) for c, s in at_work.items()
        ]
    else:
        steps.append(("slow", "slower than the best", left))
    still = work.wall_s - active
    held = still if work.held_s is None else min(still, work.held_s)
    steps += [("held", "held", held), ("ends", "beginning and ending", still - held)]
    first, *lost = steps
    return tuple(LostTime(*step) for step in [first, *sorted((s for s in lost if s[2] > 1e-9), key=lambda s: -s[2])])


def _idle(work: Work, active: float) -> dict[str, float]:
    """Return seconds of active time that were no work, or work for nothing."""
    of = {c: active * work.shares.get(c, 0.0) for c in (Cause.THROTTLED, Cause.WAITING, Cause.SCANNING)}
    moved = max(work.moved_bytes, work.done_bytes)
    in_vain = 1 - work.done_bytes / moved if moved else 0.0
    return {
        "throttled": of[Cause.THROTTLED],
        "waiting": of[Cause.WAITING],
        "scanning": of[Cause.SCANNING],
        "in_vain": in_vain * max(0.0, active - sum(of.values())),
    }


def _working() -> tuple[Cause, ...]:
    return (Cause.SOURCE_READ, Cause.TARGET_WRITE, Cause.HASH, Cause.METADATA, Cause.VERIFY, Cause.OTHER)


def _lost_title(kind: str) -> str:
    return {
        "throttled": "throttled",
        "waiting": "movers without work",
        "scanning": "scan",
        "in_vain": "moved in vain (retries, failures)",
    }[kind]
