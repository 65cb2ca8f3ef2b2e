"""Making things survive a power cut."""

from __future__ import annotations

from migmond.fsys import libc


def sync_file_system(fd: int) -> None:
    """Write everything of the file system that `fd` is on to its device, names included.

    Raises:
        OSError: some write-back failed since `fd` was opened; nothing written since is to be trusted.
    """
    libc.syncfs(fd)
