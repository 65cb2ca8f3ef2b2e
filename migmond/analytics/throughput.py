"""How fast an execution goes and went: now, over spans, on average, at its best, and whether it gets faster or slower.

All rates are over active time: spans in which the execution was held do not count, nor does what still trickled in
during them. Memory is bounded: a short window point by point, and the whole run as at most `BUCKETS` buckets of equal
active time, which become twice as wide whenever there are too many.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping

import msgspec

from migmond.analytics.robust import quantile, trend
from migmond.analytics.times import time_text
from migmond.domain.analysis import KeyRateView, PeakView, RatesView, RateView, TrendView

RECENT_S = 20.0
"""What "now" means: as the pace that percent and ETA use."""
PEAK_S = 10.0
"""A peak is held this long; one tick's rate is mostly a cache being filled."""
BUCKETS = 256
FIRST_WIDTH_S = 2.0
"""Narrowest bucket: what is sampled every 2 s says nothing about less."""
WINDOWS_S = (60.0, 300.0, 900.0, 3600.0)
_ROUNDING_S = 1e-6
"""Sums of floats miss a span of ten seconds by less; nobody measures that finely."""
_GRAIN_S = 0.25
"""Points of the recent window closer than this become one: 80 of them, however fast it is sampled."""

TREND_FROM = 8
"""Fewer buckets say nothing about a trend: with 8, Mann-Kendall reaches p = 0.05 at 22 of 28 pairs."""
TREND_POINTS = 64
"""Buckets are put together until there are no more: 2,000 pairs take a millisecond."""
SIGNIFICANT = 0.05
WORTH_TELLING = 0.05
"""A change over the whole span below this share of the rate is called steady, however sure it is."""
UNCLEAR = 0.25
"""A change above this share that may be chance (a few steps up and down look like one) is not called steady either."""
TOP_SHARE, TOP_FACTOR = 0.9, 1.1
"""Peak periods are runs of buckets in the best decile, where that is at least this much above the average."""


class Point(msgspec.Struct, frozen=True):
    """What had been moved at one moment: monotonic seconds, seconds of the active clock, bytes and entries."""

    at: float
    active: float
    bytes: int
    entries: int


class Rate(msgspec.Struct, frozen=True):
    """Mean over `seconds` of active time."""

    seconds: float
    bytes_per_s: float
    entries_per_s: float


class Peak(msgspec.Struct, frozen=True):
    """A time of `start` to `end` (monotonic) in which it went at `bytes_per_s`."""

    start: float
    end: float
    bytes_per_s: float


class _Bucket(msgspec.Struct):
    start: float
    end: float
    seconds: float
    bytes: float
    entries: float


class Throughput:
    """Takes observations in order of time.

    Args:
        buckets: how many at most; even.
    """

    def __init__(self, buckets: int = BUCKETS) -> None:
        self._most = buckets
        self._width = FIRST_WIDTH_S
        self._buckets: dict[int, _Bucket] = {}
        self._recent: deque[Point] = deque()
        self._seen: tuple[float, int, int] | None = None
        self._peak: Peak | None = None

    @property
    def active_s(self) -> float:
        return self._recent[-1].active if self._recent else 0.0

    def observe(self, now: float, size_bytes: int, entries: int, *, held: bool = False) -> None:
        """Take in that so much had been moved at `now`.

        Args:
            now: monotonic seconds; an observation that does not come after the last one is left out.
            size_bytes, entries: cumulative. They may fall when an attempt has failed.
            held: the execution was held since the last observation.
        """
        if self._seen is None:
            self._seen = (now, size_bytes, entries)
            self._recent.append(Point(now, 0.0, 0, 0))
            return
        before, bytes_before, entries_before = self._seen
        elapsed = now - before
        if elapsed <= 0:
            return
        self._seen = (now, size_bytes, entries)
        last = self._recent[-1]
        if held:
            self._recent[-1] = msgspec.structs.replace(last, at=now)
            return
        more, more_entries = size_bytes - bytes_before, entries - entries_before
        point = Point(now, last.active + elapsed, last.bytes + more, last.entries + more_entries)
        self._fill(last, point)
        self._remember(point)

    def _remember(self, point: Point) -> None:
        recent = self._recent
        if len(recent) >= 2 and point.active - recent[-2].active < _GRAIN_S:
            recent[-1] = point
        else:
            recent.append(point)
        while len(recent) > 2 and point.active - recent[1].active >= RECENT_S - _ROUNDING_S:
            recent.popleft()
        start = self._back(PEAK_S)
        if point.active - start.active >= PEAK_S - _ROUNDING_S:
            rate = (point.bytes - start.bytes) / (point.active - start.active)
            if self._peak is None or rate > self._peak.bytes_per_s:
                self._peak = Peak(start.at, point.at, rate)

    def _back(self, seconds: float) -> Point:
        """Return the newest point that is at least so far back, or the oldest."""
        now = self._recent[-1].active
        for point in reversed(self._recent):
            if now - point.active >= seconds - _ROUNDING_S:
                return point
        return self._recent[0]

    def _fill(self, last: Point, point: Point) -> None:
        """Share out what was moved over the buckets that the interval touches."""
        length = point.active - last.active
        while int(point.active / self._width) >= self._most:
            self._widen()
        first, final = int(last.active / self._width), int(point.active / self._width)
        for index in range(first, final + 1):
            part = min(point.active, (index + 1) * self._width) - max(last.active, index * self._width)
            if part <= 0:
                continue
            share = part / length
            start = point.at - (point.active - max(last.active, index * self._width))
            bucket = self._buckets.get(index)
            if bucket is None:
                bucket = self._buckets[index] = _Bucket(start, start, 0.0, 0.0, 0.0)
            bucket.end = start + part
            bucket.seconds += part
            bucket.bytes += (point.bytes - last.bytes) * share
            bucket.entries += (point.entries - last.entries) * share

    def _widen(self) -> None:
        self._width *= 2
        wider: dict[int, _Bucket] = {}
        for index, bucket in sorted(self._buckets.items()):
            one = wider.get(index // 2)
            if one is None:
                wider[index // 2] = bucket
                continue
            one.end = bucket.end
            one.seconds += bucket.seconds
            one.bytes += bucket.bytes
            one.entries += bucket.entries
        self._buckets = wider

    def current(self) -> Rate | None:
        """Return the rate over the recent window; None before anything was measured."""
        if len(self._recent) < 2:
            return None
        return _between(self._recent[0], self._recent[-1])

    def mean(self, seconds: float) -> Rate | None:
        """Return the rate over the last so many active seconds (or all there are), as fine as the buckets allow."""
        total = self.active_s
        since = max(0.0, total - seconds)
        length, size, entries = 0.0, 0.0, 0.0
        for index, bucket in self._buckets.items():
            begin = index * self._width
            share = min(1.0, (begin + bucket.seconds - since) / bucket.seconds)
            if share > 0:
                length += bucket.seconds * share
                size += bucket.bytes * share
                entries += bucket.entries * share
        if length <= 0:
            return None
        return Rate(length, max(0.0, size / length), max(0.0, entries / length))

    def average(self) -> Rate | None:
        """Return the rate over all active time."""
        if self.active_s <= 0:
            return None
        return _between(Point(0.0, 0.0, 0, 0), self._recent[-1])

    def peak(self) -> Peak | None:
        """Return the best `PEAK_S` so far; None before so much time has been measured."""
        return self._peak

    def _whole(self) -> list[tuple[int, _Bucket]]:
        """All buckets but a last one that is only begun: less than half of it is noise."""
        return [(i, b) for i, b in sorted(self._buckets.items()) if b.seconds >= self._width / 2]

    def trend(self) -> TrendView:
        """Return whether it gets faster or slower over the whole run.

        Theil-Sen over means of equal active time, its p by Mann-Kendall with allowance for neighbours that are alike;
        percent per hour are of the median rate.
        """
        whole = self._whole()
        each = -(-len(whole) // TREND_POINTS)
        groups = [whole[i : i + each] for i in range(0, len(whole), each)] if whole else []
        if len(groups) < TREND_FROM:
            return TrendView("unknown", None, None, len(groups), "not measured long enough")
        rates = [sum(b.bytes for _, b in g) / sum(b.seconds for _, b in g) for g in groups]
        middle = quantile(rates, 0.5)
        if middle <= 0:
            return TrendView("unknown", None, None, len(groups), "nothing moved for most of the time")
        centres = [(g[0][0] + g[-1][0] + 1) / 2 * self._width for g in groups]
        line = trend(centres, rates, neighbours_alike=True)
        if line is None:
            return TrendView("unknown", None, None, len(groups), "not measured long enough")
        over_all = abs(line.per_unit) * (centres[-1] - centres[0]) / middle
        direction = "steady"
        reason = ""
        if line.p < SIGNIFICANT and over_all >= WORTH_TELLING:
            direction = "rising" if line.per_unit > 0 else "falling"
        elif over_all >= UNCLEAR:
            direction, reason = "unknown", "it varies too much to tell a trend"
        return TrendView(direction, 100 * line.per_unit * 3600 / middle, line.p, line.points, reason)

    def peak_periods(self, at_most: int = 3) -> list[Peak]:
        """Return when it went best, in order of time: see `TOP_SHARE`. None of them when it went evenly."""
        whole, average = self._whole(), self.average()
        if len(whole) < TREND_FROM or average is None:
            return []
        # A bucket that is as fast as the bar is one of the best; its sums may be rounded down.
        bar = (1 - 1e-9) * max(
            quantile([b.bytes / b.seconds for _, b in whole], TOP_SHARE), TOP_FACTOR * average.bytes_per_s
        )
        runs: list[list[_Bucket]] = []
        previous = -2
        for index, bucket in whole:
            if bucket.bytes / bucket.seconds < bar or bucket.bytes <= 0:
                continue
            if index == previous + 1:
                runs[-1].append(bucket)
            else:
                runs.append([bucket])
            previous = index
        periods = [Peak(r[0].start, r[-1].end, sum(b.bytes for b in r) / sum(b.seconds for b in r)) for r in runs]
        best = sorted(periods, key=lambda p: (p.bytes_per_s * (p.end - p.start), p.start), reverse=True)[:at_most]
        return sorted(best, key=lambda p: p.start)

    def view(self, wall_minus_monotonic: float) -> RatesView:
        """Return all of it for clients."""

        def peak_view(peak: Peak) -> PeakView:
            return PeakView(
                time_text(peak.start + wall_minus_monotonic), time_text(peak.end + wall_minus_monotonic),
                peak.bytes_per_s,
            )  # fmt: skip

        means = (self.mean(s) for s in WINDOWS_S if s <= self.active_s)
        return RatesView(
            current=_shown(self.current()),
            windows=tuple(RateView(r.seconds, r.bytes_per_s, r.entries_per_s) for r in means if r is not None),
            average=_shown(self.average()),
            peak=None if self._peak is None else peak_view(self._peak),
            peak_periods=tuple(peak_view(p) for p in self.peak_periods()),
            trend=self.trend(),
            active_s=self.active_s,
        )


def _shown(rate: Rate | None) -> RateView | None:
    return None if rate is None else RateView(rate.seconds, rate.bytes_per_s, rate.entries_per_s)


def _between(a: Point, b: Point) -> Rate | None:
    seconds = b.active - a.active
    if seconds <= 0:
        return None
    return Rate(seconds, max(0.0, (b.bytes - a.bytes) / seconds), max(0.0, (b.entries - a.entries) / seconds))


OTHER = "other"


class KeyedThroughput:
    """The same for each of some keys (types of files, size classes), with fewer buckets each.

    Args:
        most_keys: what comes after so many different keys is counted as `OTHER`.
    """

    def __init__(self, most_keys: int = 32, buckets: int = 32) -> None:
        self._most, self._per_key = most_keys, buckets
        self._of: dict[str, Throughput] = {}
        self._own: set[str] = set()
        self._last: float | None = None

    def observe(self, now: float, totals: Mapping[str, tuple[int, int]], *, held: bool = False) -> None:
        """Take in cumulative bytes and entries by key at `now`; see `Throughput.observe`. Keys do not go away."""
        folded: dict[str, tuple[int, int]] = {}
        for key, (size, entries) in totals.items():
            if key not in self._own and key != OTHER and len(self._own) < self._most:
                self._own.add(key)
            name = key if key in self._own else OTHER
            size_before, entries_before = folded.get(name, (0, 0))
            folded[name] = (size_before + size, entries_before + entries)
        for name, (size, entries) in folded.items():
            one = self._of.get(name)
            if one is None:
                one = self._of[name] = Throughput(self._per_key)
                if self._last is not None:  # it had moved nothing then; its own time begins there
                    one.observe(self._last, 0, 0)
            one.observe(now, size, entries, held=held)
        self._last = now

    def names(self) -> list[str]:
        return sorted(self._of)

    def of(self, key: str) -> Throughput | None:
        return self._of.get(key)

    def view(self) -> tuple[KeyRateView, ...]:
        """Return current and average rate of each, with its share of all that was moved, the largest first."""
        moved = {key: (one.average(), one.current()) for key, one in self._of.items()}
        total = sum(a.bytes_per_s * a.seconds for a, _ in moved.values() if a is not None)
        found = [
            KeyRateView(
                key, _shown(current), _shown(average), average.bytes_per_s * average.seconds / total if total else None
            )
            for key, (average, current) in moved.items()
            if average is not None
        ]
        return tuple(sorted(found, key=lambda v: (-(v.share or 0.0), v.key)))
