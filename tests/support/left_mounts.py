"""Mounts that tests leave.

FUSE mounts whose process has ended: nobody answers there, and what looks at every mount fails, as `mkfs.btrfs`. And all
others: pytest removes what a test made, and must not get to what is mounted there, which may be anybody's.
"""

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


def take_away_below(directory: Path) -> None:
    """Detach all that is mounted on a directory or below it."""
    top = bytes(directory.resolve())
    for mount in reversed(parse_mounts(Path("/proc/self/mountinfo").read_bytes())):
        if mount.point == top or mount.point.startswith(top + b"/"):
            # With what is mounted below another that has gone already.
            subprocess.run(["umount", "-l", mount.point], check=False, capture_output=True)


def _dead(point: bytes) -> bool:
    try:
        os.stat(point)
    except OSError as e:
        return e.errno == errno.ENOTCONN
    return False
