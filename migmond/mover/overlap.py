"""Refusing plans that would eat themselves: trees that are, or lie in, one another or the daemon's own files."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Sequence

from migmond.domain.fault import Fault, Phase
from migmond.domain.file_system import Own, Standing
from migmond.domain.names import to_text
from migmond.domain.plan import Operation
from migmond.fsys.standing import standing_of
from migmond.mover.root import Refused, Root, open_nearest
from migmond.wire.from_mover import OpenFailed
from migmond.wire.items import MoverOptions

_KEEP_ELSEWHERE = "move what lies beside that; or have the daemon keep it elsewhere first (migmond --help)"


def refuse_overlap(source: Root, target: Root) -> None:
    """Compare a source with a target, which may be its own.

    Raises:
        Refused: they are the same, or one lies in the other.
        OSError: one of them cannot be looked at.
    """
    if target.single or source.single:
        if source is target:
            _refuse_same_file(source)
        return
    there, existing = _nearest(target.spec.target)
    exists, here = existing == target.spec.target, standing_of(source.source_fd)
    if exists and here.key == there.key:
        raise _overlap("source and destination are the same directory", target.spec.target)
    if there.lies_in(here):
        raise _overlap("the destination lies inside the source", target.spec.target)
    if exists and here.lies_in(there):
        hint = "choose a destination that the source is not in, such as a new directory beside it"
        raise _overlap("the source lies inside the destination", source.spec.source, hint)


def refuse_own(root: Root, own: Sequence[Own], options: MoverOptions) -> str:
    """Look for the daemon's own files at both ends of a root: they cannot be moved under its feet, and nothing is
    written among them. Returns what of them would be copied, for people; "" when nothing.

    Raises:
        Refused: they are in the source of a move, or around the destination.
        OSError: something cannot be looked at.
    """
    if not own or root.gone:
        return ""
    there, _ = _nearest(root.target_directory)
    for mine in own:
        if there.lies_in(mine.standing):
            message = f"the destination {to_text(root.spec.target)} lies in {_named(mine)}"
            raise _overlap(message, root.spec.target, "choose another destination")
    here = standing_of(root.source_fd)
    for mine in own:
        if not (_holds(root, here, mine.standing, options) or here.lies_in(mine.standing)):
            continue
        if options.operation is Operation.MOVE:
            message = f"{to_text(root.spec.source)} cannot be moved: in it is {_named(mine)}"
            if here.lies_in(mine.standing):
                message = f"{to_text(root.spec.source)} cannot be moved: it is in {_named(mine)}"
            raise _overlap(message, root.spec.source, _KEEP_ELSEWHERE)
        return _named(mine)
    return ""


def _holds(root: Root, here: Standing, mine: Standing, options: MoverOptions) -> bool:
    """Whether the source's tree, as far as it is taken, has it in it."""
    if root.single or not mine.lies_in(here):
        return False
    # What is mounted below the source stays where it is.
    return not options.one_file_system or mine.above[0][0] == here.key[0]


def _named(own: Own) -> str:
    return f"{own.what} ({to_text(own.path)})"


def _nearest(path: bytes) -> tuple[Standing, bytes]:
    fd, existing = open_nearest(path)
    try:
        return standing_of(fd), existing
    finally:
        os.close(fd)


def _refuse_same_file(root: Root) -> None:
    with contextlib.suppress(FileNotFoundError):
        st = os.stat(root.spec.target, follow_symlinks=False)
        if (st.st_dev, st.st_ino) == (root.info.source_device, root.info.inode):
            raise _overlap("source and destination are the same file", root.spec.target)


def _overlap(message: str, path: bytes, hint: str = "choose a destination outside the source") -> Refused:
    return Refused(OpenFailed(Fault(Phase.OPEN, "overlap", errno.EINVAL, message), message, hint, path))
