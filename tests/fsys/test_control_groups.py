"""Control groups in a tree of files that looks like the kernel's; scripts/cgroup-test asks a real kernel."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from migmond.fsys.control_groups import ControlGroups, NoControlGroups, is_delegated, own_group


def tree(root: Path, controllers: str = "cpuset cpu io memory pids") -> Path:
    """A service's control group as the kernel shows it, with two processes in it."""
    service = root / "system.slice" / "migmond.service"
    service.mkdir(parents=True)
    (root / "cgroup.controllers").write_text(controllers + "\n")
    (service / "cgroup.controllers").write_text(controllers + "\n")
    (service / "cgroup.procs").write_text("101\n102\n")
    (service / "cgroup.subtree_control").write_text("")
    return service


@pytest.fixture
def kernel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """It makes the files of every new group, and takes them away with it."""
    made = Path.mkdir
    removed = Path.rmdir

    def mkdir(path: Path, mode: int = 0o777, parents: bool = False, exist_ok: bool = False) -> None:
        made(path, mode, parents, exist_ok)
        for name in ("cgroup.procs", "cpu.max", "memory.high") if "migmond.service/" in str(path) else ():
            (path / name).touch()

    def rmdir(path: Path) -> None:
        for name in ("cgroup.procs", "cpu.max", "memory.high"):
            (path / name).unlink(missing_ok=True)
        removed(path)

    monkeypatch.setattr(Path, "mkdir", mkdir)
    monkeypatch.setattr(Path, "rmdir", rmdir)
    return tree(tmp_path)


def prepared(directory: Path) -> ControlGroups:
    return ControlGroups.prepare(directory, lambda d: d.name == "migmond.service")


def test_the_daemon_makes_room_and_limits_its_movers(kernel: Path) -> None:
    groups = prepared(kernel)
    assert (kernel / "daemon" / "cgroup.procs").read_text() == "102", "one at a time, as the kernel wants it"
    assert (kernel / "cgroup.subtree_control").read_text() == "+cpu +memory"
    group = groups.group("0123")
    group.add(4711)
    group.limit(150, 1 << 30)
    directory = kernel / "execution-0123"
    assert (directory / "cgroup.procs").read_text() == "4711"
    assert (directory / "cpu.max").read_text() == "150000 100000"
    assert (directory / "memory.high").read_text() == str(1 << 30)
    for name in ("cpu.max", "memory.high"):  # the kernel's files are no shorter for what is written
        (directory / name).write_text("")
    group.limit(0.1, None)
    assert (directory / "cpu.max").read_text() == "1000 100000", "the kernel takes no less"
    assert (directory / "memory.high").read_text() == "max"
    group.remove()
    assert not directory.exists()
    group.remove()


def test_what_an_earlier_daemon_left_is_removed(kernel: Path) -> None:
    (kernel / "execution-old").mkdir()
    groups = prepared(kernel)
    assert not (kernel / "execution-old").exists()
    assert groups.group("new") is not None


def test_a_daemon_in_its_own_place_goes_up(kernel: Path) -> None:
    (kernel / "daemon").mkdir()
    prepared(kernel / "daemon")
    assert (kernel / "cgroup.subtree_control").read_text() == "+cpu +memory"


def test_what_is_not_delegated_is_left_alone(kernel: Path) -> None:
    with pytest.raises(NoControlGroups, match="Delegate="):
        ControlGroups.prepare(kernel)
    assert sorted(os.listdir(kernel)) == ["cgroup.controllers", "cgroup.procs", "cgroup.subtree_control"]
    assert not is_delegated(kernel)


@pytest.mark.parametrize(
    ("controllers", "why"), [("cpu pids", "no memory"), ("memory", "no cpu"), ("", "no cpu and no memory")]
)
def test_a_controller_that_is_missing_is_named(tmp_path: Path, controllers: str, why: str) -> None:
    service = tree(tmp_path, controllers)
    with pytest.raises(NoControlGroups, match=why):
        prepared(service)
    assert not (service / "daemon").exists()


def test_one_that_cannot_be_written_says_why(tmp_path: Path) -> None:
    service = tree(tmp_path)  # and no kernel that makes files in new groups
    with pytest.raises(NoControlGroups, match="No such file"):
        prepared(service)


def test_where_we_are(tmp_path: Path) -> None:
    tree(tmp_path)
    proc = tmp_path / "proc"
    proc.write_text("1:cpu:/\n0::/system.slice/migmond.service\n")
    assert own_group(proc, tmp_path) == tmp_path / "system.slice" / "migmond.service"
    proc.write_text("3:memory:/x\n")
    with pytest.raises(NoControlGroups, match="unified"):
        own_group(proc, tmp_path)
    proc.write_text("0::/\n")
    with pytest.raises(NoControlGroups, match="unified"):
        own_group(proc, tmp_path / "nowhere")
    with pytest.raises(NoControlGroups, match="cannot be read"):
        own_group(tmp_path / "gone", tmp_path)
