"""What goes into a prediction and what comes out of it. Sizes are bytes, times are seconds of the active clock (which
stands still while the whole execution is held) unless a name says otherwise."""

from __future__ import annotations

import msgspec


class Cost(msgspec.Struct, frozen=True):
    """What work cost in one run, or costs now.

    Attributes:
        a: wall seconds for each file, with all workers of the run together.
        b: wall seconds for each byte.
        cliff_bytes: after so many bytes written the target became slower for good (its cache was full); None: it did
            not, or nobody looked.
        slowdown: how many times as long a byte took after that.
    """

    a: float
    b: float
    cliff_bytes: float | None = None
    slowdown: float = 1.0


class Shape(msgspec.Struct, frozen=True):
    """What is known of a run before it starts.

    Attributes:
        files, bytes: all that is planned.
        source, target, transport: classes of device and way ("hdd", "nvme", "local", ...). Any text is allowed: it
            only chooses a first guess where there is no history.
        workers: that copy at the same time at the start.
    """

    files: int
    bytes: int
    source: str = ""
    target: str = ""
    transport: str = ""
    workers: int = 1


class Tick(msgspec.Struct, frozen=True):
    """How far a run is. Ticks come in order of `t`; several may have the same.

    Attributes:
        t: active seconds since the start.
        files, bytes: settled so far (bytes of files in flight included).
        workers: that copy now; 0 is taken as "not told".
        limit: bytes per second that all workers together may move now; None (and 0) is unlimited.
        planned_files, planned_bytes: the plan when it has grown or shrunk; None: as before.
    """

    t: float
    files: int
    bytes: int
    workers: int = 0
    limit: float | None = None
    planned_files: int | None = None
    planned_bytes: int | None = None


class LimitStep(msgspec.Struct, frozen=True):
    """One step of what is known to come (a timetable, a hold that will be set or lifted), valid until the next.

    Attributes:
        after_s: seconds on the wall from now.
        limit: bytes per second from then on; None is unlimited.
        held: nothing moves from then on.
    """

    after_s: float
    limit: float | None = None
    held: bool = False


class Forecast(msgspec.Struct, frozen=True):
    """When a run will be done.

    Attributes:
        remaining_s: active seconds left.
        low_s, high_s: the band that holds the true value with probability `level`.
        wall_s: seconds left on the wall: `remaining_s` and the holds that are known to come.
        within_20: probability that the true value lies within ± 20 % of `remaining_s`.
        files_left, file_s, bytes_left, byte_s: the reason: so many files of so many seconds and so many bytes of so
            many seconds each, before limits to come and cliffs.
    """

    remaining_s: float
    low_s: float
    high_s: float
    level: float
    wall_s: float
    within_20: float
    files_left: int
    file_s: float
    bytes_left: int
    byte_s: float


class Unknown(msgspec.Struct, frozen=True):
    """There is no forecast, and `reason` says why, for people."""

    reason: str


class SpeedChange(msgspec.Struct, frozen=True):
    """The speed changed for longer than chance explains, and nobody asked for it.

    Attributes:
        t: active seconds at which it was recognised.
        factor: new speed ÷ expected speed: 0.5 is half as fast.
        bytes: that had been written then: what a cliff is compared by.
    """

    t: float
    factor: float
    bytes: int
