"""The process: a thread that reads messages, one that copies, one that commits."""

from __future__ import annotations

import contextlib
import ctypes
import mmap
import os
import queue
import signal
import socket
import sys
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable

from migmond.domain.activity import Activity
from migmond.domain.fault import Phase
from migmond.domain.names import to_text
from migmond.domain.packing import Unpacker, pack
from migmond.fsys import machine_code
from migmond.fsys.closing import close_unwritten
from migmond.fsys.facts import target_facts
from migmond.fsys.io_priority import IoPriority, set_io_priority
from migmond.mover.backups import BackupRestorer
from migmond.mover.browse import browse
from migmond.mover.budget import Budget
from migmond.mover.commit import Committer
from migmond.mover.context import Context, fault_of
from migmond.mover.control import Controls
from migmond.mover.copy import Copier
from migmond.mover.delete import Remover
from migmond.mover.directories import DirectoryWorker
from migmond.mover.examine import Examiner
from migmond.mover.group import Block, Group
from migmond.mover.identity import become
from migmond.mover.locate import Locator
from migmond.mover.root import Refused
from migmond.mover.roots import open_roots
from migmond.mover.salvage import Salvager
from migmond.mover.scan import Walker
from migmond.mover.settle import Settler
from migmond.mover.survey import survey
from migmond.mover.verify import Rereader
from migmond.wire.framing import FrameReader, frame
from migmond.wire.from_mover import Copied, Crashed, FromMover, Opened, OpenFailed, Probed
from migmond.wire.items import CopyResult
from migmond.wire.mover import MAX_FRAME_BYTES
from migmond.wire.slots import SLOT_BYTES, MoverSide
from migmond.wire.to_mover import (
    AddRoots,
    Become,
    Browse,
    Delete,
    Examine,
    Flush,
    Join,
    Locate,
    MakeDirectories,
    Open,
    Probe,
    Publish,
    PutBack,
    RemoveDirectories,
    RenameRoot,
    RestoreBackups,
    Salvage,
    Scan,
    Settle,
    Stop,
    Survey,
    Sweep,
    ToMover,
    Verify,
    Work,
)
from migmond.wire.work import PlainCopies

_ACTIVITY_OF: dict[type, Activity] = {
    Work: Activity.METADATA,
    Delete: Activity.DELETE,
    PutBack: Activity.DELETE,
    MakeDirectories: Activity.DIRECTORIES,
    RemoveDirectories: Activity.DIRECTORIES,
    Scan: Activity.SCAN,
    Verify: Activity.VERIFY,
    Examine: Activity.SCAN,
    Locate: Activity.SCAN,
}
"""What the rest of the time belongs to that a message takes; all others are OTHER."""

_RECEIVE_BYTES = 1 << 20
_IDLE_POLL_S = 0.02
_LONE_SYNC_S = 0.2
"""How long published groups wait for a sync that comes anyway before one is made for them alone."""


class Connection:
    """The socket to the daemon; `send` is safe in every thread.

    Attributes:
        descriptors: that came with messages, in their order; whoever takes one closes it.
    """

    def __init__(self, fd: int) -> None:
        self._socket = socket.socket(fileno=fd)
        self._lock = threading.Lock()
        self.descriptors: deque[int] = deque()

    def send(self, message: FromMover) -> None:
        """Send one message. When the daemon is gone there is nobody to act for: the process ends at once."""
        try:
            with self._lock:
                self._socket.sendall(frame(pack(message)))
        except OSError:
            os._exit(1)

    def receive(self, handle: Callable[[ToMover], None]) -> None:
        """Hand each message to `handle` until the daemon closes, or is gone."""
        reader = FrameReader(MAX_FRAME_BYTES)
        unpacker: Unpacker[ToMover] = Unpacker(ToMover)
        while data := self._receive_some():
            for payload in reader.feed(data):
                handle(unpacker.unpack(payload))

    def _receive_some(self) -> bytes:
        """Return what has come; b"" at the end. A daemon that was killed while something of ours was on its way to it
        ends in a reset: that is an end like any other."""
        try:
            data, descriptors, _, _ = socket.recv_fds(self._socket, _RECEIVE_BYTES, 4, socket.MSG_CMSG_CLOEXEC)
        except OSError:
            return b""
        self.descriptors.extend(descriptors)
        return data


class Worker:
    """The copying thread: everything that is asked of the mover, in order, but committing."""

    def __init__(self, context: Context, committer: Committer) -> None:
        self._context = context
        self._committer = committer
        self._copier = Copier(context)
        self._remover = Remover(context)
        self._directories = DirectoryWorker(context)
        self._settler = Settler(context)
        self._rereader = Rereader(context)
        self._examiner = Examiner(context)
        self._backups = BackupRestorer(context)
        self._locator = Locator(context)
        self._walker = Walker(context)
        self._inbox: queue.SimpleQueue[ToMover] = queue.SimpleQueue()
        self._group = Group(1)

    def give(self, message: ToMover) -> None:
        """Queue a message; Publish goes to the committing thread."""
        if isinstance(message, Publish):
            self._committer.publish(message)
        else:
            self._inbox.put(message)

    def run(self) -> None:
        """Work until Stop."""
        meter = self._context.controls.slot.meter
        while True:
            try:
                message = self._inbox.get(timeout=_IDLE_POLL_S if self._waiting else None)
            except queue.Empty:
                self._seal_if_due(idle=True)
                meter.lap(Activity.WAITING)
                continue
            meter.lap(Activity.WAITING)
            if isinstance(message, Stop):
                return
            self._handle(message)
            self._seal_if_due(idle=False)
            meter.lap(_ACTIVITY_OF.get(type(message), Activity.OTHER))
            if self._remover.due(time.monotonic(), idle=self._inbox.empty()):
                self._remover.sync()
                meter.lap(Activity.SYNC)

    @property
    def _waiting(self) -> bool:
        return bool(self._group.entries) or self._committer.waiting_for_sync

    def _handle(self, message: ToMover) -> None:
        match message:
            case Work():
                self._work(message)
            case Flush():
                self._seal()
            case Delete():
                self._remover.delete(message)
            case PutBack():
                self._remover.put_back(message)
            case MakeDirectories():
                self._directories.make(message)
            case RemoveDirectories():
                self._copier.forget_directories()
                self._directories.remove(message)
            case Settle():
                self._settler.settle(message)
            case Sweep():
                self._settler.sweep(message)
            case Verify():
                self._rereader.verify(message)
            case Examine():
                self._examiner.examine(message)
            case RestoreBackups():
                self._backups.restore(message)
            case Locate():
                self._locator.locate(message)
            case Salvage():
                Salvager(self._context).salvage(message)
            case RenameRoot():
                self._settler.rename_root(message)
            case Scan():
                if self._walker.add(message):
                    self._walker.run()
            case AddRoots():
                self._add_roots(message)
            case Probe():
                self._context.send(self._probe())
            case Survey():
                self._survey(message)
            case _:
                raise ValueError(f"unexpected message {type(message).__name__}")

    def _work(self, message: Work) -> None:
        results: list[CopyResult] = []
        plain: list[PlainCopies] = []
        group = self._group
        self._context.mover = message.mover
        self._copier.begin_batch()
        for directory in message.directories:
            if directory.tidy:
                self._copier.tidy(directory.root, directory.path, frozenset(message.dead))
            for copied in self._copier.copy_directory(directory, group.number):
                if isinstance(copied, Block):
                    plain.append(PlainCopies(group.number, copied.copies, copied.hashed))
                    group.add_block(copied)
                    continue
                results.append(copied.result)
                if copied.arrival is not None:
                    group.add(copied.arrival)
        self._context.controls.slot.no_file()
        # Before the group is sealed: the daemon must know all members when it hears that they are synced.
        context = self._context
        totals, kinds = context.controls.totals, context.kinds.take()
        context.send(Copied(message.batch, tuple(results), *totals, tuple(plain), kinds))

    def _seal_if_due(self, *, idle: bool) -> None:
        now = time.monotonic()
        lone = idle and not self._group.entries and self._committer.waiting_for_sync
        if self._group.due(self._context.options, now, idle=idle) or (
            lone and now - self._committer.last_publish_at >= _LONE_SYNC_S
        ):
            self._seal()

    def _seal(self) -> None:
        group = self._group
        if group.entries:
            self._group = Group(group.number + 1)
            self._committer.seal(group)
        else:
            self._committer.seal(Group(0))

    def _add_roots(self, message: AddRoots) -> None:
        try:
            self._context.roots += open_roots(message.opening, self._context.roots)
        except Refused as e:
            self._context.send(e.answer)
            os._exit(0)

    def _survey(self, message: Survey) -> None:
        try:
            survey(self._context, message)
        except Refused as e:  # something else has a root's name since it was opened
            self._context.send(e.answer)

    def _probe(self) -> Probed | OpenFailed:
        facts = []
        for root in self._context.roots:
            try:
                fd = root.existing_target_fd()
                try:
                    facts.append(target_facts(fd))
                finally:
                    close_unwritten(fd)
            except Refused as e:  # something else has its name since it was opened
                return e.answer
            except OSError as e:
                fault = fault_of(Phase.OPEN, e)
                message = f"cannot look at the destination: {to_text(root.spec.target)} ({fault.message})"
                return OpenFailed(fault, message, "is its disk there?", root.spec.target)
        return Probed(tuple(facts))


class Process:
    """Puts it together: the first messages say for whom and open the plan, all others go to the worker."""

    def __init__(self, connection: Connection, slot: MoverSide, library: ctypes.CDLL | None) -> None:
        self._connection = connection
        self._library = library
        self._controls = Controls(slot)
        self._worker: Worker | None = None
        self._ready = os.geteuid() != 0
        """Nothing is opened with root's rights before it is said that they are meant."""

    def handle(self, message: ToMover) -> None:
        """Take one message in."""
        if isinstance(message, Join):
            self._controls.join(Budget(self._connection.descriptors.popleft(), self._library))
        elif self._worker is not None:
            self._worker.give(message)
        elif isinstance(message, Become):  # there is one thread yet, and everything is loaded
            become(message.uid, message.gid, message.groups)
            self._ready = True
        elif isinstance(message, Open) and self._ready:
            self._open(message)
        elif isinstance(message, Browse) and self._ready:
            self._connection.send(browse(message))
            os._exit(0)
        else:
            raise ValueError(f"{type(message).__name__} before Open")

    def _open(self, message: Open) -> None:
        try:
            roots = open_roots(message)
        except Refused as e:
            self._connection.send(e.answer)
            os._exit(0)
        with contextlib.suppress(OSError):  # before there are other threads; where nobody heeds it nothing is lost
            set_io_priority(IoPriority(message.options.io_priority))
        library = self._library if message.options.machine_code else None
        context = Context(roots, message.options, self._controls, self._connection.send, library, message.sources)
        committer = Committer(context)
        self._worker = Worker(context, committer)
        self._connection.send(Opened(tuple(r.info for r in roots), tuple(r.own for r in roots)))
        for run in (self._worker.run, committer.run):
            threading.Thread(target=self._guarded, args=(run,), daemon=True).start()

    def _guarded(self, run: Callable[[], None]) -> None:
        """A bug in one thread ends the process, loudly: half a mover would be worse than none."""
        try:
            run()
        except BaseException as e:  # the boundary of the thread: told, then the process ends
            traceback.print_exc()
            self._connection.send(Crashed(f"{type(e).__name__}: {e}"))
        os._exit(1)


def main() -> None:
    """Run a mover on the inherited socket and slot, whose fds are the arguments."""
    socket_fd, slot_fd = int(sys.argv[1]), int(sys.argv[2])
    os.set_inheritable(socket_fd, False)  # noqa: FBT003
    os.umask(0)  # every mode that is asked for is meant
    signal.signal(signal.SIGIO, signal.SIG_IGN)  # somebody wants to write what we have a lease on: it waits a moment
    page = mmap.mmap(slot_fd, SLOT_BYTES)
    os.close(slot_fd)
    # The copying and the committing thread hand over the interpreter often: short turns keep both going.
    sys.setswitchinterval(0.001)
    connection = Connection(socket_fd)
    process = Process(connection, MoverSide(page), machine_code.load())
    connection.receive(process.handle)
    os._exit(0)
