"""What is saved of a file on a disk with bad spots, by a real daemon."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import sickfs
from daemon import EmbeddedDaemon
from migmond.cli.commands.salvage import salvage_lines
from migmond.client.errors import RemoteError
from migmond.client.sync import Client
from migmond.domain import api
from migmond.domain.error_api import ErrorGroups, SalvageParams, SalvageView
from salvage_map import parse_map
from sickfs import SickFs, sick_fs

pytestmark = pytest.mark.skipif(bool(sickfs.missing()), reason=sickfs.missing() or "-")

MIB, PAGE = 1 << 20, 4096
SIZE = 3 * MIB + 1000
ENDED = ("completed", "completed_with_errors", "failed")


@pytest.fixture
def sick(tmp_path: Path) -> Iterator[SickFs]:
    with sick_fs(tmp_path / "disk") as mounted:
        yield mounted


def failed_one(client: Client, source: Path, target: Path) -> str:
    """Migrate a directory of which a file cannot be read, to the end."""
    spec = api.PlanSpec((api.SourceSpec(str(source)),), str(target), name="it")
    id_ = client.call("execution.start", api.StartParams(spec), api.ExecutionView).id
    end = time.monotonic() + 60
    while (view := client.call("execution.get", api.GetParams(id_), api.ExecutionView)).state not in ENDED:
        assert time.monotonic() < end, view
        time.sleep(0.05)
    assert (view.state, view.progress.failed.entries) == ("completed_with_errors", 1)
    return id_


@pytest.mark.hazard(21)
def test_what_can_be_read_is_saved_under_another_name_with_a_map(tmp_path: Path, sick: SickFs) -> None:
    source, target = sick.root / "source", tmp_path / "target"
    (sick.backing / "source" / "d").mkdir(parents=True)
    content = random.Random(7).randbytes(SIZE)
    (sick.backing / "source" / "d" / "film").write_bytes(content)
    (sick.backing / "source" / "d" / "well").write_bytes(b"x" * 100)
    bad = [(MIB + 3 * PAGE, PAGE), (2 * MIB + 10 * PAGE, 2 * PAGE)]
    for start, size in bad:
        sick.fall_ill("read", path="/source/d/film", start=start, end=start + size, error="EIO")
    with EmbeddedDaemon(tmp_path / "daemon") as daemon, Client(daemon.socket, timeout_s=60) as client:
        id_ = failed_one(client, source, target)
        found = client.call("execution.salvage", SalvageParams(id_, "d/film"), SalvageView)
        page = client.call("execution.files", api.FilesParams(id_, api.SelectorSpec(states=("failed",))), api.TaskPage)
        with pytest.raises(RemoteError) as again:
            client.call("execution.salvage", SalvageParams(id_, "d/film"), SalvageView)
        with pytest.raises(RemoteError) as whole:
            client.call("execution.salvage", SalvageParams(id_, "d/well"), SalvageView)
        (group,) = client.call("execution.errors", api.ExecutionParams(id_), ErrorGroups).groups
    assert not (target / "d" / "film").exists()
    saved = (target / "d" / "film.migmond-salvage").read_bytes()
    assert len(saved) == SIZE
    missing = [(r.start, r.size) for r in found.missing]
    assert all(r.tried for r in found.missing)
    assert found.saved_bytes == SIZE - sum(size for _, size in missing)
    # The kernel reads whole pages and may ask FUSE for some at once: a neighbour may be lost with a bad page, no more.
    for start, size in bad:
        assert any(s <= start and start + size <= s + n for s, n in missing)
    assert found.missing_bytes <= 2 * sum(size for _, size in bad)
    expected = bytearray(content)
    for start, size in missing:
        expected[start : start + size] = bytes(size)
    assert saved == bytes(expected)
    ranges = parse_map((target / "d" / "film.migmond-salvage.map").read_text())
    assert [(r.start, r.size) for r in ranges if r.status != "+"] == missing
    assert os.stat(target / "d" / "film.migmond-salvage").st_mode & 0o777 == 0o600
    ((task,),) = (page.tasks,)
    assert task.state == "failed"
    assert "salvaged 2.99 MiB of 3 MiB as" in (task.fault or "")
    assert group.message == "Input/output error"
    assert again.value.kind == "conflict"
    assert "is there already" in str(again.value)
    assert whole.value.kind == "conflict"
    assert any("ranges are missing" in line for line in salvage_lines(found))
