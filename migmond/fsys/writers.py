"""Who has files below a directory open for writing, as far as this process may see."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

_WRITING = os.O_WRONLY | os.O_RDWR


def open_writers(root: bytes) -> Iterator[tuple[bytes, int]]:
    """Yield path and pid of every file that another process has open for writing, at or below the real path `root`.

    Processes of others cannot be looked into without root's rights; they are passed over.
    """
    below = root.rstrip(b"/") + b"/"
    with os.scandir(b"/proc") as entries:
        pids = [e.name for e in entries if e.name.isdigit()]
    own = str(os.getpid()).encode()
    for pid in pids:
        if pid == own:
            continue
        with contextlib.suppress(OSError):
            for fd in os.listdir(b"/proc/%s/fd" % pid):
                with contextlib.suppress(OSError):
                    path = os.readlink(b"/proc/%s/fd/%s" % (pid, fd))
                    if (path == root or path.startswith(below)) and _writes(pid, fd):
                        yield path, int(pid)


def _writes(pid: bytes, fd: bytes) -> bool:
    with open(b"/proc/%s/fdinfo/%s" % (pid, fd), "rb") as lines:
        for line in lines:
            if line.startswith(b"flags:"):
                return bool(int(line.split()[1], 8) & _WRITING)
    return False
