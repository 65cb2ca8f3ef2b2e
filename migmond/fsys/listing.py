"""What is in a directory."""

from __future__ import annotations

import os
from collections.abc import Iterator

from migmond.domain.entry import entry_type
from migmond.domain.task import Entry


def list_directory(fd: int) -> Iterator[tuple[Entry, int]]:
    """Yield each name in the directory with its lstat, in the directory's order, and its st_dev.

    A name that vanishes between readdir and lstat is left out. The fd stays open.
    """
    with os.scandir(fd) as names:
        for name in names:
            try:
                st = name.stat(follow_symlinks=False)
            except FileNotFoundError:
                continue
            yield (
                Entry(
                    os.fsencode(name.name),
                    entry_type(st.st_mode),
                    st.st_size,
                    st.st_mtime_ns,
                    st.st_ctime_ns,
                    st.st_ino,
                    st.st_nlink,
                    st.st_blocks * 512,
                ),
                st.st_dev,
            )
