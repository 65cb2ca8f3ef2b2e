"""Times at the ends of what file systems hold, and between their steps."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

import loopfs
from loopfs import mounted, tmpfs
from migmond.domain.entry import Lost
from migmond.fsys.times import TimeMemory, same_time

pytestmark = pytest.mark.skipif(bool(loopfs.missing("ext4")), reason=loopfs.missing("ext4") or "-")

SECOND = 10**9
ORDINARY = 1_234_567_890 * SECOND + 123_456_789
YEAR_1336 = -20_000_000_000 * SECOND + 1
YEAR_5138 = 99_999_999_999 * SECOND + 999_999_999
YEAR_2400 = 13_569_465_600 * SECOND + 7
YEAR_2040 = 2_208_988_800 * SECOND + 7


@pytest.fixture(params=["ext4", "ext4-128", "vfat", "tmpfs"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[str, Path]]:
    kind = request.param
    if kind == "tmpfs":
        with tmpfs(tmp_path / "fs", "size=1m") as root:
            yield kind, root
        return
    if missing := loopfs.missing(kind):
        pytest.skip(missing)
    with mounted(tmp_path / "fs", kind, size_bytes=64 << 20) as fs:
        yield kind, fs.root


LOSSES = {
    "tmpfs": {},
    "ext4": {YEAR_1336: Lost.TIMES, YEAR_5138: Lost.TIMES},
    "ext4-128": {
        YEAR_1336: Lost.TIMES, YEAR_5138: Lost.TIMES, YEAR_2400: Lost.TIMES, YEAR_2040: Lost.TIMES,
        ORDINARY: Lost.ROUNDED_TIMES,
    },
    "vfat": {
        YEAR_1336: Lost.TIMES, YEAR_5138: Lost.TIMES, YEAR_2400: Lost.TIMES, YEAR_2040: Lost.ROUNDED_TIMES,
        ORDINARY: Lost.ROUNDED_TIMES,
    },
}  # fmt: skip


def test_what_becomes_of_a_time_is_told(place: tuple[str, Path]) -> None:
    """Every one twice: what was learnt from the others in between hides nothing."""
    kind, root = place
    times, path = TimeMemory(), root / "file"
    path.write_bytes(b"x")
    device = path.stat().st_dev
    for wanted in 2 * (ORDINARY, YEAR_1336, ORDINARY, YEAR_5138, YEAR_2400, YEAR_2040):
        lost = times.set(bytes(path), device, ORDINARY, wanted)
        assert lost == LOSSES[kind].get(wanted, Lost.NOTHING), wanted
        assert (path.stat().st_mtime_ns == wanted) is (lost is Lost.NOTHING)
    expected = Lost.TIMES if kind != "tmpfs" else Lost.NOTHING
    assert times.set(bytes(path), device, YEAR_1336, ORDINARY) & Lost.TIMES == expected


def test_a_copy_with_a_rounded_time_is_known_again(place: tuple[str, Path]) -> None:
    kind, root = place
    path = root / "file"
    path.write_bytes(b"x")
    for wanted in (ORDINARY, ORDINARY + SECOND):
        os.utime(path, ns=(wanted, wanted))
        st = path.stat()
        assert same_time(wanted, st)
        assert same_time(wanted + 1, st) is (kind in ("ext4-128", "vfat"))  # the same second
        assert not same_time(wanted + 2 * SECOND, st)
        assert not same_time(wanted - 2 * SECOND, st)


def test_whole_seconds_are_no_sign_of_rounding(tmp_path: Path) -> None:
    """As tar leaves them: another version of the same second is another one."""
    path = tmp_path / "file"
    path.write_bytes(b"x")
    os.utime(path, (5, 5))
    if subprocess.run(["stat", "-c", "%z", path], capture_output=True, text=True, check=True).stdout.count(
        "." + 9 * "0"
    ):
        pytest.skip("this file system has a step of a second, or it was just the full one")
    # Not by less: one ctime in a hundred is of full 100 ns, by chance.
    assert not same_time(5 * SECOND + 123_456_789, path.stat())
