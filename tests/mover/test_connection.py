"""The mover's end of the socket to the daemon."""

from __future__ import annotations

import socket

from migmond.mover.main import Connection
from migmond.wire.mover import RootRenamed, ToMover


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
