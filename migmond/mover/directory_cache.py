"""Open directory fds, the least recently used closed: one open serves all files of a directory."""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Callable

CAPACITY = 128


class DirectoryCache:
    """Directories below the roots, by (root, path). For one thread.

    Args:
        opener: opens the directory; raises OSError.
    """

    def __init__(self, opener: Callable[[int, bytes], int]) -> None:
        self._opener = opener
        self._open: OrderedDict[tuple[int, bytes], int] = OrderedDict()

    def get(self, root: int, path: bytes) -> int:
        """Return the directory's fd; it stays the cache's, valid until the next call."""
        key = (root, path)
        fd = self._open.get(key)
        if fd is None:
            fd = self._opener(root, path)
            self._open[key] = fd
            if len(self._open) > CAPACITY:
                os.close(self._open.popitem(last=False)[1])
        else:
            self._open.move_to_end(key)
        return fd

    def clear(self) -> None:
        for fd in self._open.values():
            os.close(fd)
        self._open.clear()
