"""Every error in every step on every kind of device has exactly one row, and it is the one that was meant."""

from __future__ import annotations

import errno
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from migmond.domain.fault import Disposition, Fault, Phase
from migmond.recovery.dispositions import (
    DeviceKind,
    Side,
    device_kind,
    disposition_of,
    others,
    row_for,
    row_of,
    rows,
    side_of,
)

ERRORS = sorted(errno.errorcode.values())
WORDS = sorted({k for row in rows() for k in row.kinds if k.islower()})
PLACES = list(itertools.product(Phase, DeviceKind))


@pytest.mark.parametrize("kind", [*ERRORS, *WORDS, "EUNKNOWN", "something_new"])
def test_every_error_in_every_step_has_exactly_one_row(kind: str) -> None:
    for phase, device in PLACES:
        written = [r for r in rows() if kind in r.kinds and phase in r.phases and device in r.devices]
        assert len(written) <= 1, (kind, phase, device)
        rest = [r for r in others() if phase in r.phases and device in r.devices]
        assert len(rest) == 1
        assert row_for(kind, phase, device) == (written or rest)[0]


def test_every_row_can_be_met_and_gives_a_reason() -> None:
    known = {*ERRORS, *WORDS, *dir(errno)}
    for row in (*rows(), *others()):
        assert row.kinds <= known, row.kinds - known
        assert row.phases
        assert row.devices
        assert row.reason.endswith(".")
        assert row.attempts is None or (row.disposition is Disposition.RETRY and row.attempts > 1)
        assert row.disposition is not Disposition.HOLD or row.device  # a hold is a breaker that opens


@pytest.mark.parametrize(
    ("phase", "kind", "number", "expected"),
    [
        (Phase.COPY, "EAGAIN", errno.EAGAIN, Disposition.RETRY),
        (Phase.COPY, "ENOSPC", errno.ENOSPC, Disposition.HOLD),
        (Phase.READ, "ESTALE", errno.ESTALE, Disposition.HOLD),
        (Phase.SYNC, "ENOSPC", errno.ENOSPC, Disposition.HOLD),
        (Phase.SYNC, "EFBIG", errno.EFBIG, Disposition.RETRY),
        (Phase.SYNC, "EIO", errno.EIO, Disposition.RETRY),
        (Phase.COPY, "EACCES", errno.EACCES, Disposition.FAIL),
        (Phase.COPY, "source_changed", 0, Disposition.RETRY),
        (Phase.VERIFY, "hash_mismatch", 0, Disposition.RETRY),
        (Phase.DELETE, "target_changed", 0, Disposition.FAIL),
        (Phase.COPY, "target_changed", errno.ESTALE, Disposition.HOLD),
        (Phase.DELETE, "kept_aside", errno.EROFS, Disposition.HOLD),
        (Phase.PUBLISH, "exists", 0, Disposition.FAIL),
    ],
)
def test_what_is_done(phase: Phase, kind: str, number: int, expected: Disposition) -> None:
    assert disposition_of(Fault(phase, kind, number, "")) is expected


def test_a_bad_sector_is_tried_once_more_and_a_server_that_fails_as_often_as_any() -> None:
    bad = Fault(Phase.READ, "EIO", errno.EIO, "")
    assert row_of(bad).attempts == 2
    assert row_of(bad, DeviceKind.NETWORK).attempts is None


@given(st.sampled_from(Phase), st.sampled_from(ERRORS), st.sampled_from(DeviceKind))
def test_a_fault_of_the_kernel_has_the_row_of_its_number(phase: Phase, kind: str, device: DeviceKind) -> None:
    number = getattr(errno, kind)
    assert row_of(Fault.from_oserror(phase, OSError(number, "")), device) == row_for(
        errno.errorcode[number], phase, device
    )


def test_sides_and_kinds_of_devices() -> None:
    assert {p for p in Phase if side_of(p) is Side.SOURCE} == {Phase.READ, Phase.SCAN, Phase.DELETE}
    assert {p for p in Phase if side_of(p) is Side.NONE} == {Phase.MOVER, Phase.OPEN}
    kinds = {t: device_kind(t) for t in ("ext4", "", "nfs4", "fuse.sshfs", "fuse.mergerfs", "fuse", "fuseblk")}
    assert kinds == {
        "ext4": DeviceKind.LOCAL,
        "": DeviceKind.LOCAL,
        "nfs4": DeviceKind.NETWORK,
        "fuse.sshfs": DeviceKind.NETWORK,
        "fuse.mergerfs": DeviceKind.FUSE,
        "fuse": DeviceKind.FUSE,
        "fuseblk": DeviceKind.LOCAL,  # NTFS by ntfs-3g: a disk of this machine
    }


def test_two_names_of_one_number_are_one_error() -> None:
    names = [n for n in dir(errno) if n.startswith("E")]
    for kind, (phase, device) in itertools.product(names, PLACES):
        assert row_for(kind, phase, device) == row_for(errno.errorcode[getattr(errno, kind)], phase, device)
