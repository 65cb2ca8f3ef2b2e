"""What all parts of a mover share."""

from __future__ import annotations

import ctypes
import errno
from collections.abc import Callable

from migmond.domain.fault import Fault, Phase
from migmond.domain.plan import Operation, VerifyLevel
from migmond.fsys.beneath import make_directories, open_directory
from migmond.fsys.content import PairMemory
from migmond.fsys.deletes import Deletes
from migmond.fsys.hashing import hashes
from migmond.fsys.listing import lister
from migmond.fsys.metadata import Rights
from migmond.fsys.small_files import SmallFiles
from migmond.fsys.times import TimeMemory
from migmond.fsys.xattrs import has_default_acl
from migmond.mover.anchors import AWAY, OTHER_FILE_SYSTEM
from migmond.mover.aside import aside_name
from migmond.mover.control import Controls
from migmond.mover.device_numbers import DeviceNumbers
from migmond.mover.devices import Devices
from migmond.mover.directory_cache import DirectoryCache, OpenDirectory
from migmond.mover.kinds import Kinds, marks
from migmond.mover.root import Root
from migmond.mover.temporaries import temporary_name
from migmond.wire.from_mover import FromMover
from migmond.wire.items import MoverOptions


class Context:
    """The opened plan, and where to send what becomes of it. `send` may be called by any thread.

    Attributes:
        small_files, deletes: None without machine code.
        kinds: what the copying thread finds out.

    Args:
        library: the machine code, None when everything is to be done by Python.
        sources: see `wire.to_mover.Open`.
        mover: what the daemon calls this mover and no other one, of this run or any other (see `wire.to_mover.Work`).
    """

    def __init__(
        self,
        roots: list[Root],
        options: MoverOptions,
        controls: Controls,
        send: Callable[[FromMover], None],
        library: ctypes.CDLL | None = None,
        sources: int = 0,
    ) -> None:
        self._sources = sources
        self.roots = roots
        self.options = options
        self.controls = controls
        self.send = send
        self.small_files = SmallFiles(library, controls.slot.memory, marks()) if library is not None else None
        self.list_directory = lister(library, controls.looks_at_once)
        self.deletes = Deletes(library, controls.slot.memory) if library is not None else None
        self.rights = Rights.of_process()
        self.memory = PairMemory(hashes(library))
        self.times = TimeMemory()
        self.devices = Devices()
        self.device_numbers = DeviceNumbers((r.recorded_device, r.info.source_device) for r in roots if not r.gone)
        self.kinds = Kinds()
        self.hashing = options.verify is not VerifyLevel.NONE
        self.moving = options.operation is Operation.MOVE
        self.mover = b"000000000000-0"
        self._own_prefix = b".migmond-%s-" % options.execution.encode()
        self._attempts = 1
        self._no_rename: set[int] = set()

    def next_attempt(self) -> int:
        """Return the number of an attempt; this mover has no other one of that number."""
        return self.next_attempts(1)

    def next_attempts(self, count: int) -> int:
        """Return the first of `count` numbers in a row."""
        first = self._attempts
        self._attempts += count
        return first

    def temporary(self, number: int, attempt: int) -> bytes:
        """Return the temporary name of a task's copy in this mover's `attempt`."""
        return temporary_name(self.options.execution, number, b"%s-%d" % (self.mover, attempt))

    def aside(self, number: int) -> bytes:
        """Return the private name of a task's source while it is being deleted: see `mover.aside`."""
        return aside_name(self.options.execution, number)

    @property
    def aside_prefix(self) -> bytes:
        """What private names begin with, before the task's number."""
        return self._own_prefix

    def is_aside(self, name: bytes) -> bool:
        return name.startswith(self._own_prefix) and name.endswith(b".source")

    def beside(self, root: int) -> list[int]:
        """Return the other roots that have the source of `root`: its targets at other destinations."""
        if not self._sources:
            return []
        source, those = self.roots[root].spec.source, range(root % self._sources, len(self.roots), self._sources)
        return [i for i in those if i != root and self.roots[i].spec.source == source]  # a rollback's have others

    def may_rename(self, root: int) -> bool:
        return self.options.rename and root not in self._no_rename

    def no_rename(self, root: int) -> None:
        """Renaming crosses file systems (or bind mounts) here: copy from now on."""
        self._no_rename.add(root)

    def source_directories(self) -> DirectoryCache:
        """Return a new cache of source directories."""
        cross = not self.options.one_file_system

        def opener(root: int, path: bytes) -> OpenDirectory:
            return OpenDirectory(open_directory(self.roots[root].source_fd, path, cross_mounts=cross))

        return DirectoryCache(opener)

    def target_directories(self, *, make: bool) -> DirectoryCache:
        """Return a new cache of target directories; `make` makes missing ones."""

        def make_missing(root: int, path: bytes) -> OpenDirectory:
            root_fd, fresh = self.roots[root].target_fd(), False
            try:
                fd = open_directory(root_fd, path)
            except FileNotFoundError:
                fd, fresh = make_directories(root_fd, path), True
            self.devices.note(fd)
            return OpenDirectory(fd, fresh=fresh, bare=not has_default_acl(fd))

        def opener(root: int, path: bytes) -> OpenDirectory:
            fd = open_directory(self.roots[root].target_fd(make=False), path)
            self.devices.note(fd)
            return OpenDirectory(fd)

        return DirectoryCache(make_missing if make else opener)


def fault_of(phase: Phase, error: OSError) -> Fault:
    """Return the fault that `error` means; a symlink where a directory should be gets words of its own."""
    if error.strerror == AWAY:
        return Fault(phase, "destination_away", 0, AWAY)
    if error.errno == errno.ESTALE and error.strerror == OTHER_FILE_SYSTEM:
        return Fault(phase, "target_changed", errno.ESTALE, OTHER_FILE_SYSTEM)
    if error.errno == errno.ELOOP:
        return Fault(phase, "ELOOP", errno.ELOOP, "a symlink stands where it must not: it is not followed")
    return Fault.from_oserror(phase, error)
