"""A burst of clients fills the backlog: who comes next waits for its turn."""

from __future__ import annotations

import errno
import socket
import threading
from pathlib import Path

import pytest
import trio

from migmond.client.aio import connect
from migmond.client.errors import Unreachable
from migmond.client.sync import Client


class Full:
    """A listener whose backlog is full until `accept`."""

    def __init__(self, path: Path) -> None:
        self.path = str(path / "socket")
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(self.path)
        self.listener.listen(0)
        self.first = socket.socket(socket.AF_UNIX)
        self.first.connect(self.path)
        with socket.socket(socket.AF_UNIX) as probe:
            probe.setblocking(False)
            assert probe.connect_ex(self.path) == errno.EAGAIN

    def accept(self) -> None:
        self.listener.accept()[0].close()

    def close(self) -> None:
        self.listener.close()
        self.first.close()


def test_the_blocking_client_waits(tmp_path: Path) -> None:
    full = Full(tmp_path)
    timer = threading.Timer(0.2, full.accept)
    timer.start()
    Client(full.path).close()
    timer.join()
    full.close()


def test_the_blocking_client_does_not_wait_for_ever(tmp_path: Path) -> None:
    full = Full(tmp_path)
    with pytest.raises(Unreachable, match="no daemon answers"):
        Client(full.path, timeout_s=0.1)
    full.close()


async def test_the_trio_client_waits(tmp_path: Path) -> None:
    full = Full(tmp_path)
    async with trio.open_nursery() as nursery:

        async def later() -> None:
            await trio.sleep(0.2)
            full.accept()

        nursery.start_soon(later)
        async with connect(full.path):
            full.listener.setblocking(False)
            full.listener.accept()[0].close()  # it is really there
    full.close()
