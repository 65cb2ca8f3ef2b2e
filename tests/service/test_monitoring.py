"""The session of an execution and why it is as it is, from a real daemon over its real socket."""

from __future__ import annotations

import contextlib
import os
import random
import time
from collections.abc import Iterator
from pathlib import Path

import apsw
import msgspec
import pytest

import trees
from daemon import EmbeddedDaemon
from migmond.client.errors import RemoteError
from migmond.client.sync import Client
from migmond.client.views import Views
from migmond.domain import api
from migmond.domain.analysis import SessionView, WhyParams, WhyView
from migmond.domain.breakdown import TimelineView
from migmond.domain.event_api import SubscribeParams, Subscription
from migmond.domain.events import ExecutionProgress
from migmond.domain.history import HistoryParams, HistoryView, SeriesSelector
from migmond.domain.limits import Limits
from migmond.domain.session import SessionRecord
from oracle import count
from patience import until


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[EmbeddedDaemon]:
    with EmbeddedDaemon(
        tmp_path / "daemon", '[monitor]\ninterval = "200ms"\n[history]\nflush_every = "1s"\n'
    ) as running:
        yield running


def start(client: Client, source: Path, target: Path, limit: int | None) -> str:
    plan = api.PlanSpec((api.SourceSpec(str(source)),), str(target), name="it", limits=Limits(io_bytes_per_s=limit))
    return client.call("execution.start", api.StartParams(plan), api.ExecutionView).id


def session(client: Client, id_: str) -> SessionView:
    return client.call("execution.session", api.ExecutionParams(id_), SessionView)


def why(client: Client, id_: str, path: str = "") -> WhyView:
    return client.call("execution.why", WhyParams(id_, path), WhyView)


def milestones(client: Client, id_: str) -> list[str]:
    return [m.kind for m in client.call("execution.timeline", api.ExecutionParams(id_), TimelineView).milestones]


def test_a_session_lives_and_is_kept(daemon: EmbeddedDaemon, tmp_path: Path) -> None:
    source = tmp_path / "source"
    trees.random_tree(source / "small", random.Random(3), 80)
    (source / "large").write_bytes(os.urandom(1 << 20) * 24)
    with Client(daemon.socket) as client:
        id_ = start(client, source, tmp_path / "target", 4 << 20)
        until(lambda: (s := session(client, id_)).performance is not None and s.active_s > 2.5)
        live = session(client, id_)
        assert live.live
        assert live.performance is not None
        assert sum(s.share for s in live.performance.time.shares) == pytest.approx(1.0, abs=0.01)
        assert live.performance.time.bottleneck is not None
        assert live.performance.time.bottleneck.cause == "throttled"
        average = live.performance.rates.average
        assert average is not None
        assert 2 << 20 < average.bytes_per_s < 6 << 20
        assert "limit of 4" in why(client, id_).sentence
        assert live.resources.cpu_s is not None
        assert live.resources.movers >= 1
        assert live.source.kind == live.target.kind
        progress = live.execution.progress
        assert progress.eta_low_s is not None
        assert progress.seconds_remaining is not None
        assert progress.eta_high_s is not None
        assert progress.eta_low_s < progress.seconds_remaining < progress.eta_high_s
        until(lambda: why(client, id_, "large").kind in ("limited", "waiting"))
        assert "for a limit of 4 MiB/s." in why(client, id_, "large").sentence
        client.call("execution.pause", api.PauseParams(id_, reason="lunch"), api.ExecutionView)
        until(lambda: "lunch" in why(client, id_).sentence)
        assert why(client, id_).sentence.startswith("It stands still")
        until(lambda: session(client, id_).held_s > 0)  # at the next look
        client.call("execution.resume", api.ReasonParams(id_), api.ExecutionView)
        until(lambda: session(client, id_).execution.state == "completed")
        until(lambda: not session(client, id_).live)
        kept = session(client, id_)
        assert kept.performance is None
        assert kept.active_s >= live.active_s
        assert kept.held_s > 0
        with contextlib.closing(apsw.Connection(str(next(tmp_path.rglob("journal.db"))))) as journal:
            ((body,),) = list(journal.execute("SELECT body FROM session"))
        record = msgspec.msgpack.decode(body, type=SessionRecord)
        assert sum(t.entries for t in record.sizes.values()) == kept.execution.progress.done.entries
        assert sum(t.bytes for t in record.sizes.values()) == kept.execution.progress.done.bytes
        assert record.sizes["≤64 MiB"].bytes == 24 << 20
        assert record.course[-1].settled.bytes == kept.execution.progress.done.bytes
        assert kept.resources.cpu_s is not None
        assert kept.resources.cpu_s >= live.resources.cpu_s
        assert [i.kind for i in kept.interventions] == ["pause", "resume"]
        assert why(client, id_).sentence == "Nothing works on it: it is completed."
        assert why(client, id_, "large").sentence == "It is done (copied)."
        with pytest.raises(RemoteError, match="no entry"):
            why(client, id_, "small/../large")


def test_why_a_file_waits_names_what_it_waits_for(daemon: EmbeddedDaemon, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    (source / "large").write_bytes(os.urandom(1 << 20) * 12)
    os.link(source / "large", source / "other")
    with Client(daemon.socket) as client:
        id_ = start(client, source, tmp_path / "target", 2 << 20)
        until(lambda: not session(client, id_).execution.progress.growing)
        until(lambda: "follows" in {why(client, id_, name).kind for name in ("large", "other")})
        further = next(name for name in ("large", "other") if why(client, id_, name).kind == "follows")
        first = "other" if further == "large" else "large"
        assert why(client, id_, further).sentence == f"It is a further name of {first}, which has to be there first."
        until(lambda: why(client, id_, str(source / first)).kind == "limited")
        until(lambda: "first byte" in milestones(client, id_))
        assert session(client, id_).execution.progress.done.bytes == 0  # not durable, and yet it has arrived


def test_what_is_charted_is_how_it_went(daemon: EmbeddedDaemon, tmp_path: Path) -> None:
    source = tmp_path / "source"
    trees.random_tree(source, random.Random(5), 60)
    (source / "large").write_bytes(os.urandom(1 << 20) * 12)
    counted = count(source)
    with Client(daemon.socket) as client:
        id_ = start(client, source, tmp_path / "target", 4 << 20)
        until(lambda: session(client, id_).execution.state == "completed")
        planned = session(client, id_).execution.progress.planned
        assert planned.entries == counted

        def chart(metric: str) -> HistoryView:
            select = (SeriesSelector(metric, {"execution": id_}),)
            return client.call("history.query", HistoryParams(select, span_s=300.0, points=300), HistoryView)

        def rates() -> list[float]:
            found = chart("migmond_execution_bytes_total")
            return [m for c in found.series for m, n in zip(c.mean, c.count, strict=True) if m is not None and n]

        until(lambda: len(rates()) >= 2)
        assert 1 << 20 < max(rates()) < 8 << 20  # the limit is 4 MiB/s
        last = [v for c in chart("migmond_execution_planned_bytes").series for v in c.high if v is not None]
        assert last[-1] == pytest.approx(planned.bytes, rel=1e-6)


def test_the_next_run_on_the_same_disks_knows_what_the_first_one_cost(daemon: EmbeddedDaemon, tmp_path: Path) -> None:
    trees.small_files(tmp_path / "source", 3000, 4096, random.Random(1))
    with Client(daemon.socket) as client:
        first = start(client, tmp_path / "source", tmp_path / "one", None)
        until(lambda: session(client, first).execution.state == "completed" and session(client, first).active_s > 0)
        if not session(client, first).source.identity:
            pytest.skip("nobody tells which disk this is")
        id_ = start(client, tmp_path / "source", tmp_path / "two", 64 << 10)

        def forecast() -> bool:
            p = session(client, id_).execution.progress
            return p.seconds_remaining is not None and not p.growing

        until(forecast)
        left = session(client, id_).execution.progress.seconds_remaining
        assert left is not None
        assert left > 60  # 12 MB at 64 KiB/s: three minutes
        client.call("execution.cancel", api.ReasonParams(id_), api.ExecutionView)


@pytest.mark.alone
def test_progress_comes_as_often_as_somebody_asks(daemon: EmbeddedDaemon, tmp_path: Path) -> None:
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "large").write_bytes(os.urandom(1 << 20) * 16)

    def seen(interval_s: float) -> int:
        with Client(daemon.socket) as client:
            subscribe = SubscribeParams(("execution.progress",), (id_,), interval_s=interval_s)
            client.call("events.subscribe", subscribe, Subscription)
            end, count = time.monotonic() + 2.0, 0
            for delivery in client.events(timeout_s=0.5):
                count += delivery is not None
                if time.monotonic() >= end:
                    return count
        raise AssertionError

    with Client(daemon.socket) as client:
        id_ = start(client, tmp_path / "source", tmp_path / "target", 1 << 20)
        until(lambda: session(client, id_).performance is not None)
        fast, slow = seen(0.1), seen(1.0)
        assert fast >= 10  # 20 on a machine that has nothing else to do; with a tick of 0.25 s at most 9
        assert slow <= 4
        client.call("execution.cancel", api.ReasonParams(id_), api.ExecutionView)


def test_deltas_of_a_real_migration_make_what_others_are_told_as_a_whole(
    daemon: EmbeddedDaemon, tmp_path: Path
) -> None:
    trees.small_files(tmp_path / "source", 3000, 4096, random.Random(2))
    with Client(daemon.socket) as client, Client(daemon.socket) as other:
        id_ = start(other, tmp_path / "source", tmp_path / "target", 2 << 20)
        wholes, made, sizes = dict[int, api.ExecutionView](), dict[int, api.ExecutionView](), list[tuple[int, int]]()
        views, whole_of = Views(), SubscribeParams(("execution.",), (id_,), interval_s=0.1)
        delta_of = msgspec.structs.replace(whole_of, deltas=True)
        client.call("events.subscribe", whole_of, Subscription)
        deltas = client.call("events.subscribe", delta_of, Subscription)
        paused = False
        for delivery in client.events(timeout_s=20.0):
            assert delivery is not None
            event = delivery.event
            if delivery.subscription == deltas.subscription:
                view = views.apply(delivery)
                if view is not None:
                    made[event.id] = view
                if view is not None and isinstance(event, ExecutionProgress) and event.changes is not None:
                    sizes.append((len(msgspec.json.encode(event)), len(msgspec.json.encode(view))))
                if view is not None and view.state == "completed":
                    break
            elif (whole := getattr(event, "view", None)) is not None:
                wholes[event.id] = whole
            if len(made) > 5 and not paused:
                paused = True
                other.call("execution.pause", api.PauseParams(id_, 0.5), api.ExecutionView)
    assert made == {number: view for number, view in wholes.items() if number in made}
    assert len(sizes) > 10
    assert sum(delta for delta, _ in sizes) < 0.6 * sum(whole for _, whole in sizes)
