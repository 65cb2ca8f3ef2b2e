"""Re-checking a finished migration: whatever was changed since is found, whatever it is; nothing else is."""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import trio

import trees
from engine_harness import laboratory, plan
from migmond.domain.errors import Conflict, MigmondError
from migmond.domain.plan import Operation, VerifyLevel
from migmond.domain.states import ExecutionState
from oracle import count
from receipts import receipt_of


def replaced(path: Path, make: Callable[[Path], object]) -> None:
    """Put something else where `path` is."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()
    make(path)


def a_bit_of_everything(root: Path) -> None:
    for directory in ("empty directory", "shared", "sub"):
        (root / directory).mkdir(parents=True)
    (root / "large").write_bytes(random.Random(1).randbytes(70_000))
    (root / "empty").touch()
    (root / "shared" / "inside").write_bytes(b"inside")
    (root / "small").write_bytes(b"small")
    for name in ("three", "sub/too"):
        os.link(root / "small", root / name)
    (root / "link").symlink_to("small")
    os.mkfifo(root / "fifo")


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    st = path.stat()
    path.write_bytes(data)
    os.utime(path, ns=(st.st_atime_ns, st.st_mtime_ns))


def unlinked(path: Path) -> None:
    """Make a further name a file of its own with the same content."""
    data = path.read_bytes()
    replaced(path, lambda p: p.write_bytes(data))


def away(target: Path, directory: str) -> None:
    """Leave a symlink in place of a directory."""
    (target / directory).rename(target.parent.parent / "away")
    (target / directory).symlink_to(target.parent.parent / "away")


DAMAGES: dict[str, tuple[Callable[[Path], object], dict[str, str]]] = {
    "one bit of a file": (lambda t: flip(t / "large"), {"large": "content differs"}),
    "a shorter file": (lambda t: os.truncate(t / "large", 5), {"large": "has 5 bytes instead of 70000"}),
    "a file that is gone": (lambda t: (t / "empty").unlink(), {"empty": "not at the destination"}),
    "a directory for a file": (lambda t: replaced(t / "empty", Path.mkdir), {"empty": "is a directory now"}),
    "a symlink for a file": (
        lambda t: replaced(t / "empty", lambda p: p.symlink_to("small")), {"empty": "is a symlink now"}
    ),
    "a fifo for a file": (lambda t: replaced(t / "large", os.mkfifo), {"large": "is a fifo now"}),
    "a file for a fifo": (lambda t: replaced(t / "fifo", Path.touch), {"fifo": "is a file now"}),
    "a symlink that points elsewhere": (
        lambda t: replaced(t / "link", lambda p: p.symlink_to("smalL")), {"link": "content differs"}
    ),
    "an empty directory that is gone": (
        lambda t: (t / "empty directory").rmdir(), {"empty directory": "not at the destination"}
    ),
    "a file for a directory": (
        lambda t: replaced(t / "empty directory", Path.touch), {"empty directory": "is a file now"}
    ),
    "a directory that is gone with all in it": (
        lambda t: shutil.rmtree(t / "shared"),
        {"shared": "not at the destination", "shared/inside": "not at the destination"},
    ),
    "a symlink to what was a directory": (
        lambda t: away(t, "shared"), {"shared": "is a symlink now", "shared/inside": "symlink"}
    ),
    "a further name that is a file of its own": (
        lambda t: unlinked(t / "sub" / "too"), {"sub/too": "is no further name of"}
    ),
    "a name that others are further names of": (lambda t: (t / "small").unlink(), {"small": "not at the destination"}),
}  # fmt: skip


async def test_every_kind_of_damage_is_found_and_nothing_else(tmp_path: Path) -> None:
    """Each in a directory of its own, and one that nobody touched."""
    source, target = tmp_path / "source", tmp_path / "target"
    for name in ("whole", *DAMAGES):
        a_bit_of_everything(source / name)
    async with laboratory(tmp_path / "state") as lab:
        done = await lab.run(plan(source, target))
        before = await lab.verified(done)
        for name, (spoil, _) in DAMAGES.items():
            spoil(target / name)
        after = await lab.verified(done)
    assert (before.mismatches, before.unhashed, before.checked.entries) == (0, 0, count(source))
    wanted = {f"{name}/{path}": words for name, (_, told) in DAMAGES.items() for path, words in told.items()}
    told = dict(example.split(": ", 1) for example in after.examples)
    assert told.keys() == wanted.keys()
    assert [path for path, words in wanted.items() if words not in told[path]] == []
    assert (after.mismatches, after.checked.entries, after.failure) == (len(wanted), count(source), "")


@pytest.mark.parametrize("operation", [Operation.COPY, Operation.MOVE])
async def test_a_target_that_is_gone_or_another_thing_is_a_difference(
    tmp_path: Path, other_fs: Path, operation: Operation
) -> None:
    source, target = tmp_path / "source", other_fs / "target"
    trees.small_files(source, 5, 10, random.Random(1))
    entries = count(source)
    async with laboratory(tmp_path / "state") as lab:
        done = await lab.run(plan(source, target, operation))
        target.rename(other_fs / "away")
        gone = await lab.verified(done)
        target.touch()
        file = await lab.verified(done)
        target.unlink()
        (other_fs / "away").rename(target)
        back = await lab.verified(done)
    assert [(v.mismatches, v.checked.entries, v.failure) for v in (gone, file, back)] == [
        (entries, entries, ""),
        (entries, entries, ""),
        (0, entries, ""),
    ]


async def test_the_source_does_not_matter_any_more(tmp_path: Path) -> None:
    """Verification looked at it, and failed when somebody had put something else there."""
    source, target = tmp_path / "source", tmp_path / "target"
    trees.small_files(source, 5, 10, random.Random(1))
    async with laboratory(tmp_path / "state") as lab:
        done = await lab.run(plan(source, target))
        shutil.rmtree(source)
        source.symlink_to(target)
        found = await lab.verified(done)
    assert (found.mismatches, found.failure) == (0, "")


async def test_without_a_hash_a_later_time_tells_a_change(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    trees.small_files(source, 5, 100, random.Random(1))
    async with laboratory(tmp_path / "state") as lab:
        done = await lab.run(plan(source, target, verify=VerifyLevel.NONE, reflink=False))
        unhashed = await lab.verified(done)
        victim = next(p for p in target.rglob("f*"))
        victim.write_bytes(b"x" * 100)
        os.utime(victim, (2_000_000_000, 2_000_000_000))
        changed = await lab.verified(done)
    assert (unhashed.mismatches, unhashed.unhashed, unhashed.checked.bytes) == (0, 5, 0)
    assert (changed.mismatches, changed.unhashed) == (1, 5)
    assert "modified" in changed.examples[0]


async def test_bytes_are_those_that_were_read(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    source.mkdir()
    (source / "a").write_bytes(b"x" * 1000)
    for name in "bc":
        os.link(source / "a", source / name)
    async with laboratory(tmp_path / "state") as lab:
        found = await lab.verified(await lab.run(plan(source, target)))
    assert (found.checked.bytes, found.checked.entries, found.unhashed) == (1000, 4, 0)


async def test_a_verification_that_breaks_replaces_no_reason_and_is_no_success(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The result of the one before was taken for its own; and why entries had failed was forgotten."""
    source, target = tmp_path / "source", tmp_path / "target"
    source.mkdir()
    for name in "ab":
        (source / name).write_bytes(b"content")
    target.mkdir()
    (target / "a").write_bytes(b"other")
    async with laboratory(tmp_path / "state") as lab:
        done = await lab.run(plan(source, target))
        assert done.state is ExecutionState.COMPLETED_WITH_ERRORS
        receipt = await receipt_of(lab.journal, done)
        assert (await lab.verified(done)).failure == ""

        async def no_mover(*_: object) -> object:
            raise MigmondError("no mover could be had")

        with monkeypatch.context() as patch:
            patch.setattr("migmond.engine.verify.open_mover", no_mover)
            broken = await lab.verified(done)
        assert (broken.failure, broken.checked.entries) == ("no mover could be had", 0)
        after = lab.engine.find(done.id)
        assert after.reason == done.reason != ""
        assert await receipt_of(lab.journal, after) == receipt
        assert (await lab.verified(done)).failure == ""
        assert lab.engine.find(done.id).reason == done.reason


async def test_a_verification_can_be_cancelled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    trees.small_files(source, 50, 10, random.Random(1))
    monkeypatch.setattr("migmond.engine.verify.PAGE_TASKS", 1)
    async with laboratory(tmp_path / "state") as lab:
        done = await lab.run(plan(source, target))
        with pytest.raises(Conflict, match="not being verified"):
            await lab.engine.cancel_verification(done, "ana")
        await lab.engine.verify(done)
        assert "verifying: " in lab.engine.view(done).why
        with trio.fail_after(30):
            after = await lab.engine.cancel_verification(done, "ana")
        assert after.verification is not None
        assert after.verification.failure == "cancelled by ana"
        assert after.verification.checked.entries < count(source)
        assert lab.engine.view(after).why == ""
        assert after.state is ExecutionState.COMPLETED
        assert (await lab.verified(done)).checked.entries == count(source)


async def test_progress_shows_what_is_read_of_a_large_file(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    source.mkdir()
    with open(source / "large", "wb") as file:
        file.truncate(512 << 20)  # nothing but a hole: no disk is needed for it, and it takes a while to read
    async with laboratory(tmp_path / "state") as lab:
        done = await lab.run(plan(source, target, reflink=False))
        shown: set[str] = set()

        def look() -> bool:
            shown.add(lab.engine.view(done).why)
            return "" in shown

        def in_the_middle() -> bool:
            return any(why.startswith("verifying: 0 of") and "0 B" not in why for why in shown)

        for _ in range(20):  # a busy machine may not let us look while it reads
            shown.clear()
            await lab.engine.verify(done)
            await lab.until(look)
            if in_the_middle():
                break
    assert in_the_middle(), shown
