"""A disk that still answers, but slower than its load explains: while a migration runs.

As Perseus does (Lu et al., FAST 2023), a model of latency tells busy from sick: the logarithm of await is regressed on
those of throughput, queue and request size, for this disk alone. What lies beyond the 99.9 % bound of the model,
divided by the bound, is the slowdown ratio. It counts when it is above 2 for 5 minutes, in 3 separate spans, and
neither a limit, heat nor a known cliff (a full cache, SMR) explains it (design page ETA, "Fail-slow").

Movers wait for their disk, so that a sick one has less throughput with the same queue: by Little's law (await = queue ÷
requests per second) a free regression would call every slowdown explained. Therefore throughput may only explain
latency that rises with it: a negative coefficient is left out, and queue and size are left to explain.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import msgspec

from migmond.analytics.times import time_text
from migmond.domain.analysis import DeviceFinding

RATIO = 2.0
SPAN_S = 300.0
SPANS = 3
Z = 3.0902
"""The normal distribution's 99.9 % quantile."""
LEARN_FROM = 60
"""Samples before anything is judged: 2 minutes at 2 s, 15 for each coefficient. The second half gives the noise."""
HALF_LIFE = 3600
"""Samples after which an old one counts half: two hours at 2 s."""
LEAST_SIGMA = 0.05
"""Await is measured in whole milliseconds by the kernel's counters: no model of it is better than some percent."""
LARGEST_GAP_S = 60.0
"""Samples further apart do not make one span."""


class Load(msgspec.Struct, frozen=True):
    """A disk between two looks.

    Attributes:
        at: wall clock seconds.
        await_s: mean seconds of a request.
        queue: mean number of requests in it or waiting for it.
        explained: a limit, heat or a known cliff is why it may be slow now.
    """

    at: float
    await_s: float
    bytes_per_s: float
    queue: float
    request_bytes: float
    explained: bool = False


class SlowDisk:
    """Watches one disk; takes loads in order of time. Memory is constant.

    Args:
        device: as people know it.
    """

    def __init__(self, device: str) -> None:
        self._device = device
        self._model = _Model()
        self._span_from: float | None = None
        self._last_at = -math.inf
        self._spans: list[float] = []
        self._worst = self._span_worst = 0.0

    def observe(self, load: Load) -> float | None:
        """Take in a load; return its slowdown ratio (observed ÷ bound), None while it cannot be told."""
        if load.await_s <= 0 or load.bytes_per_s <= 0 or load.request_bytes <= 0:
            return None  # it has done nothing
        ratio = self._model.ratio(load)
        if ratio is None or ratio <= 1:  # what is sick must not become what is usual
            self._model.learn(load)
        self._judge(load, ratio)
        return ratio

    def _judge(self, load: Load, ratio: float | None) -> None:
        if load.at - self._last_at > LARGEST_GAP_S:
            self._span_from = None
        self._last_at = load.at
        if ratio is None or ratio <= RATIO or load.explained:
            self._span_from = None
            return
        if self._span_from is None:
            self._span_from, self._span_worst = load.at, 0.0
        self._span_worst = max(self._span_worst, ratio)
        if load.at - self._span_from < SPAN_S:
            return
        self._worst = max(self._worst, self._span_worst)
        if not self._spans or self._spans[-1] != self._span_from:
            self._spans = [*self._spans, self._span_from][-SPANS:]

    def finding(self) -> DeviceFinding | None:
        """Return the finding once there were `SPANS` spans; `since` is the first of the last ones."""
        if len(self._spans) < SPANS:
            return None
        evidence = (
            f"{SPAN_S / 60:.0f} minutes or more in {SPANS} separate spans, the last from {time_text(self._spans[-1])}, "
            f"at worst {self._worst:.1f} times the 99.9 % bound of its own model; no limit, heat or cache explains it"
        )
        return DeviceFinding(
            self._device, "fail_slow", "warning", f"{self._device} answers slower than its load explains",
            self._worst, RATIO, "ratio", time_text(self._spans[0]), evidence,
            "copy the most important data first; run a long self-test; check cable and port",
        )  # fmt: skip


class _Model:
    """Least squares by the normal equations, old samples fading; coefficients of 1, queue, request size, throughput.

    It begins as one sample's worth of belief that await is proportional to the queue and to the size of requests: where
    the load has been the same all the time, more of it must not look like sickness.
    """

    def __init__(self) -> None:
        belief = (0.0, 1.0, 1.0, 0.0)
        self._a = [[1.0 if i == j and i else 0.0 for j in range(4)] for i in range(4)]
        self._y = list(belief)
        self._noise = self._noise_of = 0.0
        self._samples = 0

    def ratio(self, load: Load) -> float | None:
        if self._samples < LEARN_FROM:
            return None
        sigma = max(LEAST_SIGMA, math.sqrt(self._noise / self._noise_of))
        return math.exp(math.log(load.await_s) - self._expected(load) - Z * sigma)

    def learn(self, load: Load) -> None:
        fade = 0.5 ** (1 / HALF_LIFE)
        features, seen = _features(load), math.log(load.await_s)
        if self._samples >= LEARN_FROM // 2:
            self._noise = self._noise * fade + (seen - self._expected(load)) ** 2
            self._noise_of = self._noise_of * fade + 1
        self._samples += 1
        for i, f in enumerate(features):
            self._y[i] = self._y[i] * fade + f * seen
            for j, g in enumerate(features):
                self._a[i][j] = self._a[i][j] * fade + f * g

    def _expected(self, load: Load) -> float:
        weights = solve(self._a, self._y)
        if weights[3] < 0:
            weights = solve([row[:3] for row in self._a[:3]], self._y[:3])
        return sum(w * f for w, f in zip(weights, _features(load), strict=False))


def _features(load: Load) -> tuple[float, float, float, float]:
    """Return 1 and three logarithms, about 0 for common loads so that the equations are well conditioned."""
    return (
        1.0,
        math.log(max(1.0, load.queue)),  # fewer than one at a time do not wait for each other
        math.log(load.request_bytes / 131_072),
        math.log(load.bytes_per_s / 1e8),
    )


def solve(a: Sequence[Sequence[float]], y: Sequence[float]) -> list[float]:
    """Return x with a·x = y, by Gaussian elimination with partial pivoting.

    Raises:
        ValueError: there is no single solution.
    """
    n = len(y)
    rows = [[*row, right] for row, right in zip(a, y, strict=True)]
    for column in range(n):
        pivot = max(range(column, n), key=lambda r: abs(rows[r][column]))
        if rows[pivot][column] == 0:
            raise ValueError("singular")
        rows[column], rows[pivot] = rows[pivot], rows[column]
        for row in rows[column + 1 :]:
            factor = row[column] / rows[column][column]
            for k in range(column, n + 1):
                row[k] -= factor * rows[column][k]
    x = [0.0] * n
    for i in reversed(range(n)):
        x[i] = (rows[i][n] - sum(rows[i][k] * x[k] for k in range(i + 1, n))) / rows[i][i]
    return x
