"""Stores through shared mappings: the kernel moves a file's times at the first one to each clean page only."""

from __future__ import annotations

import contextlib

from migmond.fsys import libc

_FLAGS = libc.SYNC_FILE_RANGE_WAIT_BEFORE | libc.SYNC_FILE_RANGE_WRITE


def write_protect(fd: int) -> None:
    """Begin to write back what is dirty of a file, whose pages become read-only by that: from now on the next store to
    any of them moves mtime and ctime. Pages on their way already are waited for: they may be dirty again.

    tmpfs and ramfs write nothing back and hear of no store: there no time tells anything of mappings.
    """
    with contextlib.suppress(OSError):  # not every file system can; its times tell what they tell
        libc.sync_file_range(fd, 0, 0, _FLAGS)
