"""Movers have the rights of who asked, whatever they are started for, and nobody gets at what they hold."""

from __future__ import annotations

import ctypes
import errno
import os
import shutil
import signal
import stat
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from as_user import as_user
from migmond.cli.follow import ENDED
from migmond.client.errors import RemoteError
from migmond.client.sync import Client
from migmond.domain import api
from migmond.domain.names import to_text
from migmond.domain.plan import Operation
from several_users import ADMINS, ANA, BEN, OPERATORS, ROLES, SystemDaemon, gid, passable
from trees import CAP_NET_RAW

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root: a daemon that serves several users")

_PTRACE_ATTACH, _PTRACE_DETACH = 16, 17
TIMEOUT_S = 60
SLOWLY = {"io_bytes_per_s": 100_000}


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[SystemDaemon]:
    with SystemDaemon(passable(tmp_path) / "daemon", ROLES) as running:
        yield running


def give(tree: Path, uid: int) -> Path:
    """Make everything in `tree` somebody's."""
    for directory, _, files in os.walk(tree):
        for path in (directory, *(os.path.join(directory, f) for f in files)):
            mode = os.lstat(path).st_mode
            os.chown(path, uid, uid, follow_symlinks=False)
            if not stat.S_ISLNK(mode):
                os.chmod(path, stat.S_IMODE(mode))  # chown clears setuid bits
    return tree


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A directory of ana's with a tree `data` of forty files of 32 KiB."""
    data = tmp_path / "ana" / "data"
    data.mkdir(parents=True)
    for number in range(40):
        (data / f"f{number:02}").write_bytes(os.urandom(1 << 15))
    return give(tmp_path / "ana", ANA)


class Person:
    """Calls the daemon as somebody, each time from a process of theirs."""

    def __init__(self, daemon: SystemDaemon, uid: int, *groups: int) -> None:
        self._socket, self.uid, self._groups = daemon.socket, uid, groups or (gid(OPERATORS),)

    def ask(self, method: str, params: api.Params | dict[str, Any] | None = None) -> dict[str, object] | str:
        """The result, or the kind of the error."""

        def call() -> dict[str, object] | str:
            with Client(self._socket) as client:
                try:
                    found: dict[str, object] = client.call(method, params or {}, dict)
                except RemoteError as e:
                    return e.kind
                return found

        if self.uid == 0:
            return call()
        return as_user(call, uid=self.uid, gid=self.uid, groups=self._groups)

    def start(self, source: Path, target: Path, **fields: object) -> str:
        """The id of the execution, or the kind of the error."""
        spec = api.PlanSpec((api.SourceSpec(to_text(bytes(source))),), to_text(bytes(target)), **fields)  # type: ignore[arg-type]
        found = self.ask("execution.start", api.StartParams(spec))
        return found if isinstance(found, str) else str(found["id"])

    def until(self, id_: str, condition: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        deadline = time.monotonic() + TIMEOUT_S
        while True:
            view = self.ask("execution.get", {"id": id_})
            assert isinstance(view, dict), view
            if condition(view):
                return view
            assert time.monotonic() < deadline, view
            time.sleep(0.02)

    def ended(self, id_: str) -> str:
        found = self.until(id_, lambda v: v["state"] in ENDED and not str(v["why"]).startswith("verifying"))
        return str(found["state"])


def copying(view: dict[str, Any]) -> bool:
    """It is at work, and its scanner has ended."""
    return bool(view["movers"]) and not view["progress"]["growing"]


def credentials(pid: int) -> dict[str, list[int]]:
    lines = dict(line.split(":\t", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines() if ":\t" in line)
    rights = {name: [int(n) for n in lines[name].split()] for name in ("Uid", "Gid", "Groups")}
    return {**rights, "CapEff": [int(lines["CapEff"], 16)], "CapPrm": [int(lines["CapPrm"], 16)]}


def movers_of(daemon: SystemDaemon, uid: int) -> list[int]:
    """Its movers, once all of them have become that user: they load their code before."""
    deadline = time.monotonic() + TIMEOUT_S
    while True:
        movers = daemon.movers()
        if movers and all(credentials(pid)["Uid"][0] == uid for pid in movers):
            return movers
        assert time.monotonic() < deadline
        time.sleep(0.02)


def refusal(call: Callable[[], object]) -> int:
    try:
        call()
    except OSError as e:
        return e.errno or 0
    return 0


def trace(pid: int) -> None:
    ptrace = ctypes.CDLL(None, use_errno=True).ptrace
    if ptrace(_PTRACE_ATTACH, pid, None, None):
        raise OSError(ctypes.get_errno(), "ptrace")
    ptrace(_PTRACE_DETACH, pid, None, None)


def test_a_mover_is_its_user_and_the_user_cannot_look_into_it(daemon: SystemDaemon, home: Path) -> None:
    ana = Person(daemon, ANA)
    id_ = ana.start(home / "data", home / "copy", limits=SLOWLY)
    ana.until(id_, copying)
    for again in (False, True):
        if again:
            daemon.kill(movers=True)
            daemon.start()
            ana.until(id_, copying)
        for pid in movers_of(daemon, ANA):
            assert credentials(pid) == {
                "Uid": [ANA] * 4, "Gid": [ANA] * 4, "Groups": [gid(OPERATORS)], "CapEff": [0], "CapPrm": [0],
            }  # fmt: skip
            for peek in (
                lambda pid=pid: trace(pid),
                lambda pid=pid: os.open(f"/proc/{pid}/mem", os.O_RDWR),
                lambda pid=pid: os.listdir(f"/proc/{pid}/fd"),
                lambda pid=pid: Path(f"/proc/{pid}/environ").read_bytes(),
            ):
                found = as_user(lambda peek=peek: refusal(peek), uid=ANA, gid=ANA)  # type: ignore[misc]
                assert found in (errno.EPERM, errno.EACCES)
    ana.ask("execution.cancel", {"id": id_})
    assert ana.ended(id_) == "cancelled"


def test_resume_verify_and_cancel_have_no_more_rights(daemon: SystemDaemon, home: Path) -> None:
    """Root closes the trees between the steps: what was started for ana gets into them no more than she does."""
    ana = Person(daemon, ANA)
    done = ana.start(home / "data", home / "copy")
    assert ana.ended(done) == "completed"
    half = ana.start(home / "data", home / "half", limits=SLOWLY)
    ana.until(half, copying)
    ana.ask("execution.drain", {"id": half})
    assert ana.ended(half) == "drained"
    left = sorted((home / "half").iterdir())
    os.chown(home, 0, 0)
    home.chmod(0o700)
    ana.ask("execution.verify", {"id": done})
    view = ana.until(done, lambda v: not str(v["why"]).startswith("verifying"))
    verification = view["verification"]
    assert isinstance(verification, dict)
    assert verification["checked"]["bytes"] == 0  # it could not read anything
    assert verification["unreadable"] == verification["checked"]["entries"]
    assert verification["mismatches"] == 0
    for method in ("resume", "cancel"):
        ana.ask(f"execution.{method}", {"id": half})
        ana.ended(half)
        assert sorted((home / "half").iterdir()) == left
    refused = (
        ana.start(home / "data", home / "new"),
        ana.start(home / "data", home / "away", operation=Operation.MOVE),
    )
    assert refused == ("not_permitted", "not_permitted")
    assert not (home / "new").exists()
    assert (home / "data").is_dir()


def test_a_user_who_left_a_group_has_left_it_here_too(daemon: SystemDaemon, home: Path, tmp_path: Path) -> None:
    """Groups may be lost between a start and a resume: what counts is what the user is now."""
    secret = gid(ADMINS) + 20000
    shared = tmp_path / "shared"
    shutil.copytree(home / "data", shared)
    os.chown(shared, 0, secret)
    shared.chmod(0o750)
    member, former = Person(daemon, ANA, gid(OPERATORS), secret), Person(daemon, ANA)
    id_ = member.start(shared, home / "copy", limits=SLOWLY)
    member.until(id_, copying)
    member.ask("execution.drain", {"id": id_})
    assert member.ended(id_) == "drained"
    names = sorted(os.listdir(home / "copy"))
    former.ask("execution.resume", {"id": id_})
    assert former.ended(id_) == "failed"
    assert sorted(os.listdir(home / "copy")) == names
    assert former.start(shared, home / "other") == "not_permitted"
    member.ask("execution.resume", {"id": id_})
    assert member.until(id_, copying)
    Person(daemon, 0).ask("execution.cancel", {"id": id_})
    assert member.ended(id_) == "cancelled"


def special_files(tree: Path) -> None:
    tree.mkdir()
    for name, mode in (("setuid", 0o4755), ("setgid", 0o2755), ("plain", 0o755)):
        (tree / name).write_bytes(b"#!")
        (tree / name).chmod(mode)
    give(tree, ANA)
    (tree / "capable").write_bytes(b"#!")
    os.chown(tree / "capable", ANA, ANA)
    os.setxattr(tree / "capable", "security.capability", CAP_NET_RAW)


def test_setuid_bits_capabilities_and_devices_are_for_privileged_plans(daemon: SystemDaemon, home: Path) -> None:
    tree, theirs, ours = home / "special", home / "theirs", home / "ours"
    special_files(tree)
    os.mknod(tree / "device", stat.S_IFCHR | 0o666, os.makedev(1, 3))
    ana, root = Person(daemon, ANA), Person(daemon, 0)
    id_ = ana.start(tree, theirs)
    assert ana.ended(id_) == "completed_with_errors"
    assert sorted(p.name for p in theirs.iterdir()) == ["capable", "plain", "setgid", "setuid"]
    for path in theirs.iterdir():
        assert stat.S_IMODE(path.stat().st_mode) & ~0o777 == 0, path
        assert "security.capability" not in os.listxattr(path)
    files = ana.ask("execution.files", {"id": id_})
    assert isinstance(files, dict)
    lost = {t["path"]: t["lost"] for t in files["tasks"]}  # type: ignore[attr-defined]
    assert lost["setuid"] == lost["setgid"] == ["mode"]
    assert lost["capable"] == ["capabilities"]
    assert lost["plain"] == []
    assert root.ended(root.start(tree, ours, privileged=True)) == "completed"
    assert stat.S_IMODE((ours / "setuid").stat().st_mode) == 0o4755
    assert stat.S_IMODE((ours / "setgid").stat().st_mode) == 0o2755
    assert os.getxattr(ours / "capable", "security.capability") == CAP_NET_RAW
    assert (ours / "device").stat().st_rdev == os.makedev(1, 3)


def test_entries_that_cannot_be_opened_keep_what_is_theirs(daemon: SystemDaemon, home: Path) -> None:
    """They are changed through /proc/self/fd, which a process that was root's may still use for itself."""
    tree = home / "odd"
    tree.mkdir()
    (tree / "link").symlink_to("nowhere")
    os.mkfifo(tree / "fifo", 0o640)
    give(tree, ANA)
    for name in ("link", "fifo"):
        os.utime(tree / name, ns=(1, 1_000_000_007), follow_symlinks=False)
    ana = Person(daemon, ANA)
    assert ana.ended(ana.start(tree, home / "odd-copy")) == "completed"
    for name in ("link", "fifo"):
        st = os.lstat(home / "odd-copy" / name)
        assert (st.st_mtime_ns, st.st_uid, st.st_mode) == (1_000_000_007, ANA, os.lstat(tree / name).st_mode)


def test_a_user_who_kills_or_stops_a_mover_harms_nobody_else(daemon: SystemDaemon, home: Path) -> None:
    ana, ben = Person(daemon, ANA), Person(daemon, BEN)
    id_ = ana.start(home / "data", home / "copy", limits=SLOWLY)
    ana.until(id_, copying)
    movers = movers_of(daemon, ANA)
    for number in (signal.SIGSTOP, signal.SIGKILL):
        for pid in movers:
            as_user(lambda pid=pid, number=number: os.kill(pid, number), uid=ANA, gid=ANA)  # type: ignore[misc]
        assert isinstance(ben.ask("system.status"), dict)
    ana.ask("execution.cancel", {"id": id_})
    assert ana.ended(id_) == "cancelled"
