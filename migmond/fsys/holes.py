"""Where a sparse file has data (SEEK_DATA, SEEK_HOLE)."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator


def looks_sparse(st: os.stat_result) -> bool:
    """Whether fewer blocks are allocated than the size needs: holes, or compression."""
    return st.st_blocks * 512 < st.st_size


def data_ranges(fd: int, size: int) -> Iterator[tuple[int, int]]:
    """Yield (start, end) of each run of data below `size`, ascending; moves the fd's offset.

    File systems without holes yield one run. A file that shrinks meanwhile has no data where it was cut off.
    """
    position = 0
    while position < size:
        try:
            start = os.lseek(fd, position, os.SEEK_DATA)
            if start >= size:
                return
            end = min(os.lseek(fd, start, os.SEEK_HOLE), size)
        except OSError as e:
            if e.errno == errno.ENXIO:  # nothing but a hole up to the end
                return
            if e.errno == errno.EINVAL:  # the file system knows no holes
                yield position, size
                return
            raise
        yield start, end
        position = end
