"""Somebody who works on files while they are migrated, and writes down every version of everything.

All contents are unique, so whoever finds one knows which version of what it is. What is replaced is taken away whole,
by an exchange of names, and read afterwards: there is no doubt what it was, however much a migration did meanwhile.
"""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import itertools
import os
import random
import shutil
import stat
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

EMPTY = hashlib.blake2b(b"").hexdigest()
"""What a truncated file holds. It is nobody's only copy of anything."""

_NOREPLACE, _EXCHANGE = 1, 2
_AT_FDCWD = -100
_LIBC = ctypes.CDLL(None, use_errno=True)


@dataclass
class Content:
    """One version: `key` is its digest.

    Attributes:
        holders: names, below whatever root, under which somebody may expect it. None are left when it was given up.
        stood: every (root, name, mtime) of it.
        deeds: what the person did with it.
        spoilt: what was done last was done to a copy of it, while its source still stood.
    """

    key: str
    holders: set[bytes] = field(default_factory=set)
    stood: list[tuple[Path, bytes, int]] = field(default_factory=list)
    deeds: list[str] = field(default_factory=list)
    spoilt: bool = False


class Person:
    """Acts below roots.

    Args:
        roots: of all migrations, by what they are for; each has a desk beside it, on the same file system.
        targets: those of them that a migration writes to.
        rng: decides contents and times.
        spoils: whether to spoil a copy gives up its source too, which still stands. Where a mover takes long between
            its last look at a copy and the delete of the source nobody could tell whose fault it was.
    """

    def __init__(
        self, roots: Iterable[Path], targets: Iterable[Path], rng: random.Random, *, spoils: bool = False
    ) -> None:
        self.contents: dict[str, Content] = {}
        self.touched: set[bytes] = set()
        self.deeds: list[str] = []
        self.others: list[tuple[Path, bytes, int]] = []
        """Fifos and directories that were put in the place of files: (root, name, mtime)."""
        self._roots, self._targets, self._rng = tuple(roots), frozenset(targets), rng
        self._numbers, self._spoils = itertools.count(1), spoils
        self._content(EMPTY)

    def lay_down(self, root: Path, name: bytes, size: int, mtime_ns: int | None = None) -> bytes:
        """Put a new file where nothing is yet, before anything begins; returns what is in it."""
        path, data = _at(root, name), self._new(name, size)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "xb") as file:
            file.write(data)
        if mtime_ns is not None:
            os.utime(path, ns=(mtime_ns, mtime_ns))
        self._stands(root, name, _digest(data), "laid down")
        return data

    def knows(self, root: Path, name: bytes) -> None:
        """Something was copied or linked before anything began: it stands under this name too."""
        key = key_of(_at(root, name))
        assert key is not None
        self._stands(root, name, key, "laid down")

    # What a person does. Each may find that what it was meant for is not there any more.

    def save(self, root: Path, name: bytes) -> None:
        """As editors save: a new file gets the name of the old one. Often it is as long and as old."""
        old = _lstat(_at(root, name))
        size = old.st_size if old is not None and self._rng.random() < 0.6 else self._rng.randrange(100, 3000)
        data = self._new(name, size)
        desk = self._desk(root)
        with open(desk, "xb") as file:
            file.write(data)
        if old is not None and self._rng.random() < 0.3:
            os.utime(desk, ns=(old.st_mtime_ns, old.st_mtime_ns))
        self._put(root, name, desk, "save", {name: _digest(data)})

    def overwrite(self, root: Path, name: bytes) -> None:
        """Other bytes in the same file, as many, and often with its time set back."""
        back = self._rng.random() < 0.5

        def write(fd: int, old: bytes) -> list[bytes]:
            st, data = os.fstat(fd), self._new(name, len(old))
            os.pwrite(fd, data, 0)
            if back:
                os.utime(fd, ns=(st.st_atime_ns, st.st_mtime_ns))
            return [data if len(data) >= len(old) else data + old[len(data) :]]

        self._in_place(root, name, f"overwrite{', time set back' * back}", write)

    def append(self, root: Path, name: bytes) -> None:
        """More bytes at the end."""

        def write(fd: int, old: bytes) -> list[bytes]:
            data = self._new(name, 60)
            os.pwrite(fd, data, len(old))
            return [old + data]

        self._in_place(root, name, "append", write)

    def rewrite(self, root: Path, name: bytes) -> None:
        """As a shell does with `>`: truncated, then written."""

        def write(fd: int, old: bytes) -> list[bytes]:
            data = self._new(name, self._rng.randrange(100, 3000))
            os.ftruncate(fd, 0)
            os.pwrite(fd, data, 0)
            return [data]

        self._in_place(root, name, "rewrite", write)

    def truncate(self, root: Path, name: bytes) -> None:
        """Nothing is left in it."""

        def write(fd: int, old: bytes) -> list[bytes]:
            os.ftruncate(fd, 0)
            return [b""]

        self._in_place(root, name, "truncate", write)

    def delete(self, root: Path, name: bytes) -> None:
        """The name goes."""
        self._take(root, name, "delete")

    def recreate(self, root: Path, name: bytes) -> None:
        """The name goes, and another file gets it."""
        if not self._take(root, name, "delete to recreate"):
            return
        data, desk = self._new(name, self._rng.randrange(100, 3000)), self._desk(root)
        with open(desk, "xb") as file:
            file.write(data)
        self._put(root, name, desk, "recreate", {name: _digest(data)})

    def link(self, root: Path, name: bytes) -> None:
        """A further name beside it."""
        desk, further = self._desk(root), name + b"~linked"
        with contextlib.suppress(OSError):  # gone, or a directory by now
            os.link(_at(root, name), desk, follow_symlinks=False)
            key = key_of(desk)
            os.link(desk, _at(root, further), follow_symlinks=False)
            if key is not None:
                self._stands(root, further, key, self._note("link", root, name))
        _gone(desk)

    def symlink(self, root: Path, name: bytes) -> None:
        """A symlink gets its name."""
        desk, text = self._desk(root), b"/nowhere/%d" % next(self._numbers)
        os.symlink(text, desk)
        self._put(root, name, desk, "symlink", {name: _link_key(text)}, only_over=True)

    def fifo(self, root: Path, name: bytes) -> None:
        """A fifo gets its name."""
        desk = self._desk(root)
        os.mkfifo(desk)
        self._put(root, name, desk, "fifo", {}, only_over=True)

    def directory(self, root: Path, name: bytes) -> None:
        """A directory with a file in it gets its name."""
        desk, data = self._desk(root), self._new(name, 200)
        os.mkdir(desk)
        with open(os.path.join(desk, b"inside"), "xb") as file:
            file.write(data)
        self._put(root, name, desk, "directory", {name + b"/inside": _digest(data)}, only_over=True)

    # How it is done, and written down.

    def _put(
        self, root: Path, name: bytes, desk: bytes, deed: str, keys: dict[bytes, str], *, only_over: bool = False
    ) -> None:
        """Give `name` to what lies on the desk, and take what had it until then."""
        path = _at(root, name)
        exchanged = _renamed(desk, path, _EXCHANGE)
        if not exchanged and (only_over or not _renamed(desk, path, _NOREPLACE)):
            _gone(desk)
            return
        note = self._note(deed, root, name)
        for place, key in keys.items():
            self._stands(root, place, key, note)
        if name not in keys and (st := _lstat(path)) is not None:
            self.others.append((root, name, st.st_mtime_ns))
        if exchanged:
            self._given_up(root, name, desk, note)

    def _take(self, root: Path, name: bytes, deed: str) -> bool:
        desk = self._desk(root)
        if not _renamed(_at(root, name), desk, _NOREPLACE):
            return False
        self._given_up(root, name, desk, self._note(deed, root, name))
        return True

    def _given_up(self, root: Path, name: bytes, desk: bytes, note: str) -> None:
        """What lay under `name` lies on the desk: the person wants it no more."""
        for below, key in _keys_below(desk):
            self._released(root, os.path.join(name, below) if below else name, key, note)
        _gone(desk)

    def _in_place(self, root: Path, name: bytes, deed: str, write: Callable[[int, bytes], list[bytes]]) -> None:
        try:
            fd = os.open(_at(root, name), os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK)
        except OSError:  # gone, no file any more, or a migration has a lease on it for a moment
            return
        try:
            if not stat.S_ISREG(os.fstat(fd).st_mode):
                return
            old = _all(fd)
            keys = [_digest(data) for data in write(fd, old)]
            note = self._note(deed, root, name)
            for key in keys:
                self._stands(root, name, key, note)
        finally:
            os.close(fd)
        self._released(root, name, _digest(old), note)

    def _released(self, root: Path, name: bytes, key: str, note: str) -> None:
        """`key` was taken away from `name` by the person.

        Another name of it in this root still counts, and so does its source when this was only the copy.
        """
        content = self.contents.get(key)
        if content is None:
            return  # nobody ever wrote this: the judge sees it if it is still there in the end
        content.deeds.append(note)
        for holder in list(content.holders):
            elsewhere = [at for at in self._roots if at == root or (at not in self._targets and not self._spoils)]
            if not any(key_of(_at(at, holder)) == key for at in elsewhere if (at, holder) != (root, name)):
                content.holders.discard(holder)
        content.spoilt = bool(content.holders) and root in self._targets

    def _stands(self, root: Path, name: bytes, key: str, note: str) -> None:
        content, st = self._content(key), _lstat(_at(root, name))
        content.holders.add(name)
        content.deeds.append(note)
        content.stood.append((root, name, 0 if st is None else st.st_mtime_ns))

    def _content(self, key: str) -> Content:
        return self.contents.setdefault(key, Content(key))

    def _note(self, deed: str, root: Path, name: bytes) -> str:
        self.touched.add(name)
        self.deeds.append(f"{len(self.deeds) + 1}. {deed} {root.name}/{os.fsdecode(name)}")
        return self.deeds[-1]

    def _new(self, name: bytes, size: int) -> bytes:
        head = b"%d %s " % (next(self._numbers), name)
        return head + self._rng.randbytes(max(0, size - len(head)))

    def _desk(self, root: Path) -> bytes:
        desk = root.parent / "desk"
        desk.mkdir(exist_ok=True)
        return bytes(desk / str(next(self._numbers)))


def key_of(path: bytes) -> str | None:
    """What a name shows: a digest of a file or a symlink's text; None for anything else."""
    st = _lstat(path)
    with contextlib.suppress(OSError):
        if st is not None and stat.S_ISLNK(st.st_mode):
            return _link_key(os.readlink(path))
        if st is not None and stat.S_ISREG(st.st_mode):
            fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
            try:
                return _digest(_all(fd))
            finally:
                os.close(fd)
    return None


def _keys_below(top: bytes) -> list[tuple[bytes, str]]:
    found = [(b"", key_of(top))]
    for directory, _, names in os.walk(top):
        found += [(os.path.relpath(os.path.join(directory, n), top), key_of(os.path.join(directory, n))) for n in names]
    return [(below, key) for below, key in found if key is not None]


def _link_key(text: bytes) -> str:
    return f"-> {os.fsdecode(text)}"


def _digest(data: bytes) -> str:
    return hashlib.blake2b(data).hexdigest()


def _all(fd: int) -> bytes:
    return b"".join(iter(lambda: os.read(fd, 1 << 20), b""))


def _at(root: Path, name: bytes) -> bytes:
    return os.path.join(bytes(root), name)


def _lstat(path: bytes) -> os.stat_result | None:
    try:
        return os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None


def _renamed(old: bytes, new: bytes, flags: int) -> bool:
    """renameat2; whether it was done."""
    return bool(_LIBC.renameat2(_AT_FDCWD, old, _AT_FDCWD, new, flags) == 0)


def _gone(path: bytes) -> None:
    if os.path.isdir(path) and not os.path.islink(path):
        shutil.rmtree(path, ignore_errors=True)
    else:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
