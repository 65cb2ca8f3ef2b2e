"""Open directories, the least recently used closed: one open serves all files of a directory."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

import msgspec

from migmond.fsys.closing import close_unwritten

CAPACITY = 128


class OpenDirectory(msgspec.Struct, frozen=True, gc=False):
    """A directory and what need not be asked again for every file in it.

    Attributes:
        fresh: it was made just now: no name in it is taken by anybody else's file.
        bare: it has no default ACL: a new file in it has the mode that it is made with and no attributes.
    """

    fd: int
    fresh: bool = False
    bare: bool = False


class DirectoryCache:
    """Directories below the roots, by (root, path). For one thread.

    Args:
        opener: opens the directory; raises OSError.
    """

    def __init__(self, opener: Callable[[int, bytes], OpenDirectory]) -> None:
        self._opener = opener
        self._open: OrderedDict[tuple[int, bytes], OpenDirectory] = OrderedDict()
        self._last: tuple[int, bytes] | None = None
        self._last_directory = OpenDirectory(-1)

    def get(self, root: int, path: bytes) -> int:
        """Return the directory's fd; it stays the cache's, valid until the next call."""
        return self.look(root, path).fd

    def look(self, root: int, path: bytes) -> OpenDirectory:
        """Return the directory with what is known of it; its fd is valid until the next call."""
        key = (root, path)
        if key == self._last:
            return self._last_directory
        directory = self._open.get(key)
        if directory is None:
            directory = self._opener(root, path)
            self._open[key] = directory
            if len(self._open) > CAPACITY:
                close_unwritten(self._open.popitem(last=False)[1].fd)
        else:
            self._open.move_to_end(key)
        self._last, self._last_directory = key, directory
        return directory

    def clear(self) -> None:
        for directory in self._open.values():
            close_unwritten(directory.fd)
        self._open.clear()
        self._last = None
