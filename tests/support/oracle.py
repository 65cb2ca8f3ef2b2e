"""An independent, complete comparison of two trees. Imports nothing of migmond on purpose.

`python tests/support/oracle.py A B` prints the differences and ends with 1 when there are any.
"""

from __future__ import annotations

import argparse
import errno
import hashlib
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass, replace

BLOCK = 4096
"""Holes are compared in blocks of this many bytes: finer than any file system keeps them."""

NO_XATTRS = (errno.ENOTSUP, errno.ENODATA)

AnyPath = bytes | str | os.PathLike[str]


@dataclass(frozen=True)
class Facts:
    """All that is compared of one entry."""

    type: int
    size: int = 0
    mode: int = 0
    owner: tuple[int, int] = (0, 0)
    mtime_ns: int = 0
    device: int = 0
    text: bytes = b""
    digest: str = ""
    data_blocks: tuple[tuple[int, int], ...] = ()
    xattrs: tuple[tuple[str, bytes], ...] = ()
    unreadable: str = ""
    """Why content or names below could not be read; never equal to anything."""
    inode: tuple[int, int] | None = None
    """Identity of something that has several names."""


def differences(
    a: AnyPath,
    b: AnyPath,
    *,
    holes: bool = False,
    owners: bool = True,
    directory_times: bool = True,
    times: bool = True,
) -> list[str]:
    """Compare everything below `a` and `b` and return one line per difference.

    Args:
        holes: also where sparse files have data, block by block (file systems differ in how they allocate).
        owners: compare uid and gid (an unprivileged copy cannot keep them).
        directory_times: compare modification times of directories.
        times: compare modification times of everything else.

    Raises:
        OSError: `a` or `b` itself cannot be looked at.
    """
    entries_a, entries_b = dict(_walk(os.fsencode(a))), dict(_walk(os.fsencode(b)))
    found = [f"only in A: {os.fsdecode(p)!r}" for p in sorted(entries_a.keys() - entries_b.keys())]
    found += [f"only in B: {os.fsdecode(p)!r}" for p in sorted(entries_b.keys() - entries_a.keys())]
    for path in sorted(entries_a.keys() & entries_b.keys()):
        timed = directory_times if stat.S_ISDIR(entries_a[path].type) else times
        kinds = _compare(entries_a[path], entries_b[path], holes=holes, owners=owners, timed=timed)
        found += [f"{kind}: {os.fsdecode(path)!r}" for kind in kinds]
    links_a, links_b = _link_sets(entries_a), _link_sets(entries_b)
    for names in sorted(sorted(names) for names in links_a ^ links_b):
        where = "A" if frozenset(names) in links_a else "B"
        found.append(f"hard links: one file only in {where}: {', '.join(repr(os.fsdecode(n)) for n in names)}")
    return found


def entries(root: AnyPath) -> dict[bytes, Facts]:
    """Return everything below `root` by path, `root` itself as b""; nothing when there is no such thing."""
    return dict(_walk(os.fsencode(root))) if os.path.lexists(root) else {}


def unlike(a: Facts, b: Facts) -> tuple[bool, list[str]]:
    """Whether content or type of two entries differ, and in what else. Numbers of names and holes are not compared."""
    content = (a.type, a.size, a.digest, a.text, a.device, a.unreadable, b.unreadable) != (
        b.type, b.size, b.digest, b.text, b.device, "", "",
    )  # fmt: skip
    return content, list(_compare(a, b, holes=False, owners=True, timed=True))


def names_starting(root: AnyPath, prefix: bytes) -> list[bytes]:
    """Return the paths below `root` whose last part starts with `prefix`."""
    if not os.path.lexists(root):
        return []
    return [path for path, _ in _walk(os.fsencode(root), content=False) if os.path.basename(path).startswith(prefix)]


def count(root: AnyPath, *, directories: bool = False) -> int:
    """How many entries there are below and with `root`, or only how many directories."""
    types = [facts.type for _, facts in _walk(os.fsencode(root), content=False)]
    return sum(map(stat.S_ISDIR, types)) if directories else len(types)


def _walk(root: bytes, *, content: bool = True) -> Iterator[tuple[bytes, Facts]]:
    """Yield path below root and facts. By directory fd, one a level, so that paths may be of any length."""
    fd = os.open(root, os.O_PATH | os.O_NOFOLLOW)
    try:
        facts = _facts(fd, content)
        yield b"", facts
        if stat.S_ISDIR(facts.type) and not facts.unreadable:
            yield from _below(fd, content)
    finally:
        os.close(fd)


def _below(top: int, content: bool) -> Iterator[tuple[bytes, Facts]]:
    # No recursion: a tree may be deeper than Python's stack.
    levels: list[tuple[bytes, int, list[bytes]]] = [(b"", os.dup(top), _names(top))]
    try:
        while levels:
            path, directory, names = levels[-1]
            if not names:
                levels.pop()
                os.close(directory)
                continue
            name = names.pop()
            below = path + b"/" + name if path else name
            fd = os.open(name, os.O_PATH | os.O_NOFOLLOW, dir_fd=directory)
            try:
                facts = _facts(fd, content)
                yield below, facts
                if stat.S_ISDIR(facts.type) and not facts.unreadable:
                    levels.append((below, os.dup(fd), _names(fd)))
            finally:
                os.close(fd)
    finally:
        for _, directory, _ in levels:
            os.close(directory)


def _itself(fd: int) -> str:
    """A short path to what an O_PATH fd stands for, whatever it is; symlinks are not followed any further."""
    return f"/proc/self/fd/{fd}"


def _names(fd: int) -> list[bytes]:
    return sorted(map(os.fsencode, os.listdir(_itself(fd))), reverse=True)


def _facts(fd: int, content: bool) -> Facts:
    st = os.fstat(fd)
    kind = stat.S_IFMT(st.st_mode)
    facts = Facts(
        type=kind,
        mode=stat.S_IMODE(st.st_mode),
        owner=(st.st_uid, st.st_gid),
        mtime_ns=st.st_mtime_ns,
        device=st.st_rdev if kind in (stat.S_IFBLK, stat.S_IFCHR) else 0,
        inode=(st.st_dev, st.st_ino) if st.st_nlink > 1 and kind != stat.S_IFDIR else None,
    )
    try:
        if kind == stat.S_IFDIR:
            os.listdir(_itself(fd))
        if not content:
            return facts
        facts = replace(facts, xattrs=_xattrs(fd))
        if kind == stat.S_IFLNK:
            return replace(facts, text=os.readlink(b"", dir_fd=fd))
        if kind == stat.S_IFREG:
            return _with_content(facts, fd, st.st_size)
    except OSError as e:
        return replace(facts, unreadable=e.strerror or str(e))
    return facts


def _with_content(facts: Facts, path_fd: int, size: int) -> Facts:
    fd = os.open(_itself(path_fd), os.O_RDONLY)
    try:
        return replace(facts, size=size, digest=_digest(fd), data_blocks=tuple(_data_blocks(fd, size)))
    finally:
        os.close(fd)


def _digest(fd: int) -> str:
    h = hashlib.blake2b()
    offset = 0
    while data := os.pread(fd, 1 << 20, offset):
        h.update(data)
        offset += len(data)
    return h.hexdigest()


def _data_blocks(fd: int, size: int) -> Iterator[tuple[int, int]]:
    """Runs of blocks with data. Adjoining runs are one: some file systems report an extent at a time."""
    position, run = 0, None
    while position < size:
        try:
            start = os.lseek(fd, position, os.SEEK_DATA)
        except OSError as e:
            if e.errno != errno.ENXIO:
                raise
            break
        position = min(size, os.lseek(fd, start, os.SEEK_HOLE))
        first, last = start // BLOCK, -(-position // BLOCK)
        if run is not None and first <= run[1]:
            run = (run[0], last)
            continue
        if run is not None:
            yield run
        run = (first, last)
    if run is not None:
        yield run


def _xattrs(fd: int) -> tuple[tuple[str, bytes], ...]:
    """All extended attributes that the caller may see; ACLs and capabilities are among them."""
    path = _itself(fd)
    try:
        return tuple(sorted((name, os.getxattr(path, name)) for name in os.listxattr(path)))
    except OSError as e:
        if e.errno in NO_XATTRS:
            return ()
        raise


def _compare(a: Facts, b: Facts, *, holes: bool, owners: bool, timed: bool) -> Iterator[str]:
    if a.type != b.type:
        yield "type"
        return
    for name, facts in (("A", a), ("B", b)):
        if facts.unreadable:
            yield f"unreadable in {name} ({facts.unreadable})"
    if a.mode != b.mode:
        yield f"mode {a.mode:o} {b.mode:o}"
    if owners and a.owner != b.owner:
        yield f"owner {a.owner[0]}:{a.owner[1]} {b.owner[0]}:{b.owner[1]}"
    if timed and a.mtime_ns != b.mtime_ns:
        yield f"mtime {a.mtime_ns} {b.mtime_ns}"
    if a.device != b.device:
        yield f"device number {a.device:#x} {b.device:#x}"
    if a.unreadable or b.unreadable:
        return
    if a.text != b.text:
        yield "link text"
    if a.size != b.size:
        yield f"size {a.size} {b.size}"
    elif a.digest != b.digest:
        yield "content"
    elif holes and a.data_blocks != b.data_blocks:
        yield "holes"
    if a.xattrs != b.xattrs:
        yield f"xattrs {dict(a.xattrs)} {dict(b.xattrs)}"


def _link_sets(entries: dict[bytes, Facts]) -> set[frozenset[bytes]]:
    by_inode: dict[tuple[int, int], set[bytes]] = {}
    for path, facts in entries.items():
        if facts.inode is not None:
            by_inode.setdefault(facts.inode, set()).add(path)
    return {frozenset(paths) for paths in by_inode.values() if len(paths) > 1}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("a", metavar="A")
    parser.add_argument("b", metavar="B")
    parser.add_argument("--no-owners", action="store_true", help="do not compare uid and gid")
    parser.add_argument("--holes", action="store_true", help="compare where sparse files have data")
    options = parser.parse_args()
    found = differences(options.a, options.b, holes=options.holes, owners=not options.no_owners)
    for line in found:
        print(line.encode("utf-8", "backslashreplace").decode())
    return 1 if found else 0


if __name__ == "__main__":
    raise SystemExit(main())
