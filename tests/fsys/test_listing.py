from __future__ import annotations

import os
import shutil
import socket
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from migmond.domain.entry import EntryType
from migmond.fsys import machine_code
from migmond.fsys.listing import ListDirectory, lister
from migmond.fsys.machine_code import load

Opened = Callable[..., int]


@pytest.fixture(params=["python", "machine code"])
def list_directory(request: pytest.FixtureRequest) -> ListDirectory:
    library = load() if request.param == "machine code" else None
    if library is None and request.param == "machine code" and os.environ.get("CI") != "true":
        pytest.skip("there was no C compiler when .venv was set up")
    assert (library is None) == (request.param == "python")
    return lister(library)


def test_every_kind_of_entry_with_its_lstat(tmp_path: Path, opened: Opened, list_directory: ListDirectory) -> None:
    here = os.fsencode(tmp_path)
    (tmp_path / "file").write_bytes(b"12345")
    os.link(tmp_path / "file", tmp_path / "other")
    (tmp_path / "directory").mkdir()
    (tmp_path / "symlink").symlink_to("nowhere")
    os.mkfifo(tmp_path / "fifo")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(f"/proc/self/fd/{opened(tmp_path)}/socket")
    strange = b"\xff\xe4\n" + b"n" * 252
    os.close(os.open(here + b"/" + strange, os.O_CREAT | os.O_WRONLY))
    found = {entry.name: (entry, device) for entry, device in list_directory(opened(tmp_path))}
    assert {name: entry.type for name, (entry, _) in found.items()} == {
        b"file": EntryType.FILE,
        b"other": EntryType.FILE,
        b"directory": EntryType.DIRECTORY,
        b"symlink": EntryType.SYMLINK,
        b"fifo": EntryType.FIFO,
        b"socket": EntryType.SOCKET,
        strange: EntryType.FILE,
    }
    for name, (entry, device) in found.items():
        st = os.lstat(here + b"/" + name)
        assert (entry.size, entry.mtime_ns, entry.ctime_ns) == (st.st_size, st.st_mtime_ns, st.st_ctime_ns)
        assert (entry.inode, entry.links, device) == (st.st_ino, st.st_nlink, st.st_dev)
        assert entry.allocated == st.st_blocks * 512


def test_what_vanishes_meanwhile_is_left_out(tmp_path: Path, opened: Opened, list_directory: ListDirectory) -> None:
    for number in range(3000):
        (tmp_path / f"{number:0100}").touch()
    names = list_directory(opened(tmp_path))
    first, _ = next(names)
    for number in range(3000):
        (tmp_path / f"{number:0100}").unlink()
    found = [first.name, *(entry.name for entry, _ in names)]
    assert len(found) <= 1000  # what had been looked at before
    assert len(set(found)) == len(found)


def test_a_time_of_any_year(opened: Opened, list_directory: ListDirectory) -> None:
    with tempfile.TemporaryDirectory(dir="/dev/shm") as directory:
        last = (1 << 63) // 10**9
        years = {b"1677": -last - 2, b"2262": last + 1, b"far": 1 << 56, b"now": 1_700_000_000}
        for name, second in years.items():
            path = os.fsencode(directory) + b"/" + name
            os.close(os.open(path, os.O_CREAT | os.O_WRONLY))
            os.utime(path, ns=(second * 10**9, second * 10**9 + 5))
        found = {entry.name: entry.mtime_ns for entry, _ in list_directory(opened(Path(directory)))}
        assert found == {name: os.lstat(os.fsencode(directory) + b"/" + name).st_mtime_ns for name in years}


@pytest.mark.parametrize("length", [1, 60, 255])
def test_as_many_as_there_are(tmp_path: Path, opened: Opened, list_directory: ListDirectory, length: int) -> None:
    names = {b"%d" % n if length < 6 else b"%0*d" % (length, n) for n in range(2500)}
    for name in names:
        os.close(os.open(os.fsencode(tmp_path) + b"/" + name, os.O_CREAT | os.O_WRONLY))
    found = [entry.name for entry, _ in list_directory(opened(tmp_path))]
    assert len(found) == len(names)
    assert set(found) == names


def test_two_at_a_time(tmp_path: Path, opened: Opened, list_directory: ListDirectory) -> None:
    for place in ("a", "b"):
        (tmp_path / place).mkdir()
        for number in range(5):
            (tmp_path / place / f"{place}{number}").touch()
    one, other = (list_directory(opened(tmp_path / place)) for place in ("a", "b"))
    found = [(a.name[:1], b.name[:1]) for (a, _), (b, _) in zip(one, other, strict=True)]
    assert found == [(b"a", b"b")] * 5


def test_what_is_no_directory_is_an_error(tmp_path: Path, opened: Opened, list_directory: ListDirectory) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(NotADirectoryError):
        list(list_directory(opened(tmp_path / "file")))


def test_the_same_fd_lists_again(tmp_path: Path, opened: Opened, list_directory: ListDirectory) -> None:
    (tmp_path / "one").touch()
    fd = opened(tmp_path)
    assert [e.name for e, _ in list_directory(fd)] == [e.name for e, _ in list_directory(fd)] == [b"one"]


def test_machine_code_of_other_sources_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if load() is None:
        pytest.skip("there is no machine code")
    for name in machine_code.SOURCES:
        shutil.copy(Path(machine_code.__file__).with_name(name), tmp_path)
    shutil.copy(Path(machine_code.__file__).with_name(machine_code._LIBRARY), tmp_path)
    monkeypatch.setattr(machine_code, "__file__", str(tmp_path / "machine_code.py"))
    assert load() is not None
    with (tmp_path / "listing.c").open("a") as source:
        source.write("/* another version */\n")
    assert load() is None
    assert not machine_code.built()
