"""Plugins found, checked, supervised: whatever one does wrong concerns nobody else."""

from __future__ import annotations

import contextlib
import math
import threading
import types
from collections.abc import AsyncIterator, Iterable
from pathlib import Path
from typing import Any

import msgspec
import pytest
import trio

from migmond.domain import daemon_api
from migmond.domain.alert import Tried
from migmond.domain.errors import PluginError
from migmond.plugin_api import (
    ActionFailed,
    AlertActionSpec,
    AlertNotice,
    CollectorSpec,
    MetricDesc,
    MetricKind,
    NoData,
    Note,
    Proposal,
    Sample,
    Snapshot,
    StorageSpec,
    StrategySpec,
    example,
    hookimpl,
)
from migmond.plugin_host.collecting import MAX_NOTE_TEXT, MAX_NOTES
from migmond.plugin_host.discovery import installed, load_all
from migmond.plugin_host.found import Found
from migmond.plugin_host.host import PluginHost
from migmond.plugin_host.supervision import FAILURES_TO_QUARANTINE

METRIC = MetricDesc("m_value", "", MetricKind.GAUGE, "A value.")


class Counting:
    """A collector that does what it is told."""

    def __init__(self, *actions: Any) -> None:
        self.actions = list(actions)
        self.calls = 0

    async def collect(self) -> Iterable[Sample]:
        action = self.actions[min(self.calls, len(self.actions) - 1)]
        self.calls += 1
        if action == "hang":
            await trio.sleep_forever()
        if isinstance(action, Exception):
            raise action
        return [Sample("m_value", action)]


def plugin(collector: Any, name: str = "c", interval_s: float = 1.0, metrics: Any = (METRIC,)) -> Any:
    @contextlib.asynccontextmanager
    async def opened() -> AsyncIterator[Any]:
        if isinstance(collector, Exception):
            raise collector
        yield collector

    module = types.SimpleNamespace()

    @hookimpl
    def migmond_collectors(settings: Any) -> Any:
        return [CollectorSpec(name, interval_s, metrics, opened, deadline_s=2.0)]

    module.migmond_collectors = migmond_collectors
    return module


def host(settings: dict[str, Any] | None = None, **plugins: Any) -> PluginHost:
    return PluginHost([Found(n, p) for n, p in plugins.items()], settings or {}, lambda: 0.0)


def view(found: PluginHost, name: str) -> daemon_api.PluginView:
    return next(v for v in found.views() if v.name == name)


def hook(name: str, function: Any) -> Any:
    function.__name__ = name
    return types.SimpleNamespace(**{name: hookimpl(function)})


def raises(settings: Any) -> Any:
    raise RuntimeError("broken at home")


def a_storage(settings: Any) -> Any:
    return [StorageSpec("mine", lambda context: contextlib.nullcontext())]  # type: ignore[arg-type, return-value]


async def an_async_hook(settings: Any) -> Any:
    return []


def bad_parameters(settings: Any) -> Any:
    return [AlertActionSpec("note", "Note it.", dict, example.note)]  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("target", "words"),
    [
        ("no_such_module_anywhere", "No module named"),
        (hook("migmond_storages", raises), "broken at home"),
        (hook("migmond_storages", lambda settings: 5), "int instead of"),
        (hook("migmond_storages", lambda settings: [5]), "a int instead of a StorageSpec"),
        (plugin(Counting(1.0), name="Bad Name"), "lower case"),
        (plugin(Counting(1.0), interval_s=0.0), "out of range"),
        (plugin(Counting(1.0), metrics=()), "describes no metric"),
        (types.SimpleNamespace(MIGMOND_API_VERSION=99), "needs plugin API version 99"),
        (plugin(Counting(1.0), metrics=(METRIC, METRIC)), "describes m_value twice"),
        (plugin(Counting(1.0), metrics=(MetricDesc("Bad name", "", MetricKind.GAUGE, "x"),)), "the metric's name"),
        (plugin(Counting(1.0), metrics=(MetricDesc("m", "", MetricKind.GAUGE, " "),)), "metric m has no help"),
        (plugin(Counting(1.0), metrics=("m_value",)), "is no MetricDesc"),
        (plugin(Counting(1.0), metrics=(MetricDesc("m", "", MetricKind.GAUGE, "x", ("a b",)),)), "the label 'a b'"),
        (
            hook(
                "migmond_collectors",
                lambda settings: [CollectorSpec("c", 1.0, (METRIC,), lambda: None, note_kinds={"io_error": ""})],  # type: ignore[arg-type, return-value]
            ),
            "io_error has no help",
        ),
        (plugin(Counting(1.0), interval_s="often"), "'often' is out of range"),  # type: ignore[arg-type]
        (hook("migmond_storages", lambda settings: a_storage(settings) * 2), "registers storage mine twice"),
        (hook("migmond_storages", lambda settings: [StorageSpec("mine", 5)]), "nothing to call: 5"),  # type: ignore[arg-type]
        (hook("migmond_storages", an_async_hook), "must not be async"),
        (
            hook("migmond_strategies", lambda settings: [StrategySpec("s", "", lambda snapshot, now: [])]),
            "s has no help",
        ),
        (hook("migmond_alert_actions", bad_parameters), "parameters are no msgspec.Struct"),
        (types.SimpleNamespace(SETTINGS=dict), "SETTINGS is no msgspec.Struct"),
        ("module_that_exits", "SystemExit"),
    ],
)
def test_a_bad_plugin_is_invalid_with_its_reason_and_others_load(
    target: Any, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "module_that_exits.py").write_text("import sys\nsys.exit('not on this machine')\n")
    monkeypatch.syspath_prepend(tmp_path)
    loaded = host(bad=target, good=hook("migmond_storages", a_storage))
    assert view(loaded, "bad").state == "invalid"
    assert words in view(loaded, "bad").reason
    assert (view(loaded, "good").state, view(loaded, "good").provides) == ("active", ("storage mine",))


class Inner(msgspec.Struct, frozen=True):
    wing: int = 0


class Outer(msgspec.Struct, frozen=True):
    inner: Inner = Inner()


def test_settings() -> None:
    loaded = load_all([Found("example", example)], {"example": {"directory": 5}})
    assert (loaded[0].state, loaded[0].reason) == (
        "invalid",
        "plugins.example: Expected `str`, got `int` - at `$.directory`",
    )
    loaded = load_all([Found("example", example)], {"example": {"directry": "/"}})
    assert loaded[0].reason == "plugins.example.directry: no such setting; there are: directory"
    loaded = load_all([Found("x", types.SimpleNamespace(SETTINGS=Outer))], {"x": {"inner": {"thing": 1}}})
    assert loaded[0].reason == "plugins.x.inner.thing: no such setting; there are: wing"
    loaded = load_all([Found("x", hook("migmond_storages", a_storage))], {"x": {"some": 1}})
    assert loaded[0].reason == "plugins.x.some: this plugin has no settings"
    off = load_all([Found("example", example)], {"example": {"enabled": False}})
    assert off[0].state == "disabled"
    maybe = load_all([Found("example", example)], {"example": {"enabled": "maybe"}})
    assert maybe[0].state == "invalid"
    unknown = load_all([], {"nothing": {"enabled": True}})
    assert (unknown[0].name, unknown[0].state) == ("nothing", "invalid")


def test_two_plugins_with_one_name_are_a_conflict() -> None:
    loaded = host(a=hook("migmond_storages", a_storage), b=hook("migmond_storages", a_storage))
    assert view(loaded, "a").state == "active"
    assert view(loaded, "b").state == "conflict"
    assert "registered by the plugin a already" in view(loaded, "b").reason
    assert loaded.storage("mine").name == "mine"
    with pytest.raises(PluginError, match="there is: mine"):
        loaded.storage("sqlite")


def test_the_built_in_storage_is_found_like_anybodys() -> None:
    found = installed({"sqlite": "migmond_sqlite"})
    loaded = PluginHost(found, {}, lambda: 0.0)
    assert loaded.storage("sqlite").name == "sqlite"


async def test_a_collector_that_keeps_failing_is_quarantined(autojump_clock: trio.testing.MockClock) -> None:
    bad, good = Counting(1.0, RuntimeError("gone")), Counting(2.0)
    loaded = host(bad=plugin(bad, "bad"), good=plugin(good, "good"))
    told: list[tuple[str, str]] = []
    loaded.on_quarantine = lambda name, reason: told.append((name, reason))
    async with loaded.running():
        await trio.sleep(0.5)
        assert sorted(s.value or 0 for s in loaded.samples()) == [1.0, 2.0]
        await trio.sleep(20)
    assert bad.calls == 1 + FAILURES_TO_QUARANTINE
    assert good.calls > 15
    assert view(loaded, "bad").state == "quarantined"
    assert "gone" in view(loaded, "bad").reason
    assert view(loaded, "bad").failures == FAILURES_TO_QUARANTINE
    assert told == [("bad", view(loaded, "bad").reason)]
    missing = [s for s in loaded.samples() if s.value is None]
    assert len(missing) == 1
    assert "gone" in missing[0].no_data


@pytest.mark.parametrize("action", ["hang", RuntimeError("x")])
async def test_one_failure_is_forgiven(action: Any, autojump_clock: trio.testing.MockClock) -> None:
    collector = Counting(1.0, action, 3.0)
    loaded = host(c=plugin(collector))
    async with loaded.running():
        await trio.sleep(30)
    assert view(loaded, "c").state == "active"
    assert view(loaded, "c").failures == 1
    assert [s.value for s in loaded.samples()] == [3.0]


async def test_a_collector_that_cannot_be_opened_is_quarantined(autojump_clock: trio.testing.MockClock) -> None:
    loaded = host(c=plugin(OSError("no device")))
    async with loaded.running():
        await trio.sleep(30)
    assert view(loaded, "c").state == "quarantined"
    assert "no device" in view(loaded, "c").reason


@pytest.mark.parametrize("phase", ["open", "close"])
async def test_a_collector_that_hangs_while_it_is_opened_or_closed(
    phase: str, autojump_clock: trio.testing.MockClock
) -> None:
    closed = 0

    @contextlib.asynccontextmanager
    async def opened() -> AsyncIterator[Any]:
        nonlocal closed
        if phase == "open":
            await trio.sleep_forever()
        yield Counting(RuntimeError("no use"))
        try:
            await trio.sleep_forever()
        finally:
            closed += 1

    def collectors(settings: Any) -> Any:
        return [CollectorSpec("c", 1.0, (METRIC,), opened, deadline_s=2.0)]

    loaded = host(c=hook("migmond_collectors", collectors), good=plugin(Counting(2.0), "good"))
    async with loaded.running():
        await trio.sleep(60)
        assert view(loaded, "c").state == "quarantined"
        if phase == "open":
            assert view(loaded, "c").reason.startswith("collector c could not be opened within 2 s")
        else:
            assert closed == 1
            assert view(loaded, "c").failures == FAILURES_TO_QUARANTINE + 1
        assert sorted((s.value or 0, bool(s.no_data)) for s in loaded.samples()) == [(0, True), (2.0, False)]


async def test_a_collector_stuck_in_a_thread_is_seen_and_others_go_on(autojump_clock: trio.testing.MockClock) -> None:
    autojump_clock.autojump_threshold = 0.01
    release = threading.Event()

    class Stuck:
        calls = 0

        async def collect(self) -> Iterable[Sample]:
            self.calls += 1
            if self.calls > 1:
                await trio.to_thread.run_sync(release.wait)
            return [Sample("m_value", 1.0)]

    stuck, good = Stuck(), Counting(2.0)
    loaded = host(stuck=plugin(stuck, "stuck"), good=plugin(good, "good"))
    async with loaded.running():
        try:
            await trio.sleep(20)
            assert view(loaded, "stuck").state == "quarantined"
            assert "cannot be stopped" in view(loaded, "stuck").reason
            assert stuck.calls == 2
            assert good.calls > 15
            assert sorted((s.value or 0, bool(s.no_data)) for s in loaded.samples()) == [(0, True), (2.0, False)]
        finally:
            release.set()


async def test_the_collectors_of_a_quarantined_plugin_have_no_data(autojump_clock: trio.testing.MockClock) -> None:
    rare, broken = plugin(Counting(1.0), "rare", interval_s=9000.0), plugin(RuntimeError("gone"), "broken")

    def both(settings: Any) -> Any:
        return [*rare.migmond_collectors(settings), *broken.migmond_collectors(settings)]

    loaded = host(c=hook("migmond_collectors", both))
    async with loaded.running():
        await trio.sleep(0.5)
        assert [s.value for s in loaded.samples()] == [1.0, None]
        await trio.sleep(10)
        assert [s.value for s in loaded.samples()] == [None, None]


@pytest.mark.parametrize(
    ("value", "words"), [(NoData("asleep"), "asleep"), (math.nan, "said nan"), (math.inf, "said inf")]
)
async def test_no_data_is_never_zero(value: Any, words: str, autojump_clock: trio.testing.MockClock) -> None:
    loaded = host(c=plugin(Counting(value)))
    async with loaded.running():
        await trio.sleep(1.5)
    (sample,) = loaded.samples()
    assert sample.value is None
    assert words in sample.no_data
    assert view(loaded, "c").state == "active"


class Telling:
    """A collector that leaves these notes at each call."""

    def __init__(self, *notes: Note) -> None:
        self.notes = notes

    async def collect(self) -> Iterable[Sample | Note]:
        return [*self.notes, Sample("m_value", 1.0)]


def telling(*notes: Note, name: str = "c") -> Any:
    @contextlib.asynccontextmanager
    async def opened() -> AsyncIterator[Telling]:
        yield Telling(*notes)

    spec = CollectorSpec(name, 1.0, (METRIC,), opened, note_kinds={"io_error": "It could not be read."})
    return hook("migmond_collectors", lambda settings: [spec])


async def test_notes_are_kept_in_order_one_line_each_and_bounded(autojump_clock: trio.testing.MockClock) -> None:
    long = Note(1.5, "io_error", "x" * (MAX_NOTE_TEXT + 1))
    first, second = Note(0.0, "io_error", "sector 5\n is  gone", "sda"), Note(2.0, "io_error", "again", "sdb")
    loaded = host(a=telling(second, name="a"), b=telling(first, long, name="b"))
    async with loaded.running():
        await trio.sleep(0.5)
        assert [(n.device, n.message[:15], n.collector) for n in loaded.notes()] == [
            ("sda", "sector 5 is gon", "b"),
            ("", "x" * 15, "b"),
            ("sdb", "again", "a"),
        ]
        assert len(loaded.notes()[1].message) == MAX_NOTE_TEXT
        assert loaded.notes()[0].at == "1970-01-01T00:00:00.000+00:00"
        assert [s.value for s in loaded.samples()] == [1.0, 1.0]
        await trio.sleep(2 * MAX_NOTES)
        assert len(loaded.notes()) == 2 * MAX_NOTES


async def test_each_look_is_passed_on_once_and_a_failure_as_well(autojump_clock: trio.testing.MockClock) -> None:
    seen: list[tuple[list[float | None], list[str]]] = []
    loaded = host(a=plugin(Counting(1.0, RuntimeError("gone"), 2.0), "a"))
    loaded.on_collected = lambda samples, notes: seen.append(([s.value for s in samples], [n.kind for n in notes]))
    async with loaded.running():
        await trio.sleep(2.5)
    assert seen == [([1.0], []), ([None], []), ([2.0], [])]
    seen.clear()
    telling_host = host(b=telling(Note(0.0, "io_error", "x"), name="b"))
    telling_host.on_collected = loaded.on_collected
    async with telling_host.running():
        await trio.sleep(1.5)
    assert seen == [([1.0], ["io_error"])] * 2


async def test_a_note_that_was_not_described_is_a_failure(autojump_clock: trio.testing.MockClock) -> None:
    loaded = host(c=telling(Note(0.0, "surprise", "boo")))
    async with loaded.running():
        await trio.sleep(0.5)
        assert [(s.value, s.no_data) for s in loaded.samples()] == [
            (None, "collector c raised PluginError: a note of kind 'surprise', which was not described")
        ]
        assert loaded.notes() == ()


def test_what_metrics_and_notes_mean() -> None:
    found = host(b=telling(name="b"), a=plugin(Counting(1.0), "a", interval_s=7.0)).metrics()
    assert [(m.name, m.kind, m.help, m.plugin, m.collector, m.interval_s) for m in found.metrics] == [
        ("m_value", "gauge", "A value.", "a", "a", 7.0),
        ("m_value", "gauge", "A value.", "b", "b", 1.0),
    ]
    assert [(k.kind, k.help, k.collector) for k in found.note_kinds] == [("io_error", "It could not be read.", "b")]


NOTICE = AlertNotice("d1", "a-1", "rule", "warning", "slow", True, "now", "then", 1.0, 2.0, "aa")


async def test_alert_actions_are_called_one_by_one_and_supervised(autojump_clock: trio.testing.MockClock) -> None:
    calls: list[Any] = []

    class Parameters(msgspec.Struct, frozen=True):
        how: str

    async def act(notice: AlertNotice, parameters: Parameters) -> None:
        calls.append(parameters.how)
        if parameters.how == "hang":
            await trio.sleep_forever()
        if parameters.how == "raise":
            raise RuntimeError("line busy")

    def actions(settings: Any) -> Any:
        return [AlertActionSpec("phone", "Call somebody.", Parameters, act, deadline_s=2.0)]

    loaded = host(p=hook("migmond_alert_actions", actions))
    with pytest.raises(PluginError, match="there is: phone"):
        await loaded.act("mail", NOTICE, {})
    with pytest.raises(PluginError, match="missing required field `how`"):
        await loaded.act("phone", NOTICE, {})
    assert calls == []
    assert "longer than 2 s" in (await loaded.act("phone", NOTICE, {"how": "hang"})).error
    assert "line busy" in (await loaded.act("phone", NOTICE, {"how": "raise"})).error
    assert await loaded.act("phone", NOTICE, {"how": "well"}) == Tried()
    for _ in range(FAILURES_TO_QUARANTINE):
        await loaded.act("phone", NOTICE, {"how": "raise"})
    assert view(loaded, "p").state == "quarantined"
    assert "quarantined" in (await loaded.act("phone", NOTICE, {"how": "well"})).error
    assert calls == ["hang", "raise", "well", "raise", "raise", "raise"]


async def test_a_receiver_that_is_down_is_no_fault_of_the_plugin() -> None:
    answers = [ActionFailed("busy", after_s=7.0)] * 9 + [ActionFailed("", final=True)]

    async def act(notice: AlertNotice, parameters: msgspec.Struct) -> None:
        raise answers.pop(0)

    def actions(settings: Any) -> Any:
        return [AlertActionSpec("phone", "Call somebody.", msgspec.Struct, act)]

    loaded = host(p=hook("migmond_alert_actions", actions))
    for _ in range(9):
        assert await loaded.act("phone", NOTICE, {}) == Tried("busy", after_s=7.0)
    assert await loaded.act("phone", NOTICE, {}) == Tried("it failed and does not say why", final=True)
    assert (view(loaded, "p").state, view(loaded, "p").failures) == ("active", 0)


async def test_strategies_are_asked_and_supervised() -> None:
    answers: list[Any] = [[Proposal("workers", 1, "why", 0.5)], 5, ["no proposal"], RuntimeError("bug"), []]

    def propose(snapshot: Snapshot, now: float) -> Any:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    loaded = host(p=hook("migmond_strategies", lambda settings: [StrategySpec("wise", "Be wise.", propose)]))
    snapshot = Snapshot("aa", 4, None, None)
    with pytest.raises(PluginError, match="there is: wise"):
        await loaded.propose("other", snapshot, 0.0)
    assert await loaded.propose("wise", snapshot, 0.0) == (Proposal("workers", 1, "why", 0.5),)
    for _ in range(5):
        assert await loaded.propose("wise", snapshot, 0.0) == ()
    assert answers == [[]]  # after three failures in a row it was not asked any more
    assert "bug" in view(loaded, "p").reason


@pytest.mark.parametrize(
    ("proposal", "reason"),
    [
        (Proposal("faster", 1, "why", 0.5), "no action 'faster'; there are: workers, batch, io"),
        (Proposal("workers", 0, "why", 0.5), "workers 0 is no whole number from 1 on"),
        (Proposal("workers", 1.5, "why", 0.5), "workers 1.5 is no"),
        (Proposal("io", float("nan"), "why", 0.5), "io nan is no"),
        (Proposal("io", 1e300, "why", 0.5), "io 1e+300 is no"),
        (Proposal("io", 1, "why", 1e300), "the gain 1e+300"),
        (Proposal("batch", -1, "why", 0.5), "batch -1 is no whole number from 0 on"),
        (Proposal("batch", 0, "why", -0.5), "the gain -0.5"),
        (Proposal("batch", 0, " ", 0.5), "does not say why"),
    ],
)
async def test_what_no_command_can_be_made_of_is_the_strategys_mistake(proposal: Proposal, reason: str) -> None:
    right = Proposal("batch", 0, "why", 0.0)
    spec = StrategySpec("wise", "Be wise.", lambda snapshot, now: [right, proposal])
    loaded = host(p=hook("migmond_strategies", lambda settings: [spec]))
    assert loaded.strategies() == ("wise",)
    for _ in range(3):
        assert await loaded.propose("wise", Snapshot("aa", 4, None, None), 0.0) == ()
    assert reason in view(loaded, "p").reason


async def test_the_example_plugin_runs(tmp_path: Path) -> None:
    found = PluginHost([Found("example", example)], {"example": {"directory": str(tmp_path)}}, lambda: 0.0)
    assert view(found, "example").state == "active"
    assert len(view(found, "example").provides) == 3
    async with found.running():
        with trio.fail_after(10):
            while not found.samples():  # noqa: ASYNC110 (a host tells nobody of samples)
                await trio.sleep(0.01)
    (sample,) = found.samples()
    assert sample.value is not None
    assert sample.value > 0
    loaded = load_all([Found("example", example)], {})[0]
    (action,) = loaded.alert_actions
    await action.run(NOTICE, action.parameters(path=str(tmp_path / "n")))
    assert (tmp_path / "n").read_text() == "now warning rule: slow\n"
    strategy: StrategySpec = loaded.strategies[0]
    assert [p.action for p in strategy.propose(Snapshot("aa", 4, 10.0, 1.0), 0.0)] == ["workers"]
    assert strategy.propose(Snapshot("aa", 1, 10.0, 1.0), 0.0) == []
