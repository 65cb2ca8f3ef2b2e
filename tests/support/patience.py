"""Waiting for what another process does: it sets no event, so it is looked for again and again."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")
_LOOK_S = 0.05


def until(found: Callable[[], T], what: str = "it", *, timeout_s: float = 60.0) -> T:
    """Return the first thing that `found` returns and that is true.

    Args:
        what: it is waited for, for people.
        timeout_s: seconds after which the test has failed.
    """
    end = time.monotonic() + timeout_s
    while not (it := found()):
        assert time.monotonic() < end, f"{what} did not come about within {timeout_s:.0f} s"
        time.sleep(_LOOK_S)
    return it
