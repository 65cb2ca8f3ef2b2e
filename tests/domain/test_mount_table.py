"""The table of mounts is read as the kernel writes it, whatever the names are."""

from __future__ import annotations

import os
import time

from hypothesis import given
from hypothesis import strategies as st

from migmond.domain.mount_table import mount_over, parse_mounts, visible

LINE = b"86 27 7:2 /sub /srv/a\\040b rw,noatime shared:5 master:1 - fuse.sshfs ana@box:\\134x ro,subvol=/@,size=5k"
names = st.binary(min_size=1, max_size=6).filter(lambda name: b"/" not in name and b"\0" not in name)
paths = st.lists(names, max_size=3).map(lambda parts: b"/" + b"/".join(parts))


def escaped(path: bytes) -> bytes:
    """As mangle_path() does it for mountinfo."""
    return b"".join(b"\\%03o" % c if c in b" \t\n\\#" else bytes((c,)) for c in path)


def line(number: int, point: bytes, kind: bytes = b"ext4") -> bytes:
    return b"%d 1 8:%d / %s rw - %s /dev/sda rw" % (number, number, escaped(point), kind)


def test_one_line() -> None:
    (mount,) = parse_mounts(LINE)
    assert (mount.id, mount.parent, mount.device) == (86, 27, os.makedev(7, 2))
    assert (mount.top, mount.point, mount.options) == (b"/sub", b"/srv/a b", ("rw", "noatime"))
    assert (mount.kind, mount.source, mount.read_only) == ("fuse.sshfs", b"ana@box:\\x", True)
    assert (mount.option("subvol"), mount.option("size"), mount.option("none")) == ("/@", "5k", "")


def test_what_is_not_understood_is_left_out() -> None:
    broken = (b"", b"garbage", b"1 2 x:y / / rw - ext4 a rw", b"1 2 8:1 / / rw ext4 a rw", b"1 2 8:1 / - ext4 a rw")
    assert [m.id for m in parse_mounts(b"\n".join([*broken, line(5, b"/")]))] == [5]


def test_kinds_that_hold_files_of_people() -> None:
    kinds = (b"ext4", b"nfs4", b"fuse.rclone", b"overlay", b"tmpfs", b"proc", b"cgroup2", b"squashfs", b"fuse.lxcfs")
    table = parse_mounts(b"\n".join(line(i, b"/x", kind) for i, kind in enumerate(kinds)))
    assert [m.kind for m in table if m.holds_files] == ["ext4", "nfs4", "fuse.rclone", "overlay", "tmpfs"]


@given(points=st.lists(paths, max_size=6), wanted=paths)
def test_a_path_is_on_the_last_of_the_deepest_mounts_above_it(points: list[bytes], wanted: bytes) -> None:
    table = parse_mounts(b"\n".join(line(i, point) for i, point in enumerate(points)))
    assert [mount.point for mount in table] == points
    parts = [part for part in wanted.split(b"/") if part]
    above = [b"/" + b"/".join(parts[:depth]) for depth in range(len(parts), -1, -1)]
    expected = next((i for point in above for i in reversed(range(len(points))) if points[i] == point), None)
    found = mount_over(table, wanted)
    assert (found.id if found else None) == expected


@given(points=st.lists(paths, max_size=7))
def test_visible_are_those_that_nothing_was_mounted_over(points: list[bytes]) -> None:
    table = parse_mounts(b"\n".join(line(i, point) for i, point in enumerate(points)))

    def covers(later: bytes, earlier: bytes) -> bool:
        return later == b"/" or later == earlier or earlier.startswith(later + b"/")

    expected = [i for i, p in enumerate(points) if not any(covers(later, p) for later in points[i + 1 :])]
    assert [mount.id for mount in visible(table)] == expected


def test_thousands_of_mounts_take_milliseconds() -> None:
    table = parse_mounts(b"\n".join(line(i, b"/var/lib/x/%d/merged" % i) for i in range(5000)))
    started = time.thread_time()
    assert len(visible(table)) == 5000
    assert time.thread_time() - started < 0.5
