"""Mount points are known, also of the same device, on files, and when they come later."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from migmond.fsys.mounts import MountTable, is_mount_point, mounts_below

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root to mount")
NAMES = ("plain", "with space", "carriage\rreturn", "back\\slash", "new\nline", "tab\tbed", "\\040")


@contextlib.contextmanager
def bound(what: Path, where: Path) -> Iterator[None]:
    subprocess.run(["mount", "--bind", what, where], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", where], check=True)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("onto_itself", [False, True])
def test_a_name_that_something_is_mounted_on(
    tmp_path: Path, opened: Callable[..., int], name: str, onto_itself: bool
) -> None:
    top = tmp_path / "top"
    (top / "in").mkdir(parents=True)
    (top / "in" / name).write_bytes(b"below")
    (top / "in" / "other").write_bytes(b"mounted")
    above, inside = opened(top), opened(top / "in")
    with contextlib.closing(MountTable(above)) as table:
        assert (list(table.names_in(inside)), mounts_below(above)) == ([], False)
        with bound(top / "in" / (name if onto_itself else "other"), top / "in" / name):
            assert list(table.names_in(inside)) == [name.encode()]
            assert list(table.names_in(above)) == []
            assert is_mount_point(inside, name.encode())
            assert not is_mount_point(inside, b"other")
            assert mounts_below(above)
        assert (list(table.names_in(inside)), mounts_below(above)) == ([], False)
        assert not is_mount_point(inside, name.encode())


def test_the_top_itself_and_its_neighbours_do_not_count(tmp_path: Path) -> None:
    for name in ("top", "top2"):
        (tmp_path / name / "in").mkdir(parents=True)
    with bound(tmp_path / "top", tmp_path / "top"), bound(tmp_path / "top2", tmp_path / "top2"):
        top = os.open(tmp_path / "top", os.O_RDONLY)
        try:
            assert not mounts_below(top)
        finally:
            os.close(top)


def test_what_is_gone_is_no_mount_point(tmp_path: Path, opened: Callable[..., int]) -> None:
    assert not is_mount_point(opened(tmp_path), b"none")
