"""Device numbers as the journal has them: those that the sources had when they were opened for the first time."""

from __future__ import annotations

from collections.abc import Iterable


class DeviceNumbers:
    """A disk may have another number whenever it is mounted again, and another disk may have its number then. In the
    journal a number stands for one file system all the same: it tells which names are of one inode, and what can be
    renamed.

    Args:
        sources: of each source the number that the journal has (0: none yet), and the one that it has now.
    """

    def __init__(self, sources: Iterable[tuple[int, int]]) -> None:
        self._recorded = {now: recorded for recorded, now in sources if recorded not in (0, now)}
        self._given_away = frozenset(self._recorded.values()) - self._recorded.keys()

    def recorded(self, now: int) -> int:
        """Return the journal's number for the file system whose st_dev is `now`.

        Another one that has a source's old number by now gets a number that no device has. Of file systems mounted
        below a source nobody knows what their numbers were: they keep those of today.
        """
        if now in self._given_away:
            return -now
        return self._recorded.get(now, now)
