"""A disk that keeps something else than what was written: read-back notices before a source is deleted
(design page HAZARDS rows 11, 12 and 15)."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from pathlib import Path

import pytest
import trio

import loopfs
import migmond
from engine_harness import laboratory, plan
from migmond.domain.execution import Execution
from migmond.domain.plan import ConflictPolicy, Operation, VerifyLevel
from migmond.domain.states import ExecutionState
from migmond.engine.settings import EngineSettings

HEAD = b"the first words of what migmond wrote"
CONTENT = HEAD + random.Random(1).randbytes(20_000)
OTHER = random.Random(2).randbytes(20_000)

_FAULTY = """
import os, sys
from migmond.mover import devices
from migmond.mover.main import main

image, head, real = sys.argv.pop(), {head!r}, devices.sync_file_system

def sync_and_spoil(fd):
    # As a disk does: after it said that all is well, and behind the file system's back.
    real(fd)
    with open(image, "r+b", buffering=0) as file:
        size, at = os.fstat(file.fileno()).st_size, 0
        while at < size:
            try:
                begin = os.lseek(file.fileno(), at, os.SEEK_DATA)
            except OSError:
                return
            at = os.lseek(file.fileno(), begin, os.SEEK_HOLE)
            data = os.pread(file.fileno(), at - begin, begin)
            found = data.find(head)
            while found >= 0:
                os.pwrite(file.fileno(), b"X", begin + found)
                found = data.find(head, found + 1)

devices.sync_file_system = sync_and_spoil
main()
"""


def spoil_what_is_synced(monkeypatch: pytest.MonkeyPatch, image: Path) -> None:
    """Let movers spoil every file of CONTENT in `image` whenever they have synced."""

    async def spawn(socket_fd: int, memory_fd: int) -> trio.Process:
        return await trio.lowlevel.open_process(
            [sys.executable, "-c", _FAULTY.format(head=HEAD), str(socket_fd), str(memory_fd), str(image)],
            pass_fds=(socket_fd, memory_fd),
            stdin=subprocess.DEVNULL,
            env={"PYTHONPATH": str(Path(migmond.__file__).parents[1]), "PATH": "/usr/bin:/bin"},
        )

    monkeypatch.setattr("migmond.engine.process._spawn", spawn)


async def moved(tmp_path: Path, target: Path, verify: VerifyLevel, conflict: ConflictPolicy) -> Execution:
    settings = EngineSettings(workers=1, attempts=2)
    async with laboratory(tmp_path / "state", settings) as lab:
        return await lab.run(plan(tmp_path / "source", target, Operation.MOVE, conflict, verify))


@pytest.mark.parametrize("kind", ["ext4", "xfs"])
@pytest.mark.parametrize("standing", [False, True])
async def test_what_reads_back_differently_costs_no_source(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, standing: bool
) -> None:
    """`standing`: an equal file is at the target already, and is not copied again."""
    if why := loopfs.missing(kind):
        pytest.skip(why)
    source = tmp_path / "source"
    for level in (VerifyLevel.HASH, VerifyLevel.READ_BACK):
        source.mkdir(exist_ok=True)
        (source / "file").write_bytes(CONTENT)
        (source / "good").write_bytes(OTHER)
        with loopfs.mounted(tmp_path / level.value, kind) as fs:
            target = fs.root / "target"
            target.mkdir()
            if standing:
                (target / "file").write_bytes(CONTENT)
                st = (source / "file").stat()
                os.utime(target / "file", ns=(st.st_atime_ns, st.st_mtime_ns))
            spoil_what_is_synced(monkeypatch, fs.image)
            ended = await moved(tmp_path, target, level, ConflictPolicy.FAIL)
            assert (target / "good").read_bytes() == OTHER
            with open(target / "file" if (target / "file").exists() else os.devnull, "rb") as file:
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
                there = file.read()
        if level is VerifyLevel.HASH:  # the control: the disk does spoil it, and nobody who does not look can know
            assert (ended.state, there[:1], source.exists()) == (ExecutionState.COMPLETED, b"X", False)
        else:
            assert ended.state is ExecutionState.COMPLETED_WITH_ERRORS
            assert (source / "file").read_bytes() == CONTENT
            assert [p.name for p in source.iterdir()] == ["file"]
            assert there[:1] in (b"", b"X")
