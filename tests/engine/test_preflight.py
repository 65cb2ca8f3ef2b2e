"""What `migmon plan` finds, on real file systems. Nothing is written to a target but what a test puts there."""

from __future__ import annotations

import contextlib
import os
import random
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

import trees
from as_user import NOBODY
from engine_harness import ME, Laboratory, laboratory, plan
from loopfs import missing, mounted, tmpfs
from migmond.cli.render.execution import verdict
from migmond.domain import api
from migmond.domain.changes import PutSession
from migmond.domain.errors import NotPermitted
from migmond.domain.events import HoldChanged
from migmond.domain.execution import Execution
from migmond.domain.hold import HoldReason
from migmond.domain.identity import Identity
from migmond.domain.limits import Limits
from migmond.domain.plan import ConflictPolicy, Operation, Plan, Source
from migmond.domain.preflight import Folding, TargetFacts
from migmond.domain.selector import Selector
from migmond.domain.session import DeviceSide, SessionRecord
from migmond.domain.states import ExecutionState
from migmond.engine import check
from migmond.engine.process import MoverProcess
from migmond.engine.settings import EngineSettings
from migmond.fsys.facts import target_facts

SOMEBODY = Identity(NOBODY, NOBODY, ())
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


@pytest.fixture
def open_tmp() -> Iterator[Path]:
    """A directory that others can reach: pytest's are root's own."""
    with tempfile.TemporaryDirectory(prefix="preflight-") as name:
        path = Path(name)
        for above in (path, *path.parents):
            if above.stat().st_uid == os.geteuid() and not above.stat().st_mode & 0o001:
                above.chmod(above.stat().st_mode | 0o011)
        path.chmod(0o755)
        yield path


def found(verdict: api.PlanVerdict, kind: str, severity: str = "warning") -> api.Finding | None:
    """The finding of that kind and severity."""
    matching = [f for f in verdict.findings if (f.kind, f.severity) == (kind, severity)]
    assert len(matching) <= 1, matching
    return matching[0] if matching else None


def counted(verdict: api.PlanVerdict, kind: str, severity: str = "warning") -> tuple[int, str]:
    """Count and example of a finding; (0, "") when there is none."""
    finding = found(verdict, kind, severity)
    return (finding.count, finding.example) if finding is not None else (0, "")


def listing(root: Path) -> list[tuple[str, int, int]]:
    """Everything that a write would change."""
    paths = [root, *root.rglob("*")]
    return sorted((str(p), p.lstat().st_mtime_ns, p.lstat().st_ctime_ns) for p in paths)


# --- room --------------------------------------------------------------------------------------------


@needs_root
async def test_holes_further_names_and_what_is_there_take_no_room(tmp_path: Path) -> None:
    """design page HAZARDS rows 29 and 30."""
    source = tmp_path / "source"
    source.mkdir()
    with open(source / "sparse", "wb") as file:
        file.write(os.urandom(100_000))
        file.truncate(1 << 30)
    (source / "plain").write_bytes(os.urandom(3 << 20))
    for number in range(3):
        os.link(source / "plain", source / f"name-{number}")
    with tmpfs(tmp_path / "target", "size=8m"):
        async with laboratory(tmp_path / "state") as lab:
            verdict = await lab.check(plan(source, tmp_path / "target" / "t"))
            assert verdict.feasible, verdict.findings
            (target,) = verdict.targets
            assert 3 << 20 < target.need_bytes <= target.need_bytes_most < 4 << 20
            assert verdict.bytes == (1 << 30) + (3 << 20)
            kept = found(verdict, "preserved", "ok")
            assert kept is not None
            assert "hard links (4)" in kept.message
            # A target that has most of it needs the rest only.
            (source / "more").write_bytes(os.urandom(6 << 20))
            done = await lab.run(plan(source, tmp_path / "target" / "t", selector=Selector(exclude=("more",))))
            assert done.totals.failed.entries == 0
            assert not (await lab.check(plan(source, tmp_path / "target" / "u"))).feasible
            again = await lab.check(plan(source, tmp_path / "target" / "t"))
            assert (found(again, "space", "blocker") is None) == (again.targets[0].free_bytes >= 6 << 20)
            assert again.targets[0].need_bytes == 6 << 20
            assert counted(again, "already_there", "ok")[0] == 5


@needs_root
async def test_too_little_room_and_too_few_inodes_are_blockers(tmp_path: Path) -> None:
    """design page HAZARDS row 13."""
    source = tmp_path / "source"
    trees.small_files(source, 60, 10_000, random.Random(1))
    with tmpfs(tmp_path / "a", "size=400k"), tmpfs(tmp_path / "b", "size=4m,nr_inodes=50"):
        before = [listing(tmp_path / name) for name in ("a", "b")]
        async with laboratory(tmp_path / "state") as lab:
            short = await lab.check(plan(source, tmp_path / "a" / "t"))
            packed = await lab.check(plan(source, tmp_path / "b" / "t"))
        assert [listing(tmp_path / name) for name in ("a", "b")] == before
    space = found(short, "space", "blocker")
    assert space is not None
    # 60 files of three pages each.
    assert short.targets[0].need_bytes == 60 * 12288
    assert f"{(60 * 12288 - 400 * 1024) / 1024:.0f} KiB short" in space.message
    assert (short.feasible, packed.feasible) == (False, False)
    inodes = found(packed, "inodes", "blocker")
    assert inodes is not None
    assert inodes.message.startswith("13 inodes short")  # 60 files and 2 directories; the root of the mount has one
    assert found(packed, "space", "blocker") is None


@needs_root
async def test_targets_on_one_file_system_share_its_room(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_bytes(os.urandom(3 << 20))
    with tmpfs(tmp_path / "target", "size=5m"):
        both = Plan(
            "both",
            tuple(Source(os.fsencode(tmp_path / n), n.encode()) for n in ("a", "b")),
            os.fsencode(tmp_path / "target"),
        )
        async with laboratory(tmp_path / "state") as lab:
            assert (await lab.check(plan(tmp_path / "a", tmp_path / "target" / "a"))).feasible
            verdict = await lab.check(both)
    assert len(verdict.targets) == 1
    assert found(verdict, "space", "blocker") is not None


@needs_root
@pytest.mark.parametrize("kind", ["ext4", "xfs"])
async def test_what_is_said_to_fit_fits(kind: str, tmp_path: Path) -> None:
    """The least need is never above what a copy really takes, the most not much below it."""
    if reason := missing(kind):
        pytest.skip(reason)
    source = tmp_path / "source"
    trees.small_files(source / "small", 300, 700, random.Random(2))
    trees.sparse_and_links(source / "links", 4, random.Random(3))
    with mounted(tmp_path, kind) as fs:
        async with laboratory(tmp_path / "state") as lab:
            verdict = await lab.check(plan(source, fs.root / "t"))
            os.sync()
            before = os.statvfs(fs.root)
            await lab.run(plan(source, fs.root / "t"))
            os.sync()
            after = os.statvfs(fs.root)
    (target,) = verdict.targets
    used = (before.f_bfree - after.f_bfree) * before.f_frsize
    assert target.need_bytes <= used <= target.need_bytes_most + (1 << 20)
    assert target.need_inodes == before.f_ffree - after.f_ffree or kind == "xfs"
    assert verdict.feasible


# --- rights ------------------------------------------------------------------------------------------


@needs_root
async def test_what_the_owner_may_not_read_or_remove_is_counted(open_tmp: Path, tmp_path: Path) -> None:
    source, target = open_tmp / "source", open_tmp / "target"
    source.mkdir()
    target.mkdir()
    (source / "mine").write_bytes(b"1")
    (source / "secret").write_bytes(b"2")
    (source / "secret").chmod(0o600)
    (source / "closed").mkdir(mode=0o700)
    (source / "sticky").mkdir()
    (source / "sticky" / "theirs").write_bytes(b"3")
    (source / "sticky" / "own").write_bytes(b"4")
    (source / "sticky").chmod(0o1777)
    (source / "locked").mkdir()
    (source / "locked" / "file").write_bytes(b"5")
    (source / "sticky" / "own").chmod(0o644)
    for path in (source, source / "mine", source / "sticky" / "own"):
        os.chown(path, NOBODY, NOBODY)
    async with laboratory(tmp_path / "state") as lab:
        refused = await lab.check(plan(source, target, Operation.MOVE), SOMEBODY)
        target.chmod(0o777)
        copied = await lab.check(plan(source, target), SOMEBODY)
        moved = await lab.check(plan(source, open_tmp / "target" / "t", Operation.MOVE), SOMEBODY)
        target.chmod(0o755)
        with pytest.raises(NotPermitted, match="not writable"):
            await lab.engine.start(plan(source, target), SOMEBODY, "", "")
        assert lab.engine.all() == []
        # Somebody else's directory may have directories in it that are open.
        (target / "sticky").mkdir()
        (target / "sticky").chmod(0o777)
        inside = await lab.ended(await lab.engine.start(plan(source, target), SOMEBODY, "", ""))
        assert inside.totals.done.entries > 0
        assert (target / "sticky" / "own").read_bytes() == b"4"
    assert found(refused, "not_writable", "blocker") is not None
    assert counted(copied, "unreadable_files") == (1, "secret")
    assert counted(copied, "unreadable") == (1, "closed")
    assert counted(copied, "foreign_owners")[0] == 6
    assert found(copied, "undeletable") is None
    assert moved.method == "rename"


@needs_root
async def test_a_move_says_what_it_cannot_remove(open_tmp: Path, tmp_path: Path) -> None:
    """design page HAZARDS row 33."""
    source = open_tmp / "source"
    source.mkdir()
    for name, uid in (("own", NOBODY), ("theirs", 0)):
        (source / name).write_bytes(b"x")
        os.chown(source / name, uid, uid)
    (source / "locked").mkdir()
    (source / "locked" / "file").write_bytes(b"x")
    (source / "append").mkdir()
    (source / "append" / "log").write_bytes(b"x")
    source.chmod(0o1777)
    target = open_tmp / "target"
    with (
        _attribute(source / "append" / "log", "a"),
        _attribute(source / "own", "d"),
        tmpfs(target, "size=1m,mode=777"),
    ):
        async with laboratory(tmp_path / "state") as lab:
            verdict = await lab.check(plan(source, target / "t", Operation.MOVE), SOMEBODY)
            copy = await lab.check(plan(source, target / "t"), SOMEBODY)
    assert counted(verdict, "undeletable")[0] == 2  # in locked and in append
    assert counted(verdict, "sticky")[0] == 3  # theirs, and the two directories
    assert counted(verdict, "immutable") == (1, "append/log")
    assert counted(verdict, "flags") == (1, "append/log")  # the other one, nodump, is copied
    assert not {"undeletable", "sticky", "immutable"} & {f.kind for f in copy.findings}


@contextlib.contextmanager
def _attribute(path: Path, flag: str) -> Iterator[None]:
    done = subprocess.run(["chattr", f"+{flag}", path], capture_output=True, check=False)
    if done.returncode:
        pytest.skip("no chattr on this file system")
    try:
        yield
    finally:
        subprocess.run(["chattr", f"-{flag}", path], check=True)


# --- what is where -------------------------------------------------------------------------------------


async def test_what_has_the_names_at_the_target_already(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    for root, other in ((source, b"new"), (target, b"older")):
        (root / "directory").mkdir(parents=True)
        (root / "same").write_bytes(b"same")
        (root / "differs").write_bytes(other)
    (source / "directory" / "file").write_bytes(b"x")
    (source / "clash").mkdir()
    (target / "clash").write_bytes(b"a file where a directory has to be")
    async with laboratory(tmp_path / "state") as lab:
        failing = await lab.check(plan(source, target))
        skipping = await lab.check(plan(source, target, conflict=ConflictPolicy.SKIP))
    assert counted(failing, "already_there", "ok") == (1, "same")
    assert counted(failing, "conflicts")[0] == 2
    assert counted(skipping, "conflicts", "ok")[0] == 2
    assert failing.feasible


@needs_root
async def test_pseudo_file_systems_and_mount_points(tmp_path: Path) -> None:
    """design page HAZARDS rows 19 and 37."""
    source = tmp_path / "source"
    (source / "inside").mkdir(parents=True)
    (source / "bound").mkdir()
    with tmpfs(source / "mounted", "size=1m"):
        subprocess.run(["mount", "--bind", source / "inside", source / "bound"], check=True)
        try:
            async with laboratory(tmp_path / "state") as lab:
                verdict = await lab.check(plan(source, tmp_path / "t"))
                pseudo = await lab.check(plan(Path("/proc/self/fdinfo"), tmp_path / "t"))
        finally:
            subprocess.run(["umount", source / "bound"], check=True)
    assert counted(verdict, "mount_points")[0] == 2
    assert found(verdict, "pseudo_file_system") is None
    assert counted(pseudo, "pseudo_file_system")[0] == 1


async def test_files_that_are_open_for_writing(tmp_path: Path) -> None:
    """design page HAZARDS row 27."""
    source = tmp_path / "source"
    (source / "d").mkdir(parents=True)
    (source / "d" / "written").write_bytes(b"x")
    (source / "read").write_bytes(b"x")
    code = (
        "import sys; a = open(sys.argv[1], 'ab'); b = open(sys.argv[2]); print('ready', flush=True); sys.stdin.read()"
    )
    writer = subprocess.Popen(
        [sys.executable, "-c", code, source / "d" / "written", source / "read"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert writer.stdin is not None
    assert writer.stdout is not None
    try:
        writer.stdout.readline()
        async with laboratory(tmp_path / "state") as lab:
            verdict = await lab.check(plan(source, tmp_path / "t"))
            writer.stdin.close()
            writer.wait()
            quiet = await lab.check(plan(source, tmp_path / "t"))
    finally:
        writer.kill()
        writer.wait()
        writer.stdout.close()
    assert counted(verdict, "open_writers") == (1, "d/written")
    assert found(quiet, "open_writers") is None


# --- what cannot be there --------------------------------------------------------------------------------


@needs_root
@pytest.mark.parametrize("kind", ["vfat", "exfat-fuse"])
async def test_what_a_fat_file_system_cannot_have(kind: str, tmp_path: Path) -> None:
    """design page HAZARDS rows 36 and 39."""
    if reason := missing(kind):
        pytest.skip(reason)
    source = tmp_path / "source"
    (source / "d").mkdir(parents=True)
    for name in ("Photo.jpg", "photo.JPG", "PHOTO.jpg", "d/Photo.jpg", "plain"):
        (source / name).write_bytes(b"x")
    (source / "a:b").write_bytes(b"x")
    (source / "link").symlink_to("plain")
    os.link(source / "plain", source / "second")
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(os.fspath(source / "socket"))
    with open(source / "huge", "wb") as file:
        file.truncate(5 << 30)
    with mounted(tmp_path, kind, size_bytes=64 << 20) as fs:
        (fs.root / "Something").mkdir()
        fd = os.open(fs.root, os.O_RDONLY)
        try:
            assert target_facts(fd).folding is Folding.CASE
        finally:
            os.close(fd)
        before = listing(fs.root)
        async with laboratory(tmp_path / "state") as lab:
            verdict = await lab.check(plan(source, fs.root))
            inside = await lab.check(plan(source, fs.root / "new"))
        assert listing(fs.root) == before
    for each in (verdict, inside):
        collision = found(each, "collisions")
        assert collision is not None
        assert collision.count == 3
        assert collision.message == "3 names differ only in case; destination folds case" or kind == "vfat"
    if kind == "vfat":
        assert counted(verdict, "name_characters") == (1, "a:b")
        assert counted(verdict, "symlinks") == (1, "link")
        assert counted(verdict, "hard_links")[0] == 2
        assert counted(verdict, "special_files") == (1, "socket")
        assert counted(verdict, "file_size") == (1, "huge")
        assert counted(verdict, "holes") == (1, "huge")


@needs_root
async def test_attributes_that_are_kept_and_lost(tmp_path: Path) -> None:
    """design page HAZARDS row 31."""
    if reason := missing("exfat-fuse"):
        pytest.skip(reason)
    source = tmp_path / "source"
    source.mkdir()
    for name in ("a", "b"):
        (source / name).write_bytes(b"x")
    os.setxattr(source / "a", "user.note", b"1")
    trees.acl(source / "a")
    os.setxattr(source / "b", "security.capability", trees.CAP_NET_RAW)
    with mounted(tmp_path, "exfat-fuse", size_bytes=32 << 20) as fs:
        async with laboratory(tmp_path / "state") as lab:
            kept = await lab.check(plan(source, tmp_path / "t"))
            lost = await lab.check(plan(source, fs.root))
    line = found(kept, "preserved", "ok")
    assert line is not None
    assert line.message == "xattrs (1), ACLs (1), capabilities (1) preserved"
    assert counted(lost, "acls") == (1, "a")
    assert counted(lost, "xattrs") == (1, "a")
    assert counted(lost, "capabilities") == (1, "b")
    assert found(lost, "preserved", "ok") is None


# --- reservations ----------------------------------------------------------------------------------------


@needs_root
async def test_room_is_not_promised_twice(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    (source / "file").write_bytes(os.urandom(6 << 20))
    with open(source / "sparse", "wb") as file:
        file.truncate(1 << 30)
    with tmpfs(tmp_path / "target", "size=9m"):
        async with laboratory(tmp_path / "state") as lab:
            alone = await lab.check(plan(source, tmp_path / "target" / "b"))
            assert alone.feasible
            slow = Limits(io_bytes_per_s=64 << 10)
            execution = await lab.start(plan(source, tmp_path / "target" / "a", limits=slow))
            await lab.until(lambda: not lab.engine.find(execution.id).totals.growing)
            (promise,) = lab.engine.promises(lambda e: e.name)
            assert promise.certain
            second = await lab.check(plan(source, tmp_path / "target" / "b"))
            space = found(second, "space", "blocker")
            assert space is not None
            assert f"source ({execution.id[:6]})" in space.message
            assert second.targets[0].promised_bytes <= promise.bytes <= 6 << 20
            await lab.engine.cancel(execution, "me", "")
            await lab.ended(execution)
            assert lab.engine.promises(lambda e: e.name) == []


# --- while it runs -----------------------------------------------------------------------------------------


@needs_root
async def test_what_cannot_fit_is_held_before_the_disk_is_full(tmp_path: Path) -> None:
    source, mount = tmp_path / "source", tmp_path / "mount"
    trees.large_files(source, 8, 4 << 20, random.Random(1))
    settings = EngineSettings(workers=1, hold_s=0.5)
    with tmpfs(mount, "size=16m"):
        async with laboratory(tmp_path / "state", settings) as lab:
            execution = await lab.start(plan(source, mount / "target", limits=Limits(io_bytes_per_s=256 << 10)))
            await lab.until(lambda: lab.engine.find(execution.id).state is ExecutionState.PAUSED)
            (hold,) = lab.engine.find(execution.id).holds
            assert hold.reason is HoldReason.SPACE
            assert "of what is still to be copied" in hold.note
            assert os.fsdecode(mount / "target") in hold.note
            assert os.statvfs(mount).f_bavail > 0
            # It is held again when it has expired, and goes on by itself when there is room.
            await lab.until(lambda: sum(isinstance(e, HoldChanged) and e.change == "set" for e in lab.events) > 2)
            subprocess.run(["mount", "-o", "remount,size=64m", mount], check=True)
            await lab.until(lambda: not lab.engine.find(execution.id).holds)
            await lab.engine.cancel(execution, "me", "")
            assert (await lab.ended(execution)).state is ExecutionState.CANCELLED


def copied(lab: Laboratory, execution: Execution) -> int:
    """Bytes that were brought over, wholly or in part."""
    progress = lab.engine.view(lab.engine.find(execution.id)).progress
    return progress.done.bytes + progress.in_flight.bytes


@needs_root
async def test_whoever_lifts_the_hold_fills_the_disk(tmp_path: Path) -> None:
    source, mount = tmp_path / "source", tmp_path / "mount"
    trees.large_files(source, 8, 4 << 20, random.Random(1))
    with tmpfs(mount, "size=16m"):
        async with laboratory(tmp_path / "state", EngineSettings(workers=1, hold_s=3600)) as lab:
            execution = await lab.start(plan(source, mount / "target", limits=Limits(io_bytes_per_s=256 << 10)))
            await lab.until(lambda: lab.engine.find(execution.id).state is ExecutionState.PAUSED)
            before = copied(lab, execution)
            await lab.engine.resume(execution, "me", "")
            await lab.until(lambda: copied(lab, execution) > before)
            assert not lab.engine.find(execution.id).holds
            await lab.engine.cancel(execution, "me", "")
            await lab.ended(execution)


@needs_root
async def test_what_may_be_there_already_is_not_held(tmp_path: Path) -> None:
    """A second run over a full target that has everything needs nothing."""
    source, mount = tmp_path / "source", tmp_path / "mount"
    trees.large_files(source, 3, 4 << 20, random.Random(1))
    with tmpfs(mount, "size=13m"):
        async with laboratory(tmp_path / "state", EngineSettings(workers=1, hold_s=3600)) as lab:
            for _ in range(2):
                done = await lab.run(plan(source, mount / "target"))
                assert done.state is ExecutionState.COMPLETED
            assert not [e for e in lab.events if isinstance(e, HoldChanged)]


@needs_root
async def test_a_destination_that_becomes_somebodys_symlink_meanwhile_is_a_verdict(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was a mover's bug."""
    source, target = tmp_path / "source", tmp_path / "target"
    source.mkdir()
    target.mkdir()
    really = check.probe

    async def late(process: MoverProcess) -> tuple[TargetFacts, ...]:
        facts = await really(process)
        target.rename(tmp_path / "away")
        target.symlink_to("away")
        os.lchown(target, 65534, 65534)
        return facts

    monkeypatch.setattr(check, "probe", late)
    async with laboratory(tmp_path / "state") as lab:
        verdict = await check.check_plan(lab.surroundings, plan(source, target), ME)
    assert not verdict.feasible
    assert "symlink" in verdict.findings[0].message


async def test_how_long_it_takes_is_told_by_earlier_runs_between_the_same_disks(tmp_path: Path, other_fs: Path) -> None:
    source, target = other_fs / "source", other_fs / "target"
    trees.small_files(source, 100, 10_000, random.Random(1), per_directory=50)
    async with laboratory(tmp_path / "state") as lab:
        unknown = await lab.check(plan(source, target, reflink=False))
        assert unknown.estimate_s is None
        assert "no earlier run" in unknown.estimate_reason
        memory = DeviceSide((), "memory", "memory")
        first = await lab.run(plan(source, other_fs / "before"))
        cost = {"cost_a": 0.05, "cost_b": 1e-6}
        known = SessionRecord(first.key, first.id, 0.0, source=memory, target=memory, **cost)  # type: ignore[arg-type]
        await lab.journal.apply([PutSession(known)])
        told = await lab.check(plan(source, target, reflink=False))
        assert told.estimate_reason == ""
        assert told.estimate_low_s is not None
        assert told.estimate_high_s is not None
        assert told.estimate_s == pytest.approx(0.05 * told.entries + 1e-6 * told.bytes, rel=0.2)
        assert told.estimate_s is not None
        assert told.estimate_low_s < told.estimate_s < told.estimate_high_s
        slow = await lab.check(plan(source, target, reflink=False, limits=Limits(io_bytes_per_s=10_000)))
        assert slow.estimate_s == pytest.approx(told.bytes / 10_000, rel=0.3)
        instantly = await lab.check(plan(source, target, Operation.MOVE))
        assert (instantly.method, instantly.estimate_s, instantly.estimate_reason) == ("rename", None, "")
    assert verdict(told, "/there")[-1].startswith("  takes about ")
    assert verdict(unknown, "/there")[-1].startswith("  how long it takes is not known: no earlier run")
