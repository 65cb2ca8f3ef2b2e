"""Metrics of a real daemon, as its socket and `migmon` show them."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from daemon import EmbeddedDaemon
from migmond.client.errors import RemoteError
from migmond.client.sync import Client
from migmond.domain import api, daemon_api
from migmond.domain.samples import MetricList, Samples, SamplesParams


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedDaemon]:
    with EmbeddedDaemon(tmp_path_factory.mktemp("metrics")) as running:
        yield running


def until(client: Client, params: SamplesParams, enough: Callable[[Samples], bool]) -> Samples:
    deadline = time.monotonic() + 30
    while True:
        found = client.call("metrics.latest", params, Samples)
        if enough(found):
            return found
        assert time.monotonic() < deadline, found
        time.sleep(0.05)


def test_samples_by_prefix_labels_and_pages(daemon: EmbeddedDaemon) -> None:
    with Client(daemon.socket) as client:
        disk = SamplesParams("migmond_filesystem_size", {"mount": "/"})
        root = until(client, disk, lambda found: found.total > 0).samples[0]
        assert root.value == shutil.disk_usage("/").total
        cpus = until(client, SamplesParams("migmond_cpu_busy"), lambda found: found.total == os.cpu_count())
        pages = [client.call("metrics.latest", SamplesParams("migmond_cpu_", {}, i, 1), Samples) for i in range(3)]
        assert len({json.dumps([s.metric, s.labels]) for page in pages for s in page.samples}) == 3
        assert {page.total for page in pages} == {pages[0].total}
        assert pages[0].total > cpus.total
        described = {m.name: m for m in client.call("metrics.list", api.Nothing(), MetricList).metrics}
        for sample in until(client, SamplesParams(), lambda found: found.total > 20).samples:
            assert set(sample.labels) in (set(described[sample.metric].labels), set())
            assert (sample.value is None) is bool(sample.no_data)


@pytest.mark.parametrize("params", [{"offset": -1}, {"limit": 0}, {"limit": 10_001}, {"labels": 5}])
def test_senseless_pages_are_refused(daemon: EmbeddedDaemon, params: dict[str, Any]) -> None:
    with Client(daemon.socket) as client, pytest.raises(RemoteError) as e:
        client.call("metrics.latest", params, Samples)
    assert e.value.kind in ("invalid_input", "invalid_params")


def test_migmon_metrics(daemon: EmbeddedDaemon) -> None:
    with Client(daemon.socket) as client:
        until(client, SamplesParams("migmond_memory_size"), lambda found: found.total > 0)
    shown = daemon.migmon("metrics", "memory_size").stdout.splitlines()
    assert len(shown) == 2
    assert "GiB" in shown[1] or "MiB" in shown[1]
    assert "Memory of the machine." in daemon.migmon("metrics", "memory_size", "--meaning").stdout
    assert daemon.migmon("metrics", "--notes").returncode == 0


def test_settings_reach_the_plugin_and_a_wrong_one_is_its_own_trouble(tmp_path: Path) -> None:
    configuration = """
    [plugins.kernel]
    enabled = false
    [plugins.psutil]
    interval = "500ms"
    [plugins.filesystems]
    answer_within = "a while"
    """
    with EmbeddedDaemon(tmp_path, configuration) as daemon, Client(daemon.socket) as client:
        plugins = {p.name: p for p in client.call("plugin.list", api.Nothing(), daemon_api.PluginList).plugins}
        assert {name: plugins[name].state for name in ("kernel", "psutil", "filesystems")} == {
            "kernel": "disabled",
            "psutil": "active",
            "filesystems": "invalid",
        }
        assert "'a while' is not a duration" in plugins["filesystems"].reason
        described = client.call("metrics.list", api.Nothing(), MetricList).metrics
        assert {m.interval_s for m in described if m.plugin == "psutil"} == {0.5}
        assert not {m.plugin for m in described} & {"kernel", "filesystems"}
