"""Disks that have been taken away: what is said of one ends with it. Pure: what is there comes in."""

from __future__ import annotations

import re
from collections.abc import Collection

LOOKS = 2
"""So many looks in a row must miss a device: one that resets its link is away for a moment."""
_NAMED_BY_THE_KERNEL = re.compile(
    r"(sd|vd|hd|xvd)[a-z]+\d*|(nvme\d+n\d+|mmcblk\d+|md\d+|nbd\d+|loop\d+)(p\d+)?|(dm-|sr|zram|bcache|drbd|rbd)\d+"
)
"""Names of block devices (Documentation/admin-guide/devices.txt and what drivers have added since). A collector may
call a device otherwise: whether that is there nobody can say."""


class Removed:
    """Remembers which devices were missed."""

    def __init__(self) -> None:
        self._missed: dict[str, int] = {}

    def look(self, asked: Collection[str], there: Collection[str] | None) -> frozenset[str]:
        """Return which devices have gone.

        Args:
            asked: names of devices that anything open is about.
            there: names of all block devices now; None when nobody could look: then nothing has gone.
        """
        if there is None:
            return frozenset()
        missing = {name for name in asked if _NAMED_BY_THE_KERNEL.fullmatch(name) and name not in there}
        self._missed = {name: self._missed.get(name, 0) + 1 for name in missing}
        return frozenset(name for name, looks in self._missed.items() if looks >= LOOKS)
