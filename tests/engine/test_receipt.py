"""Receipts of real executions: they say what became of every entry, and the same whenever they are asked for."""

from __future__ import annotations

import json
import os
import random
import subprocess
from pathlib import Path

import pytest

import trees
from engine_harness import laboratory, plan
from migmond.domain.limits import Limits
from migmond.domain.names import from_text
from migmond.domain.plan import ConflictPolicy, Operation, Plan, Source, VerifyLevel
from migmond.domain.states import ExecutionState
from migmond.engine.settings import EngineSettings
from oracle import count
from receipts import check, entries, receipt_of

_LONG = 3000


async def test_a_receipt_has_every_entry_and_never_changes(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    trees.every_kind(source)
    async with laboratory(tmp_path / "state") as lab:
        done = await lab.run(plan(source, target))
        receipt = await receipt_of(lab.journal, done)
        for limit in (1, 7, 100_000):
            assert await receipt_of(lab.journal, done, limit) == receipt
        await lab.engine.verify(done)
        await lab.until(lambda: lab.engine.find(done.id).verification is not None)
        assert await receipt_of(lab.journal, lab.engine.find(done.id)) == receipt
    async with laboratory(tmp_path / "state") as lab:
        assert await receipt_of(lab.journal, lab.engine.find(done.id)) == receipt

    found = check(receipt)
    assert (found.damage, found.header is not None and found.header.final) == ("", True)
    assert found.footer is not None
    total, tally = found.footer.sum, done.totals.done
    assert (total.entries, total.imperfect, total.unhashed) == (count(source), done.totals.imperfect, 0)
    assert (total.states["done"].entries, total.states["done"].bytes) == (tally.entries, tally.bytes)
    told = {from_text(path): entry for path, entry in entries(receipt).items()}
    there = {os.path.relpath(path, bytes(source)) for path in _walk(bytes(source))}
    assert there == {path for path in told if len(path) < _LONG}  # os.walk follows no further
    for path in there:
        st, entry = os.lstat(os.path.join(bytes(source), path)), told[path]
        if entry["type"] != "directory":
            assert (entry["size"], entry["mtime_ns"]) == (st.st_size, st.st_mtime_ns)
    assert entries(receipt)["small"]["xxh3_128"] == "b5e9c1ad071b3e7fc779cfaa5e523818"  # printf hello | xxh128sum


def _walk(root: bytes) -> list[bytes]:
    found = [os.path.join(at, name) for at, inner, files in os.walk(root) for name in (*inner, *files)]
    return [root, *(path for path in found if len(os.path.relpath(path, root)) < _LONG)]


async def test_what_went_another_way_is_told(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    for name in ("taken", "free"):
        source.mkdir(exist_ok=True)
        (source / name).write_bytes(b"new")
    target.mkdir()
    (target / "taken").write_bytes(b"other content")
    async with laboratory(tmp_path / "state") as lab:
        failed = await lab.run(plan(source, target))
        told = await receipt_of(lab.journal, failed)
        renamed = await lab.run(plan(source, target, conflict=ConflictPolicy.RENAME))
        renaming = await receipt_of(lab.journal, renamed)
    assert failed.state is ExecutionState.COMPLETED_WITH_ERRORS
    assert entries(told)["taken"]["state"] == "failed"
    assert "exists" in entries(told)["taken"]["fault"]
    assert "fault" not in entries(told)["free"]
    assert entries(renaming)["taken"]["target_name"] == "taken (1)"
    assert entries(renaming)["free"]["outcome"] == "unchanged"


async def test_without_verification_there_is_no_hash_and_the_receipt_says_so(tmp_path: Path) -> None:
    source = tmp_path / "source"
    trees.small_files(source, 5, 100, random.Random(1))
    async with laboratory(tmp_path / "state") as lab:
        done = await lab.run(plan(source, tmp_path / "target", verify=VerifyLevel.NONE, reflink=False))
        receipt = await receipt_of(lab.journal, done)
    found = check(receipt)
    assert found.header is not None
    assert found.footer is not None
    assert (found.header.verify, found.header.hash, found.footer.sum.unhashed) == ("none", None, 5)
    assert b"xxh3_128" not in receipt


async def test_entries_of_several_sources_are_told_apart(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "same").write_bytes(name.encode())
    sources = tuple(Source(os.fsencode(tmp_path / name), name.encode()) for name in ("a", "b"))
    async with laboratory(tmp_path / "state") as lab:
        done = await lab.run(Plan("two", sources, os.fsencode(tmp_path / "target")))
        receipt = await receipt_of(lab.journal, done)
    found = [json.loads(line) for line in receipt.splitlines()[1:-1]]
    assert {(e.get("source", 0), e["path"]) for e in found} == {(0, "."), (1, "."), (0, "same"), (1, "same")}


async def test_a_running_execution_has_a_receipt_that_is_not_final(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    trees.small_files(source, 600, 10, random.Random(1))
    async with laboratory(tmp_path / "state", EngineSettings(workers=2, group_entries=10)) as lab:
        execution = await lab.start(plan(source, target, limits=Limits(io_ops_per_s=200)))
        await lab.until(lambda: lab.engine.find(execution.id).totals.done.entries > 0)
        early = check(await receipt_of(lab.journal, lab.engine.find(execution.id)))
        await lab.engine.cancel(execution, "ana", "")
        ended = await lab.ended(execution)
        late = check(await receipt_of(lab.journal, ended))
    assert early.header is not None
    assert (early.damage, early.header.final, early.header.ended_at) == ("", False, None)
    assert late.header is not None
    assert late.footer is not None
    assert (late.header.final, late.header.state) == (True, "cancelled")
    assert late.footer.sum.states["cancelled"].entries == ended.totals.cancelled.entries


@pytest.mark.hazard(35)
@pytest.mark.parametrize("operation", [Operation.COPY, Operation.MOVE])
async def test_birth_times_stand_in_the_receipt(tmp_path: Path, other_fs: Path, operation: Operation) -> None:
    """No copy can be given that of its source (design page HAZARDS row 35)."""
    source, target = tmp_path / "source", other_fs / "target"
    source.mkdir()
    target.mkdir()
    for name in ("file", "standing"):
        (source / name).write_bytes(b"content")
        os.utime(source / name, (5, 5))
    (target / "standing").write_bytes(b"content")
    os.utime(target / "standing", (5, 5))
    (source / "link").symlink_to("file")
    os.mkfifo(source / "fifo")
    names = [path.name for path in source.iterdir()]
    told = subprocess.run(
        ["stat", "-c", "%.9W", *(source / name for name in names)], capture_output=True, text=True, check=True
    ).stdout.split()
    if "-" in told:
        pytest.skip("the file system of the temporary directory tells no birth times")
    async with laboratory(tmp_path / "state") as lab:
        done = await lab.run(plan(source, target, operation))
        found = entries(await receipt_of(lab.journal, done))
    assert done.state is ExecutionState.COMPLETED
    wanted = {name: int(at.replace(".", "")) for name, at in zip(names, told, strict=True)}
    if operation is Operation.COPY:  # it was left alone: its source is still there to be asked
        del wanted["standing"]
    assert {name: e["birth_ns"] for name, e in found.items() if "birth_ns" in e} == wanted


async def test_pages_of_long_paths_end_early(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A frame of the socket holds 16 MiB; a thousand paths of 6,000 escaped bytes do not fit in."""
    source = tmp_path / "source"
    trees.random_tree(source, random.Random(2), 60)
    async with laboratory(tmp_path / "state") as lab:
        done = await lab.run(plan(source, tmp_path / "target", Operation.COPY))
        receipt = await receipt_of(lab.journal, done)
        monkeypatch.setattr("migmond.engine.receipt.PAGE_PATH_BYTES", 100)
        assert await receipt_of(lab.journal, done) == receipt
