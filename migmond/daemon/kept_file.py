"""Small files that the daemon keeps for itself, each replaced as a whole."""

from __future__ import annotations

import os
from pathlib import Path


def replace(path: Path, data: bytes, *, durable: bool) -> None:
    """Put `data` in the place of a file's content; nobody but us may read it, and nobody ever finds a part of it.

    Args:
        durable: a power cut afterwards may take the new name away, but leaves either content whole. Without it the file
            may be empty then.

    Raises:
        OSError: it could not be written; the file is as it was.
    """
    draft = path.with_suffix(".new")
    fd = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with open(fd, "wb") as file:
        file.write(data)
        if durable:
            file.flush()
            os.fsync(file.fileno())
    draft.replace(path)
