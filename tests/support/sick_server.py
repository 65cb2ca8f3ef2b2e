"""The process behind `sickfs`: a FUSE file system that passes everything through to a directory, but for its rules.

`python sick_server.py BACKING MOUNT_POINT CONTROL_FD [--folding] [--log FILE]`. Commands come as JSON lines on the
socket CONTROL_FD, each is answered by one line; when the socket closes, nothing more is sick.
"""

from __future__ import annotations

import argparse
import errno
import json
import os
import socket
import threading
import unicodedata
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import mfusepy

from sick_rules import Rules, Sickness
from write_log import WriteLog

_STAT = ("st_mode", "st_ino", "st_nlink", "st_uid", "st_gid", "st_rdev", "st_size", "st_blksize", "st_blocks")
_STATVFS = ("f_bsize", "f_frsize", "f_blocks", "f_bfree", "f_bavail", "f_files", "f_ffree", "f_favail", "f_namemax")


class PassThrough(mfusepy.Operations):  # type: ignore[misc]
    """Everything as it is below `backing`, after the rules were asked."""

    use_ns = True

    def __init__(self, backing: str, rules: Rules, ready: threading.Event, *, folding: bool) -> None:
        self._backing = backing
        self._folding = folding
        self._rules = rules
        self._ready = ready

    def _path(self, operation: str, path: str | None) -> str:
        """Ask the rules and return the path behind `path`, which is None when the open file has no name any more."""
        self._rules.meet(operation, path or "")
        return self._where(path or "")

    def _where(self, path: str) -> str:
        """Return the path behind `path`; with folding, names are what is there and differs in case or accents only."""
        if not self._folding:
            return self._backing + path
        where = self._backing
        for name in filter(None, path.split("/")):
            there = os.listdir(where) if os.path.isdir(where) else []
            where += "/" + next((n for n in there if folded(n) == folded(name)), name)
        return where

    def init(self, path: str) -> None:
        self._ready.set()

    def getattr(self, path: str | None, fh: int | None = None) -> dict[str, Any]:
        where = self._path("getattr", path)
        st = os.fstat(fh) if fh else os.lstat(where)
        times = {"st_atime": st.st_atime_ns, "st_mtime": st.st_mtime_ns, "st_ctime": st.st_ctime_ns}
        return {name: getattr(st, name) for name in _STAT} | times

    def readdir(self, path: str, fh: int) -> Iterable[Any]:
        with os.scandir(self._path("readdir", path)) as entries:
            found = [
                (e.name, {"st_ino": e.inode(), "st_mode": e.stat(follow_symlinks=False).st_mode}, 0) for e in entries
            ]
        return [".", "..", *found]

    def readlink(self, path: str) -> str:
        return os.readlink(self._path("readlink", path))

    def mknod(self, path: str, mode: int, dev: int) -> int:
        where = self._path("mknod", path)
        os.mknod(where, mode, dev)
        return self._owned(where)

    def mkdir(self, path: str, mode: int) -> int:
        where = self._path("mkdir", path)
        os.mkdir(where, mode)
        return self._owned(where)

    def symlink(self, target: str, source: str) -> int:
        where = self._path("symlink", target)
        os.symlink(source, where)
        return self._owned(where)

    def link(self, target: str, source: str) -> int:
        os.link(self._where(source), self._path("link", target), follow_symlinks=False)
        return 0

    def unlink(self, path: str) -> int:
        os.unlink(self._path("unlink", path))
        return 0

    def rmdir(self, path: str) -> int:
        os.rmdir(self._path("rmdir", path))
        return 0

    def rename(self, old: str, new: str) -> int:
        os.rename(self._path("rename", old), self._where(new))
        return 0

    def chmod(self, path: str, mode: int) -> int:
        os.chmod(self._path("chmod", path), mode)
        return 0

    def chown(self, path: str, uid: int, gid: int) -> int:
        os.chown(self._path("chown", path), uid, gid, follow_symlinks=False)
        return 0

    def utimens(self, path: str, times: tuple[int, int] | None = None) -> int:
        os.utime(self._path("utimens", path), ns=times, follow_symlinks=False)  # type: ignore[arg-type]
        return 0

    def truncate(self, path: str | None, length: int, fh: int | None = None) -> int:
        where = self._path("truncate", path)
        os.truncate(fh or where, length)
        return 0

    def open(self, path: str, flags: int) -> int:
        # The kernel's page cache may read around what is written, and a reader's times are no business of the backing.
        return os.open(self._path("open", path), flags & ~(os.O_NOFOLLOW | os.O_EXCL))

    def create(self, path: str, mode: int, fi: Any = None) -> int:
        where = self._path("create", path)
        fd = os.open(where, os.O_RDWR | os.O_CREAT | os.O_EXCL, mode)
        self._owned(where)
        return fd

    def read(self, path: str | None, size: int, offset: int, fh: int) -> bytes:
        flips = [rule.flip_at for rule in self._rules.meet("read", path or "", offset, offset + size)]
        data = bytearray(os.pread(fh, size, offset))
        for position in flips:
            if position - offset < len(data):
                data[position - offset] ^= 1
        return bytes(data)

    def write(self, path: str | None, data: bytes, offset: int, fh: int) -> int:
        if self._rules.meet("write", path or "", offset, offset + len(data)):
            return len(data)
        return os.pwrite(fh, data, offset)

    def flush(self, path: str | None, fh: int) -> int:
        self._path("flush", path)
        return 0

    def release(self, path: str | None, fh: int) -> int:
        os.close(fh)
        return 0

    def fsync(self, path: str | None, datasync: int, fh: int) -> int:
        self._path("fsync", path)
        os.fsync(fh)
        return 0

    def fsyncdir(self, path: str, datasync: int, fh: int) -> int:
        self._path("fsyncdir", path)
        return 0

    def statfs(self, path: str) -> dict[str, int]:
        st = os.statvfs(self._path("statfs", path))
        return {name: getattr(st, name) for name in _STATVFS}

    def listxattr(self, path: str) -> list[str]:
        return os.listxattr(self._path("listxattr", path), follow_symlinks=False)

    def getxattr(self, path: str, name: str, position: int = 0) -> bytes:
        return os.getxattr(self._path("getxattr", path), name, follow_symlinks=False)

    def setxattr(self, path: str, name: str, value: bytes, options: int, position: int = 0) -> int:
        os.setxattr(self._path("setxattr", path), name, value, options, follow_symlinks=False)
        return 0

    def removexattr(self, path: str, name: str) -> int:
        os.removexattr(self._path("removexattr", path), name, follow_symlinks=False)
        return 0

    @staticmethod
    def _owned(where: str) -> int:
        uid, gid, _ = mfusepy.fuse_get_context()
        os.chown(where, uid, gid, follow_symlinks=False)
        return 0


class Recording(PassThrough):
    """It also keeps a log of what is written and flushed."""

    def __init__(self, backing: str, rules: Rules, ready: threading.Event, log: WriteLog, *, folding: bool) -> None:
        super().__init__(backing, rules, ready, folding=folding)
        self._log = log

    def write(self, path: str | None, data: bytes, offset: int, fh: int) -> int:
        return self._log.write(path or "", offset, data, lambda: super(Recording, self).write(path, data, offset, fh))

    def fsync(self, path: str | None, datasync: int, fh: int) -> int:
        return self._log.flush(path or "", lambda: super(Recording, self).fsync(path, datasync, fh))


def folded(name: str) -> str:
    """Names that are one on a file system that neither keeps case nor normal forms apart."""
    return unicodedata.normalize("NFD", name.casefold())


class Mount(mfusepy.FUSE):  # type: ignore[misc]
    """mfusepy forgets the flags of renameat2, so that RENAME_NOREPLACE would replace: this says it has none."""

    def rename_fuse_3(self, old: bytes, new: bytes, flags: int) -> int:
        return -errno.EINVAL if flags else int(super().rename_fuse_3(old, new, flags))


def obey(control: socket.socket, rules: Rules, log: WriteLog | None, ready: threading.Event) -> None:
    """Answer commands until the other side closes; then let go of everything that hangs."""
    ready.wait()
    with control, control.makefile("rw") as lines:
        print(json.dumps("mounted"), file=lines, flush=True)
        for line in lines:
            command = json.loads(line)
            match command["do"]:
                case "add":
                    rules.add(command["number"], Sickness(**command["rule"]))
                    answer = 0
                case "remove":
                    rules.remove(command["number"])
                    answer = 0
                case "struck":
                    answer = rules.struck(command["number"])
                case "hanging":
                    answer = rules.hanging
                case "note":
                    answer = 0 if log is None else log.note(command["text"])
                case unknown:
                    raise ValueError(f"unknown command {unknown!r}")
            print(json.dumps(answer), file=lines, flush=True)
    rules.remove(0)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("backing")
    parser.add_argument("mount_point")
    parser.add_argument("control", type=int)
    parser.add_argument("--folding", action="store_true")
    parser.add_argument("--log", type=Path)
    options = parser.parse_args()
    os.umask(0)
    rules, ready = Rules(), threading.Event()
    log = None if options.log is None else WriteLog(options.log)
    control = socket.socket(fileno=options.control)
    threading.Thread(target=obey, args=(control, rules, log, ready), daemon=True).start()
    if log is None:
        files = PassThrough(options.backing, rules, ready, folding=options.folding)
    else:
        files = Recording(options.backing, rules, ready, log, folding=options.folding)
    # No caches of names and attributes: a rule that is set now strikes now. The inodes are those of the backing files.
    # No write-back cache either (libfuse has to be asked for one): a write arrives here before it returns.
    Mount(
        files, options.mount_point, foreground=True, use_ino=True, hard_remove=True,
        allow_other=True, default_permissions=True, attr_timeout=0, entry_timeout=0, negative_timeout=0, fsname="sick",
    )  # fmt: skip


if __name__ == "__main__":
    main()
