"""Deltas: put together they are what others are told as a whole, and who asks alike is sent the same bytes."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fake_views
from migmond.client.views import Views
from migmond.domain import api
from migmond.domain.errors import ProtocolError
from migmond.domain.event_api import SubscribeParams
from migmond.domain.events import Delivery, Event, ExecutionProgress, ExecutionStateChanged, TaskFailed
from migmond.domain.merge import changes_between, merge, merged_struct
from migmond.domain.packing import pack_for_anyone
from migmond.rpc.subscriptions import QUEUE_EVENTS, EventEncoder, Subscriber

NAMES = ("aaaaaaaaaaaa", "bbbbbbbbbbbb")
EXECUTIONS = st.sampled_from(NAMES)
TALLIES = st.builds(api.TallyView, st.integers(0, 5), st.integers(0, 1 << 70))
VERIFICATIONS = st.none() | st.builds(
    api.VerificationView, st.sampled_from("xy"), TALLIES, st.just(0), st.integers(0, 2), st.sampled_from([(), ("p",)])
)
MOVERS = st.lists(
    st.builds(
        api.MoverView, st.integers(1, 2), st.just(7), st.sampled_from(["copying", "paused"]), st.none() | st.just("f"),
        st.just(9), st.integers(0, 9), st.none() | st.just(1.5),
    ),
    max_size=2,
).map(tuple)  # fmt: skip
PROGRESS = st.builds(
    lambda done, percent, rate, left: fake_views.progress(
        done=done, percent_done=percent, bytes_per_s=rate, seconds_remaining=left
    ),
    TALLIES, st.none() | st.floats(0, 100), st.none() | st.floats(0, 1e9), st.none() | st.integers(0, 9).map(float),
)  # fmt: skip
VIEWS = st.builds(
    lambda **changes: fake_views.execution(**changes),
    id=EXECUTIONS, state=st.sampled_from(["running", "paused", "completed"]), why=st.sampled_from(["", "by ana"]),
    started_at=st.none() | st.just(fake_views.AT), progress=PROGRESS, movers=MOVERS, verification=VERIFICATIONS,
)  # fmt: skip


@given(VIEWS, VIEWS)
def test_changes_put_into_what_was_make_what_is(before: api.ExecutionView, after: api.ExecutionView) -> None:
    changes = changes_between(before, after)
    assert merged_struct(before, msgspec.json.decode(msgspec.json.encode(changes))) == after
    assert all(getattr(before, name) != getattr(after, name) for name in changes)
    assert (before == after) == (changes == {})


@given(VIEWS, VIEWS)
def test_a_reader_that_removes_what_is_null_reads_the_same(before: api.ExecutionView, after: api.ExecutionView) -> None:
    """RFC 7396, section 2, word for word."""

    def merge_patch(target: Any, patch: Any) -> Any:
        if not isinstance(patch, dict):
            return patch
        result = dict(target) if isinstance(target, dict) else {}
        for name, value in patch.items():
            if value is None:
                result.pop(name, None)
            else:
                result[name] = merge_patch(result.get(name), value)
        return result

    def without_nulls(value: Any) -> Any:
        return {k: without_nulls(v) for k, v in value.items() if v is not None} if isinstance(value, dict) else value

    old, new = (msgspec.json.decode(msgspec.json.encode(v)) for v in (before, after))
    changes = msgspec.json.decode(msgspec.json.encode(changes_between(before, after)))
    assert without_nulls(merge_patch(old, changes)) == without_nulls(new)
    assert without_nulls(merge(old, changes)) == without_nulls(new)


def test_a_view_has_nothing_that_a_patch_cannot_tell() -> None:
    """A key that goes out of an object, as free ones of a mapping do, cannot be told."""
    seen = set[str]()

    def look(kind: Any) -> None:
        assert not isinstance(kind, msgspec.inspect.DictType), seen
        seen.add(type(kind).__name__)
        if isinstance(kind, msgspec.inspect.StructType):
            assert not kind.array_like
            for field in kind.fields:
                look(field.type)
        for inner in getattr(kind, "types", ()):
            look(inner)

    look(msgspec.inspect.type_info(api.ExecutionView))
    assert {"StructType", "UnionType", "StrType"} <= seen


class Reader:
    """One subscription, the bytes that it gets, and what a client makes of them."""

    def __init__(self, encoder: EventEncoder, encoding: str, params: SubscribeParams) -> None:
        self.subscriber = Subscriber(1, params, lambda execution: True)
        self.subscriber.begun = True
        self._encoder, self._encoding = encoder, encoding
        self.views = Views()
        self.told: list[tuple[int, bytes]] = []
        self.read_all: list[tuple[Event, api.ExecutionView | None]] = []
        """What was meant, and what the client made of it."""

    def read(self, now: float) -> list[tuple[Event, api.ExecutionView | None]]:
        """Take all that is due."""
        found = []
        while (due := self.subscriber.take(now)) is not None:
            raw = bytes(self._encoder.encode(due.event, self._encoding, due.base))
            decode = msgspec.json.decode if self._encoding == "json" else msgspec.msgpack.decode
            got: Event = decode(raw, type=Event)
            assert got.id == due.event.id
            if due.missed:
                assert getattr(got, "changes", None) is None
            self.told.append((due.event.id, raw))
            found.append((due.event, self.views.apply(Delivery(1, got, due.missed))))
        self.read_all += found
        return found


def event(number: int, view: api.ExecutionView, kind: str) -> Event:
    if kind == "state":
        return ExecutionStateChanged(number, fake_views.AT, view.id, "running", view.state, view)
    return ExecutionProgress(number, fake_views.AT, view.id, view)


def as_encoded(view: api.ExecutionView | None, encoding: str) -> api.ExecutionView | None:
    """Msgpack has no numbers beyond 64 bits: the largest stands for them."""
    if view is None or encoding == "json":
        return view
    return msgspec.msgpack.decode(pack_for_anyone(view), type=api.ExecutionView)


STEPS = st.lists(
    st.tuples(VIEWS, st.sampled_from(["progress", "progress", "progress", "state"]), st.integers(0, 30), st.booleans()),
    max_size=25,
)


@given(STEPS, st.sampled_from(["json", "msgpack"]), st.sampled_from([0.1, 0.5, 2.0]))
@settings(deadline=None)
def test_all_deltas_together_are_the_whole(
    steps: list[tuple[api.ExecutionView, str, int, bool]], encoding: str, interval_s: float
) -> None:
    """Two read whenever they may; one of them reads now and then only, and is told of the newest all the same."""
    encoder = EventEncoder()
    params = SubscribeParams(deltas=True, interval_s=interval_s)
    eager, twin, lazy = (Reader(encoder, encoding, params) for _ in range(3))
    newest: dict[str, api.ExecutionView] = {}
    now = 0.0
    for number, (view, kind, tenths, reads) in enumerate(steps, 1):
        now += tenths / 10
        happened = event(number, view, kind)
        newest[view.id] = view
        for reader in (eager, twin, lazy):
            reader.subscriber.put(happened, now)
            if reads or reader is not lazy:
                reader.read(now)
    for reader in (eager, twin, lazy):
        reader.read(now + 10)
        for meant, made in reader.read_all:
            assert made == as_encoded(getattr(meant, "view", None), encoding)
        assert {v.id: v for _, v in reader.read_all if v} == {i: as_encoded(v, encoding) for i, v in newest.items()}
        for execution in newest:  # nothing older of an execution comes after what is newer
            ids = [e.id for e, _ in reader.read_all if getattr(e, "execution", "") == execution]
            assert ids == sorted(ids)
    assert eager.told == twin.told


def test_the_first_and_what_follows_a_gap_are_whole() -> None:
    encoder = EventEncoder()
    reader = Reader(encoder, "json", SubscribeParams(deltas=True, interval_s=0.1))
    view = fake_views.execution()

    def progress(number: int) -> dict[str, Any]:
        reader.subscriber.put(event(number, msgspec.structs.replace(view, uid=number), "progress"), float(number))
        (_, made), *_ = reader.read(float(number))
        assert made is not None
        assert made.uid == number
        told: dict[str, Any] = msgspec.json.decode(reader.told[-1][1])
        return told

    assert progress(1)["view"]["uid"] == 1
    assert progress(2)["changes"] == {"uid": 2}
    for number in range(3, QUEUE_EVENTS + 4):
        task = api.TaskView(1, "f", "file", 1, "failed", "", 1, (), None, None, None)
        reader.subscriber.put(TaskFailed(number, fake_views.AT, view.id, task, 0), 2.0)
    after = QUEUE_EVENTS + 4
    reader.subscriber.put(event(after, msgspec.structs.replace(view, uid=9), "progress"), float(after))
    read = reader.read(float(after))
    assert [type(e) for e, _ in read] == [TaskFailed, ExecutionProgress]
    whole = msgspec.json.decode(reader.told[-1][1])
    assert whole["view"]["uid"] == 9
    assert "changes" not in whole
    assert progress(after + 1)["changes"] == {"uid": after + 1}


def test_changes_of_what_was_never_told_are_refused() -> None:
    stray = ExecutionProgress(5, fake_views.AT, NAMES[0], changes={"uid": 3})
    with pytest.raises(ProtocolError, match="never told as a whole"):
        Views().apply(Delivery(1, stray))
    views = Views()
    views.apply(Delivery(1, event(4, fake_views.execution(id=NAMES[0]), "progress")))
    wrong = ExecutionProgress(5, fake_views.AT, NAMES[0], changes={"uid": "three"})
    with pytest.raises(ProtocolError, match="do not fit"):
        views.apply(Delivery(1, wrong))


@given(st.lists(st.integers(0, 40), min_size=30, max_size=30), st.sampled_from([0.5, 2.0]))
@settings(deadline=None, max_examples=30)
def test_whoever_asks_alike_is_sent_the_same_bytes_whenever_he_came(begins: list[int], interval_s: float) -> None:
    """Two deltas after the last of thirty has come, there is one encoding of each for all of them."""
    encoder, now, number = EventEncoder(), 0.0, 0
    params = SubscribeParams(deltas=True, interval_s=interval_s)
    readers = [(begin, Reader(encoder, "msgpack", params)) for begin in begins]
    for tick in range(41 + 40):
        now, number = tick * 0.2501, number + 1
        happened = event(number, fake_views.execution(uid=number), "progress")
        for begin, reader in readers:
            if tick >= begin:
                reader.subscriber.put(happened, now)
                reader.read(now)
    assert len({reader.told[-1] for _, reader in readers}) == 1
    assert len({data for _, reader in readers for data in reader.told[-2:]}) == 2
