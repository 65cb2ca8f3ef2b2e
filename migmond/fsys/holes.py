"""Where a sparse file has data (SEEK_DATA, SEEK_HOLE)."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator


def looks_sparse(st: os.stat_result) -> bool:
    """Whether fewer blocks are allocated than the size needs."""
    return st.st_blocks * 512 < st.st_size


def data_ranges(fd: int, size: int) -> Iterator[tuple[int, int]]:
    """Yield (start, end) of each run of data below `size`, ascending. File systems without holes yield one run."""
    position = 0
    while position < size:
        try:
            start = os.lseek(fd, position, os.SEEK_DATA)
        except OSError as e:
            if e.errno == errno.ENXIO:  # nothing but a hole up to the end
                return
            if e.errno == errno.EINVAL:  # the file system knows no holes
                yield position, size
                return
            raise
        end = min(os.lseek(fd, start, os.SEEK_HOLE), size)
        if start >= size:
            return
        yield start, end
        position = end
