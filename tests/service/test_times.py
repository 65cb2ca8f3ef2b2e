"""Files of any time that a file system can hold: nobody's migration ends for them, and none is changed in silence."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import loopfs
from daemon import EmbeddedDaemon
from loopfs import mounted, tmpfs
from receipts import check, entries

pytestmark = pytest.mark.skipif(bool(loopfs.missing("ext4")), reason=loopfs.missing("ext4") or "-")

TIMES_S = {
    "ordinary": 1_234_567_890,
    "1336": -20_000_000_000,
    "1677": -(1 << 63) // 10**9 - 1,
    "2262": (1 << 63) // 10**9 + 1,
    "2400": 13_569_465_600,
    "2554": (1 << 64) // 10**9,
    "5138": 99_999_999_999,
    "far": 1 << 56,
}
FRACTION_NS = 123_456_789


def ns(name: str) -> int:
    return TIMES_S[name] * 10**9 + FRACTION_NS


def make(source: Path) -> None:
    """A file, a directory with something in it, a symlink and a fifo of every time."""
    for name in TIMES_S:
        inner = source / f"d{name}"
        inner.mkdir(parents=True)
        (inner / "inside").write_bytes(name.encode())
        (source / f"f{name}").write_bytes(name.encode() * 3)
        (source / f"l{name}").symlink_to(f"f{name}")
        os.link(source / f"f{name}", source / f"h{name}")
        os.mkfifo(source / f"p{name}")
        for path in (inner, source / f"f{name}", source / f"l{name}", source / f"p{name}"):
            os.utime(path, ns=(ns("ordinary"), ns(name)), follow_symlinks=False)
    os.utime(source, ns=(ns("ordinary"), ns("5138")))


def times(root: Path) -> dict[str, int]:
    found = {path.name: path.lstat().st_mtime_ns for path in root.iterdir()}
    return found | {".": root.stat().st_mtime_ns}


@pytest.fixture
def source(tmp_path: Path) -> Iterator[Path]:
    with tmpfs(tmp_path / "from", "size=8m") as root:
        make(root / "source")
        yield root / "source"


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[EmbeddedDaemon]:
    with EmbeddedDaemon(tmp_path / "daemon") as running:
        yield running


def receipt(daemon: EmbeddedDaemon) -> dict[str, dict[str, Any]]:
    printed = daemon.migmon("receipt", "source").stdout.encode()
    assert check(printed).damage == ""
    return entries(printed)


@pytest.mark.parametrize("move", [False, True])
def test_every_time_is_carried_to_the_nanosecond(
    tmp_path: Path, source: Path, daemon: EmbeddedDaemon, move: bool
) -> None:
    wanted = times(source)
    with tmpfs(tmp_path / "to", "size=8m") as root:
        daemon.migmon("run", str(source), str(root / "target"), *(["--move"] if move else []))
        assert times(root / "target") == wanted
        assert source.exists() is not move
        daemon.migmon("verify", "source")
        told = receipt(daemon)
    assert {path: int(e["mtime_ns"]) for path, e in told.items() if "/" not in path} == wanted
    assert [path for path, e in told.items() if e.get("lost")] == []
    # Numbers that no program's 64 bits hold are text.
    assert {path[1:] for path, e in told.items() if isinstance(e["mtime_ns"], str) and path != "."} == {
        "1336", "1677", "2262", "2400", "2554", "5138", "far",
    }  # fmt: skip


def test_a_time_that_the_target_cannot_hold_is_a_loss_of_that_entry(
    tmp_path: Path, source: Path, daemon: EmbeddedDaemon
) -> None:
    wanted = times(source)
    with mounted(tmp_path / "to", "ext4", size_bytes=64 << 20) as fs:
        planned = json.loads(daemon.migmon("plan", str(source), str(fs.root / "target"), "--json").stdout)["data"]
        assert "time_range" in {f["kind"] for f in planned["findings"]}
        daemon.migmon("run", str(source), str(fs.root / "target"))
        found = times(fs.root / "target")
        told = receipt(daemon)
        again = daemon.migmon("run", str(source), str(fs.root / "target"), "--name", "again", check=False)
    lossy = [path for path, e in told.items() if e.get("lost") == ["times"]]
    assert sorted(lossy) == sorted(path for path, at in wanted.items() if found[path] != at)
    assert {path[1:] for path in lossy} == {"", "1336", "1677", "2554", "5138", "far"}
    shown = json.loads(daemon.migmon("show", "source", "--json").stdout)["data"]
    assert (shown["state"], shown["progress"]["imperfect"]) == ("completed", len(lossy))
    assert again.returncode == 6  # what has another time is not taken for equal


def test_where_times_have_a_step_they_are_rounded_and_the_copies_known_again(
    tmp_path: Path, daemon: EmbeddedDaemon
) -> None:
    source = tmp_path / "source"
    source.mkdir()
    for name in ("a", "b"):
        (source / name).write_bytes(name.encode())
        os.utime(source / name, ns=(ns("ordinary"), ns("ordinary")))
    with mounted(tmp_path / "to", "ext4-128", size_bytes=64 << 20) as fs:
        daemon.migmon("run", str(source), str(fs.root / "target"))
        told = receipt(daemon)
        assert (fs.root / "target" / "a").stat().st_mtime_ns == TIMES_S["ordinary"] * 10**9
        assert {path: e["lost"] for path, e in told.items() if "lost" in e} == {key: ["rounded_times"] for key in "ab."}
        daemon.migmon("run", str(source), str(fs.root / "target"), "--name", "again")
        again = entries(daemon.migmon("receipt", "again").stdout.encode())
    assert [again[name]["outcome"] for name in "ab"] == ["unchanged", "unchanged"]
