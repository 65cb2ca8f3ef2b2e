from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from errnos import fails_with
from migmond.fsys import libc
from migmond.fsys.rename import exists, link, rename_noreplace, rename_replace, stat_or_none


def _no_flags(*_: object) -> None:
    raise OSError(errno.EINVAL, "no flags here")


@pytest.fixture(params=["renameat2", "without flags"])
def here(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """A directory, once with the kernel's own way and once as on file systems without RENAME_NOREPLACE."""
    if request.param == "without flags":
        monkeypatch.setattr(libc, "renameat2", _no_flags)
    (tmp_path / "file").write_text("file")
    (tmp_path / "taken").write_text("taken")
    (tmp_path / "link").symlink_to("nowhere")
    (tmp_path / "directory").mkdir()
    (tmp_path / "directory/inside").touch()
    (tmp_path / "empty").mkdir()
    fd = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
    yield fd
    os.close(fd)


@pytest.mark.parametrize("name", [b"file", b"link", b"directory"])
def test_a_free_name_is_given(here: int, name: bytes) -> None:
    inode, target = os.lstat(b"/proc/self/fd/%d/%b" % (here, name)).st_ino, b"\xff" + b"n" * 254
    rename_noreplace(here, name, here, target)
    assert not exists(here, name)
    found = stat_or_none(here, target)
    assert found is not None
    assert found.st_ino == inode
    assert found.st_nlink == (2 if name == b"directory" else 1)


@pytest.mark.hazard(6, 39)
@pytest.mark.parametrize("taken", [b"taken", b"link", b"empty"])
@pytest.mark.parametrize("name", [b"file", b"directory"])
def test_a_taken_name_is_never_replaced(here: int, name: bytes, taken: bytes) -> None:
    before = stat_or_none(here, taken)
    with pytest.raises(FileExistsError):
        rename_noreplace(here, name, here, taken)
    assert exists(here, name)
    assert stat_or_none(here, taken) == before


def test_without_flags_and_links_a_taken_name_is_looked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_links(*_: object, **__: object) -> None:
        raise PermissionError(errno.EPERM, "no links here")

    monkeypatch.setattr(libc, "renameat2", _no_flags)
    monkeypatch.setattr(os, "link", no_links)
    (tmp_path / "file").write_text("file")
    (tmp_path / "taken").symlink_to("nowhere")
    here = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        with pytest.raises(FileExistsError):
            rename_noreplace(here, b"file", here, b"taken")
        rename_noreplace(here, b"file", here, b"free")
    finally:
        os.close(here)
    assert sorted(os.listdir(tmp_path)) == ["free", "taken"]
    assert (tmp_path / "taken").is_symlink()


def test_what_is_not_there_cannot_be_renamed(here: int) -> None:
    with pytest.raises(FileNotFoundError):
        rename_noreplace(here, b"missing", here, b"new")


def test_between_directories(here: int, tmp_path: Path, opened: Callable[..., int]) -> None:
    rename_noreplace(here, b"file", opened(tmp_path / "empty"), b"file")
    assert (tmp_path / "empty/file").read_text() == "file"


def test_other_file_systems_are_refused(here: int, other_fs: Path, opened: Callable[..., int]) -> None:
    with fails_with(errno.EXDEV):
        rename_noreplace(here, b"file", opened(other_fs), b"file")
    assert exists(here, b"file")
    assert os.listdir(other_fs) == []


def test_replacing(here: int, tmp_path: Path) -> None:
    rename_replace(here, b"file", here, b"taken")
    assert (tmp_path / "taken").read_text() == "file"
    assert not exists(here, b"file")


def test_links_are_further_names_of_the_entry_itself(here: int, tmp_path: Path) -> None:
    link(here, b"link", here, b"second")
    assert (tmp_path / "second").is_symlink()
    assert (tmp_path / "second").lstat().st_ino == (tmp_path / "link").lstat().st_ino
    with pytest.raises(FileExistsError):
        link(here, b"file", here, b"taken")
    with fails_with(errno.EPERM):
        link(here, b"directory", here, b"other")
