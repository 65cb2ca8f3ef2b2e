"""An independent, complete comparison of two trees. Imports nothing of migmond on purpose.

`python tests/support/oracle.py A B` prints the differences and ends with 1 when there are any.
"""

from __future__ import annotations

import hashlib
import os
import stat
import sys
from collections.abc import Iterator

BLOCK = 4096


def differences(
    a: bytes | str | os.PathLike[str],
    b: bytes | str | os.PathLike[str],
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
    """
    root_a, root_b = os.fsencode(a), os.fsencode(b)
    entries_a, entries_b = dict(_walk(root_a)), dict(_walk(root_b))
    found = [f"only in A: {os.fsdecode(p)!r}" for p in sorted(entries_a.keys() - entries_b.keys())]
    found += [f"only in B: {os.fsdecode(p)!r}" for p in sorted(entries_b.keys() - entries_a.keys())]
    for path in sorted(entries_a.keys() & entries_b.keys()):
        kinds = _compare(
            os.path.join(root_a, path) if path else root_a,
            os.path.join(root_b, path) if path else root_b,
            entries_a[path],
            entries_b[path],
            holes=holes,
            owners=owners,
            directory_times=directory_times,
            times=times,
        )
        found += [f"{kind}: {os.fsdecode(path)!r}" for kind in kinds]
    if _link_sets(entries_a) != _link_sets(entries_b):
        found.append("hard links: names are grouped differently")
    return found


def names_starting(root: bytes | str | os.PathLike[str], prefix: bytes) -> list[bytes]:
    """Return the paths below `root` whose last part starts with `prefix`."""
    if not os.path.lexists(root):
        return []
    return [path for path, _ in _walk(os.fsencode(root)) if os.path.basename(path).startswith(prefix)]


def count(root: bytes | str | os.PathLike[str], *, directories: bool = False) -> int:
    """How many entries there are below and with `root`, or only how many directories."""
    entries = dict(_walk(os.fsencode(root)))
    return sum(stat.S_ISDIR(st.st_mode) for st in entries.values()) if directories else len(entries)


def _walk(root: bytes) -> Iterator[tuple[bytes, os.stat_result]]:
    """Yield path below root and lstat, by directory fd, so that paths may be of any length."""
    top = os.lstat(root)
    yield b"", top
    if not stat.S_ISDIR(top.st_mode):
        return
    stack: list[tuple[bytes, int]] = [(b"", os.open(root, os.O_RDONLY | os.O_DIRECTORY))]
    while stack:
        path, fd = stack.pop()
        try:
            for name in map(os.fsencode, os.listdir(fd)):
                st = os.stat(name, dir_fd=fd, follow_symlinks=False)
                below = path + b"/" + name if path else name
                yield below, st
                if stat.S_ISDIR(st.st_mode):
                    stack.append((below, os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=fd)))
        finally:
            os.close(fd)


def _open(path: bytes) -> int:
    """Open a path of any length for reading."""
    if len(path) < 4000:
        return os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    *parents, last = path.split(b"/")
    fd = os.open(b"/", os.O_RDONLY | os.O_DIRECTORY)
    for name in filter(None, parents):
        deeper = os.open(name, os.O_RDONLY | os.O_DIRECTORY, dir_fd=fd)
        os.close(fd)
        fd = deeper
    try:
        return os.open(last, os.O_RDONLY | os.O_NOFOLLOW, dir_fd=fd)
    finally:
        os.close(fd)


def _compare(
    a: bytes,
    b: bytes,
    sa: os.stat_result,
    sb: os.stat_result,
    *,
    holes: bool,
    owners: bool,
    directory_times: bool,
    times: bool,
) -> Iterator[str]:
    if stat.S_IFMT(sa.st_mode) != stat.S_IFMT(sb.st_mode):
        yield "type"
        return
    if stat.S_IMODE(sa.st_mode) != stat.S_IMODE(sb.st_mode):
        yield f"mode {stat.S_IMODE(sa.st_mode):o} {stat.S_IMODE(sb.st_mode):o}"
    if owners and (sa.st_uid, sa.st_gid) != (sb.st_uid, sb.st_gid):
        yield f"owner {sa.st_uid}:{sa.st_gid} {sb.st_uid}:{sb.st_gid}"
    wanted = directory_times if stat.S_ISDIR(sa.st_mode) else times
    if wanted and sa.st_mtime_ns != sb.st_mtime_ns:
        yield f"mtime {sa.st_mtime_ns} {sb.st_mtime_ns}"
    if stat.S_ISLNK(sa.st_mode):
        if os.readlink(a) != os.readlink(b):
            yield "link text"
    elif stat.S_ISREG(sa.st_mode):
        yield from _compare_files(a, b, sa, sb, holes=holes)
    elif sa.st_rdev != sb.st_rdev:
        yield "device number"
    if len(a) < 4000 and len(b) < 4000 and _xattrs(a) != _xattrs(b):
        yield f"xattrs {_xattrs(a)} {_xattrs(b)}"


def _compare_files(a: bytes, b: bytes, sa: os.stat_result, sb: os.stat_result, *, holes: bool) -> Iterator[str]:
    if sa.st_size != sb.st_size:
        yield f"size {sa.st_size} {sb.st_size}"
        return
    fa, fb = _open(a), _open(b)
    try:
        if _digest(fa) != _digest(fb):
            yield "content"
        if holes and _data_blocks(fa, sa.st_size) != _data_blocks(fb, sb.st_size):
            yield "holes"
    finally:
        os.close(fa)
        os.close(fb)


def _digest(fd: int) -> bytes:
    h = hashlib.blake2b()
    offset = 0
    while data := os.pread(fd, 1 << 20, offset):
        h.update(data)
        offset += len(data)
    return h.digest()


def _data_blocks(fd: int, size: int) -> list[tuple[int, int]]:
    runs: list[tuple[int, int]] = []
    position = 0
    while position < size:
        try:
            start = os.lseek(fd, position, os.SEEK_DATA)
        except OSError:
            break
        end = min(size, os.lseek(fd, start, os.SEEK_HOLE))
        runs.append((start // BLOCK, -(-end // BLOCK)))
        position = end
    return runs


def _xattrs(path: bytes) -> dict[str, bytes]:
    try:
        return {n: os.getxattr(path, n, follow_symlinks=False) for n in os.listxattr(path, follow_symlinks=False)}
    except OSError:
        return {}


def _link_sets(entries: dict[bytes, os.stat_result]) -> set[frozenset[bytes]]:
    by_inode: dict[tuple[int, int], set[bytes]] = {}
    for path, st in entries.items():
        if stat.S_ISREG(st.st_mode) and st.st_nlink > 1:
            by_inode.setdefault((st.st_dev, st.st_ino), set()).add(path)
    return {frozenset(paths) for paths in by_inode.values() if len(paths) > 1}


def main() -> int:
    found = differences(sys.argv[1], sys.argv[2])
    print("\n".join(found))
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
