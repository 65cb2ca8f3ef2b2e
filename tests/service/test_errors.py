"""What errors come from and what to do about them, from a real daemon over its real socket."""

from __future__ import annotations

import contextlib
import os
import shlex
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from daemon import EmbeddedDaemon
from migmond.cli.render.other import error_lines
from migmond.client.sync import Client
from migmond.daemon.evidence import disk_facts, limit_facts, sample_facts
from migmond.domain import api
from migmond.domain.error_api import ErrorGroup, ErrorGroups
from migmond.domain.limits import Limits
from migmond.domain.samples import SampleView
from migmond.recovery.correlation import FactKind, Where

MIB = 1 << 20
AT = "2026-11-27T01:00:00+00:00"


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[EmbeddedDaemon]:
    configuration = '[monitor]\ninterval = "200ms"\n[plugins.filesystems]\ninterval = "1s"\n'
    with EmbeddedDaemon(tmp_path / "daemon", configuration) as running:
        yield running


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """A file system of 8 MiB."""
    if os.geteuid() != 0:
        pytest.skip("mounting needs root")
    where = tmp_path / "small"
    where.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "none", where], check=True)
    yield where
    subprocess.run(["umount", "-l", where], check=True)


def errors(client: Client, id_: str) -> tuple[ErrorGroup, ...]:
    return client.call("execution.errors", api.ExecutionParams(id_), ErrorGroups).groups


def start(client: Client, source: Path, target: Path, limit: int | None = None) -> str:
    limits = Limits(io_bytes_per_s=limit)
    spec = api.PlanSpec((api.SourceSpec(str(source)),), str(target), name="it", limits=limits)
    return client.call("execution.start", api.StartParams(spec), api.ExecutionView).id


def until_errors(client: Client, id_: str, cause: str) -> ErrorGroup:
    """Wait until there is one group and it is put down to `cause`."""
    end = time.monotonic() + 30
    while time.monotonic() < end:
        found = errors(client, id_)
        if len(found) == 1 and found[0].causes and found[0].causes[0].name == cause and found[0].mount:
            return found[0]
        if not found and client.call("execution.get", api.GetParams(id_), api.ExecutionView).state == "paused":
            # It saw that there is no room before any file has met it: somebody wants it filled all the same.
            client.call("execution.resume", api.ReasonParams(id_), api.ExecutionView)
        time.sleep(0.1)
    view = client.call("execution.get", api.GetParams(id_), api.ExecutionView)
    raise AssertionError((errors(client, id_), view.state, view.why, view.progress.done, view.holds))


def test_a_full_target_is_one_group_with_its_cause_and_what_to_do(
    daemon: EmbeddedDaemon, small: Path, tmp_path: Path
) -> None:
    source = tmp_path / "source"
    (source / "raw").mkdir(parents=True)
    for i in range(6):
        (source / "raw" / f"f{i}").write_bytes(os.urandom(MIB))
    with Client(daemon.socket) as client:
        id_ = start(client, source, small / "target", 2 * MIB)
        with contextlib.suppress(OSError), (small / "of somebody else").open("wb", buffering=0) as other:
            while True:
                other.write(bytes(MIB // 8))
        group = until_errors(client, id_, "full")
        view = client.call("execution.get", api.GetParams(id_), api.ExecutionView)
        *command, _ = shlex.split(group.next)
        daemon.migmon(*command[1:], str(tmp_path / "elsewhere"))  # what is told to be typed does it
        daemon.migmon("resume", id_[:6])
        daemon.migmon("watch", id_[:6])
        assert sorted(p.name for d in (small / "target", tmp_path / "elsewhere") for p in d.rglob("f?")) == [
            f"f{i}" for i in range(6)
        ]
    assert (group.kind, group.phase, group.disposition, group.side) == ("ENOSPC", "copy", "hold", "target")
    assert (group.under, group.fingerprint) == ("raw", "copy:ENOSPC:28")
    assert 0 < group.waiting == group.count
    assert group.mount == str(small)
    assert view.state == "paused"
    assert view.progress.failed.entries == 0
    assert group.causes[0].score >= 0.6
    assert group.next == f"migmon route {id_[:6]} --error copy:ENOSPC:28 --under raw OTHER_DESTINATION"
    text = "\n".join(error_lines(ErrorGroups((group,))))
    for word in (
        "ENOSPC",
        str(small),
        "the file system is full",
        "all below raw",
        "to be tried again",
        group.next,
    ):
        assert word in text, text


def test_groups_are_taken_by_selectors(daemon: EmbeddedDaemon, tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    source.mkdir()
    target.mkdir()
    for name in ("a", "b", "c"):
        (source / name).write_text(name)
    (target / "b").write_text("something else")
    with Client(daemon.socket) as client:
        id_ = start(client, source, target)
        group = until_errors(client, id_, "taken")
        for chosen, names in (((group.fingerprint,), ["b"]), (("exists",), ["b"]), (("publish:EIO:5",), [])):
            params = api.FilesParams(id_, api.SelectorSpec(errors=chosen))
            page = client.call("execution.files", params, api.TaskPage)
            assert [t.path for t in page.tasks] == names, chosen
    assert (group.count, group.waiting, group.disposition, group.under) == (1, 0, "fail", "")


def sample(metric: str, value: float | None, **labels: str) -> SampleView:
    return SampleView(metric, "", labels, value, "", AT)


def test_figures_that_are_out_of_the_ordinary_are_facts() -> None:
    fs, disk = "migmond_filesystem_", "migmond_disk_"
    found = sample_facts(
        [
            sample(f"{fs}size_bytes", 1e12, mount="/full", source="s"),
            sample(f"{fs}available_bytes", 1e6, mount="/full", source="s"),
            sample(f"{fs}size_bytes", 1e12, mount="/roomy", source="s"),
            sample(f"{fs}available_bytes", 1e11, mount="/roomy", source="s"),
            sample(f"{fs}inodes", 1000, mount="/roomy", source="s"),
            sample(f"{fs}free_inodes", 0, mount="/roomy", source="s"),
            sample(f"{fs}read_only", 1, mount="/ro", source="s"),
            sample(f"{fs}read_only", 0, mount="/rw", source="s"),
            sample(f"{fs}available_bytes", None, mount="/mute", source="s"),
            sample(f"{fs}quota_used_bytes", 995, mount="/home", source="s", uid="7"),
            sample(f"{fs}quota_limit_bytes", 1000, mount="/home", source="s", uid="7"),
            sample(f"{fs}quota_used_bytes", 10, mount="/home", source="s", uid="8"),
            sample(f"{fs}quota_limit_bytes", 1000, mount="/home", source="s", uid="8"),
            sample(f"{disk}temperature_celsius", 56, device="sda"),
            sample(f"{disk}temperature_limit_celsius", 55, device="sda", limit="warning"),
            sample(f"{disk}temperature_celsius", 49, device="sdb"),
        ]
    )
    assert sorted((f.kind.value, f.subject) for f in found) == [
        ("hot", "sda"),
        ("mounted_read_only", "/ro"),
        ("no_inodes", "/roomy"),
        ("no_space", "/full"),
        ("quota_used", "/home"),
    ]
    assert "uid 7" in next(f.text for f in found if f.kind is FactKind.QUOTA_USED)


def test_disks_and_file_systems_tell_what_is_wrong_with_them() -> None:
    disk = "migmond_disk_"
    bad = [
        sample(f"{disk}pending_sectors", 8, device="sdd"),
        sample(f"{disk}link_errors_total", 0, device="sdd"),
        sample(f"{disk}pending_sectors", 0, device="sde"),
    ]
    assert {(f.kind, f.subject) for f in disk_facts(bad)} == {(FactKind.SMART, "sdd")}
    cable = [sample(f"{disk}pending_sectors", 0, device="sdf"), sample(f"{disk}link_errors_total", 311, device="sdf")]
    assert {(f.kind, f.subject) for f in disk_facts(cable)} <= {(FactKind.LINK, "sdf")}
    assert [f.subject for f in limit_facts(Where((), "/stick", "vfat"))] == ["/stick", "/stick"]
    assert limit_facts(Where((), "/", "ext4")) == []
