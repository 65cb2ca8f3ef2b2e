"""How much room a plan needs at its targets, and whether it is there."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from migmond.domain.execution import Tally, Totals
from migmond.domain.plan import ConflictPolicy
from migmond.domain.preflight import Need, Promise, TargetFacts
from migmond.planning.filesystems import Abilities

_NAME_OVERHEAD = 12
"""Bytes of a directory entry besides its name: ext4 takes 8 and rounds up to 4."""
_REPLACING = frozenset({ConflictPolicy.NEWER, ConflictPolicy.RENAME, ConflictPolicy.BACKUP})
_ADDING = frozenset({ConflictPolicy.RENAME, ConflictPolicy.BACKUP})


def file_need(
    size: int, allocated: int, facts: TargetFacts, abilities: Abilities, *, source_compresses: bool
) -> tuple[int, int]:
    """Return the least and the most bytes that a file's content takes at the target.

    Args:
        size: bytes of content; holes count.
        allocated: bytes that it takes at the source; fewer than `size` when it has holes, or is compressed.
    """
    full = _up(size, facts.block_bytes)
    stored = min(full, _up(allocated, facts.block_bytes))
    least = 0 if facts.compresses else stored if abilities.holes else full
    most = full if source_compresses or not abilities.holes else stored
    if size and not stored:  # in the source's inode; here it may need a block
        most = max(most, min(full, facts.block_bytes))
    return least, most


def directory_need(names: int, name_bytes: int, facts: TargetFacts, abilities: Abilities) -> tuple[int, int]:
    """Return the least and the most bytes that a directory itself takes."""
    most = max(facts.block_bytes, _up(name_bytes + names * _NAME_OVERHEAD, facts.block_bytes))
    return (facts.block_bytes if abilities.directory_blocks else 0), most


def with_existing(need: tuple[int, int], policy: ConflictPolicy, *, alike: bool) -> tuple[int, int]:
    """Return what is left of a file's need when the target has an entry of its name.

    Args:
        alike: it looks the same by size; content decides when it is copied.
    """
    least, most = need
    if policy not in _REPLACING:
        return 0, 0
    return (least if policy in _ADDING and not alike else 0), most


class Room(msgspec.Struct, frozen=True):
    """One file system's account. `promised_*`: of `Promise`s that are certain; `rumoured_bytes`: of all others."""

    facts: TargetFacts
    need: Need
    promised_bytes: int
    rumoured_bytes: int
    promised_inodes: int
    holders: tuple[str, ...]

    @property
    def short_bytes(self) -> int:
        """How much is missing for sure; 0 when it may fit."""
        return max(0, self.need.least_bytes - self._free_bytes) if self.need.least_bytes else 0

    @property
    def maybe_short_bytes(self) -> int:
        """How much may be missing."""
        return max(0, self.need.most_bytes + self.rumoured_bytes - self._free_bytes) if self.need.most_bytes else 0

    @property
    def short_inodes(self) -> int:
        if not self.facts.total_inodes or not self.need.least_inodes:
            return 0
        return max(0, self.need.least_inodes + self.promised_inodes - self.facts.free_inodes)

    @property
    def _free_bytes(self) -> int:
        return max(0, self.facts.free_bytes - self.promised_bytes)


def rooms(targets: Sequence[TargetFacts], needs: Sequence[Need], promises: Iterable[Promise]) -> list[Room]:
    """Return one account for each file system that the targets are on: they share its room."""
    held = list(promises)
    by_device: dict[int, tuple[TargetFacts, Need]] = {}
    for facts, need in zip(targets, needs, strict=True):
        known = by_device.get(facts.device)
        by_device[facts.device] = (facts, need) if known is None else (known[0], known[1].plus(need))
    found = []
    for device, (facts, need) in by_device.items():
        here = [p for p in held if p.device == device and (p.bytes or p.entries)]
        sure = [p for p in here if p.certain]
        found.append(
            Room(
                facts,
                need,
                sum(p.bytes for p in sure),
                sum(p.bytes for p in here if not p.certain),
                sum(p.entries for p in sure),
                tuple(p.holder for p in here),
            )
        )
    return found


class Shortage(msgspec.Struct, frozen=True):
    """A target that what is promised there cannot fit on."""

    facts: TargetFacts
    missing_bytes: int


def shortage(targets: Sequence[TargetFacts], promises: Iterable[Promise]) -> Shortage | None:
    """Return the worst target on which certain promises do not fit; None when all may fit.

    Args:
        promises: of one execution: others' are theirs to keep.
    """
    worst: Shortage | None = None
    for promise in promises:
        for facts in targets:
            if facts.device != promise.device or facts.compresses or not promise.certain:
                continue
            missing = promise.bytes - facts.free_bytes
            if missing > 0 and (worst is None or missing > worst.missing_bytes):
                worst = Shortage(facts, missing)
    return worst


def missing_at(facts: TargetFacts, wanted: Tally, promises: Iterable[Promise]) -> Tally:
    """Return what is missing at a target for so many more entries of so many bytes; nothing when they may fit.

    Args:
        promises: of others; those that are certain count.
    """
    held = [p for p in promises if p.device == facts.device and p.certain]
    quotas = [q.free_bytes for q in facts.quotas if q.free_bytes is not None]
    free = min([facts.free_bytes - sum(p.bytes for p in held), *quotas])
    inodes = [q.free_inodes for q in facts.quotas if q.free_inodes is not None]
    if facts.total_inodes:
        inodes.append(facts.free_inodes - sum(p.entries for p in held))
    entries = max(0, wanted.entries - max(0, min(inodes))) if inodes else 0
    return Tally(entries, max(0, wanted.bytes - max(0, free)))


def outstanding(totals: Totals, in_flight: Tally) -> Tally:
    """Return what a live execution has yet to bring to its target, in entries and in bytes of room there.

    Holes and further names are taken to be spread evenly over what is planned.

    Args:
        in_flight: what is copied, wholly or in part, and not in the totals yet.
    """
    planned = totals.planned
    entries = planned.entries - totals.handled.entries - in_flight.entries
    size = max(0, planned.bytes - totals.handled.bytes - in_flight.bytes)
    if planned.bytes > 0:
        size = size * (planned.bytes - totals.spared) // planned.bytes
    return Tally(max(0, entries), size)


def _up(size: int, block: int) -> int:
    return -(-size // block) * block
