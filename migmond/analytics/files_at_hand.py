"""Large files one by one while they are copied, and the files that took longest, by what a sampler sees.

A mover says in its slot which file it has at hand and how much of it is done. Whoever looks at the slots tells it here;
what begins and ends between two looks is not seen, but large files are told of when they are done as well.

The slowest are those that a mover had at hand for longest, whatever their size: the question that people have is which
files the others had to wait for. A sick disk shows by small files among them, a slow one by their rates.
"""

from __future__ import annotations

from collections import deque

import msgspec

LARGE_BYTES = 64 << 20
"""Issue 5: a file of this size takes seconds on a disk, and people ask how far it is."""
ENDED = 200
SLOWEST = 20
_WINDOW_S = 5.0
"""Rates are those of the last five seconds: shorter ones jump with every flush of the page cache."""


class EndedFile(msgspec.Struct, frozen=True, array_like=True):
    """`at`: wall clock seconds. `seconds`: for which a mover had it at hand. `how`: "copied", or kind of the fault, ""
    when nobody knows. `number`: of its task."""

    number: int
    size: int
    seconds: float
    at: float
    how: str


class FileAtHand(msgspec.Struct, frozen=True):
    """`rate`: bytes per second, `eta_s`: seconds left; None when unknown, and `reason` says why."""

    number: int
    mover: int
    size: int
    done: int
    seconds: float
    rate: float | None
    eta_s: float | None
    reason: str


class _Seen:
    def __init__(self, number: int, size: int, since: float) -> None:
        self.number = number
        self.size = size
        self.since = self.last = since
        self.done = 0
        self.paused = False
        self.samples: deque[tuple[float, int]] = deque()


class FilesAtHand:
    """Of one execution. `now` is on the monotonic clock, `wall` is for people; `slowest`: of earlier runs."""

    def __init__(self, slowest: tuple[EndedFile, ...] = ()) -> None:
        self._seen: dict[int, _Seen] = {}
        self._ended: deque[EndedFile] = deque(maxlen=ENDED)
        self._slowest: dict[int, EndedFile] = {f.number: f for f in slowest}

    def look(self, mover: int, task: int, size: int, done: int, now: float, wall: float, *, paused: bool) -> None:
        """A mover has this file at hand; `task` 0: none."""
        seen = self._seen.get(mover)
        if seen is not None and seen.number != task:
            self._over(mover, seen, wall)
            seen = None
        if not task:
            return
        if seen is None:
            seen = self._seen[mover] = _Seen(task, size, now)
        seen.last, seen.done, seen.paused = now, min(done, size), paused
        seen.samples.append((now, seen.done))
        while seen.samples[0][0] < now - _WINDOW_S:
            seen.samples.popleft()

    def gone(self, mover: int, wall: float) -> None:
        """A mover is not there any more."""
        seen = self._seen.get(mover)
        if seen is not None:
            self._over(mover, seen, wall)

    def ended(self, mover: int, task: int, size: int, seconds: float, wall: float, how: str) -> None:
        """A large file is done, or failed. `seconds`: at most so long a mover had it at hand."""
        seen = self._seen.get(mover)
        if seen is not None and seen.number == task:
            del self._seen[mover]
        for position in range(len(self._ended) - 1, -1, -1):
            if self._ended[position].number == task and not self._ended[position].how:  # the sampler was first
                del self._ended[position]
                break
        file = EndedFile(task, size, seconds, wall, how)
        self._ended.append(file)
        self._consider(file)

    def at_hand(self, now: float) -> tuple[FileAtHand, ...]:
        """Return the large files that movers have at hand, by mover."""
        return tuple(self._told(mover, s, now) for mover, s in sorted(self._seen.items()) if s.size >= LARGE_BYTES)

    def ended_lately(self) -> tuple[EndedFile, ...]:
        """Return large files, the last one first."""
        return tuple(reversed(self._ended))

    def slowest(self) -> tuple[EndedFile, ...]:
        """Return the files that took longest, of any size, the slowest first."""
        return tuple(sorted(self._slowest.values(), key=lambda f: (-f.seconds, f.number)))

    def _over(self, mover: int, seen: _Seen, wall: float) -> None:
        del self._seen[mover]
        file = EndedFile(seen.number, seen.size, seen.last - seen.since, wall, "")
        if seen.size >= LARGE_BYTES:
            self._ended.append(file)
        self._consider(file)

    def _consider(self, file: EndedFile) -> None:
        known = self._slowest.get(file.number)
        if file.seconds <= 0 or (known is not None and known.seconds >= file.seconds and not file.how):
            return
        self._slowest[file.number] = file
        if len(self._slowest) > SLOWEST:
            least = min(self._slowest.values(), key=lambda f: (f.seconds, -f.number))
            del self._slowest[least.number]

    def _told(self, mover: int, seen: _Seen, now: float) -> FileAtHand:
        (first_at, first_done), (last_at, last_done) = seen.samples[0], seen.samples[-1]
        rate = (last_done - first_done) / (last_at - first_at) if last_at > first_at else None
        eta, reason = None, ""
        if seen.paused:
            rate, reason = 0.0, "paused"
        elif rate is None:
            reason = "seen once only"
        elif rate <= 0:
            reason = "all of it is copied" if seen.done >= seen.size else "no byte in the last seconds"
        else:
            eta = (seen.size - seen.done) / rate
        return FileAtHand(seen.number, mover, seen.size, seen.done, now - seen.since, rate, eta, reason)
