"""What scripts/bench makes of its figures."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from typing import Any

import pytest

import bench_figures


def figures(commit: str, ours: float, **more: list[float]) -> dict[str, Any]:
    results = {"cp -a": {"seconds": [2.0, 1.0, 9.0]}, "migmond": {"seconds": [ours]}}
    results |= {name: {"seconds": seconds} for name, seconds in more.items()}
    run = {"workload": "small", "place": "xfs→ext4", "scale": 0.2, "durable": True, "results": results}
    return {"commit": commit, "runs": [run]}


def test_ratios_are_of_medians() -> None:
    (run,) = figures("a", 1.0, rclone=[])["runs"]
    assert bench_figures.ratio(run, "migmond") == pytest.approx(0.5)
    assert bench_figures.ratio(run, "rclone") is None
    assert bench_figures.ratio(run, "rsync -a") is None


def test_earlier_figures_are_compared_by_ratio() -> None:
    head, line = bench_figures.comparison(figures("aaa", 4.0), figures("bbb", 1.0))
    assert head.split()[-3:] == ["aaa", "bbb", "change"]
    assert line.split() == ["small", "on", "xfs→ext4,", "durable", "2.00", "0.50", "-75", "%"]
    other = figures("ccc", 1.0)
    other["runs"][0]["scale"] = 1.0
    assert bench_figures.comparison(other, figures("bbb", 1.0)) == ["nothing of it was measured before at this scale"]


def test_the_chart_has_a_bar_for_each_tool_that_could() -> None:
    root = ET.fromstring(bench_figures.chart(figures("a", 1.0, **{"rsync -a": [4.0], "rclone": []})))
    texts = [t.text for t in root.iter("{http://www.w3.org/2000/svg}text")]
    assert {"0.50", "2.00", "rclone cannot", "small on xfs→ext4, durable"} <= set(texts)
    bars = [b for b in root.iter("{http://www.w3.org/2000/svg}rect") if b.get("height") == "14"]
    assert [int(b.get("width", 0)) for b in bars] == [75, 300]
