"""The mover's end of the socket to the daemon."""

from __future__ import annotations

import mmap
import os
import socket
from pathlib import Path

import pytest

from migmond.domain.plan import ConflictPolicy, Operation, VerifyLevel
from migmond.mover.main import Connection, Process
from migmond.wire.from_mover import RootRenamed
from migmond.wire.items import MoverOptions, RootSpec
from migmond.wire.slots import SLOT_BYTES, MoverSide
from migmond.wire.to_mover import Open, ToMover


def test_a_daemon_that_was_killed_is_the_end_like_one_that_has_closed() -> None:
    """What it had not read yet makes the kernel reset the connection instead of ending it."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    connection, received = Connection(ours.detach()), list[ToMover]()
    connection.send(RootRenamed(0, done=False, reason=""))
    theirs.close()
    try:
        connection.receive(received.append)
    finally:
        connection._socket.close()
    assert received == []


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root: nobody else has rights to give up")
def test_nothing_is_opened_with_roots_rights_unless_they_are_meant(tmp_path: Path) -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    connection = Connection(ours.detach())
    with theirs, connection._socket:
        process = Process(connection, MoverSide(mmap.mmap(-1, SLOT_BYTES)), None)
        options = MoverOptions(
            "0" * 12, Operation.COPY, ConflictPolicy.FAIL, VerifyLevel.HASH, one_file_system=True, reflink=False,
            rename=False,
        )  # fmt: skip
        with pytest.raises(ValueError, match="before"):
            process.handle(Open((RootSpec(bytes(tmp_path), bytes(tmp_path / "target")),), options, make_targets=True))
    assert not (tmp_path / "target").exists()
