"""What was sent to another place beside the target, brought there for the judge, who knows one target only."""

from __future__ import annotations

import os
from pathlib import Path


def bring_together(other: Path, target: Path) -> None:
    """Rename everything below `other` to its path below `target`, unless there is something: that stays where it is,
    and is found to be left over. Times of directories that exist stay as they are.

    Raises:
        OSError: an entry cannot be renamed.
    """
    if not other.is_dir() or other.is_symlink():
        return
    if not os.path.lexists(target):
        other.rename(target)
        return
    before = target.lstat()
    for entry in sorted(other.iterdir()):
        there = target / entry.name
        if entry.is_dir() and not entry.is_symlink():
            bring_together(entry, there)
        elif not os.path.lexists(there):
            entry.rename(there)
    os.utime(target, ns=(before.st_atime_ns, before.st_mtime_ns))


def left_over(other: Path) -> list[str]:
    """Return what is still below `other` that is no directory, by path there."""
    return sorted(str(p.relative_to(other)) for p in other.rglob("*") if p.is_symlink() or not p.is_dir())
