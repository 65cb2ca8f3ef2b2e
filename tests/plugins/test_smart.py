"""Disks are told as smartctl tells them: recorded outputs of every kind; and a smartctl that is slow, old, missing."""

from __future__ import annotations

import json
import os
import shutil
import sys
import textwrap
import threading
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from migmond.domain.errors import PluginError
from migmond.plugin_api import NoData, Sample
from migmond_smart import HEALTH_OPTIONS, SETTINGS, TEMPERATURE_OPTIONS, migmond_collectors
from migmond_smart.asking import MISSING, Asker
from migmond_smart.collector import Disks
from migmond_smart.disks import disks, kernel_limits
from migmond_smart.report import IN_STANDBY, NOT_ALLOWED, Report, read_report
from migmond_smart.samples import health_samples, temperature_samples

RECORDED = Path(__file__).with_name("recorded_smart")
NAMES = sorted(path.stem for path in RECORDED.glob("*.json"))
NOT_TOLD = NoData("the disk does not tell")


def recording(name: str) -> bytes:
    return (RECORDED / f"{name}.json").read_bytes()


def read(name: str) -> Report | NoData:
    status = json.loads(recording(name))["smartctl"]["exit_status"]
    return read_report(recording(name), status)


def values(samples: Iterable[Any]) -> dict[str, float | NoData]:
    found = {}
    for sample in samples:
        assert isinstance(sample, Sample)
        limit = sample.labels.get("limit", "")
        found[sample.metric.removeprefix("migmond_disk_") + (f" {limit}" if limit else "")] = sample.value
    return found


def health(name: str) -> dict[str, float | NoData]:
    report = read(name)
    assert isinstance(report, Report)
    return values(health_samples("d", report))


def temperature(name: str) -> dict[str, float | NoData]:
    report = read(name)
    assert isinstance(report, Report)
    return values(temperature_samples("d", report))


def test_a_sata_disk() -> None:
    assert health("sata") == {
        "healthy": 1,
        "power_on_seconds_total": 28411 * 3600,
        "failing_attributes": 0,
        "reallocated_sectors": 8,  # not 65544: "8 (0 1)" is one number of three
        "uncorrectable_errors_total": 3,
        "command_timeouts_total": 2,  # not 4295032834
        "pending_sectors": 0,
        "offline_uncorrectable_sectors": 0,
        "link_errors_total": 5,
        "lifetime_written_bytes_total": 91268000000 * 512,
    }
    assert temperature("sata") == {
        "temperature_celsius": 38,
        "temperature_limit_celsius warning": 60,
        "temperature_limit_celsius critical": 70,
    }


def test_a_failing_sata_disk_is_told_although_smartctl_ends_with_216() -> None:
    found = health("failing")
    assert found["healthy"] == 0
    assert found["failing_attributes"] == 1  # what failed in the past does not fail now
    assert found["reallocated_sectors"] == 63208
    assert found["command_timeouts_total"] == 7  # 30065098759 is 7 | 7 << 32 and more: the lowest 16 bits count
    assert (found["pending_sectors"], found["link_errors_total"]) == (2616, NOT_TOLD)


def test_solid_state_and_usb() -> None:
    found = health("sata_ssd")
    assert (found["endurance_used_ratio"], found["lifetime_written_bytes_total"]) == (0.06, 40000000000 * 512)
    assert temperature("sata_ssd")["temperature_limit_celsius warning"] == NOT_TOLD
    bridge = health("usb_bridge")
    assert (bridge["healthy"], bridge["lifetime_written_bytes_total"]) == (1, 734 << 30)
    assert "endurance_used_ratio" not in bridge


def test_a_sas_disk() -> None:
    assert health("sas") == {
        "healthy": 1,
        "power_on_seconds_total": 12437 * 3600,
        "reallocated_sectors": 2,
        "uncorrectable_errors_total": 3,
        "lifetime_written_bytes_total": pytest.approx(56643.667e9),
    }
    assert temperature("sas")["temperature_limit_celsius critical"] == 65


def test_nvme_disks() -> None:
    assert health("nvme") == {
        "healthy": 1,
        "power_on_seconds_total": 3149 * 3600,
        "critical_warning": 0,
        "media_errors_total": 0,
        "endurance_used_ratio": pytest.approx(0.03),
        "available_spare_ratio": 1,
        "available_spare_limit_ratio": pytest.approx(0.1),
        "lifetime_written_bytes_total": 1969459 * 512000,
    }
    assert temperature("nvme") == {
        "temperature_celsius": 35,
        "temperature_limit_celsius warning": 85,
        "temperature_limit_celsius critical": 88,
    }
    bad = health("nvme_failing")
    assert (bad["healthy"], bad["critical_warning"], bad["media_errors_total"]) == (0, 5, 1290)
    assert bad["endurance_used_ratio"] == pytest.approx(1.17)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("standby", IN_STANDBY.reason),
        ("standby_7_5", IN_STANDBY.reason),
        ("permission_denied", NOT_ALLOWED),
        ("unknown_device", "it is no disk that smartctl knows"),
        ("open_failed", "smartctl ended with 2 and gave no reason"),
        (
            "usb_unknown",
            "smartctl does not know its USB bridge (/dev/sdb: Unknown USB bridge [0x152d:0xb581 (0x4403)]): "
            "name its type in plugins.smart.types",
        ),
    ],
)
def test_why_a_disk_tells_nothing(name: str, reason: str) -> None:
    assert read(name) == NoData(reason)


def test_standby_by_a_command_and_sleep_are_standby() -> None:
    for mode in ("STANDBY BY COMMAND", "STANDBY_Y", "SLEEP"):
        said = recording("standby").replace(b"STANDBY mode", mode.encode() + b" mode")
        assert read_report(said, 2) == IN_STANDBY


@given(st.binary(max_size=200), st.integers(0, 255))
def test_anything_is_either_a_report_or_a_reason(output: bytes, status: int) -> None:
    assert isinstance(read_report(output, status), (Report, NoData))


@given(st.sampled_from(NAMES), st.data())
def test_a_recording_with_anything_taken_out_is_still_read(name: str, data: st.DataObject) -> None:
    document = json.loads(recording(name))
    status = document["smartctl"]["exit_status"]
    for _ in range(3):
        where: Any = document
        while isinstance(where, dict) and where:
            key = data.draw(st.sampled_from(sorted(where)))
            if not isinstance(where[key], dict) or data.draw(st.booleans()):
                del where[key]
                break
            where = where[key]
    report = read_report(json.dumps(document).encode(), status)
    if isinstance(report, Report):
        assert values(health_samples("d", report))
        assert values(temperature_samples("d", report))


# --- smartctl as a program -------------------------------------------------------------------------


def program(tmp_path: Path, body: str, version: str = "smartctl 7.3 2022-02-28 r5338 [x86_64-linux]") -> str:
    """A smartctl of our own; `arguments` are what it was started with."""
    path = tmp_path / "smartctl"
    path.write_text(
        f"#!{sys.executable}\nimport json, os, sys, time\narguments = sys.argv[1:]\n"
        f"if arguments == ['--version']:\n    print({version!r})\n    sys.exit(0)\n"
        f"recorded = {str(RECORDED)!r}\n" + textwrap.dedent(body)
    )
    path.chmod(0o755)
    return str(path)


BY_NAME = """
print(open(f"{recorded}/{dict(sda='sata', sdb='standby', nvme0n1='nvme')[arguments[-1][5:]]}.json").read())
with open(os.path.dirname(sys.argv[0]) + "/asked", "a") as asked:
    asked.write(json.dumps([arguments, dict(os.environ)]) + "\\n")
sys.exit(2 if arguments[-1] == "/dev/sdb" else 0)
"""


def block(tmp_path: Path, *names: str) -> str:
    for name in names:
        (tmp_path / "block" / name).mkdir(parents=True)
    return str(tmp_path / "block")


async def test_all_disks_are_asked_without_being_woken(tmp_path: Path) -> None:
    asker = Asker(program(tmp_path, BY_NAME), 20, {"/dev/sda": "sat"})
    where = block(tmp_path, "sda", "sdb", "nvme0n1", "loop0", "dm-0", "vda", "sr0", "mmcblk0", "mmcblk0boot0")
    found = list(await Disks(asker, HEALTH_OPTIONS, health_samples, block=where).collect())
    told = {s.labels["device"]: s.value for s in found if s.metric == "migmond_disk_healthy"}
    assert told == {
        "sda": 1,
        "sdb": IN_STANDBY,
        "nvme0n1": 1,
        "vda": NoData("a virtual disk has no health of its own: ask the machine that it is on"),
        "mmcblk0": NoData("smartctl cannot ask memory cards"),
    }
    asked = {line[0][-1]: line for line in map(json.loads, (tmp_path / "asked").read_text().splitlines())}
    assert asked["/dev/sda"][0] == ["--json=c", "-n", "standby", "-x", "-d", "sat", "/dev/sda"]
    assert asked["/dev/sdb"][0] == ["--json=c", "-n", "standby", "-x", "/dev/sdb"]
    assert set(asked["/dev/sda"][1]) - {"LC_CTYPE"} == {"PATH", "LC_ALL", "LANG"}


async def test_a_disk_that_falls_asleep_has_no_data_for_all_that_it_told(tmp_path: Path) -> None:
    (tmp_path / "which").write_text("sata")
    body = """
    name = open(os.path.dirname(sys.argv[0]) + "/which").read()
    print(open(f"{recorded}/{name}.json").read())
    sys.exit(2 if name == "standby" else 0)
    """
    asker = Asker(program(tmp_path, body), 20, {})
    collector = Disks(asker, TEMPERATURE_OPTIONS, temperature_samples, ("/dev/sda",), block=block(tmp_path))
    awake = values(await collector.collect())
    (tmp_path / "which").write_text("standby")
    asleep = values(await collector.collect())
    assert awake["temperature_celsius"] == 38
    assert asleep == dict.fromkeys(awake, IN_STANDBY)
    fresh = Disks(asker, TEMPERATURE_OPTIONS, temperature_samples, ("/dev/sda",), block=block(tmp_path))
    assert values(await fresh.collect()) == {"temperature_celsius": IN_STANDBY}


def test_a_smartctl_that_hangs_is_killed(tmp_path: Path) -> None:
    asker = Asker(program(tmp_path, "time.sleep(60)"), 0.2, {})
    started = time.monotonic()
    assert asker.ask("/dev/sda", HEALTH_OPTIONS) == NoData("does not answer within 0.2 s")
    assert time.monotonic() - started < 20


async def test_one_that_cannot_be_killed_is_left_behind_once(tmp_path: Path) -> None:
    release, calls = threading.Event(), []

    class Stuck(Asker):
        def ask(self, device: str, options: Any) -> Report | NoData:
            calls.append(device)
            if device == "/dev/sda":
                release.wait(30)
            return NoData("awake")

    collector = Disks(Stuck("", -0.9, {}), HEALTH_OPTIONS, health_samples, ("/dev/sda", "/dev/sdb"))
    try:
        for reason in ("cannot be killed", "does not answer, for 0 s now"):
            found = {s.labels["device"]: s.value for s in await collector.collect()}
            told = found["sda"]
            assert isinstance(told, NoData)
            assert reason in told.reason
            assert found["sdb"] == NoData("awake")
        assert calls.count("/dev/sda") == 1
    finally:
        release.set()


async def test_without_smartmontools_every_disk_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name, path: None)
    collector = Disks(Asker("", 5, {}), HEALTH_OPTIONS, health_samples, block=block(tmp_path, "sda", "sdb"))
    assert [s.value for s in await collector.collect()] == [MISSING, MISSING]
    assert Asker(str(tmp_path / "nowhere"), 5, {}).ask("/dev/sda", ()) == NoData(
        f"{tmp_path}/nowhere: No such file or directory"
    )
    none = await Disks(Asker("", 5, {}), HEALTH_OPTIONS, health_samples, block=str(tmp_path / "none")).collect()
    assert values(none) == {"healthy": NoData("there is no disk here")}


OLDER = """
if "standby" in arguments and os.path.exists(os.path.dirname(sys.argv[0]) + "/asleep"):
    print("smartctl 6.6 2017-11-05 r4594\\n\\nDevice is in STANDBY mode, exit(2)")
    sys.exit(2)
print("smartctl 6.6 2017-11-05 r4594 [x86_64-linux-4.19.0] (local build)")
print("Copyright (C) 2002-17, Bruce Allen, Christian Franke, www.smartmontools.org\\n")
if "test" in arguments:
    print("/dev/sda: Device of type 'scsi' [SCSI] detected")
    print("/dev/sda [SAT]: Device open changed type from 'scsi' to 'sat'")
    print("/dev/sda [SAT]: Device of type 'sat' [ATA] opened")
else:
    print('''=== START OF INFORMATION SECTION ===
Device Model:     WDC WD20EFRX-68EUZN0
Serial Number:    WD-NOBODY
Firmware Version: 82.00A82
User Capacity:    2,000,398,934,016 bytes [2.00 TB]
Rotation Rate:    5400 rpm
SMART support is: Available - device has SMART capability.
SMART support is: Enabled

=== START OF READ SMART DATA SECTION ===
SMART overall-health self-assessment test result: PASSED

SMART Attributes Data Structure revision number: 16
Vendor Specific SMART Attributes with Thresholds:
ID# ATTRIBUTE_NAME          FLAG     VALUE WORST THRESH TYPE      UPDATED  WHEN_FAILED RAW_VALUE
  5 Reallocated_Sector_Ct   0x0033   200   200   140    Pre-fail  Always       -       12
  9 Power_On_Hours          0x0032   035   035   000    Old_age   Always       -       47657
194 Temperature_Celsius     0x0022   113   110   000    Old_age   Always       -       34
197 Current_Pending_Sector  0x0032   200   200   000    Old_age   Always       -       1
199 UDMA_CRC_Error_Count    0x0032   200   200   000    Old_age   Always       -       0
''')
"""


def test_a_smartctl_without_json_is_read_by_pysmart_and_wakes_nobody(tmp_path: Path) -> None:
    language = os.environ.get("LANG")
    asker = Asker(program(tmp_path, OLDER, "smartctl 6.6 2017-11-05 r4594 [x86_64-linux-4.19.0] (local build)"), 20, {})
    report = asker.ask("/dev/sda", HEALTH_OPTIONS)
    assert isinstance(report, Report), report
    found = values(health_samples("sda", report))
    assert (found["healthy"], found["reallocated_sectors"], found["pending_sectors"]) == (1, 12, 1)
    assert (found["power_on_seconds_total"], found["command_timeouts_total"]) == (47657 * 3600, NOT_TOLD)
    assert values(temperature_samples("sda", report))["temperature_celsius"] == 34
    assert os.environ.get("LANG") == language
    (tmp_path / "asleep").touch()
    assert asker.ask("/dev/sda", HEALTH_OPTIONS) == IN_STANDBY


def test_the_real_smartctl_on_what_is_no_disk(tmp_path: Path) -> None:
    if shutil.which("smartctl", path="/usr/sbin:/usr/bin") is None:
        pytest.skip("smartctl is not installed (Debian: smartmontools)")
    for options in (HEALTH_OPTIONS, TEMPERATURE_OPTIONS):
        answer = Asker("", 20, {}).ask("/dev/loop0", options)
        assert isinstance(answer, NoData)
        assert answer.reason in ("it is no disk that smartctl knows", NOT_ALLOWED)


def test_limits_that_only_the_kernel_knows(tmp_path: Path) -> None:
    sensor = tmp_path / "nvme0n1" / "device" / "hwmon3"
    sensor.mkdir(parents=True)
    (sensor / "temp1_max").write_text("84850\n")
    (sensor / "temp1_crit").write_text("87850\n")
    drivetemp = tmp_path / "sda" / "device" / "hwmon" / "hwmon1"
    drivetemp.mkdir(parents=True)
    (drivetemp / "temp1_max").write_text("60000\n")
    assert kernel_limits("nvme0n1", str(tmp_path)) == (85, 88)
    assert kernel_limits("sda", str(tmp_path)) == (60, None)
    assert kernel_limits("sdb", str(tmp_path)) == (None, None)
    assert disks(str(tmp_path)) == {"nvme0n1": None, "sda": None}


async def test_the_kernels_limits_are_used_where_smartctl_has_none(tmp_path: Path) -> None:
    where = Path(block(tmp_path, "nvme0n1"))
    sensor = where / "nvme0n1" / "device" / "hwmon3"
    sensor.mkdir(parents=True)
    (sensor / "temp1_crit").write_text("90000\n")
    asker = Asker(program(tmp_path, 'print(open(f"{recorded}/nvme_failing.json").read())'), 20, {})
    found = values(await Disks(asker, TEMPERATURE_OPTIONS, temperature_samples, block=str(where)).collect())
    assert found["temperature_limit_celsius critical"] == 90
    assert found["temperature_limit_celsius warning"] == NOT_TOLD


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (SETTINGS(answer_within="0s"), "answer_within is 0s"),
        (SETTINGS(devices=("sda",)), "'sda' is no device file"),
        (SETTINGS(types={"sda": "sat"}), "'sda' is no device file"),
        (SETTINGS(types={"/dev/sda": "-rf"}), "'-rf' is no type"),
    ],
)
def test_settings_are_checked(settings: SETTINGS, words: str) -> None:
    with pytest.raises(PluginError, match=words):
        list(migmond_collectors(settings))


async def test_the_collectors_open() -> None:
    specs = list(migmond_collectors(SETTINGS(interval="10m", temperature_interval="2m")))
    assert [(s.name, s.interval_s) for s in specs] == [("smart-health", 600), ("smart-temperature", 120)]
    with trio.fail_after(60):
        for spec in specs:
            async with spec.open() as collector:
                assert list(await collector.collect())
