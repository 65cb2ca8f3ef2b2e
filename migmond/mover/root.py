"""One opened source and its target."""

from __future__ import annotations

import errno
import os
import threading

from migmond.domain.entry import EntryType
from migmond.domain.fault import Fault, Phase
from migmond.domain.names import to_text
from migmond.fsys.root_path import FOREIGN_SYMLINK, make_root, open_root
from migmond.mover.anchors import AWAY, stay_on
from migmond.wire.from_mover import OpenFailed
from migmond.wire.items import RootInfo, RootSpec


class Refused(Exception):
    """The roots do not fit; `answer` says why."""

    def __init__(self, answer: OpenFailed) -> None:
        super().__init__(answer.message)
        self.answer = answer


class Root:
    """One source and its target.

    `target_on`: the file system that the target was on when the plan was started, or when it was opened.
    `own`: what of the daemon's own is in the source, for people.
    `recorded_device`: the source's device number in the journal, 0 when it has none yet.
    `away`: the target's disk is not there, and nothing is to be brought to it; see `wire.to_mover.Open`.
    `gone`: the source was moved away already; a stand-in is open in its place.

    For a directory, `source_fd` and `target_fd` are the directories themselves and the names are b"". For anything
    else they are the parents, and the names are the entry's names there.
    """

    def __init__(self, spec: RootSpec, info: RootInfo, source_fd: int, source_name: bytes, target_name: bytes) -> None:
        self.spec = spec
        self.info = info
        self.source_fd = source_fd
        self.source_name = source_name
        self.target_name = target_name
        self.gone = self.away = False
        self.own = ""
        self.recorded_device = 0
        self.target_on = info.anchor.file_system
        self._target_fd = -1
        self._opening = threading.Lock()

    @property
    def single(self) -> bool:
        return self.info.type is not EntryType.DIRECTORY

    @property
    def target_directory(self) -> bytes:
        return os.path.dirname(self.spec.target) if self.single else self.spec.target

    def target_fd(self, *, make: bool = True) -> int:
        """Return the target directory, opened once: whatever gets its name later, what was opened is meant.

        Args:
            make: make it and its parents when missing.

        Raises:
            OSError: it cannot be opened or made; ESTALE: another file system is mounted there now.
        """
        if self.away:
            raise OSError(errno.ESTALE, AWAY)
        with self._opening:
            if self._target_fd < 0:
                self._target_fd = self._open_target(make=make)
            return self._target_fd

    def _open_target(self, *, make: bool) -> int:
        try:
            fd = open_root(self.target_directory)
        except FileNotFoundError:
            if not make:
                raise
            try:
                os.close(self.existing_target_fd())  # nothing is made on another file system
            except Refused as e:
                raise OSError(e.answer.fault.errno, e.answer.fault.message) from e
            fd = make_root(self.target_directory)
        return self._kept(fd)

    def existing_target_fd(self) -> int:
        """Open the target directory, or the nearest parent that exists. The caller closes it. Raises as `target_fd`,
        and Refused."""
        if self.away:
            raise OSError(errno.ESTALE, AWAY)
        return self._kept(open_nearest(self.target_directory)[0])

    def _kept(self, fd: int) -> int:
        try:
            stay_on(self.target_on, fd)
        except OSError:
            os.close(fd)
            raise
        return fd

    def names(self, name: bytes) -> tuple[bytes, bytes]:
        """Return an item's names at the source and at the target; a single root's item has the empty name."""
        return (name, name) if name else (self.source_name, self.target_name)


def open_nearest(path: bytes) -> tuple[int, bytes]:
    """Open `path` or its nearest parent that is a directory; returns fd and that path."""
    while True:
        try:
            return open_root(path or b"/"), path
        except (FileNotFoundError, NotADirectoryError):
            path = os.path.dirname(path.rstrip(b"/"))
        except OSError as e:
            raise refusal(e, path, "cannot open the destination") from e


def refusal(error: OSError, path: bytes, what: str) -> Refused:
    """Return what to raise for an error met while opening roots. `what`: what could not be done."""
    fault = Fault.from_oserror(Phase.OPEN, error)
    if error.strerror == FOREIGN_SYMLINK:
        fault = Fault(Phase.OPEN, "ELOOP", errno.ELOOP, FOREIGN_SYMLINK)
    hint = {
        errno.ENOENT: "check the spelling, or mount its disk",
        errno.EACCES: "run it as a user who may, or ask an admin for --privileged",
        errno.EPERM: "run it as a user who may, or ask an admin for --privileged",
        errno.ELOOP: "give the path that it leads to",
        errno.EROFS: "remount it for writing, or choose another destination",
    }.get(error.errno or 0, "")
    return Refused(OpenFailed(fault, f"{what}: {to_text(path)} ({fault.message})", hint, path))
