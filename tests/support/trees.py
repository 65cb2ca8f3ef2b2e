"""Trees to migrate: deterministic by seed, with everything in them that spoils other tools."""

from __future__ import annotations

import contextlib
import os
import random
import socket
import stat
from pathlib import Path

NASTY_NAMES = (
    b"new\nline",
    b"bad\xff\xfeutf8",
    b" lead",
    b"trail ",
    b"-rf",
    b"*",
    b"a" * 255,
    "grün 写".encode(),
    b"back\\slash",
)


def small_files(root: Path, count: int, size: int, rng: random.Random, per_directory: int = 500) -> None:
    """Make `count` files of `size` bytes in directories of `per_directory`."""
    data = rng.randbytes(size + 4096)
    for number in range(count):
        directory = root / f"d{number // per_directory:05}"
        if number % per_directory == 0:
            directory.mkdir(parents=True, exist_ok=True)
        offset = number % 4096
        (directory / f"f{number:07}").write_bytes(data[offset : offset + size])


def mixed_library(root: Path, count: int, rng: random.Random) -> None:
    """Make a photo-library-like tree: most files small, some of many megabytes, in nested directories."""
    block = rng.randbytes(1 << 20)
    for number in range(count):
        size = min(64 << 20, int(rng.lognormvariate(9.5, 2.2)))
        directory = root / f"{number % 17:02}" / f"{number % 101:03}"
        directory.mkdir(parents=True, exist_ok=True)
        with open(directory / f"file-{number:06}.bin", "wb") as file:
            while size > 0:
                file.write(block[: min(size, len(block))])
                size -= len(block)


def large_files(root: Path, count: int, size: int, rng: random.Random) -> None:
    """Make `count` files of `size` bytes without holes."""
    root.mkdir(parents=True, exist_ok=True)
    block = rng.randbytes(1 << 20)
    for number in range(count):
        with open(root / f"large-{number}", "wb") as file:
            for i in range(0, size, len(block)):
                file.write(block[: min(len(block), size - i)])


def sparse_and_links(root: Path, count: int, rng: random.Random) -> None:
    """Make sparse files and files with further names in other directories."""
    names = root / "names"
    names.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        path = root / f"sparse-{number:04}"
        sparse_file(path, rng.randrange(1, 64) << 20, rng)
        plain = root / f"linked-{number:04}"
        plain.write_bytes(rng.randbytes(rng.randrange(1, 20_000)))
        for copy in range(3):
            os.link(plain, names / f"name-{number:04}-{copy}")


def sparse_file(path: Path, size: int, rng: random.Random) -> None:
    """Make a file with holes at the start, in the middle and at the end."""
    with open(path, "wb") as file:
        for _ in range(3):
            file.seek(rng.randrange(1, max(2, size // 4096)) * 4096)
            file.write(rng.randbytes(4096))
        file.truncate(max(size, file.tell() + 8192))


def every_kind(root: Path) -> None:
    """Make one of everything: types, nasty names, links, holes, xattrs, odd times and modes, long paths."""
    root.mkdir(parents=True, exist_ok=True)
    base = os.fsencode(root)
    for number, name in enumerate(NASTY_NAMES):
        with open(os.path.join(base, name), "wb") as file:
            file.write(b"x" * number)
    (root / "empty").write_bytes(b"")
    (root / "empty directory").mkdir()
    (root / "small").write_bytes(b"hello")
    (root / "megabytes").write_bytes(random.Random(1).randbytes(3_300_000))
    sparse_file(root / "sparse", 5 << 20, random.Random(2))
    with open(root / "all hole", "wb") as file:
        file.truncate(1 << 20)
    os.symlink("small", root / "link")
    os.symlink("/does/not/exist", root / "dangling")
    os.symlink(b"\xff\n", os.path.join(base, b"odd link"))
    (root / "sub").mkdir()
    os.link(root / "small", root / "sub" / "small too")
    os.link(root / "small", root / "small three")
    os.mkfifo(root / "fifo", 0o640)
    with socket.socket(socket.AF_UNIX) as sock, contextlib.chdir(root):
        sock.bind("socket")
    (root / "read only").mkdir()
    (root / "read only" / "inside").write_bytes(b"kept")
    if os.geteuid() == 0:
        os.mknod(root / "null", 0o620 | stat.S_IFCHR, os.makedev(1, 3))
        os.chown(root / "small", 1234, 5678)
        os.chown(root / "link", 42, 43, follow_symlinks=False)
        (root / "setuid").write_bytes(b"#!/bin/true\n")
        os.chown(root / "setuid", 33, 33)
        os.chmod(root / "setuid", 0o6755)
    with contextlib.suppress(OSError):
        os.setxattr(root / "small", "user.note", b"\x00binary\xff")
        os.setxattr(root / "sub", "user.note", b"directory")
    os.chmod(root / "empty", 0o604)
    os.utime(root / "empty", ns=(1, -1_500_000_000_000_000_001 // 10))
    os.utime(root / "megabytes", ns=(5, 1_700_000_000_123_456_789))
    os.utime(root / "link", ns=(7, 8), follow_symlinks=False)
    _deep(base, 20, b"d" * 250)
    os.utime(root / "sub", ns=(1, 999_999_999_000_000_001))
    os.chmod(root / "read only", 0o555)
    os.utime(root / "read only", ns=(1, 3))


def _deep(base: bytes, levels: int, name: bytes) -> None:
    """Make a file at the end of a path longer than PATH_MAX."""
    fd = os.open(base, os.O_RDONLY | os.O_DIRECTORY)
    for _ in range(levels):
        os.mkdir(name, dir_fd=fd)
        deeper = os.open(name, os.O_RDONLY | os.O_DIRECTORY, dir_fd=fd)
        os.close(fd)
        fd = deeper
    leaf = os.open(b"leaf", os.O_WRONLY | os.O_CREAT, 0o600, dir_fd=fd)
    os.write(leaf, b"far down")
    os.close(leaf)
    os.close(fd)


def random_tree(root: Path, rng: random.Random, entries: int) -> None:
    """Make about `entries` random entries below `root`."""
    root.mkdir(parents=True, exist_ok=True)
    directories: list[Path] = [root]
    files: list[Path] = []
    for number in range(entries):
        at = rng.choice(directories)
        kind = rng.random()
        path = at / f"{rng.choice('abcxyz')}{number}"
        if kind < 0.15:
            path.mkdir()
            directories.append(path)
        elif kind < 0.2:
            os.symlink(rng.choice(["..", "nowhere", "/etc"]), path)
        elif kind < 0.25 and files:
            os.link(rng.choice(files), path)
        else:
            path.write_bytes(rng.randbytes(rng.choice([0, 1, 100, 5000, 70_000])))
            files.append(path)
            os.utime(path, ns=(rng.randrange(10**18), rng.randrange(10**18)))
