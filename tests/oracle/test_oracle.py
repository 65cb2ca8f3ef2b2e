"""The oracle sees every kind of difference, and none where there is none."""

from __future__ import annotations

import os
import random
import shutil
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import oracle
import trees
from as_user import NOBODY, as_user
from oracle import count, differences, names_starting

WHEN = (1, 10**18)

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


def make(root: Path) -> None:
    (root / "sub").mkdir(parents=True)
    (root / "file").write_bytes(b"x" * 10_000)
    (root / "other").write_bytes(b"y")
    os.link(root / "file", root / "sub" / "linked")
    os.symlink("file", root / "link")
    os.link(root / "link", root / "sub" / "linked link", follow_symlinks=False)
    os.mkfifo(root / "fifo")
    with open(root / "sparse", "wb") as file:
        file.truncate(1 << 20)
    if os.geteuid() == 0:
        os.mknod(root / "device", 0o600 | stat.S_IFCHR, os.makedev(1, 3))
    for path in [*root.rglob("*"), root]:
        os.utime(path, ns=WHEN, follow_symlinks=False)


def copied(tmp_path: Path) -> tuple[Path, Path]:
    """Two equal trees, the second made by cp."""
    a, b = tmp_path / "a", tmp_path / "b"
    make(a)
    subprocess.run(["cp", "-a", a, b], check=True)
    assert differences(a, b, holes=True) == []
    return a, b


def rewrite(path: Path, data: bytes) -> None:
    path.write_bytes(data)
    os.utime(path, ns=WHEN)


def remade(path: Path, make_again: Callable[[Path], object]) -> None:
    path.unlink()
    make_again(path)
    for touched in (path, path.parent):
        os.utime(touched, ns=WHEN, follow_symlinks=False)


def split_symlinks(root: Path) -> None:
    remade(root / "sub" / "linked link", lambda p: os.symlink("file", p))


CHANGES: dict[str, tuple[str, Callable[[Path], object]]] = {
    "content": ("content: 'file'", lambda r: rewrite(r / "file", b"x" * 9_999 + b"z")),
    "size": ("size 1 2: 'other'", lambda r: rewrite(r / "other", b"yy")),
    "mode": ("mode 644 600: 'file'", lambda r: (r / "file").chmod(0o600)),
    "mode of a directory": ("mode 755 700: 'sub'", lambda r: (r / "sub").chmod(0o700)),
    "sticky bit": ("mode 755 1755: 'sub'", lambda r: (r / "sub").chmod(0o1755)),
    "a nanosecond": ("mtime", lambda r: os.utime(r / "other", ns=(1, 10**18 + 1))),
    "directory's time": ("mtime", lambda r: os.utime(r / "sub", ns=(1, 5))),
    "root's time": ("mtime", lambda r: os.utime(r, ns=(1, 5))),
    "symlink's time": ("mtime", lambda r: os.utime(r / "link", ns=(1, 5), follow_symlinks=False)),
    "link text": ("link text: 'link'", lambda r: remade(r / "link", lambda p: os.symlink("elif", p))),
    "missing": ("only in A: 'other'", lambda r: (r / "other").unlink()),
    "extra": ("only in B: 'more'", lambda r: (r / "more").write_bytes(b"")),
    "extra, odd name": ("only in B: '\\udcff\\n'", lambda r: (r / os.fsdecode(b"\xff\n")).mkdir()),
    "type": ("type: 'other'", lambda r: remade(r / "other", Path.mkdir)),
    "fifo": ("type: 'fifo'", lambda r: remade(r / "fifo", lambda p: p.write_bytes(b""))),
    "a link became a file of its own": (
        "hard links: one file only in A: 'file', 'sub/linked'",
        lambda r: remade(r / "sub" / "linked", lambda p: shutil.copy2(r / "file", p)),
    ),
    "files became one": (
        "hard links: one file only in B: 'file', 'other', 'sub/linked'",
        lambda r: remade(r / "other", lambda p: os.link(r / "file", p)),
    ),
    "links of symlinks": ("hard links: one file only in A: 'link', 'sub/linked link'", split_symlinks),
    "xattr": ("xattrs {} {'user.a': b'b'}: 'file'", lambda r: os.setxattr(r / "file", "user.a", b"b")),
    "xattr of a directory": ("xattrs {} {'user.a': b''}: 'sub'", lambda r: os.setxattr(r / "sub", "user.a", b"")),
    "ACL": ("xattrs {} {'system.posix_acl_access'", lambda r: trees.acl(r / "other")),
    "holes": ("holes: 'sparse'", lambda r: rewrite(r / "sparse", bytes(1 << 20))),
}

ROOT_CHANGES: dict[str, tuple[str, Callable[[Path], object]]] = {
    "owner": ("owner 0:0 5:6: 'link'", lambda r: os.chown(r / "link", 5, 6, follow_symlinks=False)),
    "device number": (
        "device number 0x103 0x105: 'device'",
        lambda r: remade(r / "device", lambda p: os.mknod(p, 0o600 | stat.S_IFCHR, os.makedev(1, 5))),
    ),
    "device type": (
        "type: 'device'",
        lambda r: remade(r / "device", lambda p: os.mknod(p, 0o600 | stat.S_IFBLK, os.makedev(1, 3))),
    ),
    "capabilities": (
        "xattrs {} {'security.capability'",
        lambda r: os.setxattr(r / "file", "security.capability", trees.CAP_NET_RAW),
    ),
    "a symlink's xattr": (
        "xattrs {} {'trusted.a': b'b'}: 'link'",
        lambda r: os.setxattr(r / "link", "trusted.a", b"b", follow_symlinks=False),
    ),
}


def check(tmp_path: Path, expected: str, change: Callable[[Path], object]) -> None:
    a, b = copied(tmp_path)
    change(b)
    there, back = differences(a, b, holes=True), differences(b, a, holes=True)
    assert any(line.startswith(expected) for line in there)
    assert back, "a difference is one from either side"


@pytest.mark.parametrize("kind", list(CHANGES))
def test_it_sees(tmp_path: Path, kind: str) -> None:
    check(tmp_path, *CHANGES[kind])


@needs_root
@pytest.mark.parametrize("kind", list(ROOT_CHANGES))
def test_it_sees_as_root(tmp_path: Path, kind: str) -> None:
    check(tmp_path, *ROOT_CHANGES[kind])


def test_what_is_not_to_be_compared_is_not(tmp_path: Path) -> None:
    a, b = copied(tmp_path)
    rewrite(b / "sparse", bytes(1 << 20))
    os.utime(b / "sub", ns=(1, 5))
    assert differences(a, b, directory_times=False) == []
    os.utime(b / "other", ns=(1, 5))
    assert differences(a, b, directory_times=False, times=False) == []
    assert len(differences(a, b, holes=True)) == 3


@needs_root
def test_owners_need_not_be_compared(tmp_path: Path) -> None:
    a, b = copied(tmp_path)
    os.chown(b / "link", 5, 6, follow_symlinks=False)
    assert differences(a, b, owners=False) == []


@needs_root
def test_what_cannot_be_read_is_never_equal(tmp_path: Path) -> None:
    root = Path("/dev/shm" if os.path.isdir("/dev/shm") else "/tmp") / f"migmond-oracle-{os.getpid()}"
    root.mkdir()
    try:
        (root / "secret").write_bytes(b"x")
        (root / "secret").chmod(0)
        (root / "closed").mkdir(0o700)
        found = as_user(lambda: differences(root, root), uid=NOBODY)
    finally:
        shutil.rmtree(root)
    assert {line.split(":")[0].split(" (")[0] for line in found} == {"unreadable in A", "unreadable in B"}
    assert {line.rsplit(": ", 1)[1] for line in found} == {"'secret'", "'closed'"}


def test_everything_it_knows_is_equal_to_itself_at_any_depth(tmp_path: Path) -> None:
    trees.every_kind(tmp_path / "a")
    try:
        trees.deep(tmp_path / "a" / "deeper", 1100, b"d")
        assert differences(tmp_path / "a", tmp_path / "a", holes=True) == []
        deepest = os.open(tmp_path / "a" / "deeper", os.O_RDONLY)
        for _ in range(1100):
            below = os.open(b"d", os.O_RDONLY, dir_fd=deepest)
            os.close(deepest)
            deepest = below
        os.close(deepest)
        assert count(tmp_path / "a" / "deeper", directories=True) == 1101
        assert len(names_starting(tmp_path / "a" / "deeper", b"lea")) == 1
    finally:
        # Python 3.11's rmtree, with which pytest removes what tests made, ends with RecursionError here; rm does not.
        subprocess.run(["rm", "-rf", str(tmp_path / "a" / "deeper")], check=True)


def test_two_random_trees_differ_and_one_made_twice_does_not(tmp_path: Path) -> None:
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        trees.random_tree(tmp_path / name, random.Random(seed), 120)
    assert differences(tmp_path / "a", tmp_path / "b", directory_times=False, times=False) == []
    assert differences(tmp_path / "a", tmp_path / "c", directory_times=False, times=False) != []


def test_as_a_program(tmp_path: Path) -> None:
    a, b = copied(tmp_path)
    program = [sys.executable, oracle.__file__, str(a), str(b)]
    same = subprocess.run(program, capture_output=True, check=False)
    assert (same.returncode, same.stdout, same.stderr) == (0, b"", b"")
    (b / os.fsdecode(b"bad\xff")).mkdir()
    os.utime(b, ns=WHEN)
    different = subprocess.run(program, capture_output=True, check=False)
    assert (different.returncode, different.stdout, different.stderr) == (1, b"only in B: 'bad\\udcff'\n", b"")
