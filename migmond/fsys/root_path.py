"""Opening the paths that a plan names: its roots and what is above them.

Symlinks in them are followed, as in anybody's command. With root's rights only those that root owns are: any other
could be put there between the plan and now, to lead root's migration out of the trees that were meant (design page
HAZARDS row 40). Everything below a root goes through `migmond.fsys.beneath`.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat

from migmond.fsys.beneath import open_directory

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_STEP = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC
_MAX_SYMLINKS = 40
"""As many as the kernel follows."""
FOREIGN_SYMLINK = "a symlink that root does not own stands in the path: it is not followed with root's rights"


def open_root(path: bytes) -> int:
    """Open the directory at an absolute path; returns its fd.

    Raises:
        OSError: ELOOP for a symlink that is not to be followed, and whatever open(2) raises.
    """
    return os.open(path, _DIRECTORY) if os.geteuid() else _open_warily(path)


def open_parent(path: bytes) -> tuple[int, bytes]:
    """Open the directory that `path` is an entry of; returns its fd and the entry's name. Raises as `open_root`."""
    parent, name = os.path.split(path.rstrip(b"/"))
    return open_root(parent or b"/"), name


def make_parent(path: bytes) -> tuple[int, bytes]:
    """As `open_parent`, and make it and its parents (0755, as anybody would make them) where missing.

    Raises:
        OSError: as `open_root`, and whatever mkdir(2) raises. Parents made so far stay.
    """
    parent, name = os.path.split(path.rstrip(b"/"))
    return _open_or_make(parent or b"/", 0o755), name


def make_root(path: bytes) -> int:
    """Open a directory, making it (0700, it is to be finished) and its parents (0755) where missing; returns its fd.

    Raises:
        OSError: as `make_parent`.
    """
    return _open_or_make(path, 0o700)


def _open_or_make(path: bytes, mode: int) -> int:
    try:
        return open_root(path)
    except FileNotFoundError:
        if not path.strip(b"/"):
            raise
    above, name = make_parent(path)
    try:
        with contextlib.suppress(FileExistsError):
            os.mkdir(name, mode, dir_fd=above)
        return open_directory(above, name)
    finally:
        os.close(above)


def _open_warily(path: bytes) -> int:
    """Go step by step, each from the directory before: a path that is looked at and then opened may be two."""
    todo, followed = _steps(path), 0
    at = os.open(b"/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        while todo:
            name = todo.pop()
            try:
                deeper = os.open(name, _STEP | os.O_DIRECTORY, dir_fd=at)
            except NotADirectoryError:
                text, followed = _read_trusted(at, name), followed + 1
                if followed > _MAX_SYMLINKS:
                    raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), os.fsdecode(path)) from None
                todo += _steps(text)
                if not text.startswith(b"/"):
                    continue
                deeper = os.open(b"/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
            os.close(at)
            at = deeper
        return os.open(b".", _DIRECTORY, dir_fd=at)
    finally:
        os.close(at)


def _steps(path: bytes) -> list[bytes]:
    """The components, the first one last. `..` is one like any other: from a directory that is open it leads up."""
    return [name for name in path.split(b"/") if name not in (b"", b".")][::-1]


def _read_trusted(directory: int, name: bytes) -> bytes:
    """Read the symlink that stands there, if it is one and root's. The fd holds it while it is looked at."""
    fd = os.open(name, _STEP, dir_fd=directory)
    try:
        st = os.fstat(fd)
        if not stat.S_ISLNK(st.st_mode):
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), os.fsdecode(name))
        if st.st_uid != 0:
            raise OSError(errno.ELOOP, FOREIGN_SYMLINK, os.fsdecode(name))
        return os.readlink(b"", dir_fd=fd)
    finally:
        os.close(fd)
