"""What clients may take of the daemon: places, names, walks, time."""

from __future__ import annotations

import contextlib
import socket
import struct
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import cast
from unittest.mock import Mock

import msgspec
import pytest
import trio
import trio.testing

from daemon import EmbeddedDaemon
from migmond.config.files import MAIN_FILE
from migmond.config.load import load
from migmond.config.work_sections import ExecutionsSection, MoversSection
from migmond.daemon import service
from migmond.daemon.activation import inherited_sockets
from migmond.daemon.descriptors import clients_allowed, reserved_for
from migmond.daemon.file_pager import PAGE_S
from migmond.daemon.from_config import engine_settings
from migmond.daemon.logs import make_log
from migmond.daemon.rights import MAX_READS, Rights
from migmond.daemon.service import Desks, Knowledge, Service
from migmond.daemon.shared import Shared
from migmond.domain import api
from migmond.domain.entry import EntryType
from migmond.domain.errors import ConfigError, InvalidInput, LimitExceeded, NotFound, NotPermitted
from migmond.domain.execution import Execution
from migmond.domain.hold import Hold, HoldReason
from migmond.domain.identity import Identity, Peer, Role
from migmond.domain.plan import Plan, Source
from migmond.domain.preflight import Promise
from migmond.domain.states import ExecutionState
from migmond.domain.steering import Pause
from migmond.domain.task import Directory, Task
from migmond.engine.bus import EventBus
from migmond.engine.manager import Engine
from migmond.engine.records import Records
from migmond.engine.salvaging import Salvages
from migmond.engine.settings import EngineSettings, Surroundings
from migmond.planning.actions import MAX_IN_FORCE, refuse_too_many
from migmond.planning.turns import TurnLimits
from migmond.rpc.peer import credentials_of
from migmond.rpc.server import bind_socket, has_room

ANA, BEN = (Peer(Identity(uid, uid), Role.OPERATOR) for uid in (1000, 1001))


# --- places ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("role", "clients", "of_user", "room"),
    [
        (Role.ADMIN, 99, 99, True),
        (Role.ADMIN, 100, 0, False),
        (Role.OPERATOR, 89, 24, True),
        (Role.OPERATOR, 89, 25, False),
        (Role.VIEWER, 25, 25, False),
        (Role.VIEWER, 90, 0, False),
    ],
)
def test_one_user_cannot_take_all_places(role: Role, clients: int, of_user: int, room: bool) -> None:
    assert has_room(role, clients=clients, of_user=of_user, most=100) is room


def test_clients_leave_files_to_the_movers() -> None:
    assert clients_allowed(12_000, 65_536, 1000) == 12_000
    assert clients_allowed(12_000, 4096, 1000) == 3096
    assert clients_allowed(12_000, 64, 1000) == 32
    assert clients_allowed(12_000, -1, 1000) == 12_000
    few, many = ExecutionsSection(movers=10, running=5), ExecutionsSection(movers=20, running=5)
    assert reserved_for(many, MoversSection()) - reserved_for(few, MoversSection()) == 3 * 10
    assert reserved_for(few, MoversSection(spare=16)) - reserved_for(few, MoversSection(spare=0)) == 3 * 16


def test_the_engine_has_the_defaults_of_the_configuration(tmp_path: Path) -> None:
    assert engine_settings(load([tmp_path], root_owned=False)) == EngineSettings()
    (tmp_path / MAIN_FILE).write_text("[executions]\nrunning = 3\nwaiting_per_user = 0\n")
    told = engine_settings(load([tmp_path], root_owned=False))
    assert told.turns == TurnLimits(running=3, waiting_per_user=0)


def test_a_path_that_no_socket_can_have_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="the limit is 107"):
        bind_socket(str(tmp_path / ("x" * 108)), mode=0o600, backlog=1)


def test_more_clients_than_files_leave_the_daemon_working(tmp_path: Path) -> None:
    """A soft limit of 256 files, as a shell may have; the hard one is 1024."""
    daemon = EmbeddedDaemon(tmp_path, open_files=(256, 1024))
    clients: list[socket.socket] = []
    with daemon:
        try:
            for _ in range(800):
                clients.append(socket.socket(socket.AF_UNIX))
                clients[-1].settimeout(10)
                clients[-1].connect(daemon.socket)
            assert b"too many clients" in clients[-1].recv(4096)
            source = tmp_path / "source"
            source.mkdir()
            (source / "file").write_bytes(b"x")
            for sock in clients[:3]:
                sock.close()
            assert daemon.migmon("run", str(source), str(source.parent / "target"), "--wait").returncode == 0
        finally:
            for sock in clients:
                sock.close()


class _Options:
    def getsockopt(self, level: int, option: int, size: int, /) -> bytes:
        return struct.pack("iII", 7, 2**32 - 2, 2**31) if option == socket.SO_PEERCRED else b""


def test_ids_above_two_billion_are_what_they_are() -> None:
    assert credentials_of(_Options()) == (Identity(2**32 - 2, 2**31), 7)


def test_descriptors_that_are_not_there_are_a_clear_error() -> None:
    with pytest.raises(ConfigError):
        inherited_sockets({"LISTEN_PID": "1", "LISTEN_FDS": "100000"}, 1)


@pytest.mark.parametrize("environment", [{}, {"JOURNAL_STREAM": "1:2"}])
def test_a_name_cannot_forge_a_log_record(environment: dict[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    make_log(lambda: "info", environment)("taking up", name="x\n<3>stopped\x1b[2J")
    (line,) = capsys.readouterr().err.splitlines()
    assert "\x1b[2J" not in line


# --- the service -----------------------------------------------------------------------------------


def execution(id_: str, name: str, uid: int) -> Execution:
    return Execution(
        id_, 1, name, Plan(name, (Source(b"/s"),), b"/d"), Identity(uid, uid), ExecutionState.RUNNING, created_at=0.0
    )


class _Journal:
    """A million files that are made up as they are read."""

    read = busy = most = 0
    saved: list[tuple[Plan, float]]

    async def tasks(self, key: int, *, after: int, limit: int, states: tuple[object, ...]) -> list[Task]:
        self.busy += 1
        self.most = max(self.most, self.busy)
        await trio.lowlevel.checkpoint()
        self.busy -= 1
        last = min(1_000_000, after + limit)
        self.read += last - after
        return [Task(n, 1, b"f%d" % n, EntryType.FILE, 1, 0, 0, n, 1, 1) for n in range(after + 1, last + 1)]

    async def faults(self, key: int, numbers: object) -> dict[int, object]:
        return {}

    async def places(self, key: int, numbers: Sequence[int]) -> dict[int, Directory]:
        return {n: Directory(n, 0, b"") for n in numbers}

    async def plans(self, uid: int) -> list[tuple[Plan, float]]:
        return self.saved


class _Clock:
    step_s = 0.0
    """How much later it is each time that it is looked at."""
    _now = 0.0

    def monotonic(self) -> float:
        self._now += self.step_s
        return self._now

    def wall(self) -> float:
        return 1e9


async def a_service(nursery: trio.Nursery, *executions: Execution) -> tuple[Service, _Journal]:
    journal = _Journal()
    surroundings = cast("Surroundings", _Surroundings(journal))
    engine = Engine(surroundings, nursery)
    for execution in executions:
        engine._roster.add(execution)
    return Service(engine, surroundings, Rights(engine), cast("Knowledge", None), cast("Desks", Mock())), journal


class _Surroundings:
    def __init__(self, journal: _Journal) -> None:
        self.journal, self.clock, self.bus = journal, _Clock(), EventBus(1, lambda: 0.0)
        self.settings, self.records = EngineSettings(), Records()
        self.salvages = Salvages()


async def test_nobody_can_take_anothers_name(nursery: trio.Nursery) -> None:
    mine, others = execution("aaaaaa000000", "photos", 1000), execution("bbbbbb000000", "photos", 1001)
    spoof = execution("cccccc000000", "aaaaaa", 1001)  # named like the beginning of mine
    found, _ = await a_service(nursery, mine, others, spoof)
    for name in ("photos", "aaaaaa", "aaaaaa000000"):
        assert (await found.get_execution(ANA, name)).id == mine.id
    with pytest.raises(NotFound) as e:
        await found.get_execution(ANA, "bbbbbb")
    assert "bbbbbb000000"[:7] not in f"{e.value.message} {e.value.hint}"


async def test_a_search_without_a_match_returns_in_time(nursery: trio.Nursery) -> None:
    found, journal = await a_service(nursery, execution("aaaaaa000000", "photos", 1000))
    wanted = api.SelectorSpec(include=("f77777",))
    cast("_Clock", found._surroundings.clock).step_s = PAGE_S / 1000
    page = await found.list_files(ANA, api.FilesParams("aaaaaa", wanted, limit=1))
    assert page == api.TaskPage((), page.next)
    assert journal.read == page.next
    assert 0 < journal.read < 1500
    following = await found.list_files(ANA, api.FilesParams("aaaaaa", wanted, after=77_000, limit=1))
    assert [t.path for t in following.tasks] == ["f77777"]


@contextlib.asynccontextmanager
async def turns_of_others() -> AsyncIterator[list[int]]:
    """Yield a list that gets an entry each time that the loop comes round."""
    seen: list[int] = []

    async def other() -> None:
        while True:
            seen.append(1)
            await trio.lowlevel.checkpoint()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(other)
        yield seen
        nursery.cancel_scope.cancel()


async def test_others_are_served_while_something_long_is_made(
    nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch
) -> None:
    found, _ = await a_service(nursery, *(execution(f"{n:012x}", "photos", 1000) for n in range(50)))
    monkeypatch.setattr(_Clock, "step_s", 1.0)
    async with turns_of_others() as seen:
        await found.list_executions(ANA, api.ListParams())
    assert len(seen) > 40
    async with turns_of_others() as seen:
        await found.list_files(ANA, api.FilesParams(f"{7:012x}", api.SelectorSpec(include=("f77777",)), limit=900))
    assert len(seen) > 900


async def test_a_page_of_very_long_plans_is_shorter(nursery: trio.Nursery) -> None:
    """64 of them made it too long for a frame: `migmon ls` failed, for everybody who saw them."""
    sources = tuple(Source(b"/" + b"%04d" % n + b"s" * 250) for n in range(1000))
    long_one = Plan("long", sources, b"/d")
    many = [msgspec.structs.replace(execution(f"{n:012x}", "photos", 1000), plan=long_one) for n in range(64)]
    found, _ = await a_service(nursery, *many)
    seen: list[str] = []
    while True:
        page = await found.list_executions(ANA, api.ListParams(offset=len(seen), limit=1000))
        assert page.total == 64
        if not page.executions:
            break
        assert len(msgspec.json.encode(page)) < 5 << 20
        seen += [e.id for e in page.executions]
    assert seen == [e.id for e in reversed(many)]
    one, other = (found._engine.view(e) for e in many[:2])
    assert one.sources is other.sources, "every event has a view, 10,000 are remembered"


async def test_few_requests_of_one_user_read_the_journal_at_a_time(nursery: trio.Nursery) -> None:
    mine, others = execution("aaaaaa000000", "photos", 1000), execution("bbbbbb000000", "photos", 1001)
    found, journal = await a_service(nursery, mine, others)
    async with trio.open_nursery() as many:
        for _ in range(20):
            many.start_soon(found.list_files, ANA, api.FilesParams("aaaaaa", limit=500))
    assert journal.most == MAX_READS
    async with trio.open_nursery() as many:
        for peer, name in ((ANA, "aaaaaa"), (BEN, "bbbbbb")) * 20:
            many.start_soon(found.list_files, peer, api.FilesParams(name, limit=500))
    assert journal.most == 2 * MAX_READS


async def test_what_many_ask_for_is_made_once_after_they_asked() -> None:
    made: list[int] = []
    got: list[int] = []
    go_on = trio.Event()

    async def make() -> int:
        made.append(len(made))
        number = len(made)
        await go_on.wait()
        if number == 3:
            raise ZeroDivisionError
        return number

    shared = Shared(make)

    async def ask() -> None:
        got.append(await shared.get())

    async with trio.open_nursery() as many:
        for _ in range(30):
            many.start_soon(ask)
        await trio.testing.wait_all_tasks_blocked()
        assert len(made) == 1
        many.start_soon(ask)  # the first was begun before this one asked
        await trio.testing.wait_all_tasks_blocked()
        go_on.set()
    assert sorted(got) == [1] * 30 + [2]
    with pytest.raises(ZeroDivisionError):
        await shared.get()
    assert await shared.get() == 4


async def test_numbers_and_texts_have_limits(nursery: trio.Nursery) -> None:
    found, journal = await a_service(nursery, execution("aaaaaa000000", "photos", 1000))
    plan = api.PlanSpec((api.SourceSpec("/a"),), "/b", name="new")
    with pytest.raises(InvalidInput):
        await found.list_files(ANA, api.FilesParams("aaaaaa", after=10**30))
    with pytest.raises(InvalidInput, match="no state 'zzz'"):
        await found.list_executions(ANA, api.ListParams(("zzz",)))
    with pytest.raises(InvalidInput, match="longer"):
        await found.list_executions(ANA, api.ListParams(search="x" * 5000))
    for start in (api.StartParams(plan, name="x\ny"), api.StartParams(plan, request_id="x" * 10_000)):
        with pytest.raises(InvalidInput):
            await found.start(ANA, start)
    with pytest.raises(InvalidInput):
        await found.pause(ANA, api.PauseParams("aaaaaa", reason="x" * 10_000))
    with pytest.raises(InvalidInput):
        await found.cancel(ANA, api.ReasonParams("aaaaaa", "\x1b[2J"))
    hold = Hold("h1", HoldReason.USER, "ana", 0.0, None, "")
    held = msgspec.structs.replace(execution("bbbbbb000000", "held", 1000), holds=(hold,) * MAX_IN_FORCE)
    with pytest.raises(LimitExceeded):
        refuse_too_many(held, Pause())
    journal.saved = [(Plan(f"p{i}", (), b"/"), 0.0) for i in range(service.MAX_SAVED_PLANS)]
    with pytest.raises(LimitExceeded):
        await found.save_plan(ANA, plan)


async def test_a_daemon_without_rights_gives_none(nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch) -> None:
    found, _ = await a_service(nursery, execution("aaaaaa000000", "photos", 1000))
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    plan = api.PlanSpec((api.SourceSpec("/a"),), "/b", privileged=True)
    with pytest.raises(NotPermitted, match="no rights but yours"):
        await found.start(Peer(Identity(1000, 1000), Role.ADMIN), api.StartParams(plan))


async def test_one_user_walks_few_plans_at_a_time(nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch) -> None:
    walking, go_on = 0, trio.Event()

    async def walk(*_: object) -> api.PlanVerdict:
        nonlocal walking
        walking += 1
        await go_on.wait()
        return cast("api.PlanVerdict", None)

    monkeypatch.setattr(service, "check_plan", walk)
    found, _ = await a_service(nursery)
    plan = api.PlanSpec((api.SourceSpec("/a"),), "/b")
    for _ in range(service.MAX_CHECKS):
        nursery.start_soon(found.check_plan, ANA, plan)
    await trio.testing.wait_all_tasks_blocked()
    with pytest.raises(LimitExceeded):
        await found.check_plan(ANA, plan)
    nursery.start_soon(found.check_plan, BEN, plan)
    await trio.testing.wait_all_tasks_blocked()
    assert walking == service.MAX_CHECKS + 1
    go_on.set()
    await trio.testing.wait_all_tasks_blocked()
    await found.check_plan(ANA, plan)


async def test_whose_room_it_is_is_told_to_those_who_may_see(
    nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine, others = execution("aaaaaa000000", "photos", 1000), execution("bbbbbb000000", "secret", 1001)
    found, _ = await a_service(nursery, mine, others)

    def promises(name: Callable[[Execution], str]) -> list[Promise]:
        return [Promise(name(e), 1, 10, 1, certain=True) for e in (mine, others)]

    told: list[str] = []

    async def walk(_s: object, _p: object, _i: object, held: list[Promise]) -> api.PlanVerdict:
        told.extend(p.holder for p in held)
        return cast("api.PlanVerdict", None)

    monkeypatch.setattr(found._engine, "promises", promises)
    monkeypatch.setattr(service, "check_plan", walk)
    await found.check_plan(ANA, api.PlanSpec((api.SourceSpec("/a"),), "/b"))
    assert told == ["photos (aaaaaa)", "another user's migration"]
