"""What a copy looks like while it is being written: nobody may look in who may not in the end."""

from __future__ import annotations

import mmap
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

import trees
from migmond.domain.plan import ConflictPolicy, Operation, VerifyLevel
from migmond.fsys.listing import list_directory
from migmond.mover.context import Context
from migmond.mover.control import Controls
from migmond.mover.copy import Copier
from migmond.mover.group import Copied
from migmond.mover.roots import open_roots
from migmond.wire.items import MoverOptions, RootSpec, WorkItem
from migmond.wire.slots import SLOT_BYTES, MoverSide
from migmond.wire.to_mover import Open
from oracle import differences

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root to give files away")
EXECUTION = "a" * 12


class LookingOn(Controls):
    """Notes the mode and group of the temporary file whenever a piece of it has been copied."""

    def __init__(self, target: Path) -> None:
        super().__init__(MoverSide(mmap.mmap(-1, SLOT_BYTES)))
        self._target = target
        self.seen: set[tuple[int, int]] = set()
        self._number = 0

    def entry(self, number: int, size: int, path: bytes) -> None:
        self._number = number
        super().entry(number, size, path)

    def step(self, count: int) -> None:
        (temporary,) = self._target.glob(f".migmond-{EXECUTION}-{self._number}-*.part")
        st = temporary.stat()
        self.seen.add((stat.S_IMODE(st.st_mode), st.st_gid))
        super().step(count)


class Bench:
    """A copier for the files of one directory."""

    def __init__(self, directory: Path) -> None:
        self.source, self.target = directory / "source", directory / "target"
        self.source.mkdir(mode=0o700)  # as a target is until it is finished

    def copy(self) -> tuple[list[Copied], LookingOn]:
        """Copy every file of the source; the copies keep their temporary names."""
        options = MoverOptions(
            EXECUTION, Operation.COPY, ConflictPolicy.FAIL, VerifyLevel.HASH,
            one_file_system=True, reflink=False, rename=False,
        )  # fmt: skip
        roots = open_roots(Open((RootSpec(bytes(self.source), bytes(self.target)),), options, make_targets=True))
        looking = LookingOn(self.target)
        copier = Copier(Context(roots, options, looking, lambda message: None))
        fd = os.open(self.source, os.O_RDONLY)
        try:
            items = [
                WorkItem(number, e.name, e.type, e.size, e.mtime_ns, e.ctime_ns, e.inode, device, e.links)
                for number, (e, device) in enumerate(list_directory(fd), start=2)
            ]
        finally:
            os.close(fd)
        copied = [copier.copy(item, 0, b"", 1) for item in items]
        copier.forget_directories()
        assert [c.result.fault for c in copied if c.result.fault] == []
        for result in copied:
            assert result.arrival is not None
            os.rename(os.fsencode(self.target) + b"/" + result.arrival.temporary,
                      os.fsencode(self.target) + b"/" + result.arrival.name)  # fmt: skip
        return copied, looking

    def file(self, mode: int) -> Path:
        path = self.source / f"file-{mode:o}"
        path.write_bytes(b"secret")
        path.chmod(mode)
        return path


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    old = os.umask(0)  # as in a mover
    yield Bench(tmp_path)
    os.umask(old)


def test_ones_own_files_are_made_as_they_will_be(bench: Bench) -> None:
    modes = (0o600, 0o644, 0o444, 0o000, 0o750)
    for mode in modes:
        bench.file(mode)
    _, looking = bench.copy()
    assert looking.seen == {(mode, os.getegid()) for mode in modes}
    assert differences(bench.source, bench.target, directory_times=False) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root: nobody else makes setuid programs")
def test_setuid_comes_last(bench: Bench) -> None:
    bench.file(0o4755)
    _, looking = bench.copy()
    assert looking.seen == {(0o600, os.getegid())}
    assert differences(bench.source, bench.target, directory_times=False) == []


@as_root
def test_files_of_others_are_private_until_they_are_theirs(bench: Bench) -> None:
    os.chown(bench.file(0o640), 1234, 5678)
    os.chown(bench.file(0o664), 0, 5678)
    _, looking = bench.copy()
    assert {mode for mode, _ in looking.seen} == {0o600}
    assert differences(bench.source, bench.target, directory_times=False) == []


@as_root
def test_a_directory_that_gives_its_group_gives_it_no_sight(bench: Bench) -> None:
    bench.file(0o664)
    bench.target.mkdir()
    os.chown(bench.target, 0, 5678)
    bench.target.chmod(0o2775)
    _, looking = bench.copy()
    assert looking.seen == {(0o600, 5678)}
    assert stat.S_IMODE((bench.target / "file-664").stat().st_mode) == 0o664
    assert (bench.target / "file-664").stat().st_gid == os.getegid()


def test_an_inherited_acl_lets_nobody_in(bench: Bench) -> None:
    bench.file(0o664)
    bench.target.mkdir()
    try:
        trees.acl(bench.target, default=True)
    except OSError:
        pytest.skip("no ACLs here")
    _, looking = bench.copy()
    assert looking.seen == {(0o600, os.getegid())}
    assert "system.posix_acl_access" not in os.listxattr(bench.target / "file-664")
    assert stat.S_IMODE((bench.target / "file-664").stat().st_mode) == 0o664


def test_parents_are_made_as_anybody_would(bench: Bench, tmp_path: Path) -> None:
    bench.file(0o644)
    bench.target = tmp_path / "new" / "deep" / "target"
    bench.copy()
    assert [stat.S_IMODE(p.stat().st_mode) for p in (tmp_path / "new", tmp_path / "new/deep", bench.target)] == [
        0o755, 0o755, 0o700,
    ]  # fmt: skip
