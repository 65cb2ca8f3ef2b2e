"""The machine stays awake while anything moves, by a lock of logind's, on a message bus of the test's own."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import msgspec
import pytest
import trio

from message_bus import Logind, logind
from migmond.domain.execution import Execution
from migmond.domain.hold import Hold, HoldReason
from migmond.domain.identity import Identity
from migmond.domain.plan import Plan, Source
from migmond.domain.states import ExecutionState
from migmond.monitor import sleep_lock
from migmond.monitor.sleep_lock import NoSleepLock, SleepLock, held
from migmond.planning.awake import Wish, prevented

pytestmark = pytest.mark.skipif(shutil.which("dbus-daemon") is None, reason="there is no dbus-daemon")
PLAN = Plan("photos", (Source(b"/a"),), b"/b")


def execution(state: ExecutionState = ExecutionState.RUNNING) -> Execution:
    return Execution("aa", 1, "photos", PLAN, Identity(1000, 1000), state, 0.0)


@pytest.fixture
async def bus(tmp_path: Path) -> AsyncIterator[Logind]:
    async with logind(tmp_path) as it:
        yield it


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sleep_lock, "LOOK_S", 0.01)
    monkeypatch.setattr(sleep_lock, "AGAIN_S", 0.02)


async def until(condition: Callable[[], bool]) -> None:
    with trio.fail_after(10):
        while not condition():  # noqa: ASYNC110 (another process holds the other end)
            await trio.sleep(0.005)


class World:
    """A daemon's executions, battery and configuration."""

    def __init__(self) -> None:
        self.executions: list[Execution] = []
        self.wish = Wish()
        self.on_battery: bool | None = False
        self.logged: list[str] = []

    def lock(self, address: str) -> SleepLock:
        def log(message: str, **fields: str) -> None:
            self.logged.append(f"{message}: {fields['why']}")

        return SleepLock(lambda: self.executions, lambda: self.wish, lambda: self.on_battery, log, address)


async def test_a_lock_is_held_as_long_as_anything_moves(bus: Logind, nursery: trio.Nursery) -> None:
    world = World()
    nursery.start_soon(world.lock(bus.address).run)
    await trio.sleep(0.05)
    assert bus.asked == 0
    world.executions = [execution()]
    await until(lambda: bus.held == 1)
    assert bus.taken == [("sleep", "migmond", "files are being moved", "block")]
    world.executions = [execution(ExecutionState.PAUSED)]
    await until(lambda: bus.held == 0)
    world.executions = [execution(ExecutionState.COMPLETED), execution(ExecutionState.CANCELLING)]
    await until(lambda: bus.held == 1)
    world.wish = Wish("sleep:idle")
    await until(lambda: len(bus.taken) == 3 and bus.held == 1)
    assert bus.taken[-1][0] == "sleep:idle"
    world.on_battery = True
    await until(lambda: bus.held == 0)
    world.wish = Wish("idle", on_battery=True)
    await until(lambda: bus.held == 1)
    nursery.cancel_scope.cancel()
    assert world.logged == []


async def test_the_lock_ends_with_whoever_holds_it(bus: Logind) -> None:
    with trio.move_on_after(10) as scope:
        async with held("sleep", "x", bus.address):
            assert bus.held == 1
            scope.cancel()
            await trio.sleep_forever()
    await until(lambda: bus.held == 0)


async def test_what_refuses_is_said_once_and_asked_again(bus: Logind, nursery: trio.Nursery) -> None:
    world = World()
    bus.refuses = "org.freedesktop.DBus.Error.AccessDenied"
    world.executions = [execution()]
    nursery.start_soon(world.lock(bus.address).run)
    await until(lambda: bus.asked >= 3)
    assert world.logged == [
        "the machine may fall asleep while files are moved: systemd-logind refuses: "
        "org.freedesktop.DBus.Error.AccessDenied"
    ]
    bus.refuses = ""
    await until(lambda: bus.held == 1)
    nursery.cancel_scope.cancel()


async def test_without_a_bus_it_is_said_once_and_nothing_fails(tmp_path: Path, nursery: trio.Nursery) -> None:
    world = World()
    world.executions = [execution()]
    nursery.start_soon(world.lock(f"unix:path={tmp_path}/none").run)
    await until(lambda: bool(world.logged))
    await trio.sleep(0.1)
    (said,) = world.logged
    assert "there is no message bus to ask" in said
    nursery.cancel_scope.cancel()


async def test_who_does_not_answer_is_not_waited_for(bus: Logind, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sleep_lock, "ANSWER_S", 0.1)
    bus.silent = True
    with pytest.raises(NoSleepLock, match="does not answer within"):
        async with held("sleep", "x", bus.address):
            pass


@pytest.mark.parametrize("address", ["tcp:host=127.0.0.1,port=1", "nonsense"])
async def test_an_address_that_is_none_is_no_reason_to_fail(address: str) -> None:
    with pytest.raises(NoSleepLock, match="no message bus"):
        async with held("sleep", "x", address):
            pass


def test_what_stands_still_keeps_nobody_awake() -> None:
    running, wish = execution(), Wish()
    hold = Hold("h-1", HoldReason.USER, "ana", 0.0)
    held_in_part = msgspec.structs.replace(running, holds=(hold,))
    assert prevented([running], wish, on_battery=None) == "sleep"
    assert prevented([held_in_part], wish, on_battery=False) == "sleep"
    assert prevented([msgspec.structs.replace(held_in_part, reason="the rest is held")], wish, on_battery=False) == ""
    assert prevented([running], wish, on_battery=True) == ""
    assert prevented([running], Wish("sleep", on_battery=True), on_battery=True) == "sleep"
    assert prevented([running], Wish("off"), on_battery=False) == ""
    assert (
        prevented([execution(s) for s in (ExecutionState.WAITING, ExecutionState.DRAINED)], wish, on_battery=None) == ""
    )
