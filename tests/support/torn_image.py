"""What a disk may have on it after its power was cut: all that was flushed, and of later writes any sectors at all."""

from __future__ import annotations

import itertools
import random
import subprocess
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from write_log import Event, Flush, Write

SECTOR_SIZES = (512, 4096)
"""Bytes that disks promise to write whole or not at all: those of old, and all that hold a terabyte."""


@dataclass(frozen=True)
class Damage:
    """What became of the writes that no flush covered.

    Attributes:
        whole: arrived.
        torn: of so many some sectors arrived and others did not.
        gone: did not arrive.
    """

    whole: int = 0
    torn: int = 0
    gone: int = 0

    @property
    def any(self) -> bool:
        """Whether something that was written is not there."""
        return bool(self.torn or self.gone)

    def __str__(self) -> str:
        return f"{self.torn:,} torn and {self.gone:,} gone of {self.whole + self.torn + self.gone:,} writes not flushed"


def exposed(events: Sequence[Event], path: str) -> list[int]:
    """The moments when the disk `path` has something to lose, each as how many events there have been."""
    moments, covered, written = [], 0, 0
    for number, event in enumerate(events, 1):
        if isinstance(event, Write) and event.path == path:
            written = number
        elif isinstance(event, Flush) and event.path == path:
            covered = max(covered, event.covers)
        if written > covered:
            moments.append(number)
    return moments


def copied(image: Path, copy: Path) -> None:
    """Copy a sparse image."""
    subprocess.run(["cp", "--sparse=always", image, copy], check=True)


def intact(base: Path, image: Path, events: Iterable[Event], path: str) -> None:
    """Make `image` from `base` with every write to `path` in order: a disk that keeps its power."""
    copied(base, image)
    with image.open("r+b") as file:
        for write in _writes(events, path):
            _put(file, write.offset, write.data)


def torn(base: Path, image: Path, events: Sequence[Event], path: str, rng: random.Random, sector_bytes: int) -> Damage:
    """Make `image` from `base` as a power cut after `events` may leave the disk `path`.

    Where later writes overlap, a sector has what any of them wrote there: the disk may not have come to the last one.
    """
    covered = max((e.covers for e in events if isinstance(e, Flush) and e.path == path), default=0)
    intact(base, image, events[:covered], path)
    writes = _writes(events[covered:], path)
    rng.shuffle(writes)
    # Disks differ in how far they had come: from nothing at all to everything.
    whole, some = sorted((rng.choice((0.0, rng.random())), rng.choice((rng.random(), 1.0))))
    fates = {"whole": 0, "torn": 0, "gone": 0}
    with image.open("r+b") as file:
        for write in writes:
            fate = rng.random()
            sectors = _sectors(write, sector_bytes)
            kept = sectors if fate < whole else _some(sectors, rng) if fate < some else []
            for start, end in kept:
                _put(file, write.offset + start, write.data[start:end])
            fates["whole" if len(kept) == len(sectors) else "torn" if kept else "gone"] += 1
    return Damage(**fates)


def _writes(events: Iterable[Event], path: str) -> list[Write]:
    return [e for e in events if isinstance(e, Write) and e.path == path]


def _put(file: BinaryIO, offset: int, data: memoryview) -> None:
    file.seek(offset)
    file.write(data)


def _some(sectors: list[tuple[int, int]], rng: random.Random) -> list[tuple[int, int]]:
    """The first of them, or any."""
    if rng.random() < 0.5:
        return sectors[: rng.randrange(len(sectors))]
    return [sector for sector in sectors if rng.random() < 0.5]


def _sectors(write: Write, sector_bytes: int) -> list[tuple[int, int]]:
    """Start and end of every sector of a write, bytes from its beginning."""
    length, first = len(write.data), sector_bytes - write.offset % sector_bytes
    edges = [0, *range(first, length, sector_bytes), length]
    return list(itertools.pairwise(edges))
