"""Birth times, compared with what coreutils read."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from migmond.fsys.birth import birth_ns


def told_by_stat(path: Path) -> int:
    """The birth time in nanoseconds by `stat`, 0 when it knows none."""
    told = subprocess.run(["stat", "-c", "%.9W", path], capture_output=True, text=True, check=True).stdout.strip()
    return int(told.replace(".", "")) if told.strip("-0.") else 0


@pytest.mark.parametrize("directory", ["/tmp", "/dev/shm", "/proc/self"])
def test_it_is_what_stat_tells(tmp_path: Path, other_fs: Path, directory: str) -> None:
    """On a disk, in memory, and where there are no birth times at all."""
    place = {"/tmp": tmp_path, "/dev/shm": other_fs, "/proc/self": Path("/proc/self")}[directory]
    name = "status"
    if directory != "/proc/self":
        (place / name).touch()
        (place / "link").symlink_to(name)
        os.utime(place / name, (1, 1))
    fd, inside = os.open(place, os.O_RDONLY), os.open(place / name, os.O_RDONLY)
    try:
        assert birth_ns(inside) == birth_ns(fd, name.encode()) == told_by_stat(place / name)
        assert birth_ns(fd, b"link") == (told_by_stat(place / "link") if directory != "/proc/self" else 0)
        assert birth_ns(fd, b"is not there") == 0
    finally:
        os.close(fd)
        os.close(inside)
