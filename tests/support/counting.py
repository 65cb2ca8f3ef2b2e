"""Counts what movers read and write of files, by strace, independently of everything that migmond counts itself.

strace writes a file for each thread, so that no call is torn in two, and says with every call which file it is for.
"""

from __future__ import annotations

import os
import re
import stat
import sys
from dataclasses import dataclass
from pathlib import Path

from migmond.planning.magic import HEAD_BYTES

READS = frozenset({"read", "pread64", "readv", "preadv", "preadv2"})
WRITES = frozenset({"write", "pwrite64", "writev", "pwritev", "pwritev2"})
BOTH = frozenset({"copy_file_range", "sendfile", "splice"})
"""In each, the first file named is read from and the second is written to; but for sendfile's, where it is the other
way round."""
CLONES = re.compile(rb"^ioctl\(\d+<.*FICLONE")
_CALL = re.compile(rb"^([a-z_0-9]+)\(.*= (-?\d+)(?: .*)?$")
_FILE = re.compile(rb"\d+<((?:\\x[0-9a-f]{2})+)>")
"""With -xx each byte of a path is written in hexadecimal: no name can look like anything else."""
_LOOK = re.compile(rb"^pread64\(.*, %d, 0\) = " % HEAD_BYTES)
"""A look for the kind of a file whose name does not tell it (`mover.kinds`): it is copied besides."""


@dataclass
class Counted:
    """Bytes and calls below two directories. `source_looked`: read of sources for their kind alone."""

    source_read: int = 0
    source_looked: int = 0
    source_written: int = 0
    target_read: int = 0
    target_written: int = 0
    calls: int = 0
    clones: int = 0


def interpreter(directory: Path) -> Path:
    """Return what a daemon is to start its movers with, so that each is under strace from its first moment on.

    Args:
        directory: for what strace writes; made when missing.
    """
    directory.mkdir(parents=True, exist_ok=True)
    calls = ",".join(sorted(READS | WRITES | BOTH | {"ioctl"}))
    program = directory / "python"
    # -D: the mover is the daemon's own child, as it would be without, and its pid is the one that is monitored.
    program.write_text(
        f"#!/bin/sh\nexec strace -D -ff -qq -y -xx -s 0 -e trace={calls} -e signal=none -o {directory}/calls"
        f' {sys.executable} "$@"\n'
    )
    program.chmod(0o755)
    return program


def counted(directory: Path, source: Path, target: Path) -> Counted:
    """Return what strace has written of files below `source` and `target`. All movers must have ended."""
    found = Counted()
    roots = os.fsencode(source) + b"/", os.fsencode(target) + b"/"
    for path in sorted(directory.glob("calls.*")):
        with path.open("rb") as lines:
            for line in lines:
                _count(line, *roots, found)
    return found


def _count(line: bytes, source: bytes, target: bytes, found: Counted) -> None:
    call = _CALL.match(line)
    if call is None:
        return
    name, result = call[1].decode(), int(call[2])
    files = [bytes.fromhex(f.replace(b"\\x", b"").decode()) for f in _FILE.findall(line)]
    if name == "sendfile":
        files.reverse()
    concerned = [f for f in files if f.startswith((source, target))]
    if not concerned or result < 0:
        return
    if name == "ioctl":
        found.clones += bool(CLONES.match(line))
        return
    found.calls += 1
    if files[0].startswith(source) and _LOOK.match(line):
        found.source_looked += result
        return
    if name in READS | BOTH:
        found.source_read += result * files[0].startswith(source)
        found.target_read += result * files[0].startswith(target)
    if name in WRITES | BOTH:
        found.source_written += result * files[-1].startswith(source)
        found.target_written += result * files[-1].startswith(target)


def contents(root: Path) -> tuple[int, int]:
    """Return how large the regular files below `root` are together, each counted once however many names it has, and
    how much of that is data, not holes.

    Raises:
        OSError: something cannot be looked at, as where a path is longer than strace could tell (ENAMETOOLONG).
    """

    def fail(error: OSError) -> None:
        raise error

    size = data = 0
    seen: set[tuple[int, int]] = set()
    for directory, _, names in os.walk(os.fsencode(root), onerror=fail):
        for name in names:
            path = os.path.join(directory, name)
            found = os.lstat(path)
            if stat.S_ISREG(found.st_mode) and (found.st_dev, found.st_ino) not in seen:
                seen.add((found.st_dev, found.st_ino))
                size += found.st_size
                data += _data(path, found.st_size)
    return size, data


def _data(path: bytes, size: int) -> int:
    total = end = 0
    fd = os.open(path, os.O_RDONLY)
    try:
        while end < size:
            try:
                start = os.lseek(fd, end, os.SEEK_DATA)
            except OSError:  # ENXIO: nothing but a hole follows
                break
            end = os.lseek(fd, start, os.SEEK_HOLE)
            total += end - start
    finally:
        os.close(fd)
    return total
