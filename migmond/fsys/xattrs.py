"""Extended attributes, and what travels as such: POSIX ACLs and file capabilities."""

from __future__ import annotations

import errno
import os
from typing import TypeAlias

from migmond.domain.entry import Lost

Pinned: TypeAlias = int | bytes
"""An fd, or /proc/self/fd/N of an O_PATH one (which fsetxattr and fchmod refuse). Both stand for one inode,
whatever becomes of its name; for a symlink it is the symlink itself."""

_NOT_HERE = frozenset(
    {errno.EOPNOTSUPP, errno.EPERM, errno.EACCES, errno.ENODATA, errno.EINVAL, errno.ENOSYS, errno.ERANGE}
)
_UNTOLD = frozenset({errno.EPERM, errno.EACCES, errno.ERANGE, errno.E2BIG})
_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.E2BIG})
"""The file system has room for files, but not that much for attributes of one: ext4 keeps them in one block."""
_DEFAULT_ACL = "system.posix_acl_default"
_ACLS = frozenset({"system.posix_acl_access", _DEFAULT_ACL})
_CAPABILITY = "security.capability"


def has_default_acl(directory: Pinned) -> bool:
    """Whether what is made in the directory inherits an ACL from it, or may do so: nobody tells. Raises OSError."""
    names = _names(directory)
    return names is None or _DEFAULT_ACL in names


def copy_xattrs(
    source: Pinned, target: Pinned, *, trusted: bool, mirror: bool, bare: bool = False
) -> tuple[Lost, bool]:
    """Give the target the source's attributes.

    ACLs that the target has and the source lacks are removed: it inherited them from its directory, and they would
    let others in.

    Args:
        trusted: copy `trusted.*` too; it takes CAP_SYS_ADMIN.
        mirror: remove the `user.*` ones that the source lacks too: the target was there before.
        bare: the target is known to have none yet.

    Returns:
        What could not be kept, and whether an ACL was changed: that may have changed the mode as well.

    Raises:
        OSError: the source or target failed in another way (EIO, EROFS, ...).
    """
    names, there = _names(source), [] if bare else _names(target)
    if names == there == []:
        return Lost.NOTHING, False
    lost, acl_changed = Lost.NOTHING, False
    if names is None:  # an ACL that was inherited is removed all the same; what is the target's own otherwise, stays
        lost, names, mirror = Lost.XATTRS | Lost.ACL, [], False
    if there is None:  # it may have inherited an ACL that lets others in
        lost, there = lost | Lost.ACL, []
    for name in there:
        if name not in names and (name in _ACLS or (mirror and name.startswith("user."))):
            lost |= _remove(target, name)
            acl_changed |= name in _ACLS
    for name in names:
        if name.startswith("trusted.") and not trusted:
            lost |= Lost.XATTRS
            continue
        lost |= _copy(source, target, name)
        acl_changed |= name in _ACLS
    return lost, acl_changed


def _names(place: Pinned) -> list[str] | None:
    """Return what attributes there are; None when there may be some, but nobody is told which."""
    try:
        return os.listxattr(place)
    except OSError as e:
        if e.errno in _UNTOLD:
            return None
        if e.errno in _NOT_HERE:
            return []
        raise


def _copy(source: Pinned, target: Pinned, name: str) -> Lost:
    try:
        value = os.getxattr(source, name)
    except OSError as e:
        if e.errno == errno.ENODATA:  # removed since it was listed
            return Lost.NOTHING
        if e.errno in _NOT_HERE:
            return _loss_of(name)
        raise
    try:
        os.setxattr(target, name, value)
    except OSError as e:
        if e.errno in _NOT_HERE or e.errno in _NO_ROOM:
            return _loss_of(name)
        raise
    return Lost.NOTHING


def _remove(target: Pinned, name: str) -> Lost:
    try:
        os.removexattr(target, name)
    except OSError as e:
        if e.errno == errno.ENODATA:
            return Lost.NOTHING
        if e.errno in _NOT_HERE:
            return _loss_of(name)
        raise
    return Lost.NOTHING


def _loss_of(name: str) -> Lost:
    if name.startswith("system."):  # the POSIX ones, and those of NFS 4 and CIFS
        return Lost.ACL
    return Lost.CAPABILITIES if name == _CAPABILITY else Lost.XATTRS
