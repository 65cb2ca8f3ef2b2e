"""The opened sources and targets of a plan, and the refusal of those that would eat themselves."""

from __future__ import annotations

import errno
import os
import stat
import tempfile
from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from migmond.domain.entry import EntryType, entry_type
from migmond.domain.execution import Anchor
from migmond.domain.fault import Fault, Phase
from migmond.domain.file_system import FileSystemId
from migmond.domain.names import to_text
from migmond.fsys.file_system_id import file_system_id
from migmond.fsys.rename import stat_or_none
from migmond.fsys.root_path import open_parent, open_root
from migmond.mover.alias import refuse_alias
from migmond.mover.anchors import OTHER_DIRECTORY, OTHER_FILE_SYSTEM, anchor_at, moved_on
from migmond.mover.aside import aside_name
from migmond.mover.overlap import refuse_overlap, refuse_own
from migmond.mover.root import Refused, Root, open_nearest, refusal
from migmond.wire.from_mover import OpenFailed
from migmond.wire.items import RootInfo, RootSpec
from migmond.wire.to_mover import Open


def open_roots(opening: Open, there: Sequence[Root] = ()) -> list[Root]:
    """Open all roots.

    Args:
        there: roots that are open already; those that are opened now may have the same sources.

    Raises:
        Refused: a source is missing, unreadable, not the one that was scanned; a target is or lies in a source, or
            the reverse, through whatever mounts and symlinks; a target's type does not fit, or its disk is not there,
            or another one is.
    """
    if opening.known_types:
        return _targets_only(opening)
    away = _away(opening)
    known = zip(
        opening.roots,
        opening.expected or (0,) * len(opening.roots),
        opening.source_file_systems or (FileSystemId(),) * len(opening.roots),
        opening.source_devices or (0,) * len(opening.roots),
        strict=True,
    )
    targets: dict[bytes, list[bytes]] = {}
    for spec in opening.roots:
        targets.setdefault(spec.source, []).append(spec.target)
    by_source = {root.spec.source: root for root in there}
    roots: list[Root] = []
    for index, (spec, inode, on, device) in enumerate(known):
        first = by_source.get(spec.source)
        if first is not None:
            roots.append(_beside(first, spec, away=index in away))
            continue
        gone_allowed, wanted = index in opening.may_be_gone, index in opening.wanted
        expected = Expected(inode, on, gone_allowed, tuple(targets[spec.source]), wanted, index in away)
        root = _left_aside(spec, _aside_of(opening, index), expected) or _opened(spec, expected)
        root.recorded_device = device
        roots.append(root)
        by_source[spec.source] = root
    for index, root in enumerate(roots):
        root.away = index in away
    for root, anchor in zip(roots, opening.anchors, strict=False):
        if not root.away:
            _refuse_another(anchor.file_system, root)
    for root in roots:
        for other in roots:
            if root.gone or other.away:
                continue
            try:
                refuse_overlap(root, other)
                if opening.probing:
                    refuse_alias(root, other, b".migmond-%s-0.part" % opening.options.execution.encode())
            except OSError as e:
                raise refusal(e, other.spec.target, "cannot look at the destination") from e
        if root.away:
            continue
        try:
            root.own = refuse_own(root, opening.own, opening.options)
        except OSError as e:
            raise refusal(e, root.spec.target, "cannot look at the destination") from e
        if opening.make_targets:
            try:
                root.target_fd()
            except OSError as e:
                raise refusal(e, root.spec.target, "cannot make the destination") from e
    return roots


def _away(opening: Open) -> frozenset[int]:
    """Return which roots are to be opened without their targets; raise Refused when an anchor of another one is not
    what it was."""
    away = set[int]()
    for index, anchor in enumerate(opening.anchors):
        try:
            _refuse_moved(anchor)
        except Refused:
            if index not in opening.may_be_away:
                raise
            away.add(index)
    return frozenset(away)


def _beside(first: Root, spec: RootSpec, *, away: bool) -> Root:
    """Return the root of a source that is open already, at another destination."""
    target, kind = _target_info(spec, first.info.type, away=away), first.info.type
    info = msgspec.structs.replace(
        first.info,
        target_device=target.device,
        target_exists=target.exists,
        anchor=target.anchor,
        target_empty=target.empty,
    )
    name = os.path.basename(spec.target) if kind is not EntryType.DIRECTORY else b""
    root = Root(spec, info, first.source_fd, first.source_name, name)
    root.gone, root.recorded_device = first.gone, first.recorded_device
    return root


def _aside_of(opening: Open, index: int) -> bytes:
    """Return the private name of a root's source while it is deleted: by the number of its task."""
    return aside_name(opening.options.execution, index % (opening.sources or len(opening.roots)) + 1)


class Expected(NamedTuple):
    """What is known of a source when it is opened again: 0 and an empty id when nothing is.

    `gone_allowed`: nothing is wanted of it any more. `targets`: its targets, at all destinations. `wanted`: something
    is, unless it was removed. `away`: its target is not looked at.
    """

    inode: int
    file_system: FileSystemId
    gone_allowed: bool
    targets: tuple[bytes, ...]
    wanted: bool = False
    away: bool = False


def _refuse_moved(anchor: Anchor) -> None:
    try:
        why = moved_on(anchor)
    except OSError as e:
        raise refusal(e, anchor.path, "cannot look at the destination") from e
    if why:
        raise _changed("target_changed", anchor.path, "the directory that the destination was in", why)


def _refuse_another(then: FileSystemId, root: Root) -> None:
    """Something may be mounted below the anchor, where we had made the target."""
    if then.is_another(root.target_on):
        what = "where the destination was"
        raise _changed("target_changed", root.target_directory, what, OTHER_FILE_SYSTEM)
    root.target_on = then if then.own else root.target_on


def _changed(kind: str, path: bytes, what: str, why: str, hint: str = "") -> Refused:
    message = f"{to_text(path)} is not {what}: {why}; mount the disk that it was on, then try again"
    return Refused(OpenFailed(Fault(Phase.OPEN, kind, 0, why), message, hint, path))


def _opened(spec: RootSpec, expected: Expected) -> Root:
    try:
        return _open_one(spec, expected)
    except OSError as e:  # what is wrong with the source is told in there
        raise refusal(e, spec.target, "cannot look at the destination") from e


def _open_one(spec: RootSpec, expected: Expected) -> Root:
    try:
        st = os.stat(spec.source, follow_symlinks=spec.source.endswith(b"/"))
        if stat.S_ISLNK(st.st_mode) and os.path.isdir(spec.source):
            st = os.stat(spec.source)  # the operator's root may be a symlink to a directory
    except FileNotFoundError as e:
        found = {path: stat_or_none(-100, path) for path in expected.targets}
        there = {path: target for path, target in found.items() if target is not None}
        if expected.wanted and not _disk_is_there(spec.source, expected.file_system):
            what = "where something is still to be fetched from"
            hint = "if it was removed for good, make an empty directory in its place"
            raise _changed("source_changed", spec.source, what, "it is not there any more", hint) from e
        renamed = [target for path, target in there.items() if _was_renamed(path, target, expected)]
        if renamed or expected.gone_allowed:
            return _gone(spec, next(iter(renamed or there.values()), None), away=expected.away)
        raise refusal(e, spec.source, "the source does not exist") from e
    except OSError as e:
        raise refusal(e, spec.source, "cannot look at the source") from e
    source_name = target_name = b""
    try:
        if stat.S_ISDIR(st.st_mode):
            source_fd = open_root(spec.source)
            st = os.fstat(source_fd)  # what counts is what is open now, not what had the name before
        else:
            source_fd, source_name = open_parent(spec.source)
            target_name = os.path.basename(spec.target)
            st = os.stat(source_name, dir_fd=source_fd, follow_symlinks=False)
        on = file_system_id(source_fd)
    except OSError as e:
        raise refusal(e, spec.source, "cannot open the source") from e
    why = ""
    if expected.file_system.is_another_volume(on):
        why = OTHER_FILE_SYSTEM
    elif expected.inode and st.st_ino != expected.inode and not source_name:  # another file is its task's business
        why = OTHER_DIRECTORY
    if why and expected.gone_allowed and not expected.wanted:
        os.close(source_fd)
        return _gone(spec, stat_or_none(-100, spec.target), away=expected.away)
    if why:
        what = "the file that was meant" if source_name else "the directory that was scanned"
        raise _changed("source_changed", spec.source, what, why)
    info = _info(spec, st, entry_type(st.st_mode), away=expected.away)
    return Root(spec, msgspec.structs.replace(info, source_file_system=on), source_fd, source_name, target_name)


def _disk_is_there(path: bytes, file_system: FileSystemId) -> bool:
    """Whether what is missing at `path` would be on that file system: then somebody has removed it."""
    fd, _ = open_nearest(os.path.dirname(path))
    try:
        return bool(file_system.own) and file_system_id(fd).own == file_system.own
    finally:
        os.close(fd)


def _was_renamed(path: bytes, target: os.stat_result, expected: Expected) -> bool:
    """Whether a target is what the source was (RenameRoot before a crash)."""
    if not expected.inode or target.st_ino != expected.inode:
        return False
    fd, _ = open_parent(path)
    try:
        return not expected.file_system.is_another(file_system_id(fd))
    finally:
        os.close(fd)


def _targets_only(opening: Open) -> list[Root]:
    """Open for looking at the targets again. Another file system there is refused; other directories, and none, are
    what whoever looks will find."""
    roots = [_target_only(spec, kind) for spec, kind in zip(opening.roots, opening.known_types, strict=True)]
    for root, anchor in zip(roots, opening.anchors, strict=False):
        root.target_on = anchor.file_system
        try:
            os.close(root.existing_target_fd())
        except OSError as e:
            if e.strerror != OTHER_FILE_SYSTEM:
                continue  # told of every file that cannot be read because of it
            what = "where the destination was"
            raise _changed("target_changed", root.target_directory, what, OTHER_FILE_SYSTEM) from e
    return roots


def _left_aside(spec: RootSpec, private: bytes, expected: Expected) -> Root | None:
    """A single file that a mover had set aside to delete it when it died: its task knows what to do."""
    if not expected.inode or os.path.lexists(spec.source):
        return None
    try:
        source_fd, source_name = open_parent(spec.source)
    except OSError:
        return None
    try:
        st, on = stat_or_none(source_fd, private), file_system_id(source_fd)
    except OSError:
        st, on = None, FileSystemId()
    if st is None or stat.S_ISDIR(st.st_mode) or expected.file_system.is_another_volume(on):
        os.close(source_fd)
        return None
    info = _info(spec, st, entry_type(st.st_mode), away=expected.away)
    info = msgspec.structs.replace(info, source_file_system=on)
    return Root(spec, info, source_fd, source_name, os.path.basename(spec.target))


def _target_only(spec: RootSpec, kind: EntryType) -> Root:
    """A root of which only the target is wanted, whatever stands at its two ends now."""
    info = RootInfo(kind, 0, 0, 0, 0, 0, 0, 0, target_exists=False, anchor=Anchor(spec.target, 0))
    names = (os.path.basename(spec.source), os.path.basename(spec.target))
    root = Root(spec, info, _empty_directory(), *(names if kind is not EntryType.DIRECTORY else (b"", b"")))
    root.gone = True
    return root


def _empty_directory() -> int:
    """Open a directory in which nothing can ever be found."""
    path = tempfile.mkdtemp(prefix="migmond-").encode()
    fd = open_root(path)
    os.rmdir(path)
    return fd


def _gone(spec: RootSpec, target: os.stat_result | None, *, away: bool) -> Root:
    """Stand-in for a source that was moved away already."""
    source_fd = _empty_directory()
    if target is not None and not stat.S_ISDIR(target.st_mode):
        info = _info(spec, target, entry_type(target.st_mode), away=away)
        root = Root(spec, info, source_fd, os.path.basename(spec.source), os.path.basename(spec.target))
    else:
        root = Root(spec, _info(spec, os.fstat(source_fd), EntryType.DIRECTORY, away=away), source_fd, b"", b"")
    root.gone = True
    return root


class _Target(NamedTuple):
    device: int
    exists: bool
    anchor: Anchor
    empty: bool


def _target_info(spec: RootSpec, kind: EntryType, *, away: bool) -> _Target:
    """Look at the target of a source of type `kind`, unless it is away. Raises Refused when its type does not fit, and
    OSError."""
    if away:
        return _Target(0, exists=True, anchor=Anchor(spec.target, 0), empty=False)
    try:
        target_st = os.stat(spec.target)
    except OSError:
        target_st = None
    if target_st is not None and kind is EntryType.DIRECTORY and not stat.S_ISDIR(target_st.st_mode):
        fault = Fault(Phase.OPEN, "ENOTDIR", errno.ENOTDIR, os.strerror(errno.ENOTDIR))
        message = f"the source is a directory, the destination {to_text(spec.target)} is none"
        raise Refused(OpenFailed(fault, message, "choose another destination", spec.target))
    if target_st is not None and kind is not EntryType.DIRECTORY and stat.S_ISDIR(target_st.st_mode):
        fault = Fault(Phase.OPEN, "EISDIR", errno.EISDIR, os.strerror(errno.EISDIR))
        message = f"the source is a single file, the destination {to_text(spec.target)} is a directory"
        name = to_text(os.path.join(spec.target, os.path.basename(spec.source)))
        raise Refused(OpenFailed(fault, message, f"give the new name as well: {name}", spec.target))
    fd, path = open_nearest(os.path.dirname(spec.target) if kind is not EntryType.DIRECTORY else spec.target)
    try:
        device = os.fstat(fd).st_dev
        anchor = anchor_at(fd, path)
        empty = target_st is None or (stat.S_ISDIR(target_st.st_mode) and _is_empty(fd))
    finally:
        os.close(fd)
    return _Target(device, target_st is not None, anchor, empty)


def _info(spec: RootSpec, st: os.stat_result, kind: EntryType, *, away: bool) -> RootInfo:
    target = _target_info(spec, kind, away=away)
    return RootInfo(
        kind,
        st.st_size,
        st.st_mtime_ns,
        st.st_ctime_ns,
        st.st_ino,
        st.st_nlink,
        st.st_dev,
        target.device,
        target_exists=target.exists,
        anchor=target.anchor,
        target_empty=target.empty,
    )


def _is_empty(directory: int) -> bool:
    with os.scandir(directory) as names:
        return next(names, None) is None
