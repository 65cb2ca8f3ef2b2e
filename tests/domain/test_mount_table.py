"""The table of mounts is read as the kernel writes it, whatever the names are."""

from __future__ import annotations

import contextlib
import os
import time

from hypothesis import given
from hypothesis import strategies as st

from migmond.domain.mount_table import MountTree, parse_mounts

LINE = b"86 27 7:2 /sub /srv/a\\040b rw,noatime shared:5 master:1 - fuse.sshfs ana@box:\\134x ro,subvol=/@,size=5k"
names = st.binary(min_size=1, max_size=6).filter(lambda name: b"/" not in name and b"\0" not in name)
paths = st.lists(names, max_size=3).map(lambda parts: b"/" + b"/".join(parts))


def escaped(path: bytes) -> bytes:
    """As mangle_path() does it for mountinfo."""
    return b"".join(b"\\%03o" % c if c in b" \t\n\\#" else bytes((c,)) for c in path)


def line(number: int, point: bytes, kind: bytes = b"ext4", parent: int = 1) -> bytes:
    return b"%d %d 8:%d / %s rw - %s /dev/sda rw" % (number, parent, number, escaped(point), kind)


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


def covers(upper: bytes, lower: bytes) -> bool:
    return upper in (b"/", lower) or lower.startswith(upper + b"/")


def seen(points: list[bytes]) -> list[int]:
    """By what mounting means: what was mounted on something, or above it, later hides it."""
    return [i for i, p in enumerate(points) if not any(covers(later, p) for later in points[i + 1 :])]


def leads_to(points: list[bytes], path: bytes) -> int:
    above = [i for i in seen(points) if covers(points[i], path)]
    return max(above, key=lambda i: len(points[i]), default=-1)


@given(points=st.lists(paths, max_size=6), wanted=paths, data=st.data())
def test_where_paths_lead_after_mounting_in_any_order_of_the_table(
    points: list[bytes], wanted: bytes, data: st.DataObject
) -> None:
    points = [b"/", *points]
    lines = [line(i, point, parent=leads_to(points[:i], point)) for i, point in enumerate(points)]
    table = parse_mounts(b"\n".join(data.draw(st.permutations(lines))))
    assert sorted((m.id, m.point) for m in table) == list(enumerate(points))
    tree = MountTree(table)
    assert sorted(mount.id for mount in tree.visible()) == seen(points)
    for path in (wanted, *points):
        found = tree.over(path)
        assert found is not None
        assert found.id == leads_to(points, path)


def test_a_table_without_its_root_as_in_a_chroot() -> None:
    tree = MountTree(parse_mounts(b"\n".join([line(5, b"/x", parent=77), line(6, b"/x/y", parent=5)])))
    found = [tree.over(path) for path in (b"/", b"/a", b"/x", b"/x/a", b"/x/y/z")]
    assert [mount.id if mount else None for mount in found] == [None, None, 5, 5, 6]
    assert [mount.id for mount in tree.visible()] == [5, 6]


def test_thousands_of_mounts_take_milliseconds() -> None:
    below = (line(i, b"/var/lib/x/%d/merged" % i, parent=0) for i in range(1, 5000))
    table = parse_mounts(b"\n".join([line(0, b"/", parent=-1), *below]))
    started = time.thread_time()
    assert len(MountTree(table).visible()) == 5000
    assert time.thread_time() - started < 0.5


def test_the_mounts_of_this_machine_lead_to_themselves() -> None:
    with open("/proc/self/mountinfo", "rb") as file:
        tree = MountTree(parse_mounts(file.read()))
    root = tree.over(b"/")
    assert root is not None
    for mount in tree.visible():
        assert mount.point == b"/" or mount is not root
        with contextlib.suppress(OSError):
            device = os.stat(mount.point).st_dev
            assert device == mount.device or mount.kind in ("btrfs", "overlay", "nfs", "nfs4", "autofs")
