"""Private names of sources that are about to be deleted: `.migmond-<execution>-<task>.source`, in their own directory.

Who looks under a source's name finds it, or nothing, or what somebody else has put there; nobody but us looks under the
private name. So what is there can be checked and then deleted, and nothing comes in between. What has a private name
may be the only copy there is: it is deleted after all checks, or given its name back, and never swept. Wherever neither
can be done its task fails and says the name. To every other execution it is a file like any other.
"""

from __future__ import annotations

import os
import re

from migmond.fsys import libc
from migmond.fsys.rename import RENAME_NOREPLACE, has_no_flags, rename_noreplace, rename_replace, stat_or_none

_ASIDE = re.compile(rb"\.migmond-[0-9a-f]{12}-[0-9]+\.source")


def aside_name(execution: str, number: int) -> bytes:
    """Return the private name of a task's source: the same in every attempt, so that none is ever forgotten."""
    return b".migmond-%s-%d.source" % (execution.encode(), number)


def is_aside(name: bytes) -> bool:
    """Whether it is such a name, of any execution."""
    return _ASIDE.fullmatch(name) is not None


class NameTaken(Exception):
    """Something else has the source's name now: what is under the private name stays there."""


def set_aside(directory: int, name: bytes, private: bytes, *, look_first: bool) -> None:
    """Rename a source to its private name.

    Args:
        look_first: the file system may take RENAME_NOREPLACE and not heed it (some FUSE).

    Raises:
        NameTaken: an earlier version of it is still aside.
        OSError: the rename failed (FileNotFoundError: the source is gone).
    """
    if look_first:
        _clear(directory, name, private)
    try:
        libc.renameat2(directory, name, directory, private, RENAME_NOREPLACE)
    except FileExistsError:
        _clear(directory, name, private)
        libc.renameat2(directory, name, directory, private, RENAME_NOREPLACE)
    except OSError as e:
        if not has_no_flags(e):
            raise
        _clear(directory, name, private)
        # Never by link and unlink: between them the source's name may be given to another file.
        rename_replace(directory, name, directory, private)


def _clear(directory: int, name: bytes, private: bytes) -> None:
    left = stat_or_none(directory, private)
    if left is not None:
        _drop_further_name(directory, private, name, left)


def put_back(directory: int, private: bytes, name: bytes) -> bool:
    """Give what is aside its name back; False when nothing is.

    Raises:
        NameTaken: see there.
        OSError: the rename failed.
    """
    left = stat_or_none(directory, private)
    if left is None:
        return False
    if stat_or_none(directory, name) is not None:
        _drop_further_name(directory, private, name, left)
        return True
    try:
        rename_noreplace(directory, private, directory, name)
    except FileExistsError:
        raise NameTaken from None
    return True


def _drop_further_name(directory: int, private: bytes, name: bytes, left: os.stat_result) -> None:
    """Remove the private name when it is but a further name of what has the name: so a crash leaves a put back by link
    and unlink. Else NameTaken."""
    there = stat_or_none(directory, name)
    if there is None or left.st_nlink < 2 or not left.st_ino or not os.path.samestat(left, there):
        raise NameTaken
    os.unlink(private, dir_fd=directory)
