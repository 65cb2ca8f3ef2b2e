from __future__ import annotations

import contextlib
import errno
import os
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from errnos import fails_with
from migmond.fsys import libc
from migmond.fsys.beneath import make_directories, open_beneath, open_directory
from migmond.fsys.root_path import open_root

Opened = Callable[..., int]
LONG = b"/".join(b"%03d" % i + b"d" * 197 for i in range(60))
"""60 components of 200 bytes: 12,059 bytes, three times what one system call takes."""


def _no_openat2(*_: object) -> int:
    raise OSError(errno.ENOSYS, "not here")


@pytest.fixture(params=["openat2", "by steps"])
def root(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """A root with a file and traps in it, once for the kernel's own way and once for kernels without it."""
    if request.param == "by steps":
        monkeypatch.setattr(libc, "openat2", _no_openat2)
    (tmp_path / "secret").write_text("secret")
    inside = tmp_path / "root"
    (inside / "a/b").mkdir(parents=True)
    (inside / "a/b/file").write_text("hello")
    (inside / "middle").symlink_to("a/b")
    (inside / "link").symlink_to("a/b/file")
    (inside / "dangling").symlink_to("nowhere")
    (inside / "out").symlink_to("..")
    (inside / "absolute").symlink_to(tmp_path)
    (inside / "magic").symlink_to("/proc/self/root")
    fd = open_root(os.fsencode(inside))
    yield fd
    os.close(fd)


def _read(fd: int) -> bytes:
    with os.fdopen(fd, "rb") as file:
        return file.read()


def test_what_lies_below_is_opened(root: int) -> None:
    assert _read(open_beneath(root, b"a/b/file", os.O_RDONLY)) == b"hello"
    for path in (b"", b"a", b"a/b", b"a//b/", b"./a/./b"):
        fd = open_beneath(root, path, os.O_RDONLY)
        expected = os.stat(os.path.join(b".", path), dir_fd=root)
        assert os.path.samestat(os.fstat(fd), expected)
        assert not os.get_inheritable(fd)
        os.close(fd)


def test_files_are_made_with_their_mode(root: int) -> None:
    fd = open_beneath(root, b"a/new", os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o640)
    assert os.fstat(fd).st_mode & 0o777 == 0o640
    os.close(fd)
    with pytest.raises(FileExistsError):
        open_beneath(root, b"a/new", os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o640)


@pytest.mark.parametrize(
    ("path", "number"),
    [
        (b"link", errno.ELOOP),
        (b"dangling", errno.ELOOP),
        (b"middle/file", errno.ELOOP),
        (b"out/secret", errno.ELOOP),
        (b"absolute/secret", errno.ELOOP),
        (b"magic/etc/passwd", errno.ELOOP),
        (b"..", errno.EXDEV),
        (b"../secret", errno.EXDEV),
        (b"a/../../secret", errno.EXDEV),
        (b"/etc/passwd", errno.EXDEV),
        (b"a/b/file/x", errno.ENOTDIR),
        (b"a/missing", errno.ENOENT),
    ],
)
def test_every_way_out_is_refused(root: int, path: bytes, number: int) -> None:
    with fails_with(number):
        open_beneath(root, path, os.O_RDONLY)


@pytest.mark.parametrize("path", [b"middle", b"out", b"absolute", b"magic", b"middle/new"])
def test_directories_are_never_made_or_opened_through_symlinks(root: int, path: bytes) -> None:
    for function in (open_directory, make_directories):
        with fails_with(errno.ELOOP):
            function(root, path)
    assert not os.path.exists(f"/proc/self/fd/{root}/a/b/new")


def test_a_nul_byte_does_not_cut_the_path_short(tmp_path: Path, opened: Opened) -> None:
    (tmp_path / "a").mkdir()
    with fails_with(errno.EINVAL):
        open_beneath(opened(tmp_path), b"a\0b", os.O_RDONLY)


def test_proc_magic_links_are_refused(tmp_path: Path) -> None:
    proc = open_root(b"/proc/self")
    try:
        with fails_with(errno.ELOOP):
            open_beneath(proc, b"root/etc/passwd", os.O_RDONLY)
    finally:
        os.close(proc)


def test_missing_directories_are_made_private(root: int) -> None:
    old = os.umask(0)
    try:
        fd = make_directories(root, b"a/x//y/z/")
    finally:
        os.umask(old)
    assert os.path.samestat(os.fstat(fd), os.stat("a/x/y/z", dir_fd=root))
    os.close(fd)
    for path in ("a/x", "a/x/y", "a/x/y/z"):
        assert os.stat(path, dir_fd=root).st_mode & 0o7777 == 0o700
    with pytest.raises(NotADirectoryError):
        make_directories(root, b"a/b/file/x")
    with fails_with(errno.EXDEV):
        make_directories(root, b"a/../../escaped")


def test_making_the_same_directories_at_once(root: int) -> None:
    path, failures = b"/".join(b"n%d" % i for i in range(30)), list[BaseException]()
    start = threading.Barrier(4)

    def make() -> None:
        start.wait(10)
        try:
            os.close(make_directories(root, path))
        except BaseException as e:
            failures.append(e)

    threads = [threading.Thread(target=make) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert not failures
    os.close(open_directory(root, path))


def test_paths_longer_than_the_kernel_takes(root: int) -> None:
    before = len(os.listdir("/proc/self/fd"))
    fd = make_directories(root, LONG)
    os.close(os.open(b"file", os.O_CREAT | os.O_WRONLY, dir_fd=fd))
    os.close(fd)
    fd = open_beneath(root, LONG + b"/file", os.O_RDONLY)
    os.close(fd)
    with pytest.raises(FileNotFoundError):
        open_beneath(root, LONG + b"/none", os.O_RDONLY)
    with pytest.raises(FileNotFoundError):
        open_beneath(root, b"none/" + LONG, os.O_RDONLY)
    assert len(os.listdir("/proc/self/fd")) == before


def test_names_are_bytes(root: int) -> None:
    name = b"\xff\xfe\n\xe4" + b"x" * 251
    os.close(make_directories(root, name))
    os.close(open_directory(root, name))
    assert name in os.listdir(b"/proc/self/fd/%d" % root)


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting needs root")
def test_mount_points_are_crossed_only_when_asked(root: int, tmp_path: Path) -> None:
    place = tmp_path / "root/a/b"
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "none", place], check=True)
    try:
        fd = open_directory(root, b"a/b")
        assert os.fstat(fd).st_dev != os.fstat(root).st_dev
        os.close(fd)
        with fails_with(errno.EXDEV):
            open_directory(root, b"a/b", cross_mounts=False)
        os.close(open_directory(root, b"a", cross_mounts=False))
    finally:
        subprocess.run(["umount", "-l", place], check=True)


def test_a_directory_swapped_for_a_symlink_all_the_time_never_leads_out(root: int, tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/file").write_text("secret")
    inside = tmp_path / "root"
    (inside / "swap").mkdir()
    (inside / "swap/file").write_text("hello")
    (inside / "trap").symlink_to("../outside")
    stop = threading.Event()

    def attack() -> None:
        while not stop.is_set():
            for source, target in (("swap", "spare"), ("trap", "swap"), ("swap", "trap"), ("spare", "swap")):
                os.rename(inside / source, inside / target)

    attacker = threading.Thread(target=attack)
    attacker.start()
    outcomes = set[bytes | int | None]()
    try:
        tries, end = 0, time.monotonic() + 30
        while tries < 3000 or (not {b"hello", errno.ELOOP} <= outcomes and time.monotonic() < end):
            tries += 1
            try:
                outcomes.add(_read(open_beneath(root, b"swap/file", os.O_RDONLY)))
            except OSError as e:
                outcomes.add(e.errno)
            with contextlib.suppress(OSError):
                fd = open_beneath(root, b"swap/written", os.O_WRONLY | os.O_CREAT, 0o600)
                os.close(fd)
    finally:
        stop.set()
        attacker.join(10)
    assert {b"hello", errno.ELOOP} <= outcomes, "the race never happened"
    assert outcomes <= {b"hello", errno.ELOOP, errno.ENOENT, errno.EAGAIN, errno.ENOTDIR}
    assert os.listdir(tmp_path / "outside") == ["file"]
