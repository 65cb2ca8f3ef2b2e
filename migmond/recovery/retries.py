"""How much is tried again: a budget, so that a storm of errors does not multiply the load, and what a run has learnt of
which errors go away by themselves."""

from __future__ import annotations

import msgspec

BURST = 50.0
"""Retries that need no success before them. As Finagle's RetryBudget has `minRetriesPerSec` and gRPC `maxTokens`: a
small migration, or the beginning of one, may always try again."""
SHARE = 0.1
"""Retries that each entry that went well pays for: a tenth, as in gRPC's retry throttling (`tokenRatio`, proposal A6)
and the retry budget per client of the SRE book ("Handling Overload"). So errors add at most a tenth to the load."""
WINDOW_S = 60.0
"""In this time the burst comes back by itself: nothing that may be tried again waits for ever."""
MOST_SAVED = 500.0
"""A long time without errors does not pay for a storm."""


class RetryBudget:
    """Of one execution: in any time of T seconds, with n entries that went well in it, at most
    MOST_SAVED + n · SHARE + T · BURST / WINDOW_S retries begin. What is over waits; nothing is lost by it.

    Args:
        now: monotonic seconds.
    """

    def __init__(self, now: float) -> None:
        self._tokens = BURST
        self._at = now

    def earn(self, entries: int) -> None:
        """So many entries went well."""
        self._tokens = min(MOST_SAVED, self._tokens + entries * SHARE)

    def take(self, now: float) -> float:
        """Take a retry out of it.

        Returns:
            After how many seconds it may begin.
        """
        rate = BURST / WINDOW_S
        if self._tokens < BURST:
            self._tokens = min(BURST, self._tokens + max(0.0, now - self._at) * rate)
        self._at = max(self._at, now)
        self._tokens -= 1.0
        return max(0.0, -self._tokens / rate)


LEARN_AFTER = 20
"""Retries of a class that have ended before it is judged. With a true success share of 10 %, 20 failures in a row have
a probability of 0.12; the cost of that error is one attempt less for the next of them."""
HOPELESS = 0.05
"""A class of which less than this share is mended by trying again is tried once more only."""
FORGOTTEN_AFTER = 200
"""Outcomes are weighed down by half when there are so many: a disk that was plugged in again is believed."""
MOST_CLASSES = 1000
EXPLORE_EVERY = 10
"""Of a hopeless class every tenth error is tried as often as ever, or it could never be found that it mends again."""


class _Tried(msgspec.Struct):
    mended: float = 0.0
    failed: float = 0.0
    asked: int = 0


class Lessons:
    """What trying again has led to in this run, by class of error (its phase, kind and number)."""

    def __init__(self) -> None:
        self._classes: dict[str, _Tried] = {}

    def learn(self, fingerprint: str, *, mended: bool) -> None:
        """A retry of that class has ended: the entry went well, or failed again."""
        tried = self._classes.get(fingerprint)
        if tried is None:
            if len(self._classes) >= MOST_CLASSES:
                return
            tried = self._classes[fingerprint] = _Tried()
        if mended:
            tried.mended += 1
        else:
            tried.failed += 1
        if tried.mended + tried.failed >= FORGOTTEN_AFTER:
            tried.mended, tried.failed = tried.mended / 2, tried.failed / 2

    def share(self, fingerprint: str) -> float | None:
        """Return which share of the retries of that class mended it; None while too few have ended."""
        tried = self._classes.get(fingerprint)
        if tried is None or tried.mended + tried.failed < LEARN_AFTER:
            return None
        return tried.mended / (tried.mended + tried.failed)

    def attempts(self, fingerprint: str, most: int) -> int:
        """Return how many attempts an error of that class is worth, the first one included; at most `most`."""
        share = self.share(fingerprint)
        if share is None or share >= HOPELESS:
            return most
        tried = self._classes[fingerprint]
        tried.asked += 1
        return most if tried.asked % EXPLORE_EVERY == 0 else min(most, 2)
