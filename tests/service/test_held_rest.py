"""When all that is left is held, a file that a mover has at hand among it: what people are told by the command line."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

import trees
from daemon import EmbeddedDaemon
from driving import ended, look
from migmond.client.sync import Client
from migmond.domain import api
from migmond.domain.limits import Limits
from patience import until

PNG = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[EmbeddedDaemon]:
    with EmbeddedDaemon(tmp_path / "daemon") as running:
        yield running


def test_the_rest_is_held_and_why_says_by_whom(daemon: EmbeddedDaemon, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    (source / "a-large").write_bytes(PNG + random.Random(1).randbytes(1 << 20) * 32)
    trees.small_files(source / "z", 100, 500, random.Random(1))
    plan = api.PlanSpec(
        (api.SourceSpec(str(source)),), str(tmp_path / "target"), name="media", workers=1, reflink=False,
        limits=Limits(io_bytes_per_s=2 << 20),
    )  # fmt: skip
    with Client(daemon.socket) as client:
        id_ = client.call("execution.start", api.StartParams(plan), api.ExecutionView).id

    def view() -> api.ExecutionView:
        found = look(daemon.socket, id_)
        assert found is not None
        return found

    until(lambda: any(m.file_bytes_done > 1 << 20 for m in view().movers))
    daemon.migmon("pause", "media", "--type", "image")  # which only its content tells
    until(lambda: any(m.doing == "paused" for m in view().movers))
    assert daemon.migmon("why", "media", "a-large").stdout.startswith("It is held: ")
    daemon.migmon("throttle", "media", "--off")
    until(lambda: view().progress.done.entries >= 100)
    until(lambda: "the rest, 1 entry, is held: i-1 by " in view().why)
    assert "It stands still: the rest, 1 entry, is held: i-1 by " in daemon.migmon("why", "media").stdout
    assert "the rest, 1 entry, is held: i-1 by " in daemon.migmon("show", "media").stdout
    daemon.migmon("undo", "i-1")
    ended(daemon.socket, id_, 60.0)
    assert view().state == "completed"
    assert (tmp_path / "target" / "a-large").read_bytes() == (source / "a-large").read_bytes()
