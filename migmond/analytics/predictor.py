"""When a run will be done: costs per file and per byte learnt as it goes, and what is known of the time to come.

A predictor takes ticks in order and answers at any time; the same ticks give the same answers. What it remembers is
small and can be kept (`snapshot`), so that a daemon that was restarted goes on where it was; no tick need be stored.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import msgspec

from migmond.analytics import calibration, cost_filter
from migmond.analytics.measures import Cost, Forecast, LimitStep, Shape, SpeedChange, Tick, Unknown
from migmond.analytics.prior import Prior, prior
from migmond.domain.packing import Unpacker, pack
from migmond.domain.units import show_duration

MIN_WINDOW_S, WINDOW_SHARE = 0.3, 0.005
"""A window closes on predicted work of 0.5 % of the run (design page ETA, 2). Its least is 0.3 s where the design has
1 s: for runs of seconds (simulated, 50 times as fast) the mean error is 17 % instead of 19 %, for others the same."""

FIRST_WINDOW_S = 0.1
"""Until something was measured on devices of which nothing is known: the guess may be too long by far."""

START_RATIO = 3.0
"""When the first tick covers this many times the second's time, it tells of more than copies: the source was scanned
meanwhile, movers were started. On real runs recorded behind a scan of a fifth of their time (scripts/eta-record), what
was learnt from it was wrong by a factor of 7 at first, and of 3 still in the middle."""

LONG_WINDOW = 4.0
"""A window that has taken this many times its width closes with whatever was done: a speed that fell to a tenth would
otherwise go unseen for a twentieth of the run."""

WORKERS_A, WORKERS_B, WORKERS_SD = 0.7, 0.5, 0.3
"""k workers cost 1/k^0.7 a file and 1/k^0.5 a byte (design page ETA, 7); how far that is from certain."""

BINDING = 0.2
"""A byte cost this near to 1/limit (in logarithms) is the limit's, not the devices'."""

SAME_LIMIT = 0.1
"""A limit this near to the one that was taken in (in logarithms) is that one: shares of what all may do together change
with every look, and whoever began anew each time would never learn that one of them does not bind."""

LIMITED_SD = 0.1
CLIFF_SD = 0.2
"""How certain a byte's cost is after a limit was set that binds, and after a known cliff."""

MOVEMENT_SHARE, OTHER_SD = 0.6, 0.15
"""Of the spread (design page ETA, 9): the share of the own recent movement, and what is left when all else is 0."""

MOST_SPREAD = 4.0
"""A factor of 50 either way: whoever knows less than that need not be told more exactly."""

DEAD_BAND = 0.015
"""The end that is told moves only when the estimate has left it by this share of what remains: an ETA that flickers is
not read, and 1.5 % is far below the error of any."""

STALL_S = 600.0
"""With nothing settled for this long, and for longer than the run worked before, there is no forecast."""


class PredictorState(msgspec.Struct):
    """All that a predictor remembers between ticks."""

    shape: Shape
    prior: Prior
    costs: cost_filter.FilterState
    planned_files: int
    planned_bytes: int
    free_log_b: float
    free_var_b: float
    workers: int
    t: float = 0.0
    files: int = 0
    bytes: int = 0
    limit: float | None = None
    growing: bool = False
    open_s: float = 0.0
    open_files: int = 0
    open_bytes: int = 0
    settled_t: float = 0.0
    passed_cliff: bool = False
    shown_end: float = 0.0
    usual_end: float = 0.0
    width: float = FIRST_WINDOW_S
    ticks: int = 0


class Predictor:
    """Args:
    shape: what is planned, by which devices.
    history: costs of earlier runs with the same source device, target device and transport.
    """

    def __init__(self, shape: Shape, history: Sequence[Cost] = ()) -> None:
        expected = prior(shape, history)
        costs = cost_filter.initial(expected)
        self._state = PredictorState(
            shape, expected, costs, shape.files, shape.bytes, costs.log_b, costs.var_b, max(1, shape.workers)
        )
        self._recompute()
        self._state.shown_end = self._state.usual_end = sum(self._work_left())

    @classmethod
    def restored(cls, snapshot: bytes) -> Predictor:
        """Return the predictor that made `snapshot`.

        Raises:
            msgspec.MsgspecError: these bytes are no snapshot of this version; begin anew then.
        """
        self = cls.__new__(cls)
        self._state = s = Unpacker[PredictorState](PredictorState).unpack(snapshot)
        # Not computed anew: the width is of when the open window began, and the same ticks must give the same answers.
        self._a, self._b, self._width = math.exp(s.costs.log_a), math.exp(s.costs.log_b), s.width
        return self

    def snapshot(self) -> bytes:
        """Return all that this predictor remembers, about 700 bytes."""
        return pack(self._state)

    @property
    def cost(self) -> Cost:
        """What a file and a byte cost now, limits included."""
        return Cost(self._a, self._b)

    def tick(self, tick: Tick, *, growing: bool = False) -> SpeedChange | None:
        """Take in how far the run is; returns a change of speed when it is recognised here.

        Args:
            tick: what goes back (time, files, bytes) counts as standing still.
            growing: the plan is not complete yet; nothing is learnt meanwhile.
        """
        s = self._state
        if s.ticks == 0 and self._is_told(tick):
            self._event(tick)  # what was done until the first tick was done like that
        took, files, size = max(0.0, tick.t - s.t), tick.files - s.files, tick.bytes - s.bytes
        if s.growing:
            s.open_s, s.open_files, s.open_bytes = 0.0, 0, 0
        elif s.ticks == 1 and s.t > START_RATIO * took > 0:
            self._begin_anew()
        s.ticks = min(2, s.ticks + 1)
        s.growing = growing
        s.t += took
        s.open_s += took
        if files > 0:
            s.files = tick.files
            s.open_files += files
            s.settled_t = s.t
        if size > 0:
            s.bytes = tick.bytes
            s.open_bytes += size
            s.settled_t = s.t
        if tick.planned_files is not None or tick.planned_bytes is not None:
            self._plan(tick)
        change = None
        file_s, byte_s = self._a * s.open_files, self._b * s.open_bytes
        done_s = file_s + byte_s
        full = done_s >= self._width or (s.open_s >= LONG_WINDOW * self._width and done_s > 0)
        if full and not growing:  # movers that scan copy less
            change = self._close(file_s, byte_s)
        if self._is_told(tick) or self._at_cliff():
            self._event(tick)
        left = self._a * max(0, s.planned_files - s.files) + self._b * max(0, s.planned_bytes - s.bytes)
        if s.prior.cliff is not None:
            left = sum(self._work_left())
        # The end that is told moves as little as the estimate demands.
        end, slack = s.t + left, DEAD_BAND * left
        s.shown_end = min(end + slack, max(end - slack, s.shown_end))
        return change

    def forecast(self, level: float = 0.8, ahead: Sequence[LimitStep] = ()) -> Forecast | Unknown:
        """Return what is left as of the last tick.

        Args:
            level: of the band; 0.8 is shown to people.
            ahead: limits and holds that are known to come, in order.
        """
        s = self._state
        if (why := self._unknown()) is not None:
            return Unknown(why)
        left = max(0.0, s.shown_end - s.t)
        progress = s.t / (s.t + left) if left > 0 else 1.0
        spread = self._spread(left)
        low, high = calibration.band(progress, level)
        within = calibration.probability_between(progress, math.log(0.8) / spread, math.log(1.2) / spread)
        wall = left
        if ahead:
            ends = self._integrate(left, ahead)
            if ends is None:
                return Unknown("it is held, and nobody has said until when")
            left, wall = ends
        files, size = self._left()
        return Forecast(
            remaining_s=left,
            low_s=left * math.exp(low * spread),
            high_s=left * math.exp(high * spread),
            level=level,
            wall_s=wall,
            within_20=within,
            files_left=files,
            file_s=self._a,
            bytes_left=size,
            byte_s=self._b,
        )

    def spread(self) -> float:
        """Return the standard deviation of log(true ÷ predicted) that the table of quantiles is in units of."""
        return self._spread(max(0.0, self._state.shown_end - self._state.t))

    def _unknown(self) -> str | None:
        s = self._state
        if s.growing:
            return "still scanning"
        if s.planned_files <= 0 and s.planned_bytes <= 0:
            return "nothing is planned"
        if s.costs.windows == 0 and s.prior.runs == 0:
            return "nothing was measured yet, and no similar run is known"
        still = s.t - s.settled_t
        if still >= STALL_S and still > s.settled_t:
            return f"nothing was settled for {show_duration(still)}"
        return None

    def _left(self) -> tuple[int, int]:
        s = self._state
        return max(0, s.planned_files - s.files), max(0, s.planned_bytes - s.bytes)

    def _work_left(self) -> tuple[float, float]:
        """Return seconds for the files and for the bytes that are left, as they cost now and after a known cliff."""
        s = self._state
        files, size = self._left()
        work: float = size
        if s.prior.cliff is not None and not s.passed_cliff:
            place, slowdown = s.prior.cliff
            beyond = max(0.0, s.bytes + size - max(place, s.bytes))
            byte = max(math.exp(s.free_log_b if self._bound() else s.costs.log_b) * slowdown, self._b)
            work = size - beyond + beyond * byte / self._b
        return files * self._a, work * self._b

    def _recompute(self) -> None:
        """Keep at hand what every tick needs."""
        s = self._state
        self._a, self._b = math.exp(s.costs.log_a), math.exp(s.costs.log_b)
        for_files, for_bytes = self._work_left()
        self._width = max(MIN_WINDOW_S, WINDOW_SHARE * (s.t + for_files + for_bytes))
        if s.costs.windows == 0 and s.prior.runs == 0:
            self._width = FIRST_WINDOW_S
        s.width = self._width

    def _close(self, file_s: float, byte_s: float) -> SpeedChange | None:
        s = self._state
        left = sum(self._work_left())
        factor = cost_filter.close_window(s.costs, s.open_s, file_s, byte_s, max(self._width, MIN_WINDOW_S), left)
        s.open_s, s.open_files, s.open_bytes = 0.0, 0, 0
        self._recompute()
        left = sum(self._work_left())
        memory = min(
            float(s.costs.windows), max(cost_filter.MIN_MEMORY, cost_filter.HORIZON_SHARE * left / self._width)
        )
        s.usual_end += (s.t + left - s.usual_end) / memory
        return SpeedChange(s.t, factor, s.bytes) if factor else None

    def _spread(self, left: float) -> float:
        s, costs = self._state, self._state.costs
        if left <= 0:
            return OTHER_SD
        for_files, for_bytes = self._work_left()
        h1 = for_files / (for_files + for_bytes) if for_files + for_bytes > 0 else 0.5
        h2 = 1.0 - h1
        parameters = h1 * h1 * costs.var_a + 2 * h1 * h2 * costs.cov + h2 * h2 * costs.var_b
        memory = max(cost_filter.MIN_MEMORY, cost_filter.HORIZON_SHARE * left / self._width)
        moved = min(2.0, abs(s.t + left - s.usual_end) / left) if costs.windows else 0.0
        stalled = min(2.0, max(0.0, s.open_s - LONG_WINDOW * self._width) / left)
        noise = costs.noise / memory
        variance = parameters + noise + (MOVEMENT_SHARE * moved) ** 2 + stalled**2 + OTHER_SD**2
        return min(MOST_SPREAD, math.sqrt(variance))

    def _begin_anew(self) -> None:
        """Forget what was learnt, and what somebody did: that is told again by the next tick."""
        s = self._state
        s.costs = cost_filter.initial(s.prior)
        s.free_log_b, s.free_var_b = s.costs.log_b, s.costs.var_b
        s.limit, s.workers = None, max(1, s.shape.workers)
        s.open_s, s.open_files, s.open_bytes = 0.0, 0, 0
        self._recompute()
        s.usual_end = s.t + sum(self._work_left())

    def _plan(self, tick: Tick) -> None:
        s = self._state
        if tick.planned_files is not None:
            s.planned_files = tick.planned_files
        if tick.planned_bytes is not None:
            s.planned_bytes = tick.planned_bytes
        self._recompute()

    def _at_cliff(self) -> bool:
        s = self._state
        return s.prior.cliff is not None and not s.passed_cliff and s.bytes >= s.prior.cliff[0]

    def _event(self, tick: Tick) -> None:
        """Take in what somebody did, or a cliff that earlier runs met here, at once: nothing need be learnt."""
        s, costs = self._state, self._state.costs
        if tick.workers > 0 and tick.workers != s.workers:
            ratio = math.log(s.workers / tick.workers)
            costs.log_a += WORKERS_A * ratio
            s.free_log_b += WORKERS_B * ratio
            if not self._bound():
                costs.log_b += WORKERS_B * ratio
            cost_filter.widen(costs, WORKERS_SD * abs(ratio), cost_filter.CROSS_CORRELATION)
            s.workers = tick.workers
        if self._at_cliff():
            assert s.prior.cliff is not None
            s.passed_cliff = True
            shift = math.log(s.prior.cliff[1])
            s.free_log_b += shift
            if not self._bound():
                costs.log_b += shift
                costs.var_b += CLIFF_SD**2
        if self._is_other(tick.limit or None):
            self._limit(tick.limit or None)
        s.open_s, s.open_files, s.open_bytes = 0.0, 0, 0
        costs.slower = costs.faster = 0.0
        self._recompute()
        s.usual_end = s.t + sum(self._work_left())

    def _is_told(self, tick: Tick) -> bool:
        """Return whether somebody has changed something."""
        return self._is_other(tick.limit or None) or (tick.workers != self._state.workers and tick.workers > 0)

    def _is_other(self, limit: float | None) -> bool:
        known = self._state.limit
        if limit is None or known is None:
            return limit is not known
        return abs(math.log(limit / known)) > SAME_LIMIT

    def _bound(self) -> bool:
        """Return whether the present limit is what a byte costs."""
        s = self._state
        return s.limit is not None and abs(s.costs.log_b + math.log(s.limit)) < BINDING

    def _limit(self, limit: float | None) -> None:
        """b = max(what a byte costs without a limit, 1 / limit).

        Whoever is slower than a limit shows what a byte costs without one. Whoever is faster was not kept to it yet:
        that it costs no more is known then, but not that it costs as much.
        """
        s, costs = self._state, self._state.costs
        slower = 0.0 if s.limit is None else costs.log_b + math.log(s.limit)
        if s.limit is None or slower >= BINDING or (slower <= -BINDING and costs.log_b < s.free_log_b):
            s.free_log_b, s.free_var_b = costs.log_b, costs.var_b
        s.limit = limit
        costs.log_b, costs.var_b = s.free_log_b, s.free_var_b
        if limit is not None and -math.log(limit) > s.free_log_b:
            # What a limit makes a byte cost says nothing of files. With the covariance of costs that nobody limits, a
            # byte that costs more than the limit explains would be blamed on files, fifteen times over.
            costs.log_b, costs.var_b, costs.cov = -math.log(limit), LIMITED_SD**2, 0.0
        most = math.sqrt(costs.var_a * costs.var_b)
        costs.cov = min(most, max(-most, costs.cov))

    def _integrate(self, left: float, ahead: Sequence[LimitStep]) -> tuple[float, float] | None:
        """Return active and wall seconds for what now looks like `left` seconds; None when a hold has no end."""
        s = self._state
        for_files, for_bytes = self._work_left()
        now = for_files + for_bytes
        free = math.exp(s.free_log_b if self._bound() else s.costs.log_b)
        share, active, wall, pace = 1.0, 0.0, 0.0, left
        held = False
        for step in ahead:
            lasts = max(0.0, step.after_s - wall)
            if not held:
                if pace <= 0 or share * pace <= lasts:
                    break
                share -= lasts / pace
                active += lasts
            wall += lasts
            held = step.held
            byte = free if step.limit is None else max(free, 1.0 / step.limit)
            pace = left * (for_files + for_bytes * byte / self._b) / now if now > 0 else 0.0
        if held:
            return None
        return active + share * pace, wall + share * pace
