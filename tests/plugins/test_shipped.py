"""The plugins that come with migmond: found like anybody's, and their metrics named as Prometheus wants them."""

from __future__ import annotations

import importlib
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import msgspec
import pytest

from migmond.alerting.builtin import builtin_rules
from migmond.alerting.metrics import METRICS
from migmond.analytics.run_metrics import families
from migmond.analytics.schemas import tables
from migmond.daemon.app import BUILTIN_PLUGINS
from migmond.domain.samples import MetricView
from migmond.plugin_host.discovery import installed
from migmond.plugin_host.host import PluginHost
from migmond.plugin_host.reference import reference

ROOT = Path(__file__).parents[2]
UNITS = {"bytes", "seconds", "celsius", "ratio", "joules"}
"""Base units (https://prometheus.io/docs/practices/naming/#base-units); numbers of things have none."""


def shipped() -> PluginHost:
    return PluginHost(installed(BUILTIN_PLUGINS), {}, lambda: 0.0)


def test_they_are_active_and_packaged() -> None:
    states = {v.name: (v.state, v.reason) for v in shipped().views() if v.name in BUILTIN_PLUGINS}
    assert states == dict.fromkeys(BUILTIN_PLUGINS, ("active", ""))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert project["project"]["entry-points"]["migmond"] == BUILTIN_PLUGINS
    packaged = project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    plugins = {f"plugins/{module}" for module in BUILTIN_PLUGINS.values()}
    assert set(packaged) == {"migmond", "plugins/migmond_web", *plugins}  # the gateway is a program
    contracts = {c["name"]: c for c in project["tool"]["importlinter"]["contracts"]}
    held = contracts["a plugin imports plugin_api, ports, analytics and domain only"]["source_modules"]
    assert set(held) == set(BUILTIN_PLUGINS.values())
    assert set(project["tool"]["importlinter"]["root_packages"]) == {
        "migmond",
        "migmond_web",
        *BUILTIN_PLUGINS.values(),
    }
    there = {path.name for path in (ROOT / "plugins").iterdir() if (path / "__init__.py").exists()}
    assert there == {"migmond_web", *BUILTIN_PLUGINS.values()}


def test_the_drop_in_says_what_the_defaults_are() -> None:
    text = (ROOT / "conf.d" / "90-plugins.toml").read_text()
    tables = tomllib.loads(re.sub(r"^#(?=\S)", "", text, flags=re.MULTILINE))["plugins"]
    assert set(tables) == set(BUILTIN_PLUGINS)
    for name, table in tables.items():
        assert table.pop("enabled") is True
        kind = getattr(importlib.import_module(BUILTIN_PLUGINS[name]), "SETTINGS", None)
        assert set(table) == (set(kind.__struct_fields__) if kind else set())
        assert kind is None or msgspec.convert(table, kind) == kind()


@pytest.mark.parametrize("metric", shipped().metrics().metrics, ids=lambda m: m.name)
def test_names_follow_prometheus(metric: MetricView) -> None:
    assert metric.name.startswith("migmond_")
    assert metric.unit in UNITS | {""}
    assert metric.name.endswith("_total") is (metric.kind == "counter")
    name = metric.name.removesuffix("_total")
    assert [unit for unit in UNITS if name.endswith(f"_{unit}")] == ([metric.unit] if metric.unit else [])
    assert metric.help.endswith(".")
    assert not {"le", "quantile"} & set(metric.labels)


def test_no_metric_is_described_twice() -> None:
    names = [m.name for m in shipped().metrics().metrics]
    assert len(names) == len(set(names)) > 40


def test_the_page_has_every_metric_kind_of_note_and_column_once() -> None:
    found = shipped().metrics()
    whole = reference(found).splitlines()
    lines, exports = whole[: whole.index("# Tables of exports")], whole[whole.index("# Tables of exports") :]
    columns = [
        line.split(" | ")[0].removeprefix("| ") for line in exports if line.startswith("| ") and "|---" not in line
    ]
    assert columns == [c for t in tables() for c in ("column", *t.names())]
    assert [line for line in exports if line.startswith("## ")] == [f"## {t.name}" for t in tables()]
    rows = [line.split(" | ") for line in lines if line.startswith("| `")]
    assert sorted(row[0] for row in rows) == sorted(
        f"| `{name}`"
        for name in [
            *(m.name for m in found.metrics), *(k.kind for k in found.note_kinds), *(f.name for f in families()),
            *(m.name for m in METRICS), *(r.id for r in builtin_rules()),
        ]
    )  # fmt: skip
    busy = next(row for row in rows if row[0] == "| `migmond_disk_busy_ratio`")
    assert busy[1:4] == ["gauge", "ratio", "`device`"]
    collectors = [line for line in lines if line.startswith("## ")]
    assert collectors == [
        "## filesystems", "## kernel", "## system", "## smart-health", "## smart-temperature", "## Notes",
        "## Executions", "## For rules",
    ]  # fmt: skip


def test_the_page_is_printed_from_what_is_installed() -> None:
    command = [sys.executable, "-m", "migmond.plugin_host.reference"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "plugins")])}
    out = subprocess.run(command, cwd=ROOT, env=environment, check=True, capture_output=True, text=True).stdout
    for metric in shipped().metrics().metrics:
        assert f"`{metric.name}`" in out
