"""What is below a file system: recorded machines of every kind, random ones, and real loop devices and btrfs."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loopfs import ENVIRONMENT, LoopFs, missing
from migmond.domain.device import Chain, Layer
from migmond.fsys.device_graph import DeviceGraph, number_of, read_graph
from migmond.fsys.facts import mount_id
from recorded_machine import RecordedMachine, number

SATA = "pci0000:00/0000:00:17.0/ata{0}/host{1}/target{1}:0:0/{1}:0:0:0"
NVME = "pci0000:00/0000:00:1d.0/0000:03:00.0/nvme/nvme0/nvme0n1"
USB = "pci0000:00/0000:00:14.0/usb2/2-1/2-1.{0}/2-1.{0}:1.0/host{1}/target{1}:0:0/{1}:0:0:0"


@pytest.fixture
def machine(tmp_path: Path) -> RecordedMachine:
    return RecordedMachine(tmp_path)


def graph(machine: RecordedMachine, device_of: Callable[[bytes], int | None] | None = None) -> DeviceGraph:
    return read_graph(str(machine.root), device_of)


def names(chain: Chain) -> list[str]:
    return [disk.name for disk in chain.disks]


def kinds(chain: Chain) -> list[str]:
    return [layer.kind for layer in chain.layers]


def test_a_partition_of_a_sata_disk(machine: RecordedMachine) -> None:
    machine.disk("sda", "8:0", SATA.format(1, 0), rotational=1, device__model="WDC WD20EFRX", device__vendor="ATA")
    machine.partition("sda", "sda1", "8:1")
    machine.mount("8:1", "/srv/my disk", "ext4", "/dev/sda1")
    chain = graph(machine).chain(number("8:1"))
    assert chain.mount is not None
    assert (chain.mount.point, chain.mount.kind, chain.unknown) == (b"/srv/my disk", "ext4", ())
    assert chain.layers == (Layer("partition", "sda1"),)
    (disk,) = chain.disks
    assert (disk.model, disk.transport, disk.rotational, disk.size_bytes) == ("WDC WD20EFRX", "sata", True, 1 << 30)
    assert disk.path == ("0000:00:17.0", "ata1", "host0")
    assert chain.rotational is True


@pytest.mark.parametrize(
    ("name", "where", "says", "transport", "rotational"),
    [
        ("nvme0n1", "pci0000:00/0000:03:00.0/nvme/nvme0", 0, "nvme", False),
        ("sda", SATA.format(1, 0), 0, "sata", False),
        ("sdb", USB.format(3, 6), 1, "usb", None),  # a bridge in front of an SSD says 1 as well
        ("sdb", USB.format(3, 6), 0, "usb", False),
        ("vda", "pci0000:00/0000:00:02.0/virtio1", 1, "virtio", None),
        ("sdc", "pci0000:00/0000:01:00.0/host2/port-2:0/end_device-2:0/target2:0:0/2:0:0:0", 1, "sas", True),
        ("mmcblk0", "platform/soc/mmc_host/mmc0/mmc0:0001", 0, "mmc", False),
        ("sdd", "platform/host3/session1/target3:0:0/3:0:0:0", 1, "iscsi", None),
        ("nbd0", "virtual", 0, "network", False),
    ],
)
def test_transport_and_whether_it_turns(
    machine: RecordedMachine, name: str, where: str, says: int, transport: str, rotational: bool | None
) -> None:
    machine.disk(name, "8:0", where, rotational=says)
    (disk,) = graph(machine).disks()
    assert (disk.name, disk.transport, disk.rotational) == (name, transport, rotational)


def test_lvm_over_crypt_over_md_over_two_disks(machine: RecordedMachine) -> None:
    for i, name in enumerate(("sda", "sdb")):
        machine.disk(name, f"8:{16 * i}", SATA.format(i + 1, i))
        machine.partition(name, f"{name}1", f"8:{16 * i + 1}")
    machine.stacked("md0", "9:0", ("sda1", "sdb1"), md__level="raid1")
    machine.stacked("dm-0", "253:0", ("md0",), dm__uuid="CRYPT-LUKS2-0a-vault", dm__name="vault")
    machine.stacked("dm-1", "253:1", ("dm-0",), dm__uuid="LVM-abc", dm__name="tank-home")
    machine.mount("253:1", "/home", "xfs", "/dev/mapper/tank-home")
    chain = graph(machine).chain(number("253:1"))
    assert chain.layers == (
        Layer("lvm", "tank-home", "dm-1"),
        Layer("crypt", "vault", "dm-0"),
        Layer("md", "md0", "raid1"),
        Layer("partition", "sda1"),
        Layer("partition", "sdb1"),
    )
    assert (names(chain), chain.unknown) == (["sda", "sdb"], ())
    assert {disk.path[0] for disk in chain.disks} == {"0000:00:17.0"}
    assert chain.devices == ("dm-1", "dm-0", "md0")
    assert graph(machine).meant("tank-home") == {"dm-1": ("sda", "sdb")}
    assert graph(machine).meant("md0") == {"md0": ("sda", "sdb")}
    assert graph(machine).meant("sda1") == {"sda": ()}


def names_of(found: DeviceGraph, name: str) -> list[str]:
    return list(found.meant(name))


def test_what_the_kernel_names_in_its_messages(machine: RecordedMachine) -> None:
    machine.disk("sda", "8:0", SATA.format(1, 0))
    machine.disk("sdb", "8:16", USB.format(1, 6))
    machine.disk("sdc", "8:32", USB.format(2, 7))
    machine.disk("nvme0n1", "259:0", "pci0000:00/0000:03:00.0/nvme/nvme0")
    machine.partition("sdb", "sdb1", "8:17")
    machine.disk("cciss!c0d0", "104:0", "pci0000:00/0000:09:00.0")
    found = graph(machine)
    asked = (
        "/dev/cciss/c0d0",
        "cciss/c0d0",
        "sdb1",
        "sdb",
        "ata1",
        "2-1",
        "2-1.2",
        "nvme0",
        "ata9",
        "",
        "0000:03:00.0",
    )
    assert {name: names_of(found, name) for name in asked} == {
        "/dev/cciss/c0d0": ["cciss!c0d0"],
        "cciss/c0d0": ["cciss!c0d0"],
        "sdb1": ["sdb"],
        "sdb": ["sdb"],
        "ata1": ["sda"],
        "2-1": ["sdb", "sdc"],
        "2-1.2": ["sdc"],
        "nvme0": ["nvme0n1"],
        "ata9": [],
        "": [],
        "0000:03:00.0": ["nvme0n1"],
    }


def test_two_disks_behind_one_hub_and_one_alone(machine: RecordedMachine) -> None:
    machine.disk("sda", "8:0", USB.format(1, 6))
    machine.disk("sdb", "8:16", USB.format(2, 7))
    machine.disk("nvme0n1", "259:0", "pci0000:00/0000:00:1d.0/0000:03:00.0/nvme/nvme0")
    nvme, a, b = graph(machine).disks()
    common = [mine for mine, theirs in zip(a.path, b.path, strict=False) if mine == theirs]
    assert (common[-1], a.path[-1]) == ("2-1", "host6")
    assert a.path[0] != nvme.path[0]


def test_nvme_with_multipath_is_found_through_its_controller(machine: RecordedMachine) -> None:
    disk = machine.disk("nvme0n1", "259:0", "virtual/nvme-subsystem/nvme-subsys0")
    subsystem = disk.parents[1]
    real = subsystem / "nvme0n1"  # there is no directory `block` in between
    disk.rename(real)
    for link in ("block/nvme0n1", "class/block/nvme0n1", "dev/block/259:0"):
        (machine.root / "sys" / link).unlink()
        (machine.root / "sys" / link).symlink_to(real)
    controller = machine.root / "sys/devices/pci0000:00/0000:00:1d.0/0000:03:00.0/nvme/nvme0"
    controller.mkdir(parents=True)
    (subsystem / "nvme0").symlink_to(controller)
    (found,) = graph(machine).disks()
    assert (found.transport, found.path) == ("nvme", ("0000:00:1d.0", "0000:03:00.0", "nvme0"))


def test_a_loop_device_is_on_the_disk_of_its_backing_file(machine: RecordedMachine) -> None:
    machine.disk("sda", "8:0", SATA.format(1, 0))
    machine.disk("sdb", "8:16", SATA.format(2, 1))
    machine.mount("8:0", "/", "ext4", "/dev/sda")
    machine.mount("8:16", "/srv", "ext4", "/dev/sdb")
    machine.mount("8:0", "/srv/deep", "ext4", "/dev/sda")
    for i, backing in enumerate(("/srv/a.img", "/srvother.img", "/srv/deep/a.img (deleted)", "")):
        machine.loop(f"loop{i}", f"7:{i}", backing)
        machine.mount(f"7:{i}", f"/mnt/{i}", "ext4", f"/dev/loop{i}")
    found = graph(machine)
    chains = [found.chain(number(f"7:{i}")) for i in range(4)]
    assert [names(c) for c in chains] == [["sdb"], ["sda"], ["sda"], []]
    assert chains[3].unknown == ("loop3 has no backing file in a mount that is seen here",)
    assert [disk.name for disk in found.disks()] == ["sda", "sdb"]
    assert chains[0].devices == ("loop0",)
    assert [found.meant(f"loop{i}") for i in range(4)] == [
        {"loop0": ("sdb",)}, {"loop1": ("sda",)}, {"loop2": ("sda",)}, {"loop3": ()},
    ]  # fmt: skip


def test_btrfs_on_two_disks_and_its_subvolumes(machine: RecordedMachine) -> None:
    machine.disk("sda", "8:0", SATA.format(1, 0))
    machine.disk("sdb", "8:16", SATA.format(2, 1))
    machine.disk("sdc", "8:32", SATA.format(3, 2))
    machine.btrfs("11-aa", ("sda", "sdb"), "tank")
    machine.btrfs("22-bb", ("sdc",))
    tank = machine.mount("0:40", "/tank", "btrfs", "/dev/sdb")
    machine.mount("0:50", "/other", "btrfs", "/dev/sdc")
    plain = graph(machine)
    assert names(plain.chain(number("0:40"))) == ["sda", "sdb"]
    assert plain.chain(number("0:40")).layers == (Layer("btrfs", "tank", "11-aa"),)
    subvolume = plain.chain(number("0:41"))
    assert (names(subvolume), subvolume.unknown) == ([], ("no mount shows the device 0:41",))
    assert names(plain.chain(number("0:41"), tank)) == ["sda", "sdb"]
    asking = graph(machine, {b"/tank": number("0:41"), b"/other": number("0:51")}.get)
    assert names(asking.chain(number("0:41"))) == ["sda", "sdb"]
    assert names(asking.chain(number("0:51"))) == ["sdc"]


def test_a_number_that_is_left_over_is_the_only_btrfs(machine: RecordedMachine) -> None:
    machine.disk("sda", "8:0", SATA.format(1, 0))
    machine.btrfs("11-aa", ("sda",))
    machine.mount("0:40", "/", "btrfs", "/dev/sda", "rw,subvolid=256,subvol=/@")
    machine.mount("0:40", "/home", "btrfs", "/dev/sda")
    assert names(graph(machine).chain(number("0:77"))) == ["sda"]


@pytest.mark.parametrize(
    ("kind", "source", "server", "unknown"),
    [
        ("nfs4", "box:/export", "box", ()),
        ("nfs4", "[fd00::1]:/export", "fd00::1", ()),
        ("cifs", "//box/share", "box", ()),
        ("virtiofs", "home", "host", ()),
        ("tmpfs", "tmpfs", "", ()),
        ("zfs", "tank/home", "", ("zfs does not tell in /sys which disks a pool has",)),
        ("fuse.sshfs", "ana@box:", "", ("fuse.sshfs does not tell what it is kept on",)),
    ],
)
def test_what_has_no_disk_says_so(
    machine: RecordedMachine, kind: str, source: str, server: str, unknown: tuple[str, ...]
) -> None:
    machine.mount("0:60", "/mnt/x", kind, source)
    chain = graph(machine).chain(number("0:60"))
    assert (chain.disks, chain.server, chain.unknown, chain.rotational) == ((), server, unknown, None)


def test_an_overlay_is_on_the_disk_of_its_upper_directory(machine: RecordedMachine) -> None:
    machine.disk("sda", "8:0", SATA.format(1, 0))
    machine.mount("0:70", "/", "overlay", "overlay", "rw,lowerdir=/l,upperdir=/var/lib/u,workdir=/w")
    machine.mount("8:0", "/var", "ext4", "/dev/sda")
    machine.mount("0:71", "/x", "overlay", "overlay", "rw,lowerdir=/somewhere/else,workdir=/w")
    found = graph(machine)
    assert (names(found.chain(number("0:70"))), kinds(found.chain(number("0:70")))) == (["sda"], ["overlay"])
    nested = found.chain(number("0:71"))  # below the first overlay, which is the root
    assert (names(nested), kinds(nested)) == (["sda"], ["overlay", "overlay"])


def test_a_device_that_nobody_knows(machine: RecordedMachine) -> None:
    machine.mount("8:99", "/mnt", "ext4", "/dev/sdx")
    assert graph(machine).chain(number("8:99")).unknown == ("/sys has no block device /dev/sdx",)
    assert graph(machine).chain(number("8:98")).unknown == ("/sys has no block device 8:98",)
    machine.stacked("dm-0", "253:0", (), dm__name="empty")
    assert graph(machine).chain(number("253:0")).unknown == ("dm-0 has no devices below it",)


def test_what_goes_round_ends(machine: RecordedMachine) -> None:
    machine.loop("loop0", "7:0", "/a.img")
    machine.mount("7:0", "/", "ext4", "/dev/loop0")
    chain = graph(machine).chain(number("7:0"))
    assert chain.disks == ()
    assert "more than 16 layers" in chain.unknown[0]


stacks = st.lists(st.sets(st.integers(0, 30), min_size=1, max_size=3), max_size=6)


@settings(max_examples=40, deadline=None)
@given(disks=st.integers(1, 3), stack=stacks)
def test_random_stacks_against_plain_reachability(disks: int, stack: list[set[int]]) -> None:
    """Device number i may be made of any devices before it; partitions lie between at random."""
    with tempfile.TemporaryDirectory() as directory:
        machine = RecordedMachine(Path(directory))
        known: list[str] = []
        below: dict[str, set[str]] = {}
        for i in range(disks):
            machine.disk(f"sd{chr(97 + i)}", f"8:{16 * i}", SATA.format(i + 1, i))
            machine.partition(f"sd{chr(97 + i)}", f"sd{chr(97 + i)}1", f"8:{16 * i + 1}")
            for name in (f"sd{chr(97 + i)}", f"sd{chr(97 + i)}1"):
                known.append(name)
                below[name] = {f"sd{chr(97 + i)}"}
        for i, wanted in enumerate(stack):
            made_of = sorted({known[w % len(known)] for w in wanted})
            machine.stacked(f"dm-{i}", f"253:{i}", tuple(made_of), dm__uuid="LVM-x", dm__name=f"v{i}")
            below[f"dm-{i}"] = set().union(*(below[name] for name in made_of))
            known.append(f"dm-{i}")
            machine.mount(f"253:{i}", f"/mnt/{i}", "xfs", f"/dev/mapper/v{i}")
        found = graph(machine)
        for i in range(len(stack)):
            chain = found.chain(number(f"253:{i}"))
            assert (set(names(chain)), chain.unknown) == (below[f"dm-{i}"], ())


# --- this machine ----------------------------------------------------------------------------------


def run(*command: str) -> str:
    return subprocess.run(command, env=ENVIRONMENT, check=True, capture_output=True, text=True).stdout.strip()


def disks_of(path: Path) -> list[str]:
    return names(read_graph().chain(os.stat(path).st_dev))


@pytest.mark.parametrize("kind", ["ext4", "xfs", "btrfs"])
def test_a_real_loop_device_is_on_the_disk_of_its_image(loop_fs: Callable[[str], LoopFs], kind: str) -> None:
    fs = loop_fs(kind)
    chain = read_graph(device_of=number_of).chain(os.stat(fs.root).st_dev)
    assert chain.unknown == ()
    assert chain.mount is not None
    assert (chain.mount.kind, chain.mount.point) == (kind, os.fsencode(fs.root))
    assert kinds(chain) == (["btrfs", "loop"] if kind == "btrfs" else ["loop"])
    assert Layer("loop", chain.layers[-1].name, str(fs.image)) == chain.layers[-1]
    assert names(chain) == disks_of(fs.image.parent)


@pytest.fixture
def two_loops(tmp_path: Path) -> Iterator[tuple[str, str]]:
    if reason := missing("btrfs"):
        pytest.skip(reason)
    found: list[str] = []
    try:
        for name in ("a", "b"):
            (tmp_path / name).write_bytes(b"")
            os.truncate(tmp_path / name, 320 << 20)
            found.append(run("losetup", "--find", "--show", str(tmp_path / name)))
        yield found[0], found[1]
    finally:
        for loop in found:
            run("losetup", "--detach", loop)


def test_a_real_btrfs_on_two_devices_with_subvolumes(two_loops: tuple[str, str], tmp_path: Path) -> None:
    run("mkfs.btrfs", "-q", "-f", "-L", "pair", *two_loops)
    run("btrfs", "device", "scan", *two_loops)
    top = tmp_path / "top"
    top.mkdir()
    run("mount", two_loops[0], str(top))
    try:
        run("btrfs", "subvolume", "create", str(top / "inner"))
        inner = os.open(top / "inner", os.O_RDONLY | os.O_DIRECTORY)
        try:
            device = os.fstat(inner).st_dev
            assert device != os.stat(top).st_dev
            chain = read_graph(device_of=number_of).chain(device, mount_id(inner))
        finally:
            os.close(inner)
        assert chain.unknown == ()
        assert chain.layers[0].name == "pair"
        assert {layer.name for layer in chain.layers[1:]} == {os.path.basename(loop) for loop in two_loops}
        assert names(chain) == disks_of(tmp_path)
        shown = read_graph(device_of=number_of).chain(os.stat(top).st_dev)
        assert shown.layers == chain.layers
    finally:
        run("umount", str(top))


def test_real_device_mapper(tmp_path: Path, two_loops: tuple[str, str]) -> None:
    if shutil.which("dmsetup", path=ENVIRONMENT["PATH"]) is None:
        pytest.skip("dmsetup is not installed")
    if subprocess.run(["dmsetup", "version"], env=ENVIRONMENT, check=False, capture_output=True).returncode:
        pytest.skip("this kernel has no device mapper")
    table = f"0 1000 linear {two_loops[0]} 0\n1000 1000 linear {two_loops[1]} 0\n"
    name = f"migmond-{os.getpid()}"
    subprocess.run(["dmsetup", "create", name], input=table, env=ENVIRONMENT, check=True, text=True)
    try:
        ((device, disks),) = read_graph().meant(name).items()
        assert device.startswith("dm-")
        assert list(disks) == disks_of(tmp_path)
    finally:
        run("dmsetup", "remove", name)
