"""Clients whose messages come in crumbs are read from less often: everybody shares one loop."""

from __future__ import annotations

import fcntl
import struct
import termios

import msgspec
from trio.testing import MockClock, wait_all_tasks_blocked

from fake_backend import FakeBackend, Lines, connected
from migmond.rpc.trickle import (
    BULK_BYTES,
    EARNED_READS,
    FREE_READS,
    LONGEST_S,
    READS_PER_S,
    SHORTEST_S,
    Trickle,
    Trickles,
)
from migmond.wire.framing import frame

HELLO = frame(msgspec.msgpack.encode({"jsonrpc": "2.0", "method": "system.hello", "id": 1}))


def test_only_what_brings_nothing_to_an_end_is_counted() -> None:
    everybody = Trickles()
    one = Trickle(everybody)
    assert [one.pause_s(1, 0) for _ in range(FREE_READS)] == [0.0] * FREE_READS
    assert one.pause_s(BULK_BYTES, 0) == 0.0
    assert one.pause_s(1, 0) == SHORTEST_S
    assert one.pause_s(BULK_BYTES, 0) == 0.0
    assert one.pause_s(1, 0) == SHORTEST_S
    assert one.pause_s(1, 1) == 0.0
    assert everybody.slow == 0
    assert [one.pause_s(1, 0) for _ in range(EARNED_READS)] == [0.0, SHORTEST_S]
    one.end()
    assert everybody.slow == 0


def test_the_more_they_are_the_less_often_each_is_read() -> None:
    everybody = Trickles()
    many = [Trickle(everybody) for _ in range(READS_PER_S)]
    for one in many:
        for _ in range(FREE_READS):
            one.pause_s(1, 0)
        one.pause_s(1, 0)
    assert many[0].pause_s(1, 0) == 1.0
    everybody.slow = 1 << 20
    assert many[0].pause_s(1, 0) == LONGEST_S


def unread(client: Lines) -> bool:
    """Whether the daemon has yet to read something that was sent."""
    raw = fcntl.ioctl(client.stream.socket.fileno(), termios.TIOCOUTQ, bytes(4))
    return bool(struct.unpack("i", raw)[0])


async def crumbs(client: Lines, data: bytes) -> int:
    """Send one byte at a time until one is not read; returns how many were."""
    for count in range(len(data)):
        await client.send(data[count : count + 1])
        await wait_all_tasks_blocked()
        if unread(client):
            return count
    return len(data)


async def test_crumbs_are_left_until_the_pause_is_over(mock_clock: MockClock) -> None:
    trickles = Trickles()
    async with connected(FakeBackend(), trickles=trickles) as client:
        assert await crumbs(client, HELLO) == FREE_READS + 1
        mock_clock.jump(SHORTEST_S)
        await wait_all_tasks_blocked()
        assert not unread(client)
        assert trickles.slow == 1
        await client.send(HELLO[FREE_READS + 2 :])
        mock_clock.jump(SHORTEST_S)
        assert (await client.frame())["id"] == 1
        await wait_all_tasks_blocked()
        assert trickles.slow == 0
        await client.send(HELLO)
        assert (await client.frame())["id"] == 1


async def test_empty_lines_are_crumbs_as_well(mock_clock: MockClock) -> None:  # its time stands still
    async with connected(FakeBackend()) as client:
        await client.send(b'{"jsonrpc":"2.0","method":"system.hello","id":1}\n')
        assert (await client.line())["id"] == 1
        assert await crumbs(client, b"\n" * 100) == FREE_READS + 1
