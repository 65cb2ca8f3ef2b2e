"""A real daemon holds what uses a disk that is too hot, fails or has gone, says why, and goes on when it may."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

import loopfs
from daemon import EmbeddedDaemon
from loopfs import ENVIRONMENT, mounted
from migmond.client.sync import Client
from migmond.domain import api
from migmond.domain.error_api import ErrorGroups
from migmond.domain.limits import Limits
from migmond.domain.steering_api import InterventionList, InterventionView
from migmond.fsys.device_graph import read_graph
from patience import until

SLOWLY = Limits(io_bytes_per_s=1 << 20)


class Migration:
    """One that takes a minute."""

    def __init__(self, daemon: EmbeddedDaemon, source: Path, target: Path) -> None:
        self._socket = daemon.socket
        source.mkdir(parents=True)
        (source / "large").write_bytes(os.urandom(1 << 20) * 64)
        plan = api.PlanSpec((api.SourceSpec(str(source)),), str(target), limits=SLOWLY, name="media")
        with Client(daemon.socket) as client:
            self.id = client.call("execution.start", api.StartParams(plan), api.ExecutionView).id

    def view(self) -> api.ExecutionView:
        with Client(self._socket) as client:
            return client.call("execution.get", api.GetParams(self.id), api.ExecutionView)

    def holds(self) -> list[tuple[str, str, str]]:
        return [(h.reason, h.author, h.note) for h in self.view().holds]

    def interventions(self) -> list[InterventionView]:
        with Client(self._socket) as client:
            found = client.call("execution.interventions", api.ExecutionParams(self.id), InterventionList)
        return list(found.interventions)

    def resume(self) -> None:
        with Client(self._socket) as client:
            client.call("execution.resume", api.ReasonParams(self.id), api.ExecutionView)


class Thermometer:
    """A smartctl that says what the test wants."""

    def __init__(self, directory: Path) -> None:
        self.program = directory / "smartctl"
        self._said = directory / "said.json"
        self.say(40)
        self.program.write_text(
            f"#!/bin/sh\ncase $1 in --version) echo 'smartctl 7.3 2022-02-28 r5338';; *) cat {self._said};; esac\n"
        )
        self.program.chmod(0o755)

    def say(self, temperature: int, *, passed: bool = True) -> None:
        said = {
            "smartctl": {"exit_status": 0},
            "smart_status": {"passed": passed},
            "temperature": {"current": temperature},
        }
        new = self._said.with_suffix(".new")
        new.write_text(json.dumps(said))
        new.rename(self._said)


@pytest.fixture
def thermometer(tmp_path: Path) -> Thermometer:
    return Thermometer(tmp_path)


@pytest.fixture
def daemon(tmp_path: Path, thermometer: Thermometer) -> Iterator[EmbeddedDaemon]:
    disks = read_graph().chain(os.stat(tmp_path).st_dev).disks
    if not disks:
        pytest.skip("nobody tells which disk this is")
    devices = ", ".join(f'"/dev/{disk.name}"' for disk in disks)
    configuration = (
        '[monitor]\ninterval = "200ms"\n[emergency]\ncool_for = "1s"\n'
        "temperature = 70.0\ntemperature_ssd = 70.0\ntemperature_nvme = 70.0\n"  # whatever this disk is
        f'[plugins.smart]\ninterval = "1s"\ntemperature_interval = "1s"\ndevices = [{devices}]\n'
        f'smartctl = "{thermometer.program}"\n'
    )
    with EmbeddedDaemon(tmp_path / "daemon", configuration) as running:
        yield running
        running.kill(movers=True)  # what it has in hand would take it a minute


def test_a_hot_disk_rests_until_it_has_cooled_down(
    daemon: EmbeddedDaemon, thermometer: Thermometer, tmp_path: Path
) -> None:
    it = Migration(daemon, tmp_path / "source", tmp_path / "target")
    until(lambda: it.view().progress.in_flight.bytes > 0 or it.view().progress.done.bytes > 0)
    thermometer.say(71)
    until(lambda: it.holds() != [])
    ((reason, author, note),) = it.holds()
    assert reason == "thermal"
    assert author.startswith("emergency: too hot ")
    assert note.endswith("has 71 °C; 70 °C are too hot")
    assert "71 °C" in it.view().why
    thermometer.say(65)  # not by enough
    daemon.kill(movers=True)
    daemon.start()
    until(lambda: it.view().state == "paused")
    assert it.holds() == [(reason, author, note)]
    thermometer.say(60)
    until(lambda: it.view().state == "running")
    until(lambda: it.interventions()[0].ended_by != "")
    (record,) = it.interventions()
    assert (record.kind, record.author, record.automatic, record.ended_by) == ("pause", author, True, author)


def test_a_failing_disk_holds_until_somebody_decides(
    daemon: EmbeddedDaemon, thermometer: Thermometer, tmp_path: Path
) -> None:
    it = Migration(daemon, tmp_path / "source", tmp_path / "target")
    thermometer.say(40, passed=False)
    until(lambda: it.holds() != [])
    ((reason, author, note),) = it.holds()
    assert (reason, author.startswith("emergency: disk failing ")) == ("device", True)
    assert "says that it is failing (SMART); resume it to go on" in note
    it.resume()
    until(lambda: it.view().state == "running")
    daemon.kill(movers=True)
    daemon.start()
    before = it.view().progress.done.bytes + it.view().progress.in_flight.bytes
    until(lambda: it.view().progress.done.bytes + it.view().progress.in_flight.bytes > before + (3 << 20))
    assert it.holds() == []  # it was decided, and a new daemon knows
    assert [i.kind for i in it.interventions()] == ["pause", "resume"]


@pytest.mark.skipif(bool(loopfs.missing("ext4")), reason=loopfs.missing("ext4") or "-")
def test_a_target_that_is_unmounted_is_waited_for(
    daemon: EmbeddedDaemon, thermometer: Thermometer, tmp_path: Path
) -> None:
    with mounted(tmp_path / "disk", "ext4", size_bytes=256 << 20) as disk:
        it = Migration(daemon, tmp_path / "source", disk.root / "target")
        until(lambda: it.view().progress.in_flight.bytes > 0 or it.view().progress.done.bytes > 0)
        # Only what was seen mounted can be seen to have gone: a watch that holds it for another reason has seen it.
        thermometer.say(71)
        until(lambda: it.holds() != [])
        thermometer.say(40)
        until(lambda: it.holds() == [])
        subprocess.run(["umount", "--lazy", disk.root], check=True, env=ENVIRONMENT)
        try:
            until(lambda: it.holds() != [])
            ((reason, author, note),) = it.holds()
            assert (reason, author) == ("device", f"emergency: vanished {disk.root}")
            assert note == f"the mount {disk.root} has gone"
        finally:
            subprocess.run(["mount", "-o", "loop", disk.image, disk.root], check=True, env=ENVIRONMENT)
        until(lambda: it.holds() == [])
        until(lambda: author in [i.ended_by for i in it.interventions()])
        with Client(daemon.socket) as client:
            client.call("execution.cancel", api.ReasonParams(it.id), api.ExecutionView)
        until(lambda: it.view().state == "cancelled")
        daemon.stop()


@pytest.mark.skipif(bool(loopfs.missing("ext4")), reason=loopfs.missing("ext4") or "-")
@pytest.mark.skipif(not os.access("/dev/kmsg", os.R_OK), reason="/dev/kmsg may not be read")
def test_a_disk_image_that_returns_errors_is_named_and_what_else_is_on_its_disk_goes_on(tmp_path: Path) -> None:
    disks = [disk.name for disk in read_graph().chain(os.stat(tmp_path).st_dev).disks]
    if not disks:
        pytest.skip("nobody tells which disk this is")
    with (
        mounted(tmp_path / "image", "ext4") as image,
        EmbeddedDaemon(tmp_path / "daemon", "[emergency]\nkernel_errors = 3\n") as daemon,
    ):
        source = image.root / "source"
        source.mkdir()
        for number in range(40):
            (source / f"f{number}").write_bytes(os.urandom(3 << 20))
        image.unmount()  # what is in memory would be read without it
        image.mount()
        assert sum(1 for file in source.iterdir() if file.stat().st_size) == 40  # of names and sizes that does no harm
        os.truncate(image.image, 40 << 20)
        beside = Migration(daemon, tmp_path / "source", tmp_path / "target")
        with Client(daemon.socket) as client:
            plan = api.PlanSpec((api.SourceSpec(str(source)),), str(tmp_path / "other"), name="image")
            id_ = client.call("execution.start", api.StartParams(plan), api.ExecutionView).id

            def failing() -> list[api.HoldView]:
                view = client.call("execution.get", api.GetParams(id_), api.ExecutionView)
                return [h for h in view.holds if h.author.startswith("emergency: disk failing loop")]

            until(lambda: failing() != [])
            (hold,) = failing()
            assert f" errors of {hold.author.split()[-1]} (on {' '.join(disks)}) within 60 s" in hold.note
            (group,) = client.call("execution.errors", api.ExecutionParams(id_), ErrorGroups).groups
            assert group.device == f"{hold.author.split()[-1]} (on {' '.join(disks)})"
            assert group.causes[0].name == "bad_sectors"
            assert beside.holds() == []
            for each in (id_, beside.id):
                client.call("execution.cancel", api.ReasonParams(each), api.ExecutionView)
            until(lambda: beside.view().state == "cancelled")
        daemon.stop()
