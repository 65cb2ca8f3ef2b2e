from __future__ import annotations

import os
import socket
from collections.abc import Callable
from pathlib import Path

from migmond.domain.entry import EntryType
from migmond.fsys.listing import list_directory

Opened = Callable[..., int]


def test_every_kind_of_entry_with_its_lstat(tmp_path: Path, opened: Opened) -> None:
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


def test_what_vanishes_meanwhile_is_left_out(tmp_path: Path, opened: Opened) -> None:
    for number in range(20):
        (tmp_path / str(number)).touch()
    names = list_directory(opened(tmp_path))
    first, _ = next(names)
    for number in range(20):
        (tmp_path / str(number)).unlink()
    assert first.name in {b"%d" % n for n in range(20)}
    assert list(names) == []


def test_the_same_fd_lists_again(tmp_path: Path, opened: Opened) -> None:
    (tmp_path / "one").touch()
    fd = opened(tmp_path)
    assert [e.name for e, _ in list_directory(fd)] == [e.name for e, _ in list_directory(fd)] == [b"one"]
