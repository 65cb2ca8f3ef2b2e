"""The oracle sees every kind of difference, and none where there is none."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from oracle import differences


def make(root: Path) -> None:
    (root / "sub").mkdir(parents=True)
    (root / "file").write_bytes(b"x" * 10_000)
    (root / "other").write_bytes(b"y")
    os.link(root / "file", root / "sub" / "linked")
    os.symlink("file", root / "link")
    with open(root / "sparse", "wb") as file:
        file.truncate(1 << 20)
    for path in [*root.rglob("*"), root]:
        os.utime(path, ns=(1, 10**18), follow_symlinks=False)


def rewrite(path: Path, data: bytes) -> None:
    path.write_bytes(data)
    os.utime(path, ns=(1, 10**18))


def relink(root: Path) -> None:
    (root / "link").unlink()
    os.symlink("elif", root / "link")
    os.utime(root / "link", ns=(1, 10**18), follow_symlinks=False)


def become_directory(root: Path) -> None:
    (root / "other").unlink()
    (root / "other").mkdir()


def unlink_names(root: Path) -> None:
    (root / "sub" / "linked").unlink()
    rewrite(root / "sub" / "linked", b"x" * 10_000)


CHANGES: dict[str, Callable[[Path], object]] = {
    "content": lambda r: rewrite(r / "file", b"x" * 9_999 + b"z"),
    "size": lambda r: rewrite(r / "other", b"yy"),
    "mode": lambda r: (r / "file").chmod(0o600),
    "mtime": lambda r: os.utime(r / "other", ns=(1, 10**18 + 1)),
    "mtime ": lambda r: os.utime(r / "sub", ns=(1, 5)),
    "link text": relink,
    "only in A": lambda r: (r / "other").unlink(),
    "only in B": lambda r: (r / "more").write_bytes(b""),
    "type": become_directory,
    "hard links": unlink_names,
    "xattrs": lambda r: os.setxattr(r / "file", "user.a", b"b"),
    "holes": lambda r: rewrite(r / "sparse", bytes(1 << 20)),
}


@pytest.mark.parametrize("kind", list(CHANGES))
def test_it_sees(tmp_path: Path, kind: str) -> None:
    a, b = tmp_path / "a", tmp_path / "b"
    make(a)
    subprocess.run(["cp", "-a", a, b], check=True)
    assert differences(a, b, holes=True) == []
    CHANGES[kind](b)
    assert any(line.startswith(kind.strip()) for line in differences(a, b, holes=True))


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to give files away")
def test_it_sees_owners(tmp_path: Path) -> None:
    a, b = tmp_path / "a", tmp_path / "b"
    make(a)
    subprocess.run(["cp", "-a", a, b], check=True)
    os.chown(b / "link", 5, 6, follow_symlinks=False)
    assert differences(a, b) == ["owner 0:0 5:6: 'link'"]
    assert differences(a, b, owners=False) == []
