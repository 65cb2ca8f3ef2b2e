"""Saves what can be read of a damaged file. What it writes never has the file's own name: it is not complete."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import time

from migmond.domain.fault import Fault, Phase
from migmond.domain.names import to_text
from migmond.fsys import libc
from migmond.fsys.closing import close_unwritten
from migmond.fsys.durable import sync_file_system
from migmond.fsys.read_write import SourceUnreadable, read_at
from migmond.fsys.rename import rename_replace, stat_or_none
from migmond.mover.context import Context, fault_of
from migmond.recovery.salvage import BLOCKS, MapUnusable, SalvageMap, parse
from migmond.wire.from_mover import Salvaged, Salvaging
from migmond.wire.to_mover import Salvage

SUFFIX = b".migmond-salvage"
MAP_SUFFIX = SUFFIX + b".map"
_NEW_SUFFIX = MAP_SUFFIX + b".new"
_NAME_MAX = 255
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_WRITE = os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_PRIVATE = 0o600
_MOST_MAP_BYTES = 16 << 20
"""Of 100,000 ranges with 50 bytes each a map has a third of it."""
TELL_EVERY_S = 0.5
KEEP_EVERY_S = 10.0
"""So much reading at most is done again after a crash; ddrescue writes its map every 30 s at first."""
_ZEROS = memoryview(bytes(BLOCKS[0]))


class Salvager:
    """Answers Salvage."""

    def __init__(self, context: Context) -> None:
        self._context = context

    def salvage(self, message: Salvage) -> None:
        """Read by ranges, write what came, and a map of it, from which a later salvage of the same version of the file
        goes on; both are durable when Salvaged is sent."""
        context = self._context
        sources, targets = context.source_directories(), context.target_directories(make=True)
        source_name, name = context.roots[message.root].names(message.name)
        saved = beside(name, SUFFIX), beside(name, MAP_SUFFIX)
        found, fault = SalvageMap(0), None
        context.controls.entry(message.number, 0, os.path.join(message.path, message.name))
        try:
            source = os.open(source_name, _READ, dir_fd=sources.get(message.root, message.path))
            try:
                st = os.fstat(source)
                if not stat.S_ISREG(st.st_mode):
                    raise OSError(errno.EINVAL, "it is no file")
                place = _Place(targets.get(message.root, message.path), name, st.st_mtime_ns)
                found = place.known(st.st_size)
                fault = self._save(source, place, found, message)
            finally:
                close_unwritten(source)
        except _InTheWay as e:
            fault = Fault(Phase.COPY, "exists", errno.EEXIST, str(e))
        except OSError as e:
            fault = fault_of(Phase.READ if isinstance(e, SourceUnreadable) else Phase.COPY, e)
        finally:
            context.controls.entry_done()
            context.controls.slot.no_file()
            sources.clear()
            targets.clear()
        context.send(Salvaged(message.number, found.size, tuple(found.ranges()), *saved, fault))

    def _save(self, source: int, place: _Place, found: SalvageMap, asked: Salvage) -> Fault | None:
        """Returns why it ended before all was tried, if it is the target that failed; what was saved stays. Raises
        OSError when nothing was."""
        target = place.open(found)
        try:
            fault = None
            try:
                with contextlib.suppress(OSError):  # reading ahead would touch bad spots again and again
                    os.posix_fadvise(source, 0, 0, os.POSIX_FADV_RANDOM)
                self._read(source, target, place, found, asked)
            except OSError as e:
                fault = fault_of(Phase.COPY, e)
            try:
                place.keep(target, found)
            except OSError as e:  # the map of before tells less than there is
                fault = fault or fault_of(Phase.COPY, e)
        finally:
            os.close(target)
        if fault is not None and not found.rescued:
            place.remove()
        return fault

    def _read(self, source: int, target: int, place: _Place, found: SalvageMap, asked: Salvage) -> None:
        buffer, now = memoryview(bytearray(BLOCKS[0])), time.monotonic()
        end, told_at, kept_at = now + asked.limit_s, 0.0, now
        for start, size, number in found.reads():
            now = time.monotonic()
            if now >= end:
                return
            if now - told_at >= TELL_EVERY_S:
                told_at = now
                self._context.send(Salvaging(asked.number, found.size, found.rescued, found.untried))
            if now - kept_at >= KEEP_EVERY_S:
                kept_at = now
                place.keep(target, found)
            self._context.controls.step(0)
            try:
                count = read_at(source, buffer[:size], start)
            except SourceUnreadable:
                count = 0
            if count == size and not (place.fresh and buffer[:count] == _ZEROS[:count]):  # what was sparse stays so
                _put(target, buffer[:count], start)
            found.tell(start, size, number, rescued=count == size)


class _InTheWay(Exception):
    """What is to be written is there already, and cannot be gone on with; the text says so."""


class _Place:
    """Where a file is saved, and its map.

    A crash leaves one of: nothing; a map by which nothing is saved; such a file with a map that tells of no more than
    it has.

    Attributes:
        fresh: nothing of it is there yet.

    Args:
        directory: of the target.
        name: of the target.
        mtime_ns: of the source.
    """

    def __init__(self, directory: int, name: bytes, mtime_ns: int) -> None:
        self._directory = directory
        self._saved, self._map, self._new = beside(name, SUFFIX), beside(name, MAP_SUFFIX), beside(name, _NEW_SUFFIX)
        self._mtime_ns = mtime_ns
        self.fresh = True

    def known(self, size: int) -> SalvageMap:
        """Return the map that is there, or an empty one.

        Args:
            size: of the source.

        Raises:
            _InTheWay: something is there with which nobody can go on.
        """
        saved, has_map = stat_or_none(self._directory, self._saved), stat_or_none(self._directory, self._map)
        if has_map is None:
            if saved is not None:
                raise _InTheWay(f"{to_text(self._saved)} is there already, without a map: remove or rename it first")
            return SalvageMap(size)
        try:
            found = parse(self._map_text(), size, self._mtime_ns)
        except MapUnusable as e:
            both = "both" if saved is not None else "it"
            raise _InTheWay(f"{to_text(self._map)} is there already and {e}: remove or rename {both} first") from None
        if saved is None:
            if found.rescued:
                raise _InTheWay(f"{to_text(self._map)} is there already, but not what it is of: remove it first")
            return SalvageMap(size)
        if not stat.S_ISREG(saved.st_mode) or saved.st_size != size:
            raise _InTheWay(f"{to_text(self._saved)} is not what its map is of: remove or rename both first")
        self.fresh = False
        return found

    def open(self, found: SalvageMap) -> int:
        """Open what is written to; it has its full size from the beginning, as zeros.

        Raises:
            _InTheWay: it has come since `known`.
        """
        if not self.fresh:
            return os.open(self._saved, _WRITE, dir_fd=self._directory)
        self._write_map(found)
        try:
            fd = os.open(self._saved, _WRITE | os.O_CREAT | os.O_EXCL, _PRIVATE, dir_fd=self._directory)
        except FileExistsError:
            os.unlink(self._map, dir_fd=self._directory)
            raise _InTheWay(f"{to_text(self._saved)} is there already: remove or rename it first") from None
        try:
            os.ftruncate(fd, found.size)
        except OSError:
            os.close(fd)
            self.remove()
            raise
        return fd

    def keep(self, fd: int, found: SalvageMap) -> None:
        """Make durable what was saved, then the map of it."""
        os.fsync(fd)
        self._write_map(found)
        sync_file_system(self._directory)

    def remove(self) -> None:
        """Nothing was saved: nothing is left."""
        for name in (self._saved, self._map):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(name, dir_fd=self._directory)

    def _map_text(self) -> str:
        fd = os.open(self._map, _READ, dir_fd=self._directory)
        try:
            if not stat.S_ISREG(os.fstat(fd).st_mode):
                raise MapUnusable("is no file")
            text, piece = b"", b"-"
            while piece and len(text) <= _MOST_MAP_BYTES:
                piece = os.read(fd, BLOCKS[0])
                text += piece
        finally:
            os.close(fd)
        return text.decode("ascii", "replace")

    def _write_map(self, found: SalvageMap) -> None:
        """Whole and durable before it takes the place of the one of before."""
        text = found.text(f"migmon salvage {to_text(self._saved)}", self._mtime_ns).encode()
        with contextlib.suppress(FileNotFoundError):  # of a salvage that was cut off
            os.unlink(self._new, dir_fd=self._directory)
        fd = os.open(self._new, _WRITE | os.O_CREAT | os.O_EXCL, _PRIVATE, dir_fd=self._directory)
        try:
            _write_at(fd, memoryview(text), 0)
            os.fsync(fd)
        except OSError:
            os.unlink(self._new, dir_fd=self._directory)
            raise
        finally:
            os.close(fd)
        rename_replace(self._directory, self._new, self._directory, self._map)


def beside(name: bytes, suffix: bytes) -> bytes:
    """Return what stands beside `name`: no longer than a name may be."""
    return name[: _NAME_MAX - len(suffix)] + suffix


def _put(fd: int, data: memoryview, start: int) -> None:
    """Write all of it or, as far as the file system can take that back, nothing: on a full one what is left of it may
    be all the room that the map needs."""
    try:
        _write_at(fd, data, start)
    except OSError:
        with contextlib.suppress(OSError):
            libc.fallocate(fd, libc.PUNCH_HOLE, start, len(data))
        raise


def _write_at(fd: int, data: memoryview, start: int) -> None:
    while data:
        written = os.pwrite(fd, data, start)
        data, start = data[written:], start + written
