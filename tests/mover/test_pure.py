"""The mover's decisions: names and policies."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from migmond.domain.plan import ConflictPolicy
from migmond.domain.states import Outcome
from migmond.mover.conflict import backup_names, free_names, place
from migmond.mover.directory_cache import CAPACITY, DirectoryCache, OpenDirectory

NAMES = st.binary(min_size=1, max_size=255).filter(lambda n: b"/" not in n and b"\0" not in n)


@given(NAMES)
def test_offered_names_are_names_and_never_repeat(name: bytes) -> None:
    for offer in (free_names, backup_names):
        names = [n for n, _ in zip(offer(name), range(20), strict=False)]
        assert len(set(names)) == 20
        assert all(0 < len(n) <= 255 and b"/" not in n and n != name for n in names)


def test_examples_of_names() -> None:
    assert next(free_names(b"photo.jpg")) == b"photo (1).jpg"
    assert next(free_names(b"noext")) == b"noext (1)"
    assert next(backup_names(b"photo.jpg")) == b"photo.jpg.~1~"


def arrival(directory: Path, existing: str = "file") -> int:
    (directory / "temporary").write_bytes(b"new")
    if existing == "file":
        (directory / "name").write_bytes(b"old")
        os.utime(directory / "name", ns=(1, 1000))
    elif existing == "directory":
        (directory / "name").mkdir()
        (directory / "name" / "inside").write_bytes(b"kept")
    return os.open(directory, os.O_RDONLY | os.O_DIRECTORY)


@pytest.mark.hazard(39)
@pytest.mark.parametrize("existing", ["nothing", "file", "directory"])
@pytest.mark.parametrize("policy", list(ConflictPolicy))
def test_placing_never_loses_what_was_there(tmp_path: Path, policy: ConflictPolicy, existing: str) -> None:
    fd = arrival(tmp_path, existing)
    try:
        placed = place(fd, b"temporary", b"name", policy, 2000)
    finally:
        os.close(fd)
    there = {p.name for p in tmp_path.iterdir()}
    if existing == "nothing":
        assert (placed.name, there) == (b"name", {"name"})
        return
    kept = [p for p in tmp_path.rglob("*") if p.is_file() and p.read_bytes() in (b"old", b"kept")]
    replaced = policy is ConflictPolicy.NEWER and existing == "file"
    assert bool(kept) is not replaced
    if placed.name is None:
        assert placed.fault is not None or placed.outcome in (Outcome.EXISTS, Outcome.OLDER)
        assert (tmp_path / "temporary").exists()
    else:
        assert (tmp_path / os.fsdecode(placed.name)).read_bytes() == b"new"
        assert "temporary" not in there


def test_older_sources_do_not_replace(tmp_path: Path) -> None:
    fd = arrival(tmp_path)
    try:
        assert place(fd, b"temporary", b"name", ConflictPolicy.NEWER, 999).outcome is Outcome.OLDER
    finally:
        os.close(fd)
    assert (tmp_path / "name").read_bytes() == b"old"


def test_a_directory_that_cannot_be_closed_concerns_nobody(tmp_path: Path) -> None:
    """The close of what was only read from fails on a network file system that went away: movers died of it."""

    def opened(_: int, __: bytes) -> OpenDirectory:
        fd = os.open(tmp_path, os.O_RDONLY)
        os.close(fd)
        return OpenDirectory(fd)

    cache = DirectoryCache(opened)
    for number in range(CAPACITY + 1):
        cache.get(0, b"%d" % number)
    cache.clear()
