"""What counts as too hot for a disk, from what collectors and the kernel tell of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from migmond.domain.hold import HoldReason
from migmond.domain.identity import Identity
from migmond.domain.samples import SampleView
from migmond.domain.states import ExecutionState
from migmond.monitor.emergency import EmergencyWatch, Places, Touching, read_places
from migmond.planning.emergency import Bounds, DiskKind
from migmond.plugin_api.conformance_samples import execution
from migmond.plugin_api.memory import MemoryJournal
from recorded_machine import RecordedMachine, number

KINDS = {"sda": DiskKind.OTHER, "sdb": DiskKind.SSD, "nvme0n1": DiskKind.NVME}


class Pauses:
    """A steerer that writes down who is paused, and why."""

    def __init__(self) -> None:
        self.told: list[tuple[HoldReason, str]] = []

    async def pause(self, execution: str, author: str, note: str, reason: HoldReason, until: float | None) -> None:
        self.told.append((reason, note))

    async def take_back(self, execution: str, author: str, why: str) -> None:
        raise AssertionError("nothing is over")


class NoClock:
    def monotonic(self) -> float:
        return 0.0

    def wall(self) -> float:
        return 0.0


def sample(metric: str, value: float | None, device: str, **labels: str) -> SampleView:
    return SampleView(
        f"migmond_disk_{metric}", "celsius", {"device": device, **labels}, value, "", "2026-01-01T00:00:00Z"
    )


async def holds(*samples: SampleView) -> list[str]:
    """Return why what uses all disks is held."""
    work = execution(state=ExecutionState.RUNNING, identity=Identity(0, 0))
    places = Places(
        frozenset(KINDS), KINDS, frozenset(), frozenset(), None, {7: (frozenset(KINDS), frozenset())}, {}
    )  # fmt: skip
    steerer: Any = Pauses()
    watch = EmergencyWatch(
        steerer, lambda: [work], lambda _: (7,), lambda: samples, Bounds, MemoryJournal(), NoClock(),
        lambda *_, **__: None, lambda *_: places,
    )  # fmt: skip
    await watch.look()
    return [note for reason, note in steerer.told if reason is HoldReason.THERMAL]


@pytest.mark.parametrize(
    ("device", "limits", "most"),
    [
        ("sda", {}, 65),
        ("sdb", {}, 70),
        ("nvme0n1", {}, 80),
        ("nvme0n1", {"warning": 82.0, "critical": 85.0}, 85),  # Samsung 980 PRO
        ("nvme0n1", {"critical": 88.0}, 88),
        ("nvme0n1", {"warning": 70.0}, 80),  # some name only the first
        ("sda", {"warning": 55.0, "critical": 60.0}, 60),
        ("sda", {"warning": 0.0, "critical": 0.0}, 65),
        ("sdb", {"critical": 20.0}, 70),  # a field that nobody has filled in
        ("nvme0n1", {"critical": 255.0, "warning": None}, 80),
    ],
)
async def test_the_limit_of_a_disk_is_its_own_else_that_of_its_kind(
    device: str, limits: dict[str, float | None], most: int
) -> None:
    named = [sample("temperature_limit_celsius", value, device, limit=name) for name, value in limits.items()]
    assert await holds(*named, sample("temperature_celsius", most - 0.5, device)) == []
    assert await holds(*named, sample("temperature_celsius", most, device)) == [
        f"{device} has {most} °C; {most} °C are too hot"
    ]


def test_kinds_of_disks_are_what_the_kernel_says(tmp_path: Path) -> None:
    for name, rotates in (("sda", "1"), ("sdb", "0"), ("nvme0n1", "0"), ("loop0", "0"), ("vda", "0")):
        (tmp_path / "sys/block" / name / "queue").mkdir(parents=True)
        (tmp_path / "sys/block" / name / "queue/rotational").write_text(f"{rotates}\n")
    (tmp_path / "sys/block/sdc").mkdir()
    found = read_places((), (), str(tmp_path))
    assert found.kinds == KINDS | dict.fromkeys(("loop0", "vda", "sdc"), DiskKind.OTHER)


async def test_errors_of_a_loop_device_are_its_own_and_not_those_of_its_disk(tmp_path: Path) -> None:
    machine = RecordedMachine(tmp_path)
    machine.disk("sda", "8:0", "pci0000:00/0000:00:17.0/ata1/host0/target0:0:0/0:0:0:0")
    machine.mount("8:0", "/", "ext4", "/dev/sda")
    machine.loop("loop3", "7:3", "/a.img")
    machine.mount("7:3", "/mnt/a", "ext4", "/dev/loop3")
    on: dict[str, tuple[int, ...]] = {"image": (number("7:3"),), "beside": (number("8:0"),)}
    both = [
        execution(id=name, key=i, state=ExecutionState.RUNNING, identity=Identity(0, 0)) for i, name in enumerate(on)
    ]
    said = SampleView(
        "migmond_kernel_io_messages_total", "", {"device": "loop3", "kind": "io_error"}, 50, "", "2026-01-01T00:00:00Z"
    )
    steerer: Any = Pauses()
    watch = EmergencyWatch(
        steerer, lambda: both, on.__getitem__, lambda: [said], Bounds, MemoryJournal(), NoClock(),
        lambda *_, **__: None, lambda devices, names: read_places(devices, names, str(tmp_path)),
    )  # fmt: skip
    assert watch.touching("sda") == Touching((), complete=False)  # nobody has looked yet
    await watch.look()
    ((reason, note),) = steerer.told
    assert reason is HoldReason.DEVICE
    assert note.startswith("the kernel reported 50 errors of loop3 (on sda) within 60 s")
    assert watch.touching("loop3") == Touching(("image",), complete=True)
    assert watch.touching("sda") == Touching(("image", "beside"), complete=True)
    on["beside"] = ()  # a mover has yet to open its roots
    await watch.look()
    assert watch.touching("sda") == Touching(("image",), complete=False)
