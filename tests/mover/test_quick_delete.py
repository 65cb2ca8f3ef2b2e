"""Deletes by machine code: only what is ordinary, and never anything that somebody has put in its place."""

from __future__ import annotations

import fcntl
import itertools
import os
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from migmond.domain.entry import entry_type
from migmond.domain.fault import Fault
from migmond.fsys import machine_code
from migmond.fsys.deletes import Deletes, Doomed, Fate
from migmond.fsys.facts import mount_of
from migmond.mover.delete import Remover
from migmond.mover.quick_delete import _TELLING
from migmond.wire.from_mover import Deleted
from migmond.wire.items import DeleteDirectory, DeleteItem
from migmond.wire.to_mover import Delete
from parts import Mover

pytestmark = pytest.mark.skipif(
    not machine_code.built() and os.environ.get("CI") != "true", reason="there was no C compiler when .venv was set up"
)


@pytest.fixture(autouse=True)
def _as_in_a_mover() -> Iterator[None]:
    """A lease that somebody wants broken is told by SIGIO."""
    before = signal.signal(signal.SIGIO, signal.SIG_IGN)
    yield
    signal.signal(signal.SIGIO, before)


@pytest.fixture(autouse=True)
def disk(tmp_path: Path) -> None:
    fd = os.open(tmp_path, os.O_RDONLY)
    kind = mount_of(fd)[0]
    os.close(fd)
    if kind not in _TELLING:
        pytest.skip(f"sources on {kind} go the long way")


class Pair:
    """A directory of sources and one with their copies, made otherwise."""

    def __init__(self, base: Path, target_base: Path, count: int, *, quick: bool) -> None:
        self.source, self.target = base / f"source-{quick}", target_base / f"target-{quick}"
        self.source.mkdir()
        self.target.mkdir()
        names = [f"f{number:03}" for number in range(count)]
        for name in names:
            (self.source / name).write_bytes(b"version 1 of " + name.encode())
            (self.target / name).write_bytes(b"version 1 of " + name.encode())
            st = os.stat(self.source / name)
            os.utime(self.target / name, ns=(st.st_atime_ns, st.st_mtime_ns))
        self.mover = Mover(self.source, self.target, move=True, machine_code=quick)
        self.items = [self.item(number, name) for number, name in enumerate(names, start=2)]

    def item(self, number: int, name: str) -> DeleteItem:
        import xxhash

        st, copy = os.lstat(self.source / name), os.lstat(self.target / name)
        digest = xxhash.xxh3_128_digest((self.source / name).read_bytes())
        return DeleteItem(
            number, name.encode(), entry_type(st.st_mode), st.st_size, st.st_mtime_ns, st.st_ctime_ns, st.st_ino,
            st.st_dev, st.st_nlink, name.encode(), copy.st_ino, digest, copy.st_ctime_ns,
        )  # fmt: skip

    def delete(self) -> dict[int, Fault]:
        remover = Remover(self.mover.context)
        remover.delete(Delete(1, (DeleteDirectory(0, b"", tuple(self.items)),)))
        remover.sync()
        answer = self.mover.said[-1]
        assert isinstance(answer, Deleted)
        return {f.number: f.fault for f in answer.failures}


def doomed(pair: Pair) -> list[Doomed]:
    return [
        Doomed(
            i.number, i.name, i.target_name, i.inode, i.target_inode, i.size, i.mtime_ns, i.ctime_ns, i.published_ns
        )
        for i in pair.items
    ]  # fmt: skip


def test_ordinary_sources_do_not_go_the_long_way(
    tmp_path: Path, other_fs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pair = Pair(tmp_path, other_fs, 40, quick=True)

    def never(*_: object, **__: object) -> bool:
        raise AssertionError

    monkeypatch.setattr(Remover, "_try", never)
    assert pair.delete() == {}
    assert os.listdir(pair.source) == []
    assert len(os.listdir(pair.target)) == 40


def _rewrite(pair: Pair) -> None:
    (pair.source / "f001").write_bytes(b"version 2")


def _replace(pair: Pair) -> None:
    (pair.source / "new").write_bytes(b"version 1 of f001")
    (pair.source / "new").rename(pair.source / "f001")


def _touch(pair: Pair) -> None:
    os.utime(pair.source / "f001", ns=(0, 0))


def _chmod(pair: Pair) -> None:
    (pair.source / "f001").chmod(0o600)


def _link(pair: Pair) -> None:
    os.link(pair.source / "f001", pair.source / "another")


def _gone(pair: Pair) -> None:
    (pair.source / "f001").unlink()


def _copy_gone(pair: Pair) -> None:
    (pair.target / "f001").unlink()


def _copy_changed(pair: Pair) -> None:
    st = os.stat(pair.target / "f001")
    (pair.target / "f001").write_bytes(b"VERSION 1 of f001")
    os.utime(pair.target / "f001", ns=(st.st_atime_ns, st.st_mtime_ns))


def _copy_touched(pair: Pair) -> None:
    (pair.target / "f001").chmod(0o600)


def _copy_replaced(pair: Pair) -> None:
    (pair.target / "f001").rename(pair.target / "elsewhere")
    (pair.target / "f001").symlink_to("elsewhere")


def _copy_directory(pair: Pair) -> None:
    (pair.target / "f001").unlink()
    (pair.target / "f001").mkdir()


def _aside(pair: Pair) -> None:
    (pair.source / "f001").rename(pair.source / os.fsdecode(pair.mover.context.aside(3)))


def _aside_taken(pair: Pair) -> None:
    (pair.source / os.fsdecode(pair.mover.context.aside(3))).write_bytes(b"an earlier version")


@pytest.mark.parametrize(
    "alter",
    [_rewrite, _replace, _touch, _chmod, _link, _gone, _copy_gone, _copy_changed, _copy_touched, _copy_replaced,
     _copy_directory, _aside, _aside_taken],
)  # fmt: skip
def test_both_ways_do_the_same(tmp_path: Path, other_fs: Path, alter: Callable[[Pair], None]) -> None:
    seen = []
    for quick in (False, True):
        pair = Pair(tmp_path, other_fs, 3, quick=quick)
        alter(pair)
        said = {number: (fault.kind, fault.message) for number, fault in pair.delete().items()}
        there = {p.name: p.read_bytes() if p.is_file() else b"" for p in itertools.chain(
            pair.source.iterdir(), pair.target.iterdir())}  # fmt: skip
        seen.append((said, there, sorted(os.listdir(pair.source))))
    assert seen[0] == seen[1]
    assert "f000" not in seen[1][2]
    assert "f002" not in seen[1][2]


def test_a_directory_in_which_nothing_is_ordinary(tmp_path: Path, other_fs: Path) -> None:
    pair = Pair(tmp_path, other_fs, 1, quick=True)
    os.link(pair.source / "f000", pair.source / "further")
    pair.items = [pair.item(2, "f000")]
    assert pair.delete() == {}
    assert os.listdir(pair.source) == ["further"]


@pytest.mark.parametrize("how", ["written", "locked"])
def test_what_somebody_uses_stays(tmp_path: Path, other_fs: Path, how: str) -> None:
    for quick in (False, True):
        pair = Pair(tmp_path, other_fs, 2, quick=quick)
        fd = os.open(pair.source / "f001", os.O_WRONLY if how == "written" else os.O_RDONLY)
        if how == "locked":
            fcntl.flock(fd, fcntl.LOCK_EX)
        assert {n: f.kind for n, f in pair.delete().items()} == {3: "source_in_use"}
        assert os.listdir(pair.source) == ["f001"]
        os.close(fd)
        assert pair.delete() == {}


def test_what_is_its_own_copy_has_its_name_again_and_stays(tmp_path: Path) -> None:
    pair = Pair(tmp_path, tmp_path, 3, quick=True)
    library = machine_code.load()
    assert library is not None
    machine = Deletes(library, pair.mover.page)
    source = os.open(pair.source, os.O_RDONLY)
    for item in pair.items:  # what stands beside them is equal, but in the very directory that is to be emptied
        (pair.source / f"copy-{item.number}").write_bytes((pair.target / os.fsdecode(item.name)).read_bytes())
        os.utime(pair.source / f"copy-{item.number}", ns=(item.mtime_ns, item.mtime_ns))
    asked = [
        Doomed(
            i.number, i.name, b"copy-%d" % i.number, i.inode, os.stat(pair.source / f"copy-{i.number}").st_ino, i.size,
            i.mtime_ns, i.ctime_ns, None,
        )
        for i in pair.items
    ]  # fmt: skip
    fates = machine.delete(source, source, pair.mover.context.aside_prefix, asked)
    os.close(source)
    for item, (fate, put_back_ns) in zip(pair.items, fates, strict=True):
        st = os.stat(pair.source / os.fsdecode(item.name))
        assert fate is Fate.PUT_BACK
        assert (st.st_ino, st.st_ctime_ns) == (item.inode, put_back_ns)
        assert put_back_ns > item.ctime_ns


def test_a_name_with_a_nul_is_no_other_name(tmp_path: Path, other_fs: Path) -> None:
    pair = Pair(tmp_path, other_fs, 2, quick=True)
    library = machine_code.load()
    assert library is not None
    machine, asked = Deletes(library, pair.mover.page), doomed(pair)
    fds = [os.open(p, os.O_RDONLY) for p in (pair.source, pair.target)]
    asked[0] = Doomed(2, b"f000\0x", b"f000", 1, 1, 1, 1, 1, 1)
    assert [f for f, _ in machine.delete(fds[0], fds[1], b".t-", asked)] == [Fate.LEFT, Fate.LEFT]
    assert len(os.listdir(pair.source)) == 2
    for fd in fds:
        os.close(fd)


@pytest.mark.hazard(25)
def test_a_version_that_an_editor_saves_meanwhile_is_never_lost(tmp_path: Path, other_fs: Path) -> None:
    pair = Pair(tmp_path, other_fs, 1500, quick=True)
    drafts = tmp_path / "drafts"
    drafts.mkdir()
    names = [os.fsdecode(item.name) for item in pair.items]
    for name in names:
        (drafts / name).write_bytes(b"version 2 of " + name.encode())
    begin = threading.Event()

    def edit() -> None:
        begin.wait()
        for name in reversed(names):  # they meet somewhere in the middle
            os.rename(drafts / name, pair.source / name)

    editor = threading.Thread(target=edit)
    editor.start()
    begin.set()
    faults = pair.delete()
    editor.join()
    lost = []
    for item, name in zip(pair.items, names, strict=True):
        there = [pair.source / name, pair.source / os.fsdecode(pair.mover.context.aside(item.number))]
        if not any(p.is_file() and p.read_bytes() == b"version 2 of " + name.encode() for p in there):
            lost.append(name)
        assert (pair.target / name).read_bytes() == b"version 1 of " + name.encode()
    assert lost == []
    assert {f.kind for f in faults.values()} <= {"source_changed", "kept_aside"}
