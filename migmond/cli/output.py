"""Files that a command makes: whole, or not at all."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from typing import BinaryIO

_PRIVATE = 0o600


@contextlib.contextmanager
def writing(path: str) -> Iterator[BinaryIO]:
    """Yield a file that has the name `path` when the block ends well; else nothing is left. Only its owner may read it.

    Raises:
        OSError: it cannot be made; names `path`.
    """
    partial = f"{path}.{os.getpid()}.part"
    try:
        fd = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, _PRIVATE)
    except OSError as e:  # people have not heard of that name
        raise OSError(e.errno, e.strerror, path) from e
    try:
        with open(fd, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.rename(partial, path)
    except BaseException:
        os.unlink(partial)
        raise
