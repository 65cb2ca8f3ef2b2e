"""When a file was made: the one time that no copy can have, so that it can only be written down (design page HAZARDS
row 35)."""

from __future__ import annotations

from migmond.fsys.libc import statx_birth_ns


def birth_ns(dir_fd: int, name: bytes = b"") -> int:
    """Return nanoseconds since the epoch of `name` in a directory, symlinks not followed, or of the open file `dir_fd`.

    0 when its file system does not tell. It takes 2 µs.
    """
    try:
        return statx_birth_ns(dir_fd, name)
    except OSError:
        return 0  # a kernel or C library without statx: as good as a file system that does not tell
