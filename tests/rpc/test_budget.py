"""What the clients of one user may hold in the daemon's memory together."""

from __future__ import annotations

import msgspec
import pytest
import trio

from fake_backend import FakeBackend, Lines, connected
from migmond.rpc.budget import ALWAYS_BYTES, Budget
from migmond.rpc.connection import Limits
from migmond.rpc.exchange import MAX_PARAMS_BYTES
from migmond.wire.framing import frame

HELLO = b'{"jsonrpc":"2.0","method":"system.hello","id":1}\n'
METHODS = b'{"jsonrpc":"2.0","method":"system.methods","id":1}\n'
UNFINISHED = (1_000_000).to_bytes(4, "big") + bytes(600_000)


def test_each_user_has_a_budget_of_its_own() -> None:
    budget = Budget(1_000_000)
    ana, anas_other, ben = budget.of(1), budget.of(1), budget.of(2)
    assert ana.set(reading=600_000)
    assert ben.set(writing=1_000_000)
    assert not anas_other.set(reading=300_000, writing=300_000)
    assert budget.held(1) == 1_200_000
    assert anas_other.set(writing=0)
    assert anas_other.set(writing=100_000)
    assert not ana.set(writing=1)
    modest = budget.of(1)
    assert modest.set(writing=ALWAYS_BYTES)
    assert not modest.set(writing=ALWAYS_BYTES + 1)
    for share in (ana, anas_other, ben, modest):
        share.set(reading=0, writing=0)
    assert (budget.held(1), budget.held(2)) == (0, 0)


async def until_held(budget: Budget, count: int) -> None:
    with trio.fail_after(10):
        while budget.held(1000) != count:  # noqa: ASYNC110 (it sets no event)
            await trio.sleep(0.001)


async def test_messages_that_are_never_finished() -> None:
    budget = Budget(1_000_000)
    async with connected(FakeBackend(), budget=budget) as first:
        await first.send(UNFINISHED)
        await until_held(budget, len(UNFINISHED))
        async with connected(FakeBackend(), budget=budget) as second:
            with trio.move_on_after(10):
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(send_what_it_takes, second.stream, UNFINISHED)
                    answer = await second.frame()
                    nursery.cancel_scope.cancel()
            assert answer["error"]["data"]["kind"] == "limit_exceeded"
            assert "your clients" in answer["error"]["message"]
        await until_held(budget, len(UNFINISHED))
    await until_held(budget, 0)
    async with connected(FakeBackend(), budget=budget) as third:
        await third.send(HELLO)
        assert (await third.line())["id"] == 1


async def send_what_it_takes(stream: trio.SocketStream, data: bytes) -> None:
    try:
        await stream.send_all(data)
    except trio.BrokenResourceError:
        return


async def shout(client: Lines) -> None:
    while True:
        await client.send(METHODS)


async def test_answers_that_are_never_read() -> None:
    budget, log = Budget(200_000), list[dict[str, object]]()
    roomy = Limits(max_write_queue_bytes=1 << 30, max_outstanding=10_000)
    async with connected(FakeBackend(), budget=budget, limits=roomy, log=log) as deaf:
        with trio.fail_after(20), pytest.raises((trio.BrokenResourceError, trio.ClosedResourceError)):
            await shout(deaf)
        await until_held(budget, 0)
    assert any("does not read" in str(r["message"]) for r in log)


async def test_parameters_beyond_all_need_are_not_decoded() -> None:
    async with connected(FakeBackend()) as client:
        plan = {"sources": [{"path": "/a"}], "destination": "/b", "selector": {"include": ["a"] * 600_000}}
        message = {"jsonrpc": "2.0", "id": 1, "method": "plan.check", "params": {"plan": plan}}
        await client.send(frame(msgspec.msgpack.encode(message)))
        error = (await client.frame())["error"]
        assert error["data"]["kind"] == "invalid_input"
        assert str(MAX_PARAMS_BYTES) in error["message"]
        await client.send(frame(msgspec.msgpack.encode({**message, "params": None, "method": "system.hello"})))
        assert (await client.frame())["id"] == 1


SUBSCRIBE = b'{"jsonrpc":"2.0","method":"events.subscribe","id":1}\n'
UNSUBSCRIBE = b'{"jsonrpc":"2.0","method":"events.unsubscribe","params":{"subscription":1},"id":1}\n'


async def outcome(client: Lines, message: bytes) -> str:
    await client.send(message)
    answer = await client.line()
    return answer["error"]["message"] if "error" in answer else ""


async def test_subscriptions_of_all_connections_of_a_user(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("migmond.rpc.budget.MAX_USER_SUBSCRIPTIONS", 3)
    budget = Budget(1_000_000)
    async with connected(FakeBackend(), budget=budget) as first:
        assert [await outcome(first, SUBSCRIBE) for _ in range(2)] == ["", ""]
        async with connected(FakeBackend(), budget=budget) as second:
            assert await outcome(second, SUBSCRIBE) == ""
            assert "subscriptions" in await outcome(second, SUBSCRIBE)
            assert await outcome(first, UNSUBSCRIBE) == ""
            assert await outcome(second, SUBSCRIBE) == ""
            assert "subscriptions" in await outcome(first, SUBSCRIBE)
        with trio.fail_after(10):
            while budget.subscriptions[1000] != 1:  # noqa: ASYNC110 (it sets no event)
                await trio.sleep(0.001)
        assert await outcome(first, SUBSCRIBE) == ""
    with trio.fail_after(10):
        while budget.subscriptions:  # noqa: ASYNC110 (it sets no event)
            await trio.sleep(0.001)
