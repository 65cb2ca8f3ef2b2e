"""The protocol on a real socket: encodings, batches, errors, limits, hostile bytes."""

from __future__ import annotations

import contextlib
import tracemalloc
from typing import Any, cast

import msgspec
import pytest
import trio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fake_backend import FakeBackend, Lines, an_execution, connected
from migmond.domain import api
from migmond.domain.alert_api import RulePutParams
from migmond.domain.events import Event, ExecutionProgress, ExecutionStateChanged
from migmond.domain.identity import Role
from migmond.rpc.connection import PARTIAL_FRAME_S, WRITE_STALL_S, Limits
from migmond.rpc.methods import standard_registry
from migmond.rpc.registry import Context, Method
from migmond.rpc.subscriptions import MAX_SUBSCRIPTIONS, QUEUE_EVENTS
from migmond.wire.framing import frame
from migmond.wire.jsonrpc import Encoding
from migmond.wire.requests import Malformed, RequestCodec


def call(method: str, params: Any = None, id_: Any = 1) -> dict[str, Any]:
    message = {"jsonrpc": "2.0", "method": method, "id": id_}
    return message if params is None else {**message, "params": params}


async def test_json_lines_and_msgpack_give_the_same_answer() -> None:
    async with connected(FakeBackend()) as client:
        by_lines = await client.ask(call("system.hello", {"client": "test"}))
    async with connected(FakeBackend()) as client:
        await client.send(frame(msgspec.msgpack.encode(call("system.hello", {"client": "test"}))))
        by_frames = await client.frame()
    assert by_lines == by_frames
    assert by_lines["result"]["role"] == "admin"
    assert (by_lines["jsonrpc"], by_lines["id"]) == ("2.0", 1)


async def test_a_frame_in_single_bytes_and_many_in_one_piece() -> None:
    data = frame(msgspec.msgpack.encode(call("system.hello")))
    async with connected(FakeBackend()) as client:
        for byte in data:
            await client.send(bytes([byte]))
        assert (await client.frame())["id"] == 1
        await client.send(data * 10)
        assert [(await client.frame())["id"] for _ in range(10)] == [1] * 10


async def test_batches_and_notifications() -> None:
    backend = FakeBackend()
    async with connected(backend) as client:
        answers = await client.ask(
            [
                call("execution.get", {"id": "x"}, "a"),
                {"jsonrpc": "2.0", "method": "execution.list"},
                1,
                call("no.way", {}, 2),
            ]
        )
        assert {a["id"]: "result" if "result" in a else a["error"]["code"] for a in answers} == {
            "a": "result", None: -32600, 2: -32601,
        }  # fmt: skip
        only_notifications = [{"jsonrpc": "2.0", "method": "execution.list"}] * 3
        after = await client.ask(only_notifications, call("system.hello", id_="next"))
        assert after["id"] == "next"
        with trio.fail_after(10):  # a notification may be dealt with after the request that follows it
            while [name for name, _ in backend.calls].count("list_executions") < 4:  # noqa: ASYNC110
                await trio.sleep(0.005)
    assert [name for name, _ in backend.calls].count("list_executions") == 4


@pytest.mark.parametrize(
    ("line", "code"),
    [
        (b"{", -32700),
        (b'{"jsonrpc": "2.0", "method": 1, "id": 1}', -32600),
        (b'{"jsonrpc": "1.0", "method": "system.hello", "id": 1}', -32600),
        (b'{"method": "system.hello", "id": 1}', -32600),
        (b'{"jsonrpc": "2.0", "method": "system.hello", "id": [1]}', -32600),
        (b'{"jsonrpc": "2.0", "method": "system.hello", "id": 1.5}', -32600),
        (b'{"jsonrpc": "2.0", "method": "nothing.here", "id": 1}', -32601),
        (b'{"jsonrpc": "2.0", "method": "execution.get", "id": 1}', -32602),
        (b'{"jsonrpc": "2.0", "method": "execution.get", "params": ["x"], "id": 1}', -32602),
        (b'{"jsonrpc": "2.0", "method": "execution.get", "params": {"id": 5}, "id": 1}', -32602),
        (b'{"jsonrpc": "2.0", "method": "execution.get", "params": {"id": "x", "uid": 0}, "id": 1}', -32602),
        (b'{"jsonrpc": "2.0", "method": "execution.get", "params": {"id": "missing"}, "id": 1}', -32020),
        (b"[]", -32600),
        (b'{"a":' * 2000 + b"1" + b"}" * 2000, -32700),
        (b'{"jsonrpc": "2.0", "method": "\xff", "id": 1}', -32700),
    ],
)
async def test_errors_have_their_codes_and_the_connection_lives(line: bytes, code: int) -> None:
    async with connected(FakeBackend()) as client:
        await client.send(line + b"\n")
        answer = await client.line()
        assert answer["error"]["code"] == code, answer
        assert answer["error"]["message"]
        assert (await client.ask(call("system.hello", id_=7)))["id"] == 7


async def test_an_error_says_what_and_what_next() -> None:
    async with connected(FakeBackend()) as client:
        answer = await client.ask(call("execution.get", {"id": "missing"}))
    assert answer["error"]["data"] == {
        "kind": "not_found", "retryable": False, "path": None, "errno": None, "hint": "migmon ls", "field": None,
    }  # fmt: skip


async def test_a_bug_is_an_incident_and_reveals_nothing() -> None:
    log: list[dict[str, Any]] = []
    async with connected(FakeBackend(), log=log) as client:
        answer = await client.ask(call("execution.get", {"id": "bug"}))
        assert answer["error"]["code"] == -32603
        assert "secret" not in str(answer)
        assert log[0]["incident"] in answer["error"]["message"]
        assert isinstance(log[0]["exc_info"], ZeroDivisionError)
        assert (await client.ask(call("system.hello", id_=2)))["id"] == 2


@pytest.mark.parametrize("first", [b"\x7f\xff\xff\xff", b"\x00\x00\x00\x02\xc1\xc1", b"GET / HTTP/1.1\r\n\r\n"])
async def test_garbage_gets_an_error_and_an_end(first: bytes) -> None:
    async with connected(FakeBackend()) as client:
        await client.send(first)
        await client.stream.send_eof()
        answer = await client.frame()
        assert answer["error"]["code"] in (-32700, -32600, -32011)


async def test_a_truncated_frame_is_answered_before_the_end() -> None:
    async with connected(FakeBackend()) as client:
        await client.send(b"\x00\x00\x00\x40abc")
        await client.stream.send_eof()
        answer = await client.frame()
        assert "incomplete" in answer["error"]["message"]
        assert await client.frame() is None


async def test_a_frame_over_the_limit_ends_the_connection_at_its_header() -> None:
    async with connected(FakeBackend(), limits=Limits(max_frame_bytes=1000)) as client:
        await client.send((1001).to_bytes(4, "big"))
        assert (await client.frame())["error"]["data"]["kind"] == "frame_too_large"
        assert await client.frame() is None


async def test_a_line_over_the_limit_ends_the_connection() -> None:
    async with connected(FakeBackend(), limits=Limits(max_frame_bytes=1000)) as client:
        await client.send(b"{" + b" " * 2000)
        assert (await client.line())["error"]["data"]["kind"] == "frame_too_large"
        assert await client.line() is None


async def test_a_begun_message_must_go_on(autojump_clock: trio.testing.MockClock) -> None:
    async with connected(FakeBackend()) as client:
        await client.send(b"\x00\x00")
        before = trio.current_time()
        data = await client.stream.receive_some(1000)
        assert trio.current_time() - before == pytest.approx(PARTIAL_FRAME_S, abs=1)
        assert b"begun" in bytes(data)


async def test_too_many_running_requests_are_refused_not_queued() -> None:
    backend = FakeBackend()
    backend.gate = trio.Event()
    async with connected(backend, limits=Limits(max_outstanding=4)) as client:
        for number in range(6):
            await client.send(msgspec.json.encode(call("execution.get", {"id": "slow"}, number)) + b"\n")
        refused = [await client.line() for _ in range(2)]
        assert [a["error"]["data"]["kind"] for a in refused] == ["limit_exceeded"] * 2
        assert all(a["error"]["data"]["retryable"] for a in refused)
        backend.gate.set()
        assert len([await client.line() for _ in range(4)]) == 4


async def test_a_client_that_does_not_read_is_cut_off_and_others_are_not_kept_waiting() -> None:
    backend, log = FakeBackend(), list[dict[str, Any]]()
    small = Limits(max_frame_bytes=8192, max_write_queue_bytes=65536)
    async with connected(backend, limits=small, log=log) as deaf, connected(backend) as other:
        request = msgspec.json.encode(call("system.methods")) + b"\n"
        cut_off = False
        with trio.fail_after(20):
            while not cut_off:
                try:
                    await deaf.send(request * 10)
                except (trio.BrokenResourceError, trio.ClosedResourceError):
                    cut_off = True
                with trio.fail_after(1):
                    assert (await other.ask(call("system.hello")))["id"] == 1
    assert any("does not read" in r["message"] for r in log)


@pytest.mark.parametrize("method", [m.name for m in standard_registry().all()])
@pytest.mark.parametrize("role", list(Role))
async def test_every_method_refuses_every_lower_role(method: str, role: Role) -> None:
    found = standard_registry().get(method)
    assert found is not None
    backend = FakeBackend()
    async with connected(backend, role) as client:
        answer = await client.ask(call(method, _parameters(found.params)))
    if role < found.role:
        assert answer["error"]["data"]["kind"] == "not_permitted"
        assert backend.calls == []
    else:
        refused = answer.get("error", {}).get("data", {}).get("kind")
        assert refused == ("not_found" if method == "events.unsubscribe" else None), answer
        assert all(peer.role is role for _, peer in backend.calls)


def _parameters(kind: Any) -> dict[str, Any]:
    """The fewest parameters that a method takes."""
    plan = {"sources": [{"path": "/a"}], "destination": "/b"}
    samples: dict[str, Any] = {"id": "x", "name": "x", "subscription": 1, "plan": plan}
    samples |= {"alert": "a-1", "silence": "s-1", "for_s": 1.0, "rule": "x", "enabled": True}
    if kind is RulePutParams:
        samples["rule"] = {"name": "x", "condition": {"metric": "x", "operator": "<", "threshold": 1}}
    samples["select"] = [{"metric": "x"}]
    samples["ids"] = ["x", "y"]
    samples["dashboard"] = {"name": "mine"}
    samples["path"] = "/"
    samples["token"] = "x"
    samples |= {"action": {"type": "drain"}, "alert": "a-1", "silence": "s-1", "for_s": 60.0, "enabled": True}
    rule = {"name": "x", "condition": {"metric": "x", "operator": ">", "threshold": 1.0}}
    required = {f.name: f.type for f in msgspec.structs.fields(kind) if f.required}
    samples["rule"] = "x" if required.get("rule") is str else rule
    return {name: samples[name] for name in required}


# --- events ----------------------------------------------------------------------------------------


def state_event(execution: str = "aaaaaaaaaaaa") -> Any:
    view = an_execution(execution)
    return lambda i, at: ExecutionStateChanged(i, at, execution, "running", "paused", view)


def progress_event(execution: str = "aaaaaaaaaaaa") -> Any:
    view = an_execution(execution)
    return lambda i, at: ExecutionProgress(i, at, execution, view)


async def subscribe(client: Lines, **params: Any) -> Any:
    return (await client.ask(call("events.subscribe", params)))["result"]


async def test_snapshot_then_stream() -> None:
    backend = FakeBackend()
    async with connected(backend) as client:
        snapshot = await subscribe(client)
        assert [e["id"] for e in snapshot["executions"]] == ["aaaaaaaaaaaa"]
        backend.bus.publish(state_event())
        note = await client.line()
    assert note["method"] == "event"
    assert "id" not in note
    assert note["params"]["subscription"] == snapshot["subscription"]
    assert note["params"]["missed"] == 0
    assert note["params"]["event"]["type"] == "execution.state"
    assert note["params"]["event"]["id"] == snapshot["last_event"] + 1


async def test_types_and_rights_filter() -> None:
    backend = FakeBackend()
    backend.hidden = {"bbbbbbbbbbbb"}
    async with connected(backend) as client:
        await subscribe(client, types=["execution.state"])
        backend.bus.publish(progress_event())
        backend.bus.publish(state_event("bbbbbbbbbbbb"))
        backend.bus.publish(state_event())
        note = await client.line()
    assert (note["params"]["event"]["type"], note["params"]["event"]["execution"]) == (
        "execution.state",
        "aaaaaaaaaaaa",
    )


async def test_progress_is_coalesced_and_states_are_not(autojump_clock: trio.testing.MockClock) -> None:
    backend = FakeBackend()
    async with connected(backend) as client:
        await subscribe(client, interval_s=1.0)
        for _ in range(100):
            backend.bus.publish(progress_event())
            backend.bus.publish(state_event())
        last: Event = backend.bus.publish(progress_event())
        kinds: list[str] = []
        while len(kinds) < 101:
            note = await client.line()
            kinds.append(note["params"]["event"]["type"])
        assert kinds.count("execution.state") == 100
        assert kinds.count("execution.progress") == 1
        assert note["params"]["event"]["id"] == last.id


async def test_since_replays_and_tells_of_a_gap() -> None:
    backend = FakeBackend()
    for _ in range(3):
        backend.bus.publish(state_event())
    async with connected(backend) as client:
        snapshot = await subscribe(client, since=1)
        assert snapshot["gap"] is False
        assert [(await client.line())["params"]["event"]["id"] for _ in range(2)] == [2, 3]
    async with connected(backend) as client:
        assert (await subscribe(client, since=99))["gap"] is True


async def test_a_subscriber_that_falls_behind_gets_a_gap_marker() -> None:
    backend = FakeBackend()
    async with connected(backend) as client:
        await subscribe(client)
        total = QUEUE_EVENTS + 500
        for _ in range(total):
            backend.bus.publish(state_event())
        missed = received = 0
        while missed + received < total:
            note = await client.line()
            missed += note["params"]["missed"]
            received += 1
        assert missed > 0


async def test_unsubscribe() -> None:
    backend = FakeBackend()
    async with connected(backend) as client:
        number = (await subscribe(client))["subscription"]
        assert (await client.ask(call("events.unsubscribe", {"subscription": number})))["result"] == {"ok": True}
        backend.bus.publish(state_event())
        assert (await client.ask(call("system.hello", id_=9)))["id"] == 9
        again = await client.ask(call("events.unsubscribe", {"subscription": number}))
        assert again["error"]["data"]["kind"] == "not_found"


async def test_the_snapshot_comes_before_the_events_that_happen_meanwhile() -> None:
    backend = FakeBackend()
    backend.gate = trio.Event()
    async with connected(backend) as client, trio.open_nursery() as nursery:
        backend.bus.publish(state_event())
        answers: list[Any] = []

        async def ask() -> None:
            answers.append(await subscribe(client, since=0))

        nursery.start_soon(ask)
        await backend.entered.wait()
        backend.bus.publish(state_event())
        await trio.testing.wait_all_tasks_blocked(0.05)
        assert answers == []
        backend.gate.set()
        notes = [await client.line() for _ in range(2)] if answers else []
        while len(notes) < 2:
            await trio.testing.wait_all_tasks_blocked(0.01)
            if answers:
                notes.append(await client.line())
    assert answers[0]["last_event"] == 1
    assert [n["params"]["event"]["id"] for n in notes] == [1, 2]
    assert all(n["params"]["subscription"] == answers[0]["subscription"] for n in notes)


async def test_a_batch_is_answered_before_the_events_of_its_subscriptions() -> None:
    backend = FakeBackend()
    backend.bus.publish(state_event())
    async with connected(backend) as client:
        answers = await client.ask([call("events.subscribe", {"since": 0}, n) for n in range(3)])
        assert [a["id"] for a in answers] == [0, 1, 2]
        told = {(await client.line())["params"]["subscription"] for _ in range(3)}
    assert told == {a["result"]["subscription"] for a in answers}


async def test_a_subscription_that_failed_is_none() -> None:
    backend = FakeBackend()
    async with connected(backend) as client:
        for _ in range(MAX_SUBSCRIPTIONS + 1):
            answer = await client.ask(call("events.subscribe", {"executions": ["aaa", "missing"]}))
            assert answer["error"]["data"]["kind"] == "not_found"
        looked_up = len(backend.calls)
        for what in ("types", "executions"):
            answer = await client.ask(call("events.subscribe", {what: ["x"] * 5000}))
            assert answer["error"]["data"]["kind"] == "invalid_input"
        assert len(backend.calls) == looked_up
        backend.bus.publish(state_event())
        assert (await client.ask(call("system.hello", id_=5)))["id"] == 5
    small = Limits(max_frame_bytes=4096)
    async with connected(backend, limits=small) as client:
        assert [(await client.ask(call("events.subscribe"))).get("error") for _ in range(3)] == [None] * 3


async def test_a_reader_that_was_slow_for_a_moment_is_served_in_pieces() -> None:
    backend, log = FakeBackend(), list[dict[str, Any]]()
    small = Limits(max_frame_bytes=65536, max_write_queue_bytes=65536)
    async with connected(backend, limits=small, log=log) as client:
        await subscribe(client)
        for _ in range(QUEUE_EVENTS):
            backend.bus.publish(state_event())
        await trio.testing.wait_all_tasks_blocked(0.01)
        ids = []
        for _ in range(QUEUE_EVENTS):
            note = await client.line()
            assert note["params"]["missed"] == 0
            ids.append(note["params"]["event"]["id"])
    assert ids == list(range(1, QUEUE_EVENTS + 1))
    assert log == []


async def test_the_gap_is_told_even_when_nothing_happens_after_it() -> None:
    backend = FakeBackend()
    async with connected(backend) as client:
        await subscribe(client)
        for _ in range(QUEUE_EVENTS + 1):  # the pump has no turn in between
            last = backend.bus.publish(state_event())
        note = await client.line()
    assert (note["params"]["event"]["id"], note["params"]["missed"]) == (last.id, QUEUE_EVENTS)


async def test_progress_is_coalesced_while_the_window_is_full(autojump_clock: trio.testing.MockClock) -> None:
    backend = FakeBackend()
    async with connected(backend, limits=Limits(max_write_queue_bytes=65536)) as client:
        await subscribe(client)
        for _ in range(1000):
            backend.bus.publish(state_event())
        await trio.testing.wait_all_tasks_blocked()
        for _ in range(20):
            backend.bus.publish(progress_event())
            last = backend.bus.publish(progress_event("bbbbbbbbbbbb"))
            await trio.sleep(1)  # longer than the interval
        notes = [(await client.line())["params"] for _ in range(1002)]
        assert all(n["missed"] == 0 for n in notes)
        assert [n["event"]["execution"][0] for n in notes if n["event"]["type"] == "execution.progress"] == ["a", "b"]
        assert notes[-1]["event"]["id"] == last.id


async def test_who_takes_nothing_for_long_is_cut_off(autojump_clock: trio.testing.MockClock) -> None:
    backend, log = FakeBackend(), list[dict[str, Any]]()
    async with connected(backend, log=log) as client:
        await subscribe(client)
        for _ in range(2000):
            backend.bus.publish(state_event())
        before = trio.current_time()
        await trio.sleep(WRITE_STALL_S + 1)
        assert [r["message"] for r in log] == ["client cut off: it does not read"]
        assert trio.current_time() - before < WRITE_STALL_S + 2


async def test_who_takes_little_but_steadily_is_not(autojump_clock: trio.testing.MockClock) -> None:
    log: list[dict[str, Any]] = []
    backend, registry = FakeBackend(), standard_registry()
    registry.add(Method("test.large", Role.VIEWER, api.Nothing, Text, "Is large.", large))
    async with connected(backend, registry=registry, log=log) as client:
        await client.send(msgspec.json.encode(call("test.large")) + b"\n")
        received = 0
        while received < LARGE_BYTES:
            await trio.sleep(WRITE_STALL_S * 0.9)
            data = await client.stream.receive_some(256 * 1024)  # about what the kernel holds
            assert data, f"cut off after {received} bytes"
            received += len(data)
    assert log == []


class Text(api.Result, frozen=True):
    text: str


LARGE_BYTES = 3 << 20


async def large(ctx: Context, params: api.Nothing) -> Text:
    return Text("x" * LARGE_BYTES)


async def test_a_client_that_has_said_everything_gets_everything() -> None:
    registry = standard_registry()
    registry.add(Method("test.large", Role.VIEWER, api.Nothing, Text, "Is large.", large))
    async with connected(FakeBackend(), registry=registry) as client:
        await client.send(msgspec.json.encode(call("test.large")) + b"\n")
        await trio.testing.wait_all_tasks_blocked(0.01)  # it is being sent
        await client.stream.send_eof()
        await trio.testing.wait_all_tasks_blocked(0.01)
        assert len((await client.line())["result"]["text"]) == LARGE_BYTES
        assert await client.line() is None


@pytest.mark.parametrize("in_batch", [False, True])
async def test_an_answer_that_fits_no_frame_is_an_error(in_batch: bool) -> None:
    registry = standard_registry()
    registry.add(Method("test.large", Role.VIEWER, api.Nothing, Text, "Is large.", large))
    async with connected(FakeBackend(), registry=registry, limits=Limits(max_frame_bytes=LARGE_BYTES)) as client:
        request = call("test.large")
        answer = await client.ask([request, call("system.hello", id_=2)] if in_batch else request)
        refused = answer[0] if in_batch else answer
        assert refused["error"]["data"]["kind"] == "limit_exceeded"
        assert refused["id"] == 1
        assert (await client.ask(call("system.hello", id_=3)))["id"] == 3


async def test_the_answers_of_a_batch_fit_into_one_frame() -> None:
    registry = standard_registry()
    registry.add(Method("test.large", Role.VIEWER, api.Nothing, Text, "Is large.", large))
    limits = Limits(max_frame_bytes=LARGE_BYTES * 2 + 300_000)
    async with connected(FakeBackend(), registry=registry, limits=limits) as client:
        await client.send(frame(msgspec.msgpack.encode([call("test.large", id_=n) for n in range(500)])))
        answers = await client.frame()
    assert [a["id"] for a in answers] == list(range(500))
    assert [("result" in a) for a in answers[:4]] == [True, True, False, False]
    assert len(msgspec.msgpack.encode(answers)) <= limits.max_frame_bytes


async def test_others_are_served_in_the_middle_of_a_batch() -> None:
    backend = FakeBackend()
    async with connected(backend) as one, connected(backend) as other, trio.open_nursery() as nursery:
        done: list[Any] = []

        async def ask() -> None:
            done.extend(await one.ask([call("execution.get", {"id": "x"}, n) for n in range(1000)]))

        nursery.start_soon(ask)
        while not backend.calls:
            await trio.lowlevel.checkpoint()
        assert (await other.ask(call("system.hello")))["id"] == 1
        assert done == []
    assert len(done) == 1000


@pytest.mark.parametrize("half", [True, False])
async def test_who_left_is_told_nothing_more_but_what_was_asked_is_done(half: bool) -> None:
    backend = FakeBackend()
    backend.gate = trio.Event()
    async with connected(backend) as client:
        reading = [call("execution.get", {"id": "x"}, n) for n in range(10)]
        batch = [call("execution.get", {"id": "slow"}), *reading, call("execution.pause", {"id": "x"})]
        await client.send(msgspec.json.encode(batch) + b"\n")
        await trio.testing.wait_all_tasks_blocked(0.01)
        if half:
            await client.stream.send_eof()
        else:
            await client.stream.aclose()
        await trio.testing.wait_all_tasks_blocked(0.01)
        backend.gate.set()
        await trio.testing.wait_all_tasks_blocked(0.01)
        names = [name for name, _ in backend.calls]
        assert names == ["get_execution"] * (11 if half else 1) + ["pause"]


async def test_a_refused_batch_is_answered_as_a_batch() -> None:
    backend = FakeBackend()
    backend.gate = trio.Event()
    async with connected(backend, limits=Limits(max_outstanding=2)) as client:
        await client.send(msgspec.json.encode(call("execution.get", {"id": "slow"}, 0)) + b"\n")
        silent = {"jsonrpc": "2.0", "method": "system.hello"}
        answers = await client.ask([call("system.hello", id_="a"), 1, silent, call("system.hello", id_="b")])
        assert [(a["id"], a["error"]["data"]["kind"]) for a in answers] == [
            ("a", "limit_exceeded"), (None, "protocol"), ("b", "limit_exceeded"),
        ]  # fmt: skip
        backend.gate.set()
        assert (await client.line())["id"] == 0


async def test_what_cannot_be_written_is_an_incident_and_no_more() -> None:
    async def no_data(ctx: Context, params: api.Nothing) -> api.Acknowledged:
        return api.Acknowledged(ok=cast("bool", object()))

    registry, log = standard_registry(), list[dict[str, Any]]()
    registry.add(Method("test.object", Role.VIEWER, api.Nothing, api.Acknowledged, "Is no data.", no_data))
    async with connected(FakeBackend(), registry=registry, log=log) as client:
        await client.send(frame(msgspec.msgpack.encode(call("test.object"))))
        assert (await client.frame())["error"]["code"] == -32603
        assert len(log) == 1
        await client.send(frame(msgspec.msgpack.encode(call("system.hello"))))
        assert (await client.frame())["id"] == 1


async def test_numbers_beyond_64_bits_are_shown_as_the_largest() -> None:
    """Sums of sizes can be that large; msgpack has no form for them, and JSON has."""

    async def sums(ctx: Context, params: api.Nothing) -> api.Acknowledged:
        return api.Acknowledged(
            ok=cast("bool", {"tallies": [api.TallyView(3, 10**30)], "less": -(10**30), "yes": True})
        )

    registry, log = standard_registry(), list[dict[str, Any]]()
    registry.add(Method("test.sums", Role.VIEWER, api.Nothing, api.Acknowledged, "Is large.", sums))
    for largest, least in ((10**30, -(10**30)), ((1 << 63) - 1, -(1 << 63))):
        async with connected(FakeBackend(), registry=registry, log=log) as client:
            if largest == 10**30:
                told = await client.ask(call("test.sums"))
            else:
                await client.send(frame(msgspec.msgpack.encode(call("test.sums"))))
                told = await client.frame()
        tallies = [{"entries": 3, "bytes": largest}]
        assert told["result"]["ok"] == {"tallies": tallies, "less": least, "yes": True}
    assert log == []


async def test_errors_do_not_repeat_megabytes() -> None:
    async with connected(FakeBackend()) as client:
        for message in (
            call("\u0001" * 1_000_000),
            call("execution.list", {"sort": "x", "x" * 1_000_000: 1}),
            call("nothing.here", id_="i" * (16 << 20))["id"] and call("system.hello", id_="i" * ((16 << 20) - 100)),
        ):
            answer = await client.ask(message)
            assert len(answer["error"]["message"]) < 3000


async def test_a_message_must_be_complete_in_time_however_steadily_it_trickles(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with connected(FakeBackend()) as client:
        await client.send(b"\0\0\1\0")
        before = trio.current_time()
        with contextlib.suppress(trio.BrokenResourceError):
            while trio.current_time() - before < PARTIAL_FRAME_S * 3:
                await trio.sleep(PARTIAL_FRAME_S / 3)
                await client.send(b"x")
        assert trio.current_time() - before < PARTIAL_FRAME_S * 2


# --- fuzz ------------------------------------------------------------------------------------------


@given(st.binary(max_size=200), st.sampled_from(list(Encoding)))
@settings(max_examples=500, suppress_health_check=[HealthCheck.too_slow])
def test_no_bytes_raise_anything_but_malformed(data: bytes, encoding: Encoding) -> None:
    code = None
    try:
        RequestCodec(encoding).decode(data)
    except Malformed as e:
        code = e.code
    assert code in (None, -32700, -32600)


@pytest.mark.parametrize("encoding", list(Encoding))
def test_a_batch_of_millions_costs_no_memory(encoding: Encoding) -> None:
    many = [1] * 2_000_000
    data = msgspec.json.encode(many) if encoding is Encoding.JSON else msgspec.msgpack.encode(many)
    tracemalloc.start()
    try:
        with pytest.raises(Malformed, match="more than 1000"):
            RequestCodec(encoding).decode(data)
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()
