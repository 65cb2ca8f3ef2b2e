"""Where directories lie: a bounded memory of number → path in front of the journal."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Mapping

from migmond.domain.entry import EntryType
from migmond.domain.task import Directory, Listing, Task
from migmond.ports import Journal
from migmond.wire.items import NamedTasks

CAPACITY = 50_000
"""Directories remembered; about 150 bytes each."""


class Places:
    """Resolves directory numbers of one execution. Number 0 (no directory) never occurs here."""

    def __init__(self, journal: Journal, key: int) -> None:
        self._journal = journal
        self._key = key
        self._known: OrderedDict[int, Directory] = OrderedDict()

    def add(self, directory: Directory) -> None:
        """Remember one; the least recently used are forgotten."""
        self._known[directory.number] = directory
        self._known.move_to_end(directory.number)
        if len(self._known) > CAPACITY:
            self._known.popitem(last=False)

    def learn(self, listing: Listing) -> None:
        """Remember the directories in a listing whose own directory is known."""
        parent = self._known.get(listing.directory)
        if parent is None:
            return
        for position, entry in enumerate(listing.entries):
            if entry.type is EntryType.DIRECTORY:
                path = parent.path + b"/" + entry.name if parent.path else entry.name
                self.add(Directory(listing.first + position, parent.root, path))

    async def find(self, numbers: Iterable[int]) -> dict[int, Directory]:
        """Return where all of `numbers` are."""
        found: dict[int, Directory] = {}
        missing: list[int] = []
        for number in set(numbers):
            place = self._known.get(number)
            if place is None:
                missing.append(number)
            else:
                self._known.move_to_end(number)
                found[number] = place
        if missing:
            for number, place in (await self._journal.places(self._key, missing)).items():
                self.add(place)
                found[number] = place
        return found


def by_directory(tasks: Iterable[Task], places: Mapping[int, Directory]) -> tuple[NamedTasks, ...]:
    """Return numbers and names of `tasks` as movers are told them, those of one directory together.

    Args:
        places: where each of them lies, by its number.
    """
    found: dict[tuple[int, bytes], list[tuple[int, bytes]]] = {}
    for task in tasks:
        place = places[task.number]
        found.setdefault((place.root, place.path), []).append((task.number, task.name))
    return tuple(NamedTasks(root, path, tuple(items)) for (root, path), items in found.items())
