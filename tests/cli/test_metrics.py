"""`migmon metrics` shows values as people read them, what they mean, and why there is none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from canned import METRIC, SAMPLE, running
from fake_daemon import Connection
from fake_views import AT
from migmond.domain.samples import Samples, SampleView


def test_pages_are_put_together_and_picked_by_prefix_and_label(tmp_path: Path) -> None:
    asked: list[dict[str, Any]] = []
    samples = [
        SampleView("migmond_disk_bytes_total", "bytes", {"device": f"sd{i}"}, float(i), "", AT) for i in range(5)
    ] + [SampleView("other_value", "", {}, None, "in standby", AT)]

    def latest(connection: Connection, params: dict[str, Any]) -> Samples:
        asked.append(params)
        offset = params.get("offset", 0)
        return Samples(tuple(samples[offset : offset + 2]), len(samples))

    with running(tmp_path, {"metrics.latest": latest}) as migmon:
        disks = migmon("metrics", "disk", "--label", "device=sda").stdout.splitlines()
        everything = migmon("metrics").stdout
        nothing = migmon("metrics", "none")
    assert len(disks) == 1 + 5
    assert disks[4].split() == ["migmond_disk_bytes_total", "device=sd3", "3", "B"]
    assert asked[0]["labels"] == {"device": "sda"}
    assert [a.get("offset", 0) for a in asked[:3]] == [0, 2, 4]
    assert everything.splitlines()[-1].split() == ["other_value", "—", "—", "in", "standby"]
    assert nothing.stdout == ""
    assert "no metric has such a name" in nothing.stderr


def test_meaning_notes_and_usage(tmp_path: Path) -> None:
    with running(tmp_path, {}) as migmon:
        assert METRIC.help in migmon("metrics", "--meaning", "disk").stdout
        assert METRIC.help not in migmon("metrics", "--meaning", "cpu").stdout
        assert "I/O error, dev sda, sector 1" in migmon("metrics", "--notes").stdout
        assert "50 %" in migmon("metrics", SAMPLE.metric).stdout
        wrong = migmon("metrics", "--label", "device")
        assert (wrong.returncode, "no NAME=VALUE" in wrong.stderr) == (2, True)
        assert migmon("metrics", "--notes", "--meaning").returncode == 2
