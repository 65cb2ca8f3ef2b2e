"""Dividing what the daemon may do, as a whole and on each disk, among the executions that run: by weight, and nothing
is kept for who does not want it (weighted max-min fairness). Pure."""

from __future__ import annotations

import math
from collections.abc import Collection, Hashable, Mapping, Sequence
from typing import Generic, TypeVar

import msgspec

from migmond.planning.allowances import Share
from migmond.planning.timetable import Row, in_force, local_time

K = TypeVar("K", bound=Hashable)
_SAME = 1 + 1e-9
"""What differs by less is the same but for rounding."""

HUNGRY = 0.95
"""Who used so much of what it was given would have used more;"""

WAITED = 0.05
"""so would who has waited for so much of the time, of all its movers together, because of a limit."""

HEADROOM = 1.25
"""Who used less is given so much more than it used, so that it can grow,"""

LEAST = 0.02
"""and at least this part of its fair share, so that it can begin again."""


class Whole(msgspec.Struct, frozen=True):
    """What all executions together may do, and what those may that use the same disk; None (and no rows) is unlimited.

    Attributes:
        rates, disk_rates: of bytes per second.
    """

    rates: tuple[Row, ...] = ()
    ops_per_s: float | None = None
    disk_rates: tuple[Row, ...] = ()
    disk_ops_per_s: float | None = None

    def at(self, wall: float) -> Share:
        """Return what all together may do at a time of the wall clock."""
        return Share(_rate(self.rates, wall), self.ops_per_s)

    def of_disk_at(self, wall: float) -> Share:
        """Return what those on one disk together may do then."""
        return Share(_rate(self.disk_rates, wall), self.disk_ops_per_s)

    def alone_at(self, wall: float) -> Share:
        """Return what one alone may do then."""
        both = self.at(wall), self.of_disk_at(wall)
        return Share(
            min((s.bytes_per_s for s in both if s.bytes_per_s is not None), default=None),
            min((s.ops_per_s for s in both if s.ops_per_s is not None), default=None),
        )


def _rate(rows: tuple[Row, ...], wall: float) -> float | None:
    return in_force(rows, local_time(wall)).rate if rows else None


class Claim(msgspec.Struct, frozen=True):
    """Of one execution.

    Attributes:
        weight: above 0; 2 gets twice what 1 gets.
        wants: amount a second that it can use; infinite when it would use whatever it is given.
    """

    weight: float = 1.0
    wants: float = math.inf


def divide(total: float, claims: Sequence[Claim]) -> list[float]:
    """Return what each gets of `total`: nobody more than it wants, and what is left to the others in proportion to
    their weights. Everything is given away, unless nobody wants it."""
    found = fill(dict(enumerate(claims)), [Budget(total, frozenset(range(len(claims))))])
    return [found[i] for i in range(len(claims))]


class Budget(msgspec.Struct, Generic[K], frozen=True):
    """So much a second, for these together."""

    total: float
    members: Collection[K]


def fill(claims: Mapping[K, Claim], budgets: Sequence[Budget[K]]) -> dict[K, float]:
    """Return what each gets that is in a budget: as much as all of its budgets allow, and nobody more than it wants.

    Progressive filling (Bertsekas and Gallager, Data Networks, 6.5.2): all rise together, in proportion to their
    weights, until one has what it wants or a budget is used up; that one, or all in that budget, keep what they have,
    and the others go on. Nobody could have more but at the cost of one that has no more for its weight.
    """
    left = {i: b.total for i, b in enumerate(budgets)}
    given = {k: 0.0 for b in budgets for k in b.members}
    rising = {k for k in given if claims[k].wants > 0}
    while rising:
        weights = {i: sum(claims[k].weight for k in budgets[i].members if k in rising) for i in left}
        rises = [left[i] / weight for i, weight in weights.items() if weight > 0]
        rises += [(claims[k].wants - given[k]) / claims[k].weight for k in rising]
        rise = max(0.0, min(rises))
        full = [i for i, weight in weights.items() if weight > 0 and left[i] / weight <= rise * _SAME]
        done = {k for k in rising if (claims[k].wants - given[k]) / claims[k].weight <= rise * _SAME}
        done.update(k for i in full for k in budgets[i].members)
        for k in rising:
            given[k] += rise * claims[k].weight
        for i, weight in weights.items():
            left[i] -= rise * weight
        rising -= done
    return given


class Usage(msgspec.Struct, frozen=True):
    """What one execution did lately.

    Attributes:
        weight: see `Claim`.
        used: amount a second.
        waited: share of the time that its movers waited because of a limit that is not its own.
        given: what it was allowed then, None when nothing limited it.
        own: its own limit, None for none.
        idle: it is paused, or waits: it wants nothing until that is over.
    """

    weight: float
    used: float
    given: float | None
    waited: float = 0.0
    own: float | None = None
    idle: bool = False


def claim_of(usage: Usage, fair: float) -> Claim:
    """Return what an execution can use, judged by what it did. `fair`: its part by weight alone."""
    least = LEAST * fair
    if usage.idle:
        wants = least
    elif usage.given is None or usage.waited >= WAITED or usage.used >= HUNGRY * usage.given:
        wants = math.inf
    else:
        wants = max(least, HEADROOM * usage.used)
    return Claim(usage.weight, wants if usage.own is None else min(wants, usage.own))


def shares(total: float, usages: Mapping[str, Usage]) -> dict[str, float]:
    """Return what each execution may do a second, of `total` together."""
    return shares_of([Budget(total, usages.keys())], usages)


def shares_of(budgets: Sequence[Budget[str]], usages: Mapping[str, Usage]) -> dict[str, float]:
    """Return what each execution may do a second that is in any of `budgets`."""
    fair: dict[str, float] = {}
    for budget in budgets:
        weights = sum(usages[k].weight for k in budget.members)
        for k in budget.members:
            fair[k] = min(fair.get(k, math.inf), budget.total * usages[k].weight / weights)
    return fill({k: claim_of(usages[k], part) for k, part in fair.items()}, budgets)


def budgets_of(total: float | None, each: float | None, disks: Mapping[str, Collection[str]]) -> list[Budget[str]]:
    """Return the budgets that there are.

    Args:
        total: for all executions together; None when that is not limited.
        each: for those on one disk; None when that is not limited.
        disks: names of the disks that each execution uses, by its id.
    """
    found = [Budget(total, disks.keys())] if total is not None and disks else []
    if each is not None:
        names = sorted({name for its in disks.values() for name in its})
        found += [Budget(each, [id_ for id_, its in disks.items() if name in its]) for name in names]
    return found
