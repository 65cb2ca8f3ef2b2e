"""A whole tree that is moved by one rename: what was renamed is what was meant, and is never taken back."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from migmond.domain.fault import Phase
from migmond.fsys import rename
from migmond.mover import settle
from migmond.mover.settle import Settler
from migmond.wire.from_mover import RootRenamed
from migmond.wire.to_mover import RenameRoot
from parts import Mover


@pytest.fixture
def places(tmp_path: Path) -> tuple[Path, Path]:
    source = tmp_path / "source"
    source.mkdir()
    (source / "doc").write_bytes(b"precious")
    return source, tmp_path / "target"


def moving(places: tuple[Path, Path]) -> tuple[Mover, Settler]:
    mover = Mover(*places, move=True)
    places[1].rmdir()  # Mover makes it
    return mover, Settler(mover.context)


def answer_of(mover: Mover, settler: Settler) -> RootRenamed:
    settler.rename_root(RenameRoot(0))
    answer = mover.said[-1]
    assert isinstance(answer, RootRenamed)
    return answer


@pytest.mark.hazard(40)
@pytest.mark.parametrize("taken", [False, True])
def test_what_took_the_place_of_the_tree_at_the_last_moment_is_not_moved(
    places: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch, *, taken: bool
) -> None:
    """Its owner exchanges the directory with a symlink between root's look and root's rename."""
    source, target = places
    mover, settler = moving(places)
    real = rename.rename_noreplace

    def raced(*names: object) -> None:
        monkeypatch.setattr(settle, "rename_noreplace", real)
        source.rename(source.with_name("hidden"))
        source.symlink_to("/etc")
        real(*names)  # type: ignore[arg-type]
        if taken:
            source.mkdir()

    monkeypatch.setattr(settle, "rename_noreplace", raced)
    answer = answer_of(mover, settler)
    assert (answer.done, answer.unsynced) == (False, None)
    assert (source.with_name("hidden") / "doc").read_bytes() == b"precious"
    if taken:
        assert source.is_dir()  # what has the name now is not replaced
    else:
        assert os.readlink(source) == "/etc"
        assert not os.path.lexists(target)


@pytest.mark.hazard(1)
def test_a_tree_whose_rename_could_not_be_synced_stays_renamed(
    places: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Others may have put things into it meanwhile, and deleted their sources."""
    source, target = places
    mover, settler = moving(places)

    def fails(_: int) -> None:
        (target / "theirs").write_bytes(b"somebody else's only copy")
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with monkeypatch.context() as patch:
        patch.setattr(settle, "sync_file_system", fails)
        answer = answer_of(mover, settler)
    assert not answer.done
    assert answer.unsynced is not None
    assert (answer.unsynced.phase, answer.unsynced.errno) == (Phase.SYNC, errno.EIO)
    assert sorted(os.listdir(target)) == ["doc", "theirs"]
    assert answer_of(mover, settler) == RootRenamed(0, done=True, reason="")
    assert not source.exists()
