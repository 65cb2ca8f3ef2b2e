"""Roots that cannot be opened are refused, whatever is wrong with them; no mover ends by it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from migmond.domain.plan import ConflictPolicy, Operation, VerifyLevel
from migmond.mover.root import Refused
from migmond.mover.roots import open_roots
from migmond.wire.items import MoverOptions, RootSpec
from migmond.wire.to_mover import Open

OPTIONS = MoverOptions(
    "0" * 12,
    Operation.COPY,
    ConflictPolicy.FAIL,
    VerifyLevel.HASH,
    one_file_system=True,
    reflink=False,
    rename=False,
)
TOO_LONG = b"n" * 256


@pytest.mark.parametrize("source", ["file", "directory", "missing"])
@pytest.mark.parametrize("below", [False, True])
def test_a_destination_whose_name_no_file_system_takes(tmp_path: Path, source: str, *, below: bool) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "directory").mkdir()
    target = os.path.join(bytes(tmp_path), TOO_LONG, *((b"x",) if below else ()))
    for gone_allowed in (False, True):
        may_be_gone = (0,) if gone_allowed else ()
        opening = Open(
            (RootSpec(bytes(tmp_path / source), target),), OPTIONS, make_targets=False, may_be_gone=may_be_gone
        )
        with pytest.raises(Refused) as refused:
            open_roots(opening)
        assert refused.value.answer.fault.kind == "ENAMETOOLONG"
        assert refused.value.answer.message
