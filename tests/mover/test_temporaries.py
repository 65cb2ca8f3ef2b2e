"""Copies that are not published yet: nobody else writes under their names, and nothing else is published for them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from migmond.domain.plan import ConflictPolicy
from migmond.domain.states import Outcome
from migmond.mover.copy import Copier
from migmond.mover.group import Arrival
from migmond.mover.settle import Settler
from migmond.mover.temporaries import is_temporary
from migmond.recovery.dispositions import disposition_of
from migmond.wire.from_mover import Published, Settled, Swept
from migmond.wire.items import PublishResult, SettleItem
from migmond.wire.to_mover import Publish, Settle, Sweep
from parts import Mover

RUN, OLD_RUN = "0" * 11 + "1", "0" * 11 + "2"


@pytest.fixture
def places(tmp_path: Path) -> tuple[Path, Path]:
    source, target = tmp_path / "source", tmp_path / "target"
    source.mkdir()
    (source / "a").write_bytes(b"all of it")
    return source, target


def synced(mover: Mover, target: Path) -> tuple[Arrival, Path]:
    """Let a mover copy and sync the file; return the member and where its copy is."""
    group = mover.group(1, "a")
    mover.committer._sync(group)
    (arrival,) = group.arrivals
    return arrival, target / os.fsdecode(arrival.temporary)


def published(mover: Mover) -> tuple[PublishResult, ...]:
    mover.committer._publish(Publish(1))
    said = mover.said[-1]
    assert isinstance(said, Published)
    return said.results


@pytest.mark.hazard(6)
def test_two_movers_at_one_task_have_a_temporary_each(places: tuple[Path, Path]) -> None:
    """The second unlinked the first one's finished copy, and the first published the second one's half."""
    source, target = places
    movers = [Mover(source, target) for _ in range(2)]
    for number, mover in enumerate(movers):
        mover.context.mover = f"{RUN}-{number}".encode()
    temporaries = [synced(mover, target)[1] for mover in movers]
    assert len({p.stat().st_ino for p in temporaries}) == 2
    assert [p.read_bytes() for p in temporaries] == [b"all of it"] * 2
    assert published(movers[0]) == ()
    (second,) = published(movers[1])
    assert second.outcome is Outcome.UNCHANGED
    assert os.listdir(target) == ["a"]


def test_one_mover_at_one_task_again_has_another_temporary(places: tuple[Path, Path]) -> None:
    """The sync failed, the task came back, and what was thrown away was the second copy."""
    mover = Mover(*places)
    first, second = mover.group(1, "a").arrivals[0], mover.group(2, "a").arrivals[0]
    mover.committer._discard(first)
    assert os.listdir(places[1]) == [os.fsdecode(second.temporary)]


@pytest.mark.hazard(6)
@pytest.mark.parametrize("policy", list(ConflictPolicy))
@pytest.mark.parametrize("what", ["another file", "another file of that size", "less", "more", "nothing", "directory"])
def test_only_what_was_synced_is_published(places: tuple[Path, Path], policy: ConflictPolicy, what: str) -> None:
    source, target = places
    mover = Mover(source, target, policy)
    arrival, temporary = synced(mover, target)
    if what in ("less", "more"):
        os.truncate(temporary, arrival.size + (1 if what == "more" else -1))
    else:
        temporary.rename(target / "taken away")
        if what == "directory":
            temporary.mkdir()
        elif what != "nothing":
            temporary.write_bytes(b"ALL OF IT" if "size" in what else b"half")
    (result,) = published(mover)
    assert result.fault is not None
    assert result.fault.kind == "copy_replaced"
    assert disposition_of(result.fault) == "retry"
    assert not (target / "a").exists()
    assert temporary.exists() is (what not in ("less", "more", "nothing"))  # what is not ours stays


@pytest.mark.parametrize("cut", [False, True])
@pytest.mark.parametrize("place", ["temporary", "final", "temporary of an old version"])
def test_settling_takes_whole_copies_only(places: tuple[Path, Path], place: str, cut: bool) -> None:
    source, target = places
    mover = Mover(source, target)
    arrival, temporary = synced(mover, target)
    tag = temporary.name.removesuffix(".part").split("-", 3)[3].encode()
    where = temporary
    if place != "temporary":
        old = f".migmond-{mover.context.options.execution}-{arrival.number}.part"
        where = temporary.rename(target / ("a" if place == "final" else old))
        tag = b"" if place != "final" else tag
    if cut:
        os.truncate(where, arrival.size - 1)
    item = SettleItem(arrival.number, 0, b"", b"a", arrival.inode, tag=tag, size=arrival.size)
    Settler(mover.context).settle(Settle(1, (item,)))
    settled = mover.said[-1]
    assert isinstance(settled, Settled)
    assert settled.lost == ((arrival.number,) if cut else ())
    assert [p.fault for p in settled.published] == ([] if cut else [None])
    assert os.listdir(target) == ([where.name] if cut else ["a"])


def test_what_attempts_left_that_are_over_makes_room(places: tuple[Path, Path]) -> None:
    _, target = places
    mover = Mover(*places)
    mover.context.mover = f"{RUN}-2".encode()
    execution = mover.context.options.execution
    ours = f".migmond-{execution}-"
    stays = {
        f"{ours}7-{RUN}-2-1.part",  # its own
        f"{ours}7-{RUN}-33-1.part",  # of another mover, younger or older
        f".migmond-{'f' * 12}-7-{OLD_RUN}-1-1.part",  # of another execution
        f"{ours}notes.part",  # somebody's own
    }
    goes = {f"{ours}7.part", f"{ours}7-{OLD_RUN}-2-1.part", f"{ours}8-{RUN}-3-19.part"}
    for name in stays | goes:
        (target / name).write_bytes(b"")
    copier = Copier(mover.context)
    copier.tidy(0, b"", frozenset({3}))
    copier.tidy(0, b"not there", frozenset({3}))
    assert set(os.listdir(target)) == stays
    assert {n for n in stays | goes if not is_temporary(os.fsencode(n))} == {f"{ours}notes.part"}


@pytest.mark.parametrize("tidying", ["sweep", "tidy"])
def test_what_cannot_be_removed_keeps_nothing_else_from_it(places: tuple[Path, Path], tidying: str) -> None:
    """Somebody's directory that has a temporary's name stopped the sweep of all others there."""
    _, target = places
    mover = Mover(*places)
    ours = f".migmond-{mover.context.options.execution}-"
    for number in range(9):
        (target / f"{ours}{number}.part").write_bytes(b"half")
    (target / f"{ours}9.part").mkdir()
    (target / f"{ours}10.part").mkdir()
    if tidying == "tidy":
        Copier(mover.context).tidy(0, b"", frozenset())
    else:
        Settler(mover.context).sweep(Sweep(1, ((0, b""),)))
        swept = mover.said[-1]
        assert isinstance(swept, Swept)
        assert swept.removed == 9
        assert sorted(f.message.split(": ")[0] for f in swept.failures) == [
            f"{target}/{ours}10.part", f"{target}/{ours}9.part",
        ]  # fmt: skip
    assert sorted(os.listdir(target)) == [f"{ours}10.part", f"{ours}9.part"]


def test_nothing_stays_in_a_directory_that_was_never_made(places: tuple[Path, Path]) -> None:
    """Where a file stood in its way it was told that `1 temporary file stays (album/: Not a directory)`."""
    _, target = places
    mover = Mover(*places)
    (target / "album").write_text("somebody's file")
    Settler(mover.context).sweep(Sweep(1, ((0, b"album"), (0, b"none"))))
    swept = mover.said[-1]
    assert isinstance(swept, Swept)
    assert swept.failures == ()
