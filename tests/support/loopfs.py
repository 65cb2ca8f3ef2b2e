"""Real file systems in image files, mounted through loop devices. Needs root."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import struct
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_MAKE = {
    "ext4": ("mkfs.ext4", "-q", "-F"),
    "ext4-128": ("mkfs.ext4", "-q", "-F", "-I", "128"),
    "xfs": ("mkfs.xfs", "-q", "-f", "-m", "reflink=1"),
    "btrfs": ("mkfs.btrfs", "-q", "-f"),
    "vfat": ("mkfs.vfat", "-F", "32"),
    "exfat-fuse": ("mkfs.exfat",),
}
_FS_IOC_SHUTDOWN = 0x8004587D
_UNMOUNT_S = 30.0
_NO_LOG_FLUSH = struct.pack("I", 2)
_DRIVER = {"exfat-fuse": "fuse"}
"""What the kernel must have, where it is not called as the kind is."""
_TYPE = {"ext4-128": "ext4"}
"""What mount calls it."""
ENVIRONMENT = {**os.environ, "PATH": f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"}
"""Of commands that root has and others may not find."""
SIZE_BYTES = 320 << 20
"""The least that mkfs.xfs accepts is 300 MiB; the image is sparse."""


@dataclass(frozen=True)
class LoopFs:
    """A mounted image. What is written to `image` behind the file system's back is what a failing disk does."""

    root: Path
    image: Path
    kind: str
    options: str = ""

    def remount(self, options: str) -> None:
        """Change mount options, e.g. "ro"."""
        _run("mount", "-o", f"remount,{options}", os.fspath(self.root))

    def shut_down(self) -> None:
        """Cut its power: from now on nothing reaches the image, not even what the file system's log has in memory.

        Raises:
            OSError: the file system cannot be shut down; see `power_disk`.
        """
        fd = os.open(self.root, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.ioctl(fd, _FS_IOC_SHUTDOWN, _NO_LOG_FLUSH)
        finally:
            os.close(fd)

    def mount_again(self) -> None:
        """Give it power again: what is there now is what a machine finds after it was cut.

        Raises:
            TimeoutError: somebody still has it open.
            RuntimeError: another mount namespace still has it mounted. Whoever cuts power must be in one of its own:
                any process of the machine that takes a copy of ours keeps the file system as it is.
        """
        self.unmount()
        self.mount()
        try:
            os.listdir(self.root)
        except OSError as e:
            raise RuntimeError(f"{self.root} is still mounted in another namespace: use unshare --mount") from e

    def mount(self) -> None:
        """Mount it.

        Raises:
            subprocess.CalledProcessError: the file system would not; its output is in the message.
        """
        _run(
            "mount",
            "-t",
            _TYPE.get(self.kind, self.kind),
            "-o",
            _loop(self.options),
            os.fspath(self.image),
            os.fspath(self.root),
        )

    def unmount(self) -> None:
        """Take it away; everything is on the image then, unless it was shut down.

        Raises:
            TimeoutError: somebody still has it open.
        """
        # A process that was killed a moment ago may still be giving back what it had open.
        deadline = time.monotonic() + _UNMOUNT_S
        while subprocess.run(["umount", self.root], env=ENVIRONMENT, check=False, capture_output=True).returncode:
            if time.monotonic() > deadline:
                raise TimeoutError(f"{self.root} stays busy")
            time.sleep(0.02)


def missing(kind: str) -> str:
    """Why such a file system cannot be had here; "" when it can."""
    if os.geteuid() != 0:
        return f"a {kind} image needs root"
    if not os.path.exists("/dev/loop-control"):
        return "there are no loop devices here"
    if shutil.which(_MAKE[kind][0], path=ENVIRONMENT["PATH"]) is None:
        return f"{_MAKE[kind][0]} is not installed"
    if kind in _DRIVER and shutil.which(f"mount.{kind}", path=ENVIRONMENT["PATH"]) is None:
        return f"{kind} is not installed"
    return "" if kernel_knows(_DRIVER.get(kind) or _TYPE.get(kind, kind)) else f"this kernel has no {kind}"


def kernel_knows(kind: str) -> bool:
    """Whether such file systems can be mounted, after its module was loaded if that is possible."""
    if not _registered(kind):
        with contextlib.suppress(FileNotFoundError):  # no modprobe: then what is built in is all there is
            subprocess.run(["modprobe", "-q", kind], env=ENVIRONMENT, check=False, capture_output=True)
    return _registered(kind)


def _registered(kind: str) -> bool:
    with open("/proc/filesystems") as known:
        return kind in known.read().split()


@contextlib.contextmanager
def mounted(directory: Path, kind: str, *, size_bytes: int = SIZE_BYTES, options: str = "") -> Iterator[LoopFs]:
    """Make and mount a file system below `directory`; it is unmounted at the end.

    Raises:
        subprocess.CalledProcessError: mkfs or mount failed; its output is in the message.
    """
    directory.mkdir(parents=True, exist_ok=True)
    fs = LoopFs(directory / kind, directory / f"{kind}.img", kind, options)
    make_image(fs.image, kind, size_bytes)
    try:
        with mounted_image(fs):
            yield fs
    finally:
        fs.image.unlink()


def make_image(image: Path, kind: str, size_bytes: int = SIZE_BYTES) -> None:
    """Make an empty file system in a sparse file.

    Raises:
        subprocess.CalledProcessError: mkfs failed; its output is in the message.
    """
    with image.open("wb") as file:
        file.truncate(size_bytes)
    _run(*_MAKE[kind], os.fspath(image))


@contextlib.contextmanager
def mounted_image(fs: LoopFs) -> Iterator[LoopFs]:
    """Mount an image that is there; if it still is at the end, it is unmounted.

    Raises:
        subprocess.CalledProcessError: the file system would not; its output is in the message.
    """
    fs.root.mkdir(parents=True, exist_ok=True)
    fs.mount()
    try:
        yield fs
    finally:
        # A test that failed may have left something open in it: detached, it goes when that is closed.
        done = subprocess.run(["umount", "-l", fs.root], env=ENVIRONMENT, check=False, capture_output=True, text=True)
        if done.returncode and "not mounted" not in done.stderr:
            raise RuntimeError(done.stderr)


def _loop(options: str) -> str:
    return f"loop,{options}" if options else "loop"


@contextlib.contextmanager
def tmpfs(root: Path, options: str) -> Iterator[Path]:
    """Mount a tmpfs on `root` (made when missing), with options such as "size=1m,nr_inodes=20". Needs root."""
    root.mkdir(parents=True, exist_ok=True)
    _run("mount", "-t", "tmpfs", "-o", options, "tmpfs", os.fspath(root))
    try:
        yield root
    finally:
        _run("umount", "-l", os.fspath(root))


def _run(*command: str) -> None:
    try:
        subprocess.run(command, env=ENVIRONMENT, check=True, capture_output=True, text=True)
    except FileNotFoundError as e:
        raise RuntimeError(f"{command[0]} is not installed") from e
    except subprocess.CalledProcessError as e:
        e.add_note(e.stderr)
        raise
