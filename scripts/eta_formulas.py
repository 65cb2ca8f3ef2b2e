"""Other predictors beside ours, behind one interface: `start`, `tick`, `predict`."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from typing import Protocol, TypeAlias

import msgspec

from eta_traces import Trace
from migmond.analytics.fitting import fit
from migmond.analytics.measures import Cost, Forecast, Shape, Tick
from migmond.analytics.predictor import Predictor


class Prediction(msgspec.Struct, frozen=True):
    """`remaining`: seconds, None while it cannot be told; `low`, `high`: the 90 % band, where there is one."""

    remaining: float | None
    low: float | None = None
    high: float | None = None


UNKNOWN = Prediction(None)

Predictions: TypeAlias = Sequence[tuple[float, Prediction]]
"""(t, prediction) in order of t."""


class Formula(Protocol):
    """One way to predict. Nothing in it sees more than the ticks so far."""

    def start(self, shape: Shape, history: Sequence[Cost]) -> None: ...

    def tick(self, tick: Tick) -> None: ...

    def predict(self) -> Prediction: ...


class Ours:
    """migmond.analytics.predictor with the 90 % band."""

    def start(self, shape: Shape, history: Sequence[Cost]) -> None:
        self.predictor = Predictor(shape, history)

    def tick(self, tick: Tick) -> None:
        self.predictor.tick(tick)

    def predict(self) -> Prediction:
        forecast = self.predictor.forecast(0.9)
        if not isinstance(forecast, Forecast):
            return UNKNOWN
        return Prediction(forecast.remaining_s, forecast.low_s, forecast.high_s)


class Cumulative:
    """Bytes left ÷ (bytes done ÷ time)."""

    def start(self, shape: Shape, history: Sequence[Cost]) -> None:
        self.total, self.t, self.bytes = shape.bytes, 0.0, 0

    def tick(self, tick: Tick) -> None:
        self.t, self.bytes = tick.t, tick.bytes
        self.total = tick.planned_bytes or self.total

    def predict(self) -> Prediction:
        return left_at(self.total - self.bytes, self.bytes / self.t if self.t > 0 else 0.0)


class Rclone(Cumulative):
    """rclone, fs/accounting: an average once a second, whose period ramps up to 16; whole seconds are told."""

    PERIOD = 16

    def start(self, shape: Shape, history: Sequence[Cost]) -> None:
        super().start(shape, history)
        self.speed, self.period = 0.0, 0
        self.next, self.before = 1.0, (0.0, 0)

    def tick(self, tick: Tick) -> None:
        super().tick(tick)
        if tick.t < self.next:
            return
        t0, bytes0 = self.before
        rate = max(0, tick.bytes - bytes0) / (tick.t - t0)
        for _ in range(max(1, int(tick.t - self.next) + 1)):  # its clock ticks each second, ours may be slower
            self.period = min(self.PERIOD, self.period + 1)
            self.speed = (rate + self.speed * (self.period - 1)) / self.period
        self.next, self.before = math.floor(tick.t) + 1.0, (tick.t, tick.bytes)

    def predict(self) -> Prediction:
        found = left_at(self.total - self.bytes, self.speed)
        return found if found.remaining is None else Prediction(float(int(found.remaining)))


class Window(Cumulative):
    """The rate over the last points: rsync keeps 5 that are a second apart (progress.c), pv 7 at 5 seconds (-m 30)."""

    points, apart_s = 5, 1.0

    def start(self, shape: Shape, history: Sequence[Cost]) -> None:
        super().start(shape, history)
        self.ring: deque[tuple[float, int]] = deque([(0.0, 0)], maxlen=self.points)

    def tick(self, tick: Tick) -> None:
        super().tick(tick)
        if tick.t - self.ring[-1][0] >= self.apart_s:
            self.ring.append((tick.t, tick.bytes))

    def predict(self) -> Prediction:
        (t0, bytes0), (t1, bytes1) = self.ring[0], (self.t, self.bytes)
        return left_at(self.total - bytes1, (bytes1 - bytes0) / (t1 - t0) if t1 > t0 else 0.0)


class Rsync(Window):
    points, apart_s = 5, 1.0


class Pv(Window):
    points, apart_s = 7, 5.0


class LeastSquares(Cumulative):
    """Recursive least squares of the time on files and bytes over windows of a second, forgetting 1 % at each."""

    FORGET = 0.99

    def start(self, shape: Shape, history: Sequence[Cost]) -> None:
        super().start(shape, history)
        self.planned, self.files = shape.files, 0
        self.a = self.b = 0.0
        # In units of the whole run, or the matrix has no digits left.
        self.unit_n, self.unit_b = max(1, shape.files), max(1, shape.bytes)
        self.p = [1e12, 0.0, 1e12]
        self.before = Tick(0.0, 0, 0)

    def tick(self, tick: Tick) -> None:
        super().tick(tick)
        self.files = tick.files
        took = tick.t - self.before.t
        if took < 1.0:
            return
        x, y = (tick.files - self.before.files) / self.unit_n, (tick.bytes - self.before.bytes) / self.unit_b
        self.before = tick
        p0, p1, p2 = self.p
        px, py = p0 * x + p1 * y, p1 * x + p2 * y
        scale = self.FORGET + x * px + y * py
        kx, ky = px / scale, py / scale
        error = took - self.a * x - self.b * y
        self.a, self.b = self.a + kx * error, self.b + ky * error
        most = 1e12
        self.p = [
            min(most, (p0 - kx * px) / self.FORGET),
            (p1 - kx * py) / self.FORGET,
            min(most, (p2 - ky * py) / self.FORGET),
        ]

    def predict(self) -> Prediction:
        left = self.a * (self.planned - self.files) / self.unit_n + self.b * (self.total - self.bytes) / self.unit_b
        return Prediction(left) if left > 0 else UNKNOWN


class Hindsight(Cumulative):
    """The floor: constant costs that were fitted to the whole run afterwards."""

    def __init__(self, cost: Cost) -> None:
        self.cost = cost

    def start(self, shape: Shape, history: Sequence[Cost]) -> None:
        super().start(shape, history)
        self.planned, self.files = shape.files, 0

    def tick(self, tick: Tick) -> None:
        super().tick(tick)
        self.files = tick.files

    def predict(self) -> Prediction:
        return Prediction(
            self.cost.a * max(0, self.planned - self.files) + self.cost.b * max(0, self.total - self.bytes)
        )


FORMULAS: dict[str, type[Formula]] = {
    "migmond": Ours,
    "cumulative": Cumulative,
    "rclone": Rclone,
    "rsync": Rsync,
    "pv": Pv,
    "least squares": LeastSquares,
}


def left_at(size: int, rate: float) -> Prediction:
    """Return the time for `size` bytes at `rate`; unknown at a standstill."""
    if size <= 0:
        return Prediction(0.0)
    return Prediction(size / rate) if rate > 0 else UNKNOWN


def predictions(trace: Trace, formula: Formula) -> list[tuple[float, Prediction]]:
    """Return what `formula` says after each tick of `trace`. It sees the header and the ticks so far, never the end."""
    formula.start(trace.shape, trace.history)
    found = []
    for tick in trace.ticks:
        formula.tick(tick)
        found.append((tick.t, formula.predict()))
    return found


def hindsight(trace: Trace) -> Hindsight:
    """Return the floor for `trace`: the only one that is given the whole run."""
    return Hindsight(fit(trace.ticks) or Cost(0.0, 0.0))
