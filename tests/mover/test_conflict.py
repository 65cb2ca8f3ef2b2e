"""Names that are taken while they are being taken: two migrations into one directory, and people."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from migmond.domain.plan import ConflictPolicy
from migmond.domain.states import Outcome
from migmond.fsys import rename
from migmond.fsys.locking import lock
from migmond.mover import conflict
from migmond.mover.adoption import mark
from migmond.mover.conflict import Placed, place, withdraw

BACKUP, NEWER = ConflictPolicy.BACKUP, ConflictPolicy.NEWER
OLD, MIDDLE, NEW = 1, 2, 3
TEMPORARY = b".migmond-0123456789ab-1.part"
FAR = 1 << 62
"""A moment after everything."""


class Target:
    """A directory with an arrival on its way to the name `f`, which `old` has."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.put(TEMPORARY.decode(), "arrival", MIDDLE)
        self.put("f", "old", OLD)
        self.fd = os.open(root, os.O_RDONLY)

    def put(self, name: str, text: str, mtime: int) -> None:
        """Write a file in one step, as editors and other migrations do."""
        path = self.root / f"{name}.new"
        path.write_text(text)
        os.utime(path, ns=(mtime, mtime))
        path.rename(self.root / name)

    def place(self, policy: ConflictPolicy) -> Placed:
        """Let the arrival have its name; like the mover, remove it when it was not placed."""
        placed = place(self.fd, TEMPORARY, b"f", policy, MIDDLE)
        if placed.name is None:
            (self.root / os.fsdecode(TEMPORARY)).unlink(missing_ok=True)
        return placed

    def contents(self) -> dict[str, str]:
        return {path.name: path.read_text() for path in self.root.iterdir()}


@pytest.fixture
def target(tmp_path: Path) -> Target:
    return Target(tmp_path)


def meanwhile(monkeypatch: pytest.MonkeyPatch, *acts: Callable[[], None]) -> None:
    """Let something happen just before each exchange of names."""
    exchange, left = rename.rename_exchange, list(acts)

    def exchanged(*args: object) -> bool:
        if left:
            left.pop(0)()
        return exchange(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(conflict, "rename_exchange", exchanged)


@pytest.mark.parametrize("policy", [BACKUP, NEWER])
def test_what_is_there_is_replaced_or_kept_by_the_policy(target: Target, policy: ConflictPolicy) -> None:
    assert target.place(policy).name == b"f"
    assert target.contents() == ({"f": "arrival", "f.~1~": "old"} if policy is BACKUP else {"f": "arrival"})


@pytest.mark.parametrize("mtime", [OLD, NEW])
@pytest.mark.parametrize("policy", [BACKUP, NEWER])
def test_what_another_migration_put_there_a_moment_ago(
    target: Target, monkeypatch: pytest.MonkeyPatch, policy: ConflictPolicy, mtime: int
) -> None:
    """It was replaced by a plain rename, unjudged and without a backup, and its source had been deleted already."""
    meanwhile(monkeypatch, lambda: target.put("f", "theirs", mtime))
    placed = target.place(policy)
    found = target.contents()
    if policy is BACKUP:
        assert placed.name == b"f"
        assert found == {"f": "arrival", "f.~1~": "old", "f.~2~": "theirs"}
    elif mtime == NEW:
        assert (placed.name, placed.outcome) == (None, Outcome.OLDER)
        assert found == {"f": "theirs"}
    else:
        assert placed.name == b"f"
        assert found == {"f": "arrival"}


def test_one_more_that_comes_while_the_first_is_put_back_is_kept(
    target: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    meanwhile(monkeypatch, lambda: target.put("f", "theirs", NEW), lambda: target.put("f", "somebody else's", NEW))
    assert target.place(NEWER).outcome is Outcome.OLDER
    assert target.contents() == {"f": "theirs", "f.~1~": "somebody else's"}


def test_an_arrival_that_is_removed_while_it_has_the_name(target: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    meanwhile(monkeypatch, lambda: target.put("f", "theirs", NEW), lambda: (target.root / "f").unlink())
    assert target.place(NEWER).outcome is Outcome.OLDER
    assert target.contents() == {"f": "theirs"}


@pytest.mark.parametrize("policy", [BACKUP, NEWER])
def test_a_name_that_becomes_free(target: Target, monkeypatch: pytest.MonkeyPatch, policy: ConflictPolicy) -> None:
    meanwhile(monkeypatch, lambda: (target.root / "f").unlink())
    assert target.place(policy).name == b"f"
    assert target.contents() == ({"f": "arrival", "f.~1~": "old"} if policy is BACKUP else {"f": "arrival"})


@pytest.mark.parametrize("policy", [BACKUP, NEWER])
def test_a_directory_that_gets_the_name(
    target: Target, monkeypatch: pytest.MonkeyPatch, policy: ConflictPolicy
) -> None:
    def becomes_a_directory() -> None:
        (target.root / "f").unlink()
        (target.root / "f").mkdir()
        os.utime(target.root / "f", ns=(OLD, OLD))

    meanwhile(monkeypatch, becomes_a_directory)
    placed = target.place(policy)
    assert (target.root / "f").is_dir() is (policy is NEWER)
    if policy is BACKUP:
        assert placed.name == b"f"
        assert (target.root / "f").read_text() == "arrival"
        assert (target.root / "f.~2~").is_dir()
    else:
        assert placed.fault is not None
        assert placed.fault.kind == "exists"


@pytest.mark.parametrize("policy", [BACKUP, NEWER])
def test_where_names_cannot_be_exchanged(
    target: Target, monkeypatch: pytest.MonkeyPatch, policy: ConflictPolicy
) -> None:
    monkeypatch.setattr(conflict, "rename_exchange", lambda *_: False)
    assert target.place(policy).name == b"f"
    assert target.contents() == ({"f": "arrival", "f.~1~": "old"} if policy is BACKUP else {"f": "arrival"})


@pytest.mark.parametrize("taken", [False, True])
def test_what_is_saved_over_a_copy_that_is_taken_back_is_kept(
    target: Target, monkeypatch: pytest.MonkeyPatch, *, taken: bool
) -> None:
    inode = (target.root / "f").stat().st_ino
    rename_noreplace = rename.rename_noreplace

    def saved(*args: Any) -> None:
        monkeypatch.undo()
        target.put("f", "saved just now", NEW)
        rename_noreplace(*args)
        if taken:
            target.put("f", "and once more", NEW)

    monkeypatch.setattr(conflict, "rename_noreplace", saved)
    (target.root / os.fsdecode(TEMPORARY)).unlink()
    withdraw(target.fd, b"f", inode, FAR)
    kept = {"f": "and once more", "f.~1~": "saved just now"} if taken else {"f": "saved just now"}
    assert target.contents() == kept


def test_a_copy_that_is_taken_back_is_gone(target: Target) -> None:
    inode = (target.root / "f").stat().st_ino
    (target.root / os.fsdecode(TEMPORARY)).unlink()
    withdraw(target.fd, b"f", inode + 1, FAR)
    assert target.contents() == {"f": "old"}
    withdraw(target.fd, b"f", inode, FAR)
    assert target.contents() == {}


@pytest.mark.parametrize("why", ["touched since", "nobody knows when", "in somebody's hands"])
def test_a_copy_that_somebody_may_count_on_stays_beside_its_place(target: Target, why: str) -> None:
    """Another migration had found it equal to its own source, and had deleted that."""
    st = (target.root / "f").stat()
    (target.root / os.fsdecode(TEMPORARY)).unlink()
    published_ns = 0 if why == "nobody knows when" else st.st_ctime_ns
    with open(target.root / "f", "rb") as other:
        if why == "touched since":
            mark(target.fd, b"f", st)
        elif why == "in somebody's hands":
            assert lock(other.fileno())
        withdraw(target.fd, b"f", st.st_ino, published_ns)
    assert target.contents() == {"f.~1~": "old"}
