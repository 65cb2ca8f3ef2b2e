"""How long to wait before trying again."""

from __future__ import annotations

import random

MAX_DELAY_S = 60.0
MIN_DELAY_S = 0.5


def next_delay(previous_s: float, rng: random.Random) -> float:
    """Decorrelated jitter: min(60, U(0.5, 3 · previous)) seconds (design page ETA, "Errors").

    `previous_s` is 0 at first.
    """
    return min(MAX_DELAY_S, rng.uniform(MIN_DELAY_S, max(MIN_DELAY_S, 3 * previous_s)))
