"""What movers spend their time with."""

from __future__ import annotations

import enum
import itertools

import msgspec


class Activity(enum.IntEnum):
    """What a mover's thread spends its time with. Each nanosecond since it began belongs to one of them; what is in
    hand is counted when it is over."""

    WAITING = 0
    """For something to do."""
    SOURCE_READ = 1
    TARGET_WRITE = 2
    HASH = 3
    METADATA = 4
    """Everything else about an entry: opening, looking, making, owners, attributes, times, closing."""
    SYNC = 5
    PUBLISH = 6
    """Giving names."""
    DELETE = 7
    THROTTLED = 8
    HELD = 9
    SCAN = 10
    VERIFY = 11
    DIRECTORIES = 12
    OTHER = 13
    """Settling what others left, sweeping, surveys."""


class Spent(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Nanoseconds by activity, in the order of `Activity`."""

    ns: tuple[int, ...] = (0,) * len(Activity)

    def __getitem__(self, activity: Activity) -> int:
        return self.ns[activity]

    @property
    def total(self) -> int:
        return sum(self.ns)

    def plus(self, more: Spent) -> Spent:
        """Return the sum; what an earlier version kept may know fewer activities."""
        return Spent(tuple(a + b for a, b in itertools.zip_longest(self.ns, more.ns, fillvalue=0)))

    def minus(self, before: Spent) -> Spent:
        """Return what was spent since `before`."""
        return Spent(tuple(a - b for a, b in itertools.zip_longest(self.ns, before.ns, fillvalue=0)))
