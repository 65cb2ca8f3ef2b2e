"""What a survey counts over all of its sources, and what of them is picked."""

from __future__ import annotations

import os

import msgspec

from migmond.domain.entry import EntryType
from migmond.domain.selector import Selector
from migmond.fsys import libc
from migmond.mover.kinds import look_into
from migmond.planning.selection import Candidate, Matcher

_LINKED_INODES = 500_000
"""Inodes of which further names are awaited. Beyond that every name counts by its share: memory stays bounded."""


class Counted:
    """Entries and bytes that are picked; the bytes of a file once, however many names it has.

    Attributes:
        links: names still to come, by device and inode.
    """

    def __init__(self, selector: Selector, now: float) -> None:
        """`now`: wall clock seconds, by which ages are judged."""
        self._matcher = None if selector.selects_all else Matcher(selector, now)
        self.links: dict[tuple[int, int], int] = {}
        self.entries = self.files = self.directories = self.bytes = 0

    @property
    def takes_all(self) -> bool:
        return self._matcher is None

    def picks(self, fd: int, path: bytes, kind: EntryType, st: libc.Stat) -> bool:
        """Whether the selector picks an entry of the directory `fd` that is no directory."""
        if self._matcher is None:
            return True
        candidate = Candidate(path, kind, st.size, st.mtime_total_ns)
        if self._matcher.may_pick(candidate):
            candidate = msgspec.structs.replace(candidate, content=look_into(fd, os.path.basename(path)))
        return self._matcher.picks(candidate)

    def names_met(self, st: libc.Stat) -> int:
        """Return how many names of the inode were met, this one included."""
        if st.links == 1:
            return 1
        key = (st.device, st.inode)
        left = self.links.get(key)
        if left is None:
            if len(self.links) < _LINKED_INODES:
                self.links[key] = st.links - 1
            return 1
        if left == 1:
            del self.links[key]
        else:
            self.links[key] = left - 1
        return st.links - left + 1
