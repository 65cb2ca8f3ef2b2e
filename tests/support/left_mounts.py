"""FUSE mounts whose process has ended: nobody answers there, and what looks at every mount fails, as `mkfs.btrfs`."""

from __future__ import annotations

import errno
import os
import subprocess
from pathlib import Path

from migmond.domain.mount_table import parse_mounts

_OF_TESTS = b"/pytest-of-"
"""In the path of whatever a test makes."""


def take_away() -> list[bytes]:
    """Detach those that a test left, with all that is mounted below them; returns where they were."""
    table = parse_mounts(Path("/proc/self/mountinfo").read_bytes())
    ours = [mount.point for mount in table if mount.kind.startswith("fuse") and _OF_TESTS in mount.point]
    left = [point for point in ours if _dead(point)]
    for point in left:
        subprocess.run(["umount", "-l", point], check=True)
    return left


def _dead(point: bytes) -> bool:
    try:
        os.stat(point)
    except OSError as e:
        return e.errno == errno.ENOTCONN
    return False
