"""Attackers that swap symlinks into a tree of theirs while somebody with more rights works in it (design page HAZARDS
row 40).

The trees belong to an unprivileged user; beside them lies a forbidden one of root's, of the same shape. The user's
processes exchange directories and files with symlinks into the forbidden tree (renameat2, RENAME_EXCHANGE) as fast as
they can. Whatever root's program then writes, deletes, changes or reads through such a symlink is an escape.
"""

from __future__ import annotations

import contextlib
import ctypes
import mmap
import os
import shutil
import signal
import struct
import traceback
from collections.abc import Iterator
from pathlib import Path

import msgspec

from several_users import ANA

DIRECTORIES, FILES = 24, 8
MARK = b"FORBIDDEN"
_EXCHANGE = 2
_SWAP = ".swap-"
_TEMPORARY = b".migmond-"
_WORDS = struct.Struct("=QQ")


class Escapes(msgspec.Struct):
    """What came of one run. `changed`: entries of the forbidden tree that are not what they were; `leaked`: files
    outside it with its content; `operations`: exchanges that the attackers made meanwhile."""

    changed: list[str]
    leaked: list[str]
    operations: int

    @property
    def none(self) -> bool:
        return not self.changed and not self.leaked


class Arena:
    """Trees for one run: `source` and `target` of the attacker's, `forbidden` of root's. Needs root.

    Args:
        base: a directory that everybody may pass through; emptied first.
        target_base: where the target lies; another file system makes a move copy and delete.
        roots: swap the two trees themselves too, not only what is in them.
    """

    def __init__(self, base: Path, target_base: Path, *, roots: bool = False) -> None:
        self.home, self.target_home = base / "home", target_base / "home"
        self.source, self.target, self.forbidden = self.home / "source", self.target_home / "target", base / "forbidden"
        for directory in {self.home, self.target_home, self.forbidden}:
            shutil.rmtree(directory, ignore_errors=True)
        _fill(self.forbidden, MARK)
        _fill(self.source, b"harmless")
        _fill(self.target, None)
        for tree in (self.source, self.target):
            for above, names in [
                ("", _names("d", DIRECTORIES)),
                *((d, _names("f", FILES)) for d in _names("d", DIRECTORIES)),
            ]:
                for name in names:
                    (tree / above / f"{_SWAP}{name}").symlink_to(self.forbidden / above / name)
        if roots:
            self.source.with_name(_SWAP + "source").symlink_to(self.forbidden)
            self.target.with_name(_SWAP + "target").symlink_to(self.forbidden)
        for directory in {self.home, self.target_home}:
            _give(directory, ANA)
        self.forbidden.chmod(0o700)
        self._roots = roots
        self._before = _snapshot(self.forbidden)

    @contextlib.contextmanager
    def attacked(self) -> Iterator[Escapes]:
        """Attack as long as the context lasts; what is yielded is filled in at its end."""
        found = Escapes([], [], 0)
        with mmap.mmap(-1, _WORDS.size) as shared:
            attackers = [self._attacker(shared, number) for number in range(2)]
            try:
                yield found
            finally:
                for pid in attackers:
                    os.kill(pid, signal.SIGKILL)
                    os.waitpid(pid, 0)
            found.operations = sum(_WORDS.unpack(shared[:]))
        after = _snapshot(self.forbidden)
        found.changed = [
            f"{path or '.'}: {self._before.get(path)} became {after.get(path)}"
            for path in sorted(self._before.keys() | after.keys())
            if self._before.get(path) != after.get(path)
        ]
        found.leaked = [p for home in {self.home, self.target_home} for p in _marked(home)]

    def _attacker(self, shared: mmap.mmap, number: int) -> int:
        tree = (self.source, self.target)[number]
        child = os.fork()
        if child == 0:
            try:
                os.setgroups([])
                os.setgid(ANA)
                os.setuid(ANA)
                _swap_forever(tree, memoryview(shared).cast("Q")[number:], roots=self._roots)
            except BaseException:  # whatever it is belongs on the screen, not past this fork
                traceback.print_exc()
            os._exit(1)
        return child


def _swap_forever(tree: Path, count: memoryview, *, roots: bool) -> None:
    """Exchange everything in `tree` with its symlink, round and round; `count[0]` counts."""
    exchange = ctypes.CDLL(None).renameat2
    top = _directory(tree)
    pairs = [(top, name, f"{_SWAP}{name}") for name in _names("d", DIRECTORIES)]
    inner = {name: _directory(tree / name) for name in _names("d", DIRECTORIES)}
    files = [(fd, name, f"{_SWAP}{name}") for fd in inner.values() for name in _names("f", FILES)]
    every = [pairs, pairs, files, pairs]
    if roots:
        every.append([(_directory(tree.parent), tree.name, _SWAP + tree.name)] * 31)
    calls = [[(fd, a.encode(), fd, b.encode(), _EXCHANGE) for fd, a, b in pairs] for pairs in every]
    parent = os.getppid()
    while os.getppid() == parent:  # nobody is left to end us when it has died
        for some in calls:
            for call in some:
                count[0] += exchange(*call) == 0
        for fd in inner.values():  # copies on their way: each becomes a symlink under its own name
            for name in map(os.fsencode, os.listdir(fd)):
                if name.startswith(_TEMPORARY):
                    count[0] += exchange(fd, name, fd, b"%sf000" % _SWAP.encode(), _EXCHANGE) == 0


def _directory(path: Path) -> int:
    return os.open(path, os.O_RDONLY | os.O_DIRECTORY)


def _names(prefix: str, count: int) -> list[str]:
    return [f"{prefix}{number:03}" for number in range(count)]


def _fill(tree: Path, content: bytes | None) -> None:
    for directory in _names("d", DIRECTORIES):
        (tree / directory).mkdir(parents=True)
        if content is not None:
            for name in _names("f", FILES):
                (tree / directory / name).write_bytes(b"%s %s/%s\n" % (content, directory.encode(), name.encode()))


def _give(tree: Path, uid: int) -> None:
    for directory, directories, files in os.walk(tree):
        os.chown(directory, uid, uid)
        for name in (*directories, *files):
            os.chown(Path(directory) / name, uid, uid, follow_symlinks=False)


def _snapshot(tree: Path) -> dict[str, tuple[object, ...]]:
    """Everything that an access other than reading would change: ctime tells of all that restores the rest."""
    found: dict[str, tuple[object, ...]] = {}
    for directory, directories, files in os.walk(tree):
        for path in [Path(directory), *(Path(directory) / n for n in (*directories, *files))]:
            st = path.lstat()
            kept = (st.st_ino, oct(st.st_mode), st.st_uid, st.st_nlink, st.st_size, st.st_mtime_ns, st.st_ctime_ns)
            found[str(path.relative_to(tree))] = kept
    return found


def _marked(tree: Path) -> Iterator[str]:
    for directory, _, files in os.walk(tree):
        for name in files:
            path = Path(directory) / name
            if not path.is_symlink() and path.is_file() and MARK in path.read_bytes():
                yield str(path)
