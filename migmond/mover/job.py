"""One item on its way through the copying thread."""

from __future__ import annotations

import os

from migmond.domain.entry import EntryType, Lost
from migmond.domain.fault import Fault
from migmond.domain.states import Outcome
from migmond.mover.context import Context
from migmond.mover.group import Arrival, Copied
from migmond.mover.versions import as_found
from migmond.wire.items import CopyResult, Seen, WorkItem


class Failed(Exception):
    """The task at hand fails with `fault`."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(fault.message)
        self.fault = fault


class Job:
    """One item on its way: where it comes from and where it goes. `item` is replaced when it is taken as found."""

    __slots__ = (
        "attempt",
        "bare",
        "birth_ns",
        "broken",
        "existing",
        "found_at",
        "group",
        "item",
        "looked_aside",
        "name",
        "ours",
        "path",
        "root",
        "seen",
        "source_dir",
        "source_name",
        "standing",
        "target_dir",
    )

    def __init__(self, item: WorkItem, root: int, path: bytes, group: int, source_name: bytes, name: bytes) -> None:
        self.item = item
        self.root = root
        self.path = path
        self.group = group
        self.source_name = source_name
        self.name = self.standing = name
        self.source_dir = self.target_dir = -1
        self.bare = False
        self.birth_ns = 0
        self.attempt = 0
        self.looked_aside = False
        self.broken = False
        """It is a further name of a file, and becomes a file of its own."""
        self.existing: os.stat_result | None = None
        """What has the name `standing`: its own, or the one that an earlier copy of it was given."""
        self.seen: Seen | None = None
        """The source's version that is copied, when it is another one than was promised."""
        self.found_at = -1
        """The root at whose target it stands already, when that is another one than it is sent to."""
        self.ours = False
        """What has the name is our own copy of an earlier version."""

    @property
    def made(self) -> Outcome:
        """How a copy of it comes to be."""
        if self.item.leader_root >= 0 and not self.broken:
            return Outcome.LINKED
        return Outcome.COPIED if self.item.type is EntryType.FILE else Outcome.CREATED

    def take(self, source: os.stat_result) -> None:
        """The source is looked at: when any version of it will do, this one is what is promised from now on."""
        if self.item.as_found:
            self.item, self.seen = as_found(self.item, source)

    def new_temporary(self, context: Context) -> bytes:
        """Begin an attempt: return a name that nobody has written under before."""
        self.attempt = context.next_attempt()
        return context.temporary(self.item.number, self.attempt)

    def left(self, outcome: Outcome, fault: Fault | None = None) -> Copied:
        """It is not copied, and this is why."""
        return Copied(CopyResult(self.item.number, 0, outcome, Lost.NOTHING, None, 0, 0, fault), None)

    def member(
        self,
        outcome: Outcome,
        inode: int,
        *,
        lost: Lost = Lost.NOTHING,
        digest: bytes | None = None,
        temporary: bytes = b"",
        placed: bytes = b"",
        as_of_ns: int = 0,
    ) -> Copied:
        """Its copy is complete and a member of the commit group; see `group.Arrival`."""
        item = self.item
        if self.broken:
            lost |= Lost.LINKS
        file = item.type is EntryType.FILE
        size = item.size if file else 0
        check = digest if file and outcome is not Outcome.LINKED else None
        attempt = self.attempt if temporary else 0
        root = self.root if self.found_at < 0 else self.found_at
        return Copied(
            CopyResult(
                item.number, self.group, outcome, lost, digest, inode, size, None, self.seen, self.birth_ns, attempt,
                self.found_at,
            ),
            Arrival(
                item.number, root, self.path, self.name, temporary, placed, item.mtime_ns, size, check, inode,
                as_of_ns,
            ),
        )  # fmt: skip
