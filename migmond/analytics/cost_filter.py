"""A Kalman filter of two costs: wall seconds per file and per byte (design page ETA, 1 to 5)."""

from __future__ import annotations

import math

import msgspec

from migmond.analytics.prior import LEAST_COST, MOST_COST, Prior

MAX_RESIDUAL = 1.5
"""A window that took over 2.5 times what was predicted counts as that: one stall must not become the new speed."""

MIN_MEMORY, HORIZON_SHARE, CROSS_CORRELATION = 8.0, 0.5, 0.8
"""The memory in windows is half of the windows still to come, and at least 8; a change of speed concerns both costs."""

CUSUM_DRIFT, CUSUM_THRESHOLD, ALARM_SD, ALARM_CORRELATION = 0.6, 12.0, 0.35, 0.9
"""An alarm is a mean of standardised residuals that stays beyond 0.6 until it has summed up to 12; it makes both costs
uncertain by 0.35 more. All up to here: design page ETA, 3 to 5."""

FIRST_NOISE, MIN_NOISE, NOISE_MEMORY = 0.1, 0.01, 40
"""Variance of one window's residual: where it begins, its least, and over how many windows it is learnt. It is learnt
from the differences of neighbours: a first guess that is wrong by 3 must not pass for noise."""

CORRELATED = 8.0
"""Neighbouring windows go slow together (other load, one directory's kind of file): a mean over many of them is as
uncertain as if each had this many times the variance of the differences. Mean error on 76 simulated runs of all
families at half, full and 1.7 times the usual severity: 12, 20 and 28 % with 1, 9, 17 and 21 % with 5, 9, 16 and 20 %
with 8 and with 12; and more makes real changes of speed seen later."""

LOG_ABOVE = 4.0
"""While the costs are less certain than this many variances of one window, the residual's logarithm is taken: a first
guess that is ten times too short is corrected at once. A logarithm is biased low under stalls, so only then. Without it
the same runs at full severity, as if of devices that nobody knows, have a mean error of 32 % instead of 24 %."""

_LEAST, _MOST = math.log(LEAST_COST), math.log(MOST_COST)


class FilterState(msgspec.Struct):
    """All that the filter remembers. It changes in place; encode it to keep it."""

    log_a: float
    log_b: float
    var_a: float
    var_b: float
    cov: float
    noise: float = FIRST_NOISE
    before: float = 0.0
    windows: int = 0
    slower: float = 0.0
    faster: float = 0.0
    slower_sum: float = 0.0
    slower_count: float = 0.0
    faster_sum: float = 0.0
    faster_count: float = 0.0


def initial(prior: Prior) -> FilterState:
    """Return the state that a prior means."""
    cov = prior.correlation * prior.sd_a * prior.sd_b
    return FilterState(_bounded(prior.log_a), _bounded(prior.log_b), prior.sd_a**2, prior.sd_b**2, cov)


def close_window(
    state: FilterState, took_s: float, file_s: float, byte_s: float, width_s: float, left_s: float
) -> float:
    """Take in one window of work.

    Args:
        took_s: how long it took.
        file_s, byte_s: how long its files and its bytes should have taken; their sum is positive.
        width_s: the predicted work at which windows are to close; longer ones count for more.
        left_s: the present estimate of what is left, for the memory.

    Returns:
        0.0, or the factor by which the speed has changed when that is an alarm: 0.5 is half as fast.
    """
    predicted = file_s + byte_s
    h1 = file_s / predicted
    h2 = 1.0 - h1
    ratio = took_s / predicted
    known = h1 * h1 * state.var_a + 2 * h1 * h2 * state.cov + h2 * h2 * state.var_b
    guessing = known > LOG_ABOVE * state.noise
    if guessing:
        residual = math.log(min(1e6, max(1e-6, ratio)))
        work = max(predicted, took_s)  # the prediction says little of how much work this was
    else:
        residual = min(MAX_RESIDUAL, ratio - 1.0)
        work = predicted
    weight = min(50.0, max(0.1, work / width_s))

    memory = max(MIN_MEMORY, HORIZON_SHARE * left_s / width_s)
    drift = weight * CORRELATED * state.noise / (memory * memory)
    var_a, var_b = state.var_a + drift, state.var_b + drift
    cov = state.cov + CROSS_CORRELATION * drift

    ph1, ph2 = var_a * h1 + cov * h2, cov * h1 + var_b * h2
    total = h1 * ph1 + h2 * ph2 + CORRELATED * state.noise / weight
    k1, k2 = ph1 / total, ph2 / total
    state.log_a = _bounded(state.log_a + k1 * residual)
    state.log_b = _bounded(state.log_b + k2 * residual)
    state.var_a = max(1e-9, var_a - k1 * ph1)
    state.var_b = max(1e-9, var_b - k2 * ph2)
    most = math.sqrt(state.var_a * state.var_b)
    state.cov = min(most, max(-most, cov - k1 * ph2))

    state.windows += 1
    if state.windows > 1 and not guessing:
        seen = (residual - state.before) ** 2 / 2 * weight
        state.noise += (min(seen, 25 * state.noise) - state.noise) / min(NOISE_MEMORY, 10 + state.windows)
        state.noise = max(MIN_NOISE, state.noise)
    state.before = residual
    return _cusum(state, residual, residual / math.sqrt(total))


def widen(state: FilterState, sd: float, correlation: float) -> None:
    """Make both costs less certain by `sd` (of their logarithms)."""
    state.var_a += sd * sd
    state.var_b += sd * sd
    state.cov += correlation * sd * sd


def _cusum(state: FilterState, residual: float, standardised: float) -> float:
    """Return the speed's factor at an alarm, which begins anew then; else 0."""
    state.slower = max(0.0, state.slower + standardised - CUSUM_DRIFT)
    state.faster = max(0.0, state.faster - standardised - CUSUM_DRIFT)
    state.slower_sum, state.slower_count = _since(state.slower, state.slower_sum, state.slower_count, residual)
    state.faster_sum, state.faster_count = _since(state.faster, state.faster_sum, state.faster_count, residual)
    if state.slower <= CUSUM_THRESHOLD and state.faster <= CUSUM_THRESHOLD:
        return 0.0
    slow = state.slower > CUSUM_THRESHOLD
    total, count = (state.slower_sum, state.slower_count) if slow else (state.faster_sum, state.faster_count)
    state.slower = state.faster = 0.0
    state.slower_sum = state.slower_count = state.faster_sum = state.faster_count = 0.0
    factor = 1.0 / max(0.05, 1.0 + total / count)
    widen(state, ALARM_SD, ALARM_CORRELATION)
    return factor


def _since(level: float, total: float, count: float, residual: float) -> tuple[float, float]:
    return (0.0, 0.0) if level == 0.0 else (total + residual, count + 1.0)


def _bounded(log_cost: float) -> float:
    return min(_MOST, max(_LEAST, log_cost))
