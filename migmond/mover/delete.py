"""Moves only: deletes sources, the ordinary ones by `quick_delete`, all others by `careful_delete`; and gives those
that a dead mover left aside their names back.

A delete is told when it is durable: a power cut would bring the source back, and nobody would come to delete it again.
"""

from __future__ import annotations

import errno
import os
import time

from migmond.domain.fault import Fault, Phase
from migmond.fsys.durable import sync_directory
from migmond.fsys.rename import stat_or_none
from migmond.mover.aside import NameTaken, put_back
from migmond.mover.aside_faults import kept_aside, left_aside, not_seen, of_error, of_unsafe, unreachable
from migmond.mover.careful_delete import CarefulRemover, Cramped, Pair
from migmond.mover.context import Context, fault_of
from migmond.mover.devices import Devices
from migmond.mover.quick_delete import QuickRemover
from migmond.mover.target_check import Place, Unsafe
from migmond.wire.from_mover import Deleted, PutBackDone
from migmond.wire.items import DeleteDirectory, DeleteItem, ItemFault, NamedTasks
from migmond.wire.slots import Doing
from migmond.wire.to_mover import Delete, PutBack

_MAX_WAIT_S = 0.25
"""How long answers wait for a sync that makes others durable as well."""

_NO_ROOM = Fault(Phase.DELETE, "ENOSPC", errno.ENOSPC, "the source's directory has no room for one more name")


class _Waiting:
    """A batch whose deletes are not durable yet: its tasks, and what is known to have gone wrong."""

    def __init__(self, message: Delete) -> None:
        self.batch = message.batch
        self.numbers = [i.number for d in message.directories for i in d.items]
        self.faults: dict[int, Fault] = {}

    def answer(self, unsynced: Fault | None) -> Deleted:
        if unsynced is not None:
            for number in self.numbers:
                self.faults.setdefault(number, unsynced)
        return Deleted(self.batch, tuple(ItemFault(n, f) for n, f in self.faults.items()))


class Remover:
    """Answers Delete and PutBack messages."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._devices = Devices()
        self._waiting: list[_Waiting] = []
        self._waiting_since = 0.0
        self._quick = QuickRemover(context)
        self._careful = CarefulRemover(self._step)

    def due(self, now: float, *, idle: bool) -> bool:
        """Whether `sync` is to be called: something waits for it, and nothing else is to be done, or for long enough.

        Args:
            now: monotonic seconds.
        """
        return bool(self._waiting) and (idle or now - self._waiting_since >= _MAX_WAIT_S)

    def sync(self) -> None:
        """Make the deletes durable and send their answers. Those that may not be durable fail with the sync: whoever
        tries them again finds them gone, and syncs again."""
        self._context.controls.slot.began(Doing.SYNCING, time.monotonic_ns())
        fault: Fault | None = None
        try:
            self._devices.sync()
        except OSError as e:
            fault = Fault.from_oserror(Phase.SYNC, e)
        self._context.controls.slot.ended()
        waiting, self._waiting = self._waiting, []
        for batch in waiting:
            self._context.send(batch.answer(fault))

    def delete(self, message: Delete) -> None:
        """Delete what is safe; Deleted goes out with the next `sync`."""
        batch = _Waiting(message)
        changed_by_us: dict[tuple[int, int], int] = {}
        for directory in message.directories:
            self._context.controls.slot.began(Doing.DELETING, time.monotonic_ns())
            self._delete_in(directory, changed_by_us, batch.faults)
        self._context.controls.slot.ended()
        if not self._waiting:
            self._waiting_since = time.monotonic()
        self._waiting.append(batch)

    def put_back(self, message: PutBack) -> None:
        """See `wire.to_mover.PutBack`."""
        done, faults = list[int](), dict[int, Fault]()
        for directory in message.directories:
            self._context.controls.slot.began(Doing.DELETING, time.monotonic_ns())
            done += self._put_back_in(directory, faults)
        if done:
            try:
                self._devices.sync()
            except OSError as e:
                faults |= {n: left_aside(self._context.aside(n), e, "after a power cut it may be") for n in done}
        self._context.controls.slot.ended()
        self._context.send(PutBackDone(message.batch, len(done), tuple(ItemFault(n, f) for n, f in faults.items())))

    def _put_back_in(self, directory: NamedTasks, faults: dict[int, Fault]) -> list[int]:
        """Return the tasks whose sources have their names again; say in `faults` why others have not."""
        context, done = self._context, list[int]()
        sources = context.source_directories()
        for number, name in directory.items:
            private, seen = context.aside(number), False
            try:
                source_dir = sources.get(directory.root, directory.path)
                seen = stat_or_none(source_dir, private) is not None
                if not seen:
                    continue
                self._devices.note(source_dir)
                if put_back(source_dir, private, context.roots[directory.root].names(name)[0]):
                    done.append(number)
                if self._devices.one_by_one(os.fstat(source_dir).st_dev):
                    sync_directory(source_dir)
            except NameTaken:
                faults[number] = kept_aside(private)
            except OSError as e:
                if seen:
                    faults[number] = left_aside(private, e)
                else:
                    faults[number] = unreachable(private) if e.errno == errno.ENOENT else not_seen(private, e)
        sources.clear()
        return done

    def _step(self, count: int) -> None:
        self._context.controls.slot.began(Doing.DELETING, time.monotonic_ns())
        self._context.controls.read(count)

    def _delete_in(
        self, directory: DeleteDirectory, changed_by_us: dict[tuple[int, int], int], faults: dict[int, Fault]
    ) -> None:
        context = self._context
        sources, targets = context.source_directories(), context.target_directories(make=False)
        try:
            # Also for what is gone already: a mover that died may have deleted it and not have come to the sync.
            self._devices.note(context.roots[directory.root].source_fd)
            try:
                source_dir = sources.get(directory.root, directory.path)
            except FileNotFoundError:  # that says nothing of what was in it: it may have got another name
                for item in directory.items:
                    faults[item.number] = unreachable(context.aside(item.number))
                return
            self._devices.note(source_dir)
            one_by_one = self._devices.one_by_one(os.fstat(source_dir).st_dev)
            target_dir = targets.get(directory.root, directory.path)
            items = self._quick.delete(directory, source_dir, target_dir, self._careful.put_back_at)
            pairs = [self._pair(item, directory.root, source_dir, target_dir) for item in items]
            cramped: list[Pair] = []
            for pair in pairs:
                context.controls.operations(1)
                if not self._try(pair, changed_by_us, faults):
                    cramped.append(pair)
            for pair in cramped:  # the deletes of the others, and of those before it here, have made room
                if not self._try(pair, changed_by_us, faults, in_place=True):
                    faults[pair.item.number] = _NO_ROOM
            if one_by_one:
                try:
                    sync_directory(source_dir)
                except OSError as e:
                    for item in directory.items:
                        faults.setdefault(item.number, Fault.from_oserror(Phase.SYNC, e))
        except OSError as e:
            fault = fault_of(Phase.DELETE, e)
            for item in directory.items:
                faults.setdefault(item.number, fault)
        finally:
            sources.clear()
            targets.clear()

    def _pair(self, item: DeleteItem, root: int, source_dir: int, target_dir: int) -> Pair:
        source_name, own_target = self._context.roots[root].names(item.name)
        return Pair(
            item,
            Place(source_dir, source_name),
            Place(target_dir, item.target_name or own_target),
            Place(source_dir, self._context.aside(item.number)),
        )

    def _try(
        self,
        pair: Pair,
        changed_by_us: dict[tuple[int, int], int],
        faults: dict[int, Fault],
        *,
        in_place: bool = False,
    ) -> bool:
        """Delete one source or say in `faults` why not; False when its directory has no room for its private name.

        Args:
            in_place: then it may be deleted without one.
        """
        number = pair.item.number
        try:
            self._careful.delete(pair, changed_by_us, in_place=in_place)
        except Unsafe as e:
            faults[number] = of_unsafe(e, pair.private)
        except NameTaken:
            faults[number] = kept_aside(pair.private.name)
        except Cramped:
            return False
        except OSError as e:
            faults[number] = of_error(e, pair.private)
        return True
