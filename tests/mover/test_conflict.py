"""Names that are taken while they are being taken: two migrations into one directory, and people."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from migmond.domain.plan import ConflictPolicy
from migmond.domain.states import Outcome
from migmond.fsys import rename
from migmond.mover import conflict
from migmond.mover.conflict import Placed, place
from migmond.mover.temporaries import is_temporary

BACKUP, NEWER = ConflictPolicy.BACKUP, ConflictPolicy.NEWER
OLD, MIDDLE, NEW = 1, 2, 3
TEMPORARY = b".migmond-0123456789ab-1.part"


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


@pytest.mark.parametrize("policy", [BACKUP, NEWER])
@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EIO])
def test_what_came_out_is_never_left_under_a_name_that_is_swept(
    target: Target, monkeypatch: pytest.MonkeyPatch, policy: ConflictPolicy, error: int
) -> None:
    """Nothing could be done about it any more, and the next sweep would have removed it."""

    def theirs() -> None:
        target.put("f", "theirs", NEW)

    def fails(*_: object) -> None:
        raise OSError(error, os.strerror(error))

    meanwhile(monkeypatch, theirs, lambda: fails())
    monkeypatch.setattr(conflict, "keep_beside", fails)
    with pytest.raises(OSError, match=os.strerror(error)):
        place(target.fd, TEMPORARY, b"f", policy, MIDDLE)
    found = target.contents()
    assert "theirs" in found.values()
    (name,) = [name for name, text in found.items() if text == "theirs"]
    assert not is_temporary(name.encode())


def test_a_name_that_comes_and_goes_all_the_time_is_given_up(target: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conflict, "_MAX_TRIES", 50)
    monkeypatch.setattr(conflict, "give_free_name", lambda *_: None)
    monkeypatch.setattr(conflict, "stat_or_none", lambda *_: None)
    placed = place(target.fd, TEMPORARY, b"f", NEWER, MIDDLE)
    assert placed.fault is not None
    assert placed.fault.kind == "exists"
