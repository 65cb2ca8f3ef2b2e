"""What random campaigns begin with: another seed every day, as `scripts/test` tells it, and one that stays without."""

from __future__ import annotations

import os

_UNTOLD = 7


def seed() -> int:
    """Return the seed that `MIGMOND_TEST_SEED` names.

    Raises:
        ValueError: it is no number.
    """
    return int(os.environ.get("MIGMOND_TEST_SEED") or _UNTOLD)


def share(count: int, of: int) -> int:
    """Return where a campaign of `count` trials begins, so that day after day all `of` of them come by turns."""
    return seed() * count % of
