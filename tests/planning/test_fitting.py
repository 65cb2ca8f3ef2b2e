"""What does not fit on another file system, of entries that the journal knows, beside one look at each of them."""

from __future__ import annotations

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from migmond.domain.columns import Columns
from migmond.domain.entry import EntryType
from migmond.domain.preflight import Sight, TargetFacts
from migmond.planning.filesystems import abilities_of
from migmond.planning.fitting import sights_of, takes_all

FACTS = TargetFacts(1 << 40, 1 << 20, 1 << 40, 255, "ext4", read_only=False, writable=True)
KINDS = ("ext4", "ext3", "xfs", "btrfs", "tmpfs", "vfat", "exfat", "ntfs3", "hfsplus", "fuseblk")
ROWS = st.lists(
    st.tuples(
        st.sampled_from([b"plain", b"a:b", b"\xff", b"x" * 200, "ü".encode() * 127, "\U0001f600".encode() * 60]),
        st.sampled_from(list(EntryType)),
        st.sampled_from([0, (1 << 32) - 1, 1 << 32, 1 << 50]),
        st.sampled_from(
            [0, -(1 << 40) * 10**9, 315532800 * 10**9, 10**18 + 1, 10**18, 1 << 66, 16_299_260_425 * 10**9]
        ),
        st.integers(0, 2),
    ),
    max_size=12,
)


def columns(rows: list[tuple[bytes, EntryType, int, int, int]]) -> Columns:
    return Columns(
        list(range(1, len(rows) + 1)), [r[4] for r in rows], [r[0] for r in rows], [int(r[1]) for r in rows],
        [r[2] for r in rows], [r[3] for r in rows],
    )  # fmt: skip


def naive(
    name: bytes, kind: EntryType, size: int, mtime_ns: int, fs: str, name_max: int, *, further: bool
) -> set[Sight]:
    """By the manuals of the file systems, one property after the other."""
    found: set[Sight] = set()
    seconds, fat = mtime_ns / 10**9, fs in ("vfat", "exfat")
    if fat or fs in ("ntfs3", "hfsplus"):
        try:
            units = len(name.decode().encode("utf-16-le")) // 2
        except UnicodeDecodeError:
            found.add(Sight.NAME_CHARACTERS)
        else:
            if units > name_max:
                found.add(Sight.NAME_LENGTH)
    elif len(name) > name_max:
        found.add(Sight.NAME_LENGTH)
    if fat and b":" in name:
        found.add(Sight.NAME_CHARACTERS)
    if further:
        return found | ({Sight.HARD_LINK} if fat else set())
    if kind is EntryType.SYMLINK:
        return found | ({Sight.SYMLINK} if fat else set())
    if kind is not EntryType.FILE:
        return found | ({Sight.SPECIAL} if fat else set())
    if fs == "vfat" and size >= 1 << 32:
        found.add(Sight.FILE_SIZE)
    step = {"vfat": 2 * 10**9, "exfat": 10**7, "ext3": 10**9, "hfsplus": 10**9, "ntfs3": 100}.get(fs, 1)
    if mtime_ns % step:
        found.add(Sight.TIME_STEP)
    last = {"ext4": 15_032_385_535, "ext3": 2**31 - 1, "xfs": 16_299_260_424, "vfat": 4354819199, "exfat": 4354819199}
    first = {"ext4": -(2**31), "ext3": -(2**31), "xfs": -(2**31), "vfat": 315532800, "exfat": 315532800}
    if fs in last and not first[fs] <= seconds < last[fs] + 1:
        found.add(Sight.TIME_RANGE)
    return found


@given(ROWS, st.sampled_from(KINDS), st.sampled_from([255, 143]), st.booleans(), st.data())
def test_what_does_not_fit_is_what_one_look_at_each_finds(
    rows: list[tuple[bytes, EntryType, int, int, int]], kind: str, name_max: int, further: bool, data: st.DataObject
) -> None:
    facts = msgspec.structs.replace(FACTS, file_system=kind, name_max=name_max)
    picked = data.draw(st.lists(st.integers(0, len(rows) - 1), unique=True).map(sorted)) if rows else []
    found = sights_of(columns(rows), picked, {1: b"d", 2: b""}, facts, abilities_of(facts), followers=further)
    expected: dict[Sight, list[bytes]] = {}
    for i in picked:
        name, type_, size, mtime_ns, above = rows[i]
        path = b"d/" + name if above == 1 else name
        for sight in naive(name, type_, size, mtime_ns, kind, name_max, further=further):
            expected.setdefault(sight, []).append(path)
    assert {s: (seen.count, seen.example) for s, seen in found.items()} == {
        s: (len(paths), paths[0]) for s, paths in expected.items()
    }
    if takes_all(facts, abilities_of(facts)):
        assert found == {}
