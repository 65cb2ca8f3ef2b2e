"""Earlier executions that resemble one: by the mix of their files' sizes, their devices and how much there was."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

import msgspec

from migmond.domain.analysis import SimilarRun
from migmond.domain.execution import Tally

SAME_CLASS = 0.6
"""Another disk of the same class: what disks of one class do differs by about a factor 1.5 either way."""
OTHER_CLASS = 0.2
HUNDREDFOLD = 100.0
"""Runs of which one is so many times as large have 1/e of the resemblance: fixed costs and caches weigh differently."""
LEAST = 0.25


class Run(msgspec.Struct, frozen=True):
    """What tells how an execution goes.

    Attributes:
        sizes: files and bytes by size class; both runs of a comparison use the same classes.
        source, target: what identifies the devices ("" is unknown).
        source_class, target_class: "hdd", "nvme", "nfs", ...
    """

    id: str
    sizes: Mapping[str, Tally]
    source: str = ""
    target: str = ""
    source_class: str = ""
    target_class: str = ""

    @property
    def bytes(self) -> int:
        return sum(t.bytes for t in self.sizes.values())


def mix_similarity(one: Mapping[str, Tally], other: Mapping[str, Tally]) -> float:
    """Return how alike two mixes of sizes are, 0 to 1.

    Histogram intersection, the sum of the smaller shares (Swain & Ballard 1991), of files and of bytes, averaged: a
    million tiny files beside one huge one are both of them. It is symmetric, and 1 only for equal shares.
    """

    def overlap(a: Mapping[str, int], b: Mapping[str, int]) -> float:
        in_a, in_b = sum(a.values()), sum(b.values())
        if not in_a or not in_b:
            return 1.0 if in_a == in_b else 0.0
        return math.fsum(min(a.get(k, 0) / in_a, b.get(k, 0) / in_b) for k in a.keys() | b.keys())

    files = overlap({k: t.entries for k, t in one.items()}, {k: t.entries for k, t in other.items()})
    size = overlap({k: t.bytes for k, t in one.items()}, {k: t.bytes for k, t in other.items()})
    return min(1.0, (files + size) / 2)


def device_similarity(one: Run, other: Run) -> float:
    """Return how alike the pairs of devices are: the geometric mean of source and target. Direction counts: a disk that
    is read is not like the same disk being written."""

    def side(a: str, b: str, class_a: str, class_b: str) -> float:
        if a and a == b:
            return 1.0
        return SAME_CLASS if class_a and class_a == class_b else OTHER_CLASS

    source = side(one.source, other.source, one.source_class, other.source_class)
    return math.sqrt(source * side(one.target, other.target, one.target_class, other.target_class))


def amount_similarity(one: int, other: int) -> float:
    """Return exp(-|ln(one/other)| / ln 100): 1 for as many bytes, 0.37 for a hundred times as many."""
    if one <= 0 or other <= 0:
        return 1.0 if one == other else 0.0
    return math.exp(-abs(math.log(one / other)) / math.log(HUNDREDFOLD))


def similarity(one: Run, other: Run) -> SimilarRun:
    """Return the similarity of `other` to `one`: the product of mix, devices and amount."""
    mix, devices = mix_similarity(one.sizes, other.sizes), device_similarity(one, other)
    amount = amount_similarity(one.bytes, other.bytes)
    return SimilarRun(other.id, mix * devices * amount, mix, devices, amount)


def similar_runs(run: Run, others: Iterable[Run], *, at_most: int = 5, least: float = LEAST) -> list[SimilarRun]:
    """Return those that resemble `run` most, best first; equal ones in the order given (newest first, as a rule)."""
    found = [s for o in others if o.id != run.id and (s := similarity(run, o)).similarity >= least]
    return sorted(found, key=lambda s: -s.similarity)[:at_most]
