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
        """Change the rate from `now` on (monotonic seconds).

        A debt is paid at the new rate when that is the higher one, and takes no longer than it would have at the old
        one when it is not: whichever way a limit is changed, it holds at once.
        """
        if rate == self._rate:
            return
        tokens = 0.0
        if rate > 0 and self._rate > 0:
            tokens = self._level(now) * min(1.0, rate / self._rate)
        self._rate, self._tokens, self._at = rate, tokens, now

    def _level(self, now: float) -> float:
        return min(self._burst_s * self._rate, self._tokens + (now - self._at) * self._rate)

    def take(self, amount: float, now: float) -> float:
        """Take `amount` and return how many seconds to wait before going on. Taking 0 tells how long it still is."""
        if self._rate <= 0:
            return 0.0
        self._tokens = self._level(now) - amount
        self._at = now
        return max(0.0, -self._tokens / self._rate)
