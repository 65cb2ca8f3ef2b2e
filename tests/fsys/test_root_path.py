"""The paths that a plan names: whose symlinks are followed, and what is made."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from as_user import NOBODY, as_user
from errnos import fails_with
from migmond.fsys.root_path import make_parent, make_root, open_parent, open_root

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root: it is root that is led astray")


def inode(fd: int) -> int:
    found = os.fstat(fd).st_ino
    os.close(fd)
    return found


@pytest.mark.parametrize("text", ["real", "./real/../real", "{}/real", "/proc/self/cwd/real"])
def test_ones_own_symlinks_are_followed(tmp_path: Path, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "real" / "deeper").mkdir(parents=True)
    (tmp_path / "link").symlink_to(text.format(tmp_path))
    (tmp_path / "further").symlink_to("link")
    for name in ("real", "link", "further"):
        assert inode(open_root(bytes(tmp_path / name))) == (tmp_path / "real").stat().st_ino
        assert inode(open_root(bytes(tmp_path / name / "deeper") + b"/")) == (tmp_path / "real/deeper").stat().st_ino
    assert inode(open_root(b"/")) == Path("/").stat().st_ino


def test_errors_are_those_of_open(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "loop").symlink_to("loop")
    for name, number in (("missing", errno.ENOENT), ("file", errno.ENOTDIR), ("loop", errno.ELOOP)):
        for path in (tmp_path / name, tmp_path / name / "below"):
            with fails_with(number):
                open_root(bytes(path))


def test_what_is_missing_is_made(tmp_path: Path) -> None:
    old = os.umask(0)
    try:
        assert inode(make_root(bytes(tmp_path / "a/b/c"))) == (tmp_path / "a/b/c").stat().st_ino
        fd, name = make_parent(bytes(tmp_path / "x/y/"))
    finally:
        os.umask(old)
    assert (inode(fd), name) == ((tmp_path / "x").stat().st_ino, b"y")
    assert not (tmp_path / "x/y").exists()
    modes = {p: stat.S_IMODE((tmp_path / p).stat().st_mode) for p in ("a", "a/b", "a/b/c", "x")}
    assert modes == {"a": 0o755, "a/b": 0o755, "a/b/c": 0o700, "x": 0o755}


def _link(path: Path, to: Path) -> None:
    path.symlink_to(to)
    os.chown(path, NOBODY, NOBODY, follow_symlinks=False)


@needs_root
@pytest.mark.parametrize("function", [open_root, open_parent, make_root, make_parent])
def test_root_follows_no_symlink_of_others(tmp_path: Path, function: Callable[[bytes], object]) -> None:
    (tmp_path / "precious").mkdir()
    _link(tmp_path / "theirs", tmp_path / "precious")
    (tmp_path / "ours").symlink_to("theirs")
    for name in ("theirs", "ours"):
        with fails_with(errno.ELOOP):
            function(bytes(tmp_path / name / "new" / "newer"))
    assert list((tmp_path / "precious").iterdir()) == []


@needs_root
def test_anybody_else_follows_what_the_kernel_does(tmp_path: Path) -> None:
    """With no rights but their own nobody can be led to what they could not reach."""
    for directory in (tmp_path, *tmp_path.parents[:-1]):
        directory.chmod(directory.stat().st_mode | 0o011)
    (tmp_path / "real").mkdir()
    _link(tmp_path / "link", tmp_path / "real")
    expected = (tmp_path / "real").stat().st_ino
    assert as_user(lambda: inode(open_root(bytes(tmp_path / "link"))), uid=NOBODY - 1) == expected
