"""The committing thread: sync, read back, publish. Copying of the next group goes on meanwhile."""

from __future__ import annotations

import contextlib
import itertools
import os
import queue
import stat
import time
from collections.abc import Iterator

from migmond.domain.activity import Activity
from migmond.domain.copy_times import pack_times
from migmond.domain.fault import Fault, Phase
from migmond.domain.states import Outcome
from migmond.fsys.closing import close_unwritten
from migmond.fsys.rename import stat_or_none
from migmond.fsys.reread import digest_past_cache
from migmond.fsys.times import same_time, tells_changes
from migmond.mover.conflict import place
from migmond.mover.context import Context, fault_of
from migmond.mover.group import Arrival, Block, Group, reads_back
from migmond.mover.temporaries import remove_temporary
from migmond.wire.from_mover import Published, Synced
from migmond.wire.items import ItemFault, PublishResult
from migmond.wire.slots import Doing
from migmond.wire.to_mover import Publish

_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
"""Without waiting for the writer of a fifo that somebody put in a copy's place."""


_AT_ONCE_NS = 1_000_000
"""Between the look before a name is given and the one after it; with more, anything may have happened in between."""

_NOT_OURS = Fault(
    Phase.PUBLISH, "copy_replaced", 0, "what has the temporary name is not the copy that was made and synced"
)
_TAKEN_MEANWHILE = Fault(
    Phase.PUBLISH, "taken_meanwhile", 0, "a file that looks equal got the name while this one was copied"
)


class _Named:
    """A group whose names wait for a sync: its members that have names, each with its own, and whole blocks of them."""

    def __init__(self) -> None:
        self.members: list[tuple[Arrival, bytes]] = []
        self.blocks: list[Block] = []

    def directories(self) -> set[tuple[int, bytes]]:
        return {(m.root, m.path) for m in self.blocks} | {(a.root, a.path) for a, _ in self.members}

    def numbers(self) -> Iterator[int]:
        for block in self.blocks:
            yield from block.numbers()
        yield from (a.number for a, _ in self.members)


class Committer:
    """Runs in a thread of its own; `seal`, `publish` and `sync` only queue."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._lane = context.controls.slot.commit
        self._targets = context.target_directories(make=False)
        self._jobs: queue.SimpleQueue[Group | Publish | None] = queue.SimpleQueue()
        self._groups: dict[int, Group] = {}
        self._published: dict[int, _Named] = {}
        self.last_publish_at = 0.0

    @property
    def waiting_for_sync(self) -> bool:
        """Groups are published but not durable yet."""
        return bool(self._published)

    def seal(self, group: Group) -> None:
        """Queue a group to be synced; number 0 with no members only makes published groups durable."""
        self._jobs.put(group)

    def publish(self, message: Publish) -> None:
        self._jobs.put(message)

    def run(self) -> None:
        """Work until the process ends."""
        meter = self._context.controls.slot.commit_meter
        while True:
            job = self._jobs.get()
            meter.lap(Activity.WAITING)
            if isinstance(job, Group):
                self._sync(job)
            elif job is not None:
                self._publish(job)
                meter.lap(Activity.PUBLISH)

    def _sync(self, group: Group) -> None:
        context = self._context
        published, self._published = self._published, {}
        durable = tuple(published)
        doubtful: dict[int, tuple[ItemFault, ...]] = {}
        self._lane.began(Doing.SYNCING, time.monotonic_ns())
        failures: list[ItemFault] = []
        try:
            context.devices.sync(self._directories_of(published))
        except OSError as e:
            # Nothing written since the last sync can be trusted, and the kernel says so only this once: all of the
            # group is copied again (design page HAZARDS 4, 5). What waited with its names stays where it is, for others
            # may count on it; whoever takes it up again reads it from its device.
            fault = Fault.from_oserror(Phase.SYNC, e)
            failures = [ItemFault(a.number, fault) for a in group.each()]
            doubtful = {g: tuple(ItemFault(n, fault) for n in named.numbers()) for g, named in published.items()}
            durable = ()
        else:
            context.controls.slot.commit_meter.lap(Activity.SYNC)
            if reads_back(context.options):
                failures = self._read_back(group)
                context.controls.slot.commit_meter.lap(Activity.VERIFY)
        self._lane.ended()
        if group.number:
            self._groups[group.number] = group
        context.send(Synced(group.number, tuple(failures), durable, doubtful))

    def _directories_of(self, published: dict[int, _Named]) -> Iterator[int]:
        for root, path in sorted({where for named in published.values() for where in named.directories()}):
            yield self._targets.get(root, path)

    def _read_back(self, group: Group) -> list[ItemFault]:
        """What was there already and is equal counts for a copy: its source is deleted as well."""
        failures: list[ItemFault] = []
        for arrival in group.each():
            if arrival.digest is None:
                continue
            self._lane.began(Doing.VERIFYING, time.monotonic_ns())
            try:
                fd = os.open(
                    arrival.temporary or arrival.placed,
                    _READ,
                    dir_fd=self._targets.get(arrival.root, arrival.path),
                )
                try:
                    digest, _ = digest_past_cache(fd, self._read, self._context.controls.piece)
                finally:
                    close_unwritten(fd)
            except OSError as e:
                failures.append(ItemFault(arrival.number, fault_of(Phase.VERIFY, e)))
                continue
            if digest != arrival.digest:
                fault = Fault(Phase.VERIFY, "hash_mismatch", 0, "the target read back differs from what was written")
                failures.append(ItemFault(arrival.number, fault))
        return failures

    def _read(self, count: int) -> None:
        self._lane.began(Doing.VERIFYING, time.monotonic_ns())
        self._context.controls.committed(count)

    def _publish(self, message: Publish) -> None:
        group = self._groups.pop(message.group)
        skip = frozenset(message.skip)
        results: list[PublishResult] = []
        named = _Named()
        as_of_ns: dict[int, int] = {}
        one_by_one: list[Arrival] = []
        for block in group.blocks:
            one_by_one += self._name_block(block, skip, named, as_of_ns)
            self._context.controls.committed()
        for arrival in itertools.chain(one_by_one, group.arrivals):
            self._context.controls.committed()
            began_ns = time.monotonic_ns()
            self._lane.began(Doing.PUBLISHING, began_ns)
            if arrival.number in skip:
                self._discard(arrival)
                continue
            result = self._publish_one(arrival)
            if result is not None:
                results.append(result)
            if result is None or result.target_name is not None:
                name = arrival.name if result is None else result.target_name or b""
                named.members.append((arrival, name))
                if at_ns := self._as_of(arrival, name, began_ns):
                    as_of_ns[arrival.number] = at_ns
        self._lane.ended()
        self._published[group.number] = named
        self.last_publish_at = time.monotonic()
        known = {number: at_ns for number, at_ns in as_of_ns.items() if tells_changes(at_ns)}
        if self._context.moving:
            self._context.send(Published(group.number, tuple(results), known))
        else:
            self._context.send(Published(group.number, tuple(results), copy_times=pack_times(known)))

    def _name_block(self, block: Block, skip: frozenset[int], named: _Named, as_of_ns: dict[int, int]) -> list[Arrival]:
        """Give what is whole its name where that is free, in one go; returns what has to be looked at one by one."""
        small_files = self._context.small_files
        if small_files is None or (skip and not skip.isdisjoint(block.numbers())):
            return list(block.arrivals())
        try:
            directory = self._targets.get(block.root, block.path)
        except OSError:  # told for each of them
            return list(block.arrivals())
        given, times = small_files.publish(directory, block.around, block.files.names, block.copies)
        as_of_ns |= {number: at_ns for number, at_ns in zip(block.numbers(), times, strict=False) if at_ns}
        if all(given):
            named.blocks.append(block)
            return []
        each = list(zip(block.arrivals(), given, strict=True))
        named.members += [(arrival, arrival.name) for arrival, has_it in each if has_it]
        return [arrival for arrival, has_it in each if not has_it]

    def _as_of(self, arrival: Arrival, name: bytes, began_ns: int) -> int:
        """Return the ctime of a copy that has just got its name, 0 where it may be that of something later.

        A rename moves ctime. Somebody who writes to the copy right afterwards, and sets its time back, moves it too:
        that must not be taken for the rename.
        """
        if not arrival.temporary:
            return arrival.as_of_ns
        with contextlib.suppress(OSError):
            st = stat_or_none(self._targets.get(arrival.root, arrival.path), name)
            if st is not None and st.st_ino == arrival.inode and time.monotonic_ns() - began_ns <= _AT_ONCE_NS:
                return st.st_ctime_ns
        return 0

    def _publish_one(self, arrival: Arrival) -> PublishResult | None:
        """Give it its name; None when it simply got its own."""
        if not arrival.temporary:
            placed_name = arrival.placed if arrival.placed != arrival.name else None
            return PublishResult(arrival.number, Outcome.NONE, placed_name, None) if placed_name else None
        try:
            directory = self._targets.get(arrival.root, arrival.path)
            if not self._is_whole(arrival, directory):
                self._discard(arrival)
                return PublishResult(arrival.number, Outcome.NONE, None, _NOT_OURS)
            policy = self._context.options.conflict
            placed = place(directory, arrival.temporary, arrival.name, policy, arrival.mtime_ns)
        except OSError as e:
            self._discard(arrival)
            return PublishResult(arrival.number, Outcome.NONE, None, fault_of(Phase.PUBLISH, e))
        if placed.name is not None:
            # rename(2) does nothing when both names are one inode already: the temporary would stay.
            if placed.name == arrival.name:
                return None
            return PublishResult(arrival.number, Outcome.NONE, placed.name, None)
        self._discard(arrival)
        if placed.fault is not None and self._looks_equal(arrival, directory):
            if self._by_content:  # the next try reads it
                return PublishResult(arrival.number, Outcome.NONE, None, _TAKEN_MEANWHILE)
            return PublishResult(arrival.number, Outcome.UNCHANGED, None, None)
        return PublishResult(arrival.number, placed.outcome, None, placed.fault)

    @property
    def _by_content(self) -> bool:
        """Equal size and time are not enough to call two files equal."""
        return self._context.moving or reads_back(self._context.options)

    @staticmethod
    def _is_whole(arrival: Arrival, directory: int) -> bool:
        """Whether its temporary is the inode that was synced, with all its bytes."""
        st = stat_or_none(directory, arrival.temporary)
        if st is None or st.st_ino != arrival.inode:
            return False
        return st.st_size == arrival.size or not stat.S_ISREG(st.st_mode)

    @staticmethod
    def _looks_equal(arrival: Arrival, directory: int) -> bool:
        """Whether the name was taken meanwhile by a file that looks equal: by another migration of the same tree, or by
        a mover of a daemon that was killed a moment ago."""
        st = stat_or_none(directory, arrival.name)
        if st is None or not stat.S_ISREG(st.st_mode):
            return False
        return st.st_size == arrival.size and same_time(arrival.mtime_ns, st)

    def _discard(self, arrival: Arrival) -> None:
        if arrival.temporary:
            with contextlib.suppress(OSError):
                remove_temporary(self._targets.get(arrival.root, arrival.path), arrival.temporary, arrival.inode)
