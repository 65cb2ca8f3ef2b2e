"""What the mover's user may do with a source: read it, and in a move take it away."""

from __future__ import annotations

import os
import stat

import msgspec

from migmond.domain.preflight import Sight
from migmond.fsys import libc
from migmond.fsys.metadata import Rights

_FIXED = libc.ATTR_IMMUTABLE | libc.ATTR_APPEND


class Held(msgspec.Struct, frozen=True):
    """What a directory does not let go: everything, or (`sticky_for` set) what belongs to others than that uid."""

    reason: Sight
    sticky_for: int | None

    def keeps(self, st: libc.Stat) -> bool:
        """Whether an entry of it cannot be removed."""
        return self.sticky_for is None or st.uid != self.sticky_for


class Access:
    """Judges by modes where they decide, and asks the kernel where an ACL might."""

    def __init__(self, rights: Rights) -> None:
        self._rights = rights

    def readable(self, directory: int, name: bytes, st: libc.Stat) -> bool:
        """Whether a regular file can be opened for reading."""
        if self._rights.may_read_all:
            return True
        if st.uid == self._rights.uid:  # no ACL takes that from its owner, or gives it
            return bool(st.mode & stat.S_IRUSR)
        return os.access(name, os.R_OK, dir_fd=directory, effective_ids=True, follow_symlinks=False)

    def of_directory(self, fd: int, own: libc.Stat) -> Held | None:
        """Return what directory `fd`, of which `own` is the statx, does not let go; None for nothing."""
        if own.attributes & _FIXED:
            return Held(Sight.IMMUTABLE, None)
        if not self._rights.may_write_all and not os.access(b".", os.W_OK | os.X_OK, dir_fd=fd, effective_ids=True):
            return Held(Sight.UNDELETABLE, None)
        if own.mode & stat.S_ISVTX and own.uid != self._rights.uid and not self._rights.may_act_as_owner:
            return Held(Sight.STICKY, self._rights.uid)
        return None
