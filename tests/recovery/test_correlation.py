"""What errors come from, by facts as the collectors and the journal of such days have them."""

from __future__ import annotations

import errno

import pytest
from hypothesis import given
from hypothesis import strategies as st

from migmond.domain.fault import Fault, Phase
from migmond.domain.states import LIVE_EXECUTION_STATES, ExecutionState
from migmond.recovery.advice import LIKELY, entries, recommend
from migmond.recovery.commands import Command, Situation, works
from migmond.recovery.correlation import (
    AT_EDGE,
    MOST_CAUSES,
    WINDOW_S,
    Fact,
    FactKind,
    Where,
    causes,
    correlate,
)
from migmond.recovery.reference import reference
from migmond_kernel.messages import KINDS, classify

T = 1_764_200_000.0
SDD = Where(("sdd",), "/mnt/tank", "ext4")
DST = Where(("nvme1n1",), "/mnt/nvme2", "xfs")


def kernel(at: float, message: str) -> Fact:
    """A message as the kernel wrote it, as the collector reads it."""
    found = classify(message)
    assert found is not None, message
    return Fact(FactKind(found.kind), at, found.device, message)


DAYS: list[tuple[str, Phase, str, Where, list[Fact], str]] = [
    ("a full disk", Phase.COPY, "ENOSPC", DST,
     [Fact(FactKind.NO_SPACE, T, "/mnt/nvme2", "0 B of 611 GiB are free"),
      Fact(FactKind.NO_SPACE, T, "/boot", "1 MiB of 1 GiB is free")], "full"),
    ("no inodes", Phase.COPY, "ENOSPC", DST,
     [Fact(FactKind.NO_INODES, T, "/mnt/nvme2", "no inode is free")], "no_inodes"),
    ("a quota", Phase.COPY, "EDQUOT", DST,
     [Fact(FactKind.QUOTA_USED, T, "/mnt/nvme2", "uid 1000 has 611 GiB of 611 GiB")], "quota"),
    ("bad sectors", Phase.READ, "EIO", SDD,
     [kernel(T - 3, "ata4.00: exception Emask 0x0 SAct 0x1 SErr 0x0 action 0x0"),
      kernel(T - 2, "ata4: hard resetting link"),
      kernel(T - 1, "blk_update_request: I/O error, dev sdd, sector 2099200 op 0x0:(READ) flags 0x0 phys_seg 1"),
      Fact(FactKind.SMART, None, "sdd", "8 sectors of sdd wait to be replaced (197)")], "bad_sectors"),
    ("read-only after a journal abort", Phase.COPY, "EROFS", SDD,
     [kernel(T - 1, "Aborting journal on device sdd1-8."),
      kernel(T - 1, "EXT4-fs (sdd1): Remounting filesystem read-only"),
      Fact(FactKind.MOUNTED_READ_ONLY, T, "/mnt/tank", "/mnt/tank is read-only")], "read_only"),
    ("an unplugged disk", Phase.READ, "EIO", SDD,
     [kernel(T - 1, "sd 3:0:0:0: [sdd] Synchronize Cache(10) failed: Result: hostbyte=DID_NO_CONNECT"),
      Fact(FactKind.OFFLINE, T - 1, "sdd", "usb 2-1: USB disconnect, device number 4"),
      Fact(FactKind.UNMOUNTED, T, "/mnt/tank", "nothing is mounted at /mnt/tank")], "unplugged"),
    ("no permission", Phase.READ, "EACCES", SDD, [], "permission"),
    ("a name that is too long", Phase.COPY, "ENAMETOOLONG", DST, [], "name_too_long"),
    ("4 GiB on vfat", Phase.COPY, "EFBIG", Where(("sde",), "/mnt/stick", "vfat"),
     [Fact(FactKind.LIMIT, None, "/mnt/stick", "vfat has no files of 4 GiB and more")], "too_large"),
    ("a stale NFS", Phase.READ, "ESTALE", Where((), "/mnt/nas", "nfs4"),
     [Fact(FactKind.TIMEOUT, T - 20, "nas", "nfs: server nas not responding, still trying")], "stale"),
    ("a bad cable", Phase.COPY, "ETIMEDOUT", SDD,
     [kernel(T - 2, "ata4: hard resetting link"), Fact(FactKind.LINK, None, "sdd", "311 errors on the cable (199)")],
     "link"),
    ("a FUSE process that died", Phase.READ, "ENOTCONN", Where((), "/mnt/remote", "fuse.sshfs"), [], "served_no_more"),
    ("a writer", Phase.COPY, "source_changed", SDD, [], "in_use"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "phase", "kind", "where", "facts", "expected"), DAYS, ids=[d[0] for d in DAYS])
def test_days_on_which_things_went_wrong(
    name: str, phase: Phase, kind: str, where: Where, facts: list[Fact], expected: str
) -> None:
    noise = [
        Fact(FactKind.IO_ERROR, T, "sdz1", "I/O error, dev sdz"),  # another disk
        Fact(FactKind.RESET, T - 3600, "sdd", "an hour ago"),
        Fact(FactKind.NO_SPACE, T, "/elsewhere", "full"),
    ]
    fault = Fault(phase, kind, getattr(errno, kind, 0), "")
    found = correlate(fault, T, T + 60, where, [*noise, *facts])
    assert found[0].cause.name == expected, [(f.cause.name, f.score) for f in found]
    assert found[0].score >= LIKELY
    assert not any(n.text in e for n in noise for f in found for e in f.evidence)
    shown = {e.split(" (and ")[0] for e in found[0].evidence}
    assert shown <= {f.text for f in facts}
    told = recommend(
        fault, found, Situation("ml", ExecutionState.COMPLETED_WITH_ERRORS, 1, 0, under="raw", example="x")
    )
    assert told.meaning
    assert told.command.startswith("migmon ")
    assert "{" not in told.command


def test_every_kind_of_note_of_the_kernel_is_a_fact_and_every_cause_has_advice() -> None:
    assert set(KINDS) <= {k.value for k in FactKind}
    assert sorted(a.cause for a in entries()) == sorted(c.name for c in causes())
    assert all(a.meaning and a.action and a.commands and a.source for a in entries())


@pytest.mark.parametrize("state", ExecutionState)
@pytest.mark.parametrize(("failed", "waiting"), [(0, 3), (3, 0), (1, 2)])
@pytest.mark.parametrize("held", [True, False])
def test_no_command_is_told_that_would_be_refused_or_pick_nothing(
    state: ExecutionState, failed: int, waiting: int, *, held: bool
) -> None:
    there = Situation("ml", state, failed, waiting, held=held, example="x")
    over = state in (ExecutionState.COMPLETED, ExecutionState.CANCELLED, ExecutionState.CANCELLING)
    for fault in (
        Fault(Phase.READ, "EIO", 5, ""),
        Fault(Phase.SCAN, "EACCES", 13, ""),
        Fault(Phase.COPY, "EFBIG", 27, ""),
    ):
        told = {c for c in Command if works(c, fault, there)}
        steer = {Command.RETRY, Command.SKIP, Command.ROUTE, Command.RESUME, Command.THROTTLE}
        assert not (over and told & steer)
        assert (Command.RETRY in told) <= bool(failed)
        assert (Command.SALVAGE in told) <= bool(failed)
        if fault.phase is Phase.SCAN and not waiting:
            assert not told & {Command.SKIP, Command.ROUTE, Command.SALVAGE}
        if state in LIVE_EXECUTION_STATES and not held:
            assert Command.RESUME not in told
    assert works(Command.RETRY, Fault(Phase.SCAN, "EACCES", 13, ""), there) is (
        bool(failed) and state.value in ("drained", "failed", "completed_with_errors")
    )


def test_closeness_and_device_count() -> None:
    fault = Fault(Phase.READ, "EIO", errno.EIO, "")

    def score(at: float | None, subject: str, where: Where = SDD) -> float:
        facts = [Fact(FactKind.IO_ERROR, at, subject, "x")]
        return next(f.score for f in correlate(fault, T, T, where, facts) if f.cause.name == "bad_sectors")

    alone = 0.3
    assert score(T, "sdd1") == score(None, "sdd") == round(1 - (1 - alone) * 0.5, 3)
    assert score(T - WINDOW_S, "sdd") == round(1 - (1 - alone) * (1 - 0.5 * AT_EDGE), 3)
    assert score(T + WINDOW_S + 1, "sdd") == score(T, "sde") == score(T, "nvme0n1p2") == alone
    assert alone < score(T, "") < score(T, "sdd")
    assert score(T, "dm-3") == score(T, "ata4") == score(T, "")
    image = Where(("sdd",), "/mnt/image", "ext4", ("dm-3", "loop3"))
    assert score(T, "loop3", image) == score(T, "dm-3", image) == score(T, "sdd", image) == score(T, "sdd")
    assert score(T, "loop4", image) == score(T, "dm-1", image) == alone


def test_people_are_told_the_device_and_the_disk_that_it_is_on() -> None:
    found = [Where(("sdd",), devices=("loop3",)), Where(("sdb", "sda"), devices=("dm-1", "md0")), SDD, Where()]
    assert [where.device for where in found] == ["loop3 (on sdd)", "dm-1 (on sda sdb)", "sdd", ""]


FACTS = st.lists(
    st.builds(
        Fact,
        st.sampled_from(FactKind),
        st.none() | st.floats(T - 60, T + 60),
        st.sampled_from(["", "sdd", "sdd1", "sde", "/mnt/tank", "/x", "dm-0"]),
        st.text(max_size=5),
    ),
    max_size=12,
)


@given(st.sampled_from(sorted({k for c in causes() for k in c.errors})), FACTS, FACTS)
def test_more_facts_never_make_a_cause_less_likely(kind: str, some: list[Fact], more: list[Fact]) -> None:
    fault = Fault(Phase.COPY, kind, 0, "")
    few, many = (correlate(fault, T, T + 1, SDD, facts) for facts in (some, [*some, *more]))
    assert len(many) <= MOST_CAUSES
    assert [f.score for f in many] == sorted((f.score for f in many), reverse=True)
    later = {f.cause.name: f.score for f in many}
    for found in few:
        assert 0 < found.score <= 1
        assert later.get(found.cause.name, 1.0) >= found.score
    assert correlate(fault, T, T + 1, SDD, [*more, *some]) is not None


def test_hostile_directories_cannot_leave_their_quotes() -> None:
    found = correlate(Fault(Phase.COPY, "ENOSPC", 28, ""), T, T, DST, [])
    for under in ("a'; rm -rf ~; '", "-x", "$(reboot)", "plain/dir-1.x"):
        there = Situation("ml", ExecutionState.PAUSED, 0, 1, under=under)
        command = recommend(Fault(Phase.COPY, "ENOSPC", 28, ""), found, there).command
        import shlex

        assert shlex.split(command)[-2] == under


def test_the_reference_has_every_row_cause_and_advice() -> None:
    text = reference()
    for cause in causes():
        assert text.count(f"| `{cause.name}` |") == 2
    assert "`EIO`" in text
    assert "all others" in text
