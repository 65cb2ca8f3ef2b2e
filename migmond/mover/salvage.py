"""Saves what can be read of a damaged file. What it writes never has the file's own name: it is not complete."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import time

from migmond.domain.fault import Fault, Phase
from migmond.domain.names import to_text
from migmond.fsys.closing import close_unwritten
from migmond.fsys.durable import sync_file_system
from migmond.fsys.read_write import SourceUnreadable, read_at
from migmond.mover.context import Context, fault_of
from migmond.recovery.salvage import BLOCKS, SalvageMap
from migmond.wire.from_mover import Salvaged, Salvaging
from migmond.wire.to_mover import Salvage

SUFFIX = b".migmond-salvage"
MAP_SUFFIX = SUFFIX + b".map"
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_CREATE = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_PRIVATE = 0o600
TELL_EVERY_S = 0.5


class Salvager:
    """Answers Salvage."""

    def __init__(self, context: Context) -> None:
        self._context = context

    def salvage(self, message: Salvage) -> None:
        """Read by ranges, write what came, then the map; both are durable when Salvaged is sent."""
        context = self._context
        sources, targets = context.source_directories(), context.target_directories(make=True)
        source_name, name = context.roots[message.root].names(message.name)
        saved = name + SUFFIX, name + MAP_SUFFIX
        found, fault = SalvageMap(0), None
        context.controls.entry(message.number, 0, os.path.join(message.path, message.name))
        try:
            source = os.open(source_name, _READ, dir_fd=sources.get(message.root, message.path))
            try:
                st = os.fstat(source)
                if not stat.S_ISREG(st.st_mode):
                    raise OSError(errno.EINVAL, "it is no file")
                found = SalvageMap(st.st_size)
                self._save(source, targets.get(message.root, message.path), saved, found, message)
            finally:
                close_unwritten(source)
        except FileExistsError as e:
            taken = to_text(os.fsencode(e.filename)) if e.filename else "its name"
            fault = Fault(Phase.COPY, "exists", errno.EEXIST, f"{taken} is there already: remove or rename it first")
        except OSError as e:
            fault = fault_of(Phase.READ if isinstance(e, SourceUnreadable) else Phase.COPY, e)
        finally:
            context.controls.entry_done()
            context.controls.slot.no_file()
            sources.clear()
            targets.clear()
        context.send(Salvaged(message.number, found.size, tuple(found.ranges()), *saved, fault))

    def _save(self, source: int, directory: int, names: tuple[bytes, bytes], found: SalvageMap, asked: Salvage) -> None:
        target = os.open(names[0], _CREATE, _PRIVATE, dir_fd=directory)
        try:
            os.ftruncate(target, found.size)
            with contextlib.suppress(OSError):  # reading ahead would touch bad spots again and again
                os.posix_fadvise(source, 0, 0, os.POSIX_FADV_RANDOM)
            self._read(source, target, found, asked)
            os.fsync(target)
        except BaseException:
            os.close(target)
            os.unlink(names[0], dir_fd=directory)
            raise
        os.close(target)
        fd = os.open(names[1], _CREATE, _PRIVATE, dir_fd=directory)
        try:
            os.write(fd, found.text(f"migmon salvage {to_text(names[0])}").encode())
            os.fsync(fd)
        finally:
            os.close(fd)
        sync_file_system(directory)

    def _read(self, source: int, target: int, found: SalvageMap, asked: Salvage) -> None:
        buffer, now = memoryview(bytearray(BLOCKS[0])), time.monotonic()
        end, told_at = now + asked.limit_s, 0.0
        for start, size, number in found.reads():
            now = time.monotonic()
            if now >= end:
                return
            if now - told_at >= TELL_EVERY_S:
                told_at = now
                self._context.send(Salvaging(asked.number, found.size, found.rescued, found.untried))
            self._context.controls.step(0)
            try:
                count = read_at(source, buffer[:size], start)
            except SourceUnreadable:
                count = 0
            if count == size:
                _write_at(target, buffer[:count], start)
            found.tell(start, size, number, rescued=count == size)


def _write_at(fd: int, data: memoryview, start: int) -> None:
    while data:
        written = os.pwrite(fd, data, start)
        data, start = data[written:], start + written
