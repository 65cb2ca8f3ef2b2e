"""A target that cannot be read is not a target that differs: the real daemon tells them apart."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

import sickfs
from daemon import EmbeddedDaemon
from sickfs import sick_fs

pytestmark = pytest.mark.skipif(bool(sickfs.missing()), reason=sickfs.missing() or "-")


def test_what_cannot_be_read_is_no_difference(tmp_path: Path) -> None:
    source = tmp_path / "source"
    (source / "closed").mkdir(parents=True)
    for name in ("bad", "changed", "good", "closed/inside"):
        (source / name).write_bytes(name.encode() * 1000)
    with sick_fs(tmp_path / "disk") as disk, EmbeddedDaemon(tmp_path / "daemon") as daemon:
        target = disk.root / "target"
        daemon.migmon("run", str(source), str(target))
        assert daemon.migmon("verify", "source").returncode == 0

        disk.fall_ill("read", path="*/bad", error="EIO")
        disk.fall_ill("getattr", path="*/closed/inside", error="EACCES")
        unread = daemon.migmon("verify", "source", check=False)
        told = json.loads(daemon.migmon("verify", "source", "--json", check=False).stdout)["data"]
        assert unread.returncode == 1
        assert "2 COULD NOT BE READ, all others as they were written" in unread.stdout
        assert f"could not be read: bad: {os.strerror(5)}" in unread.stdout
        assert "DIFFERENCE" not in unread.stdout
        assert "2 entries of source could not be read" in unread.stderr
        assert (told["mismatches"], told["examples"], told["unreadable"], told["checked"]["entries"]) == (0, [], 2, 6)
        assert sorted(told["unreadable_examples"]) == [f"bad: {os.strerror(5)}", f"closed/inside: {os.strerror(13)}"]
        assert "2 COULD NOT BE READ" in daemon.migmon("show", "source").stdout

        (disk.backing / "target" / "changed").write_bytes(b"other")
        both = daemon.migmon("verify", "source", check=False)
        assert both.returncode == 6
        assert "2 COULD NOT BE READ, 1 DIFFERENCE" in both.stdout
        assert "\n  changed: " in both.stdout
        assert "could not be read: bad" in both.stdout

        disk.heal()
        differs = daemon.migmon("verify", "source", check=False)
        assert (differs.returncode, "COULD NOT" in differs.stdout, "1 DIFFERENCE" in differs.stdout) == (6, False, True)
