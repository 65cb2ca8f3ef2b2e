"""A token bucket. Pure: `now` is an argument."""

from __future__ import annotations


class Throttle:
    """Lets `rate` units a second pass, with bursts of at most `burst_s` seconds' worth.

    A rate of 0 is unlimited. Taking more than there is makes a debt: the caller waits until it is paid.
    """

    def __init__(self, burst_s: float = 0.1) -> None:
        self._burst_s = burst_s
        self._rate = 0.0
        self._tokens = 0.0
        self._at = 0.0

    def set_rate(self, rate: float, now: float) -> None:
        """Change the rate from `now` on (monotonic seconds); a debt made at the old rate is forgiven."""
        if rate != self._rate:
            self._rate, self._tokens, self._at = rate, 0.0, now

    def take(self, amount: float, now: float) -> float:
        """Take `amount` and return how many seconds to wait before going on."""
        if self._rate <= 0:
            return 0.0
        self._tokens = min(self._burst_s * self._rate, self._tokens + (now - self._at) * self._rate) - amount
        self._at = now
        return max(0.0, -self._tokens / self._rate)
