"""Where something stands in the trees of this machine, so that two of them can be compared whatever their paths are.

Two ways lead to the same tree: (st_dev, st_ino) of what is above, which sees through symlinks, and the place inside the
file system, which is the same through every bind mount, also one of which no parent is in sight.
"""

from __future__ import annotations

import os

from migmond.domain.file_system import Place, Standing
from migmond.domain.mount_table import unescape
from migmond.fsys.facts import mount_id

_STEP = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC


def standing_of(fd: int) -> Standing:
    """Return where an open directory stands.

    Raises:
        OSError: it cannot be looked at.
    """
    return Standing(key_of(fd), tuple(above(fd)), place_of(fd))


def key_of(fd: int) -> tuple[int, int]:
    """Return (st_dev, st_ino)."""
    st = os.fstat(fd)
    return st.st_dev, st.st_ino


def above(fd: int) -> list[tuple[int, int]]:
    """Return (st_dev, st_ino) of the directory and of all above it, as far as they may be walked."""
    seen: list[tuple[int, int]] = []
    at = os.dup(fd)
    try:
        while (key := key_of(at)) not in seen:
            seen.append(key)
            try:
                up = os.open(b"..", _STEP, dir_fd=at)
            except OSError:
                break
            os.close(at)
            at = up
    finally:
        os.close(at)
    return seen


def place_of(fd: int) -> Place | None:
    """Return device and path inside the file system; None when that is not to be seen."""
    path = os.fsencode(os.readlink(f"/proc/self/fd/{fd}"))
    number = mount_id(fd)
    with open("/proc/self/mountinfo", "rb") as mounts:
        for line in mounts:
            fields = line.split(b" ")
            if int(fields[0]) == number:
                root, point = unescape(fields[3]), unescape(fields[4])
                inside = os.path.relpath(path, point) if path != point else b"."
                if inside.startswith(b".."):
                    return None
                return Place(os.fstat(fd).st_dev, os.path.normpath(os.path.join(root, inside)))
    return None
