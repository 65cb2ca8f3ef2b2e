"""A target whose files have only so many names: what becomes a file of its own is said, before and after."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

import loopfs
import sickfs
from daemon import EmbeddedDaemon
from loopfs import mounted, tmpfs
from receipts import check, entries
from sickfs import sick_fs

pytestmark = pytest.mark.skipif(bool(sickfs.missing()), reason=sickfs.missing() or "-")
EXT4_NAMES = 65_000


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[EmbeddedDaemon]:
    with EmbeddedDaemon(tmp_path / "daemon") as running:
        yield running


@pytest.mark.hazard(29)
@pytest.mark.parametrize("move", [False, True])
def test_a_link_that_cannot_be_is_a_loss_of_that_entry(tmp_path: Path, daemon: EmbeddedDaemon, move: bool) -> None:
    source = tmp_path / "source"
    source.mkdir()
    names = [f"n{n}" for n in range(6)]
    (source / "n0").write_bytes(b"content")
    for name in names[1:]:
        os.link(source / "n0", source / name)
    with sick_fs(tmp_path / "disk") as disk:
        refusal = disk.fall_ill(
            "link", path="*.part", error="EMLINK", times=2
        )  # without RENAME_NOREPLACE all else links too
        daemon.migmon("run", str(source), str(disk.root / "target"), *(["--move"] if move else []))
        assert disk.struck(refusal) == 2
        target = disk.backing / "target"
        assert {name: (target / name).read_bytes() for name in names} == dict.fromkeys(names, b"content")
        inodes = {name: (target / name).stat().st_ino for name in names}
        printed = daemon.migmon("receipt", "source").stdout.encode()
        daemon.migmon("verify", "source")
        imperfect = json.loads(daemon.migmon("show", "source", "--json").stdout)["data"]["progress"]["imperfect"]
    assert check(printed).damage == ""
    told = entries(printed)
    broken = {path for path, e in told.items() if e.get("lost") == ["links"]}
    leader = next(path for path in names if not told[path].get("link_of"))
    assert {told[name]["outcome"] for name in broken} == {"copied"}
    assert {name for name in names if inodes[name] != inodes[leader]} == broken
    assert (len(broken), imperfect, len(set(inodes.values()))) == (2, 2, 3)
    assert source.exists() is not move


@pytest.mark.skipif(bool(loopfs.missing("ext4")), reason=loopfs.missing("ext4") or "-")
def test_the_plan_says_how_many_names_are_too_many(tmp_path: Path, daemon: EmbeddedDaemon) -> None:
    with (
        tmpfs(tmp_path / "from", "size=64m,nr_inodes=200000") as root,
        mounted(tmp_path / "to", "ext4", size_bytes=64 << 20) as fs,
    ):
        source = root / "source"
        source.mkdir()
        (source / "n").write_bytes(b"x")
        for n in range(EXT4_NAMES + 2):
            os.link(source / "n", source / f"n{n}")
        told = json.loads(daemon.migmon("plan", str(source), str(fs.root / "target"), "--json").stdout)["data"]
    said = {f["kind"]: f for f in told["findings"]}
    assert said["link_limit"]["count"] == 3
    assert said["link_limit"]["severity"] == "warning"
    assert "65,000" in said["link_limit"]["message"]
    assert (told["files"], told["bytes"]) == (EXT4_NAMES + 3, 1)
