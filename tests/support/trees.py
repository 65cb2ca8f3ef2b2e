"""Trees to migrate: deterministic by seed, with everything in them that spoils other tools."""

from __future__ import annotations

import contextlib
import os
import random
import socket
import stat
import struct
from pathlib import Path

CAP_NET_RAW = struct.pack("<5I", 0x02000001, 1 << 13, 0, 0, 0)
"""security.capability of version 2, effective, with CAP_NET_RAW: what ping has."""

_NO_ID = 0xFFFFFFFF

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


def acl(path: Path, *, default: bool = False) -> None:
    """Let user 7 and group 8 read `path`; on a directory with `default`, what is made below it later.

    Raises:
        OSError: the file system keeps no ACLs.
    """
    # Tag (owner, user, group, named group, mask, others), rights, id: the kernel's own encoding.
    entries = [(1, 6, _NO_ID), (2, 4, 7), (4, 4, _NO_ID), (8, 4, 8), (16, 4, _NO_ID), (32, 0, _NO_ID)]
    value = struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in entries)
    os.setxattr(path, f"system.posix_acl_{'default' if default else 'access'}", value)


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
        (root / "capable").write_bytes(b"#!/bin/true\n")
        with contextlib.suppress(OSError):  # not every file system keeps them
            os.setxattr(root / "capable", "security.capability", CAP_NET_RAW)
    (root / "shared").mkdir()
    (root / "shared" / "with user 7").write_bytes(b"list of rights")
    with contextlib.suppress(OSError):
        acl(root / "shared" / "with user 7")
        acl(root / "shared", default=True)
    with contextlib.suppress(OSError):
        os.setxattr(root / "small", "user.note", b"\x00binary\xff")
        os.setxattr(root / "sub", "user.note", b"directory")
    os.chmod(root / "empty", 0o604)
    os.utime(root / "empty", ns=(1, -1_500_000_000_000_000_001 // 10))
    os.utime(root / "megabytes", ns=(5, 1_700_000_000_123_456_789))
    os.utime(root / "link", ns=(7, 8), follow_symlinks=False)
    deep(root, 20, b"d" * 250)
    os.utime(root / "sub", ns=(1, 999_999_999_000_000_001))
    os.chmod(root / "read only", 0o555)
    os.utime(root / "read only", ns=(1, 3))


def deep(root: Path, levels: int, name: bytes) -> None:
    """Make `levels` directories called `name`, one in the other, and a file at the end; PATH_MAX does not matter."""
    root.mkdir(parents=True, exist_ok=True)
    fd = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
    for _ in range(levels):
        os.mkdir(name, dir_fd=fd)
        deeper = os.open(name, os.O_RDONLY | os.O_DIRECTORY, dir_fd=fd)
        os.close(fd)
        fd = deeper
    leaf = os.open(b"leaf", os.O_WRONLY | os.O_CREAT, 0o600, dir_fd=fd)
    os.write(leaf, b"far down")
    os.close(leaf)
    os.close(fd)


def wide(root: Path, directories: int, entries: int) -> None:
    """Make one directory with `directories` directories and `entries` empty files."""
    root.mkdir(parents=True, exist_ok=True)
    for number in range(directories):
        (root / f"directory-{number:06}").mkdir()
    for number in range(entries):
        (root / f"entry-{number:06}").write_bytes(b"")


def random_tree(root: Path, rng: random.Random, entries: int) -> None:
    """Make about `entries` random entries below `root`: directories, files, links, holes, odd names, modes, times."""
    root.mkdir(parents=True, exist_ok=True)
    directories: list[bytes] = [os.fsencode(root)]
    files: list[bytes] = []
    for number in range(entries):
        name = b"%c%d" % (rng.choice(b"abcxyz"), number)
        if rng.random() < 0.1:
            name += rng.choice((b"\n", b"\xff", b" ", "é".encode(), b"e\xcc\x81", b"x" * 240))
        path = os.path.join(rng.choice(directories), name)
        kind = rng.random()
        if kind < 0.15:
            os.mkdir(path, rng.choice((0o755, 0o700, 0o1777, 0o2750)))
            directories.append(path)
        elif kind < 0.2:
            os.symlink(rng.choice((b"..", b"nowhere", b"/etc", b"\xfe")), path)
        elif kind < 0.25 and files:
            os.link(rng.choice(files), path)
        elif kind < 0.27:
            os.mkfifo(path, 0o640)
        elif kind < 0.3:
            sparse_file(Path(os.fsdecode(path)), rng.randrange(1, 200) * 4096, rng)
            files.append(path)
        else:
            _random_file(path, rng)
            files.append(path)


def _random_file(path: bytes, rng: random.Random) -> None:
    with open(path, "wb") as file:
        file.write(rng.randbytes(rng.choice((0, 1, 100, 4095, 4096, 5000, 70_000))))
    if rng.random() < 0.1:
        with contextlib.suppress(OSError):
            os.setxattr(path, "user.random", rng.randbytes(rng.randrange(1, 200)))
    os.chmod(path, rng.choice((0o644, 0o600, 0o755, 0o444)))
    os.utime(path, ns=(rng.randrange(10**18), rng.randrange(-(10**17), 10**18)))
