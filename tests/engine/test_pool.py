"""Movers that are kept ready: handed out once each, alive, to whom they may serve; nothing of them stays."""

from __future__ import annotations

import errno
import os
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import psutil
import pytest
import trio
import trio.testing

from engine_harness import ME
from migmond.domain.errors import MoverError
from migmond.domain.identity import Identity
from migmond.engine import pool as pool_module
from migmond.engine.pool import MoverPool
from migmond.engine.process import NICENESS, MoverProcess, start_mover


def children() -> set[int]:
    return {p.pid for p in psutil.Process().children() if p.status() != psutil.STATUS_ZOMBIE}


async def until(condition: Callable[[], bool]) -> None:
    with trio.fail_after(20):
        while not condition():  # noqa: ASYNC110 (processes set no event)
            await trio.sleep(0.005)


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool_module, "EACH_S", 0.05)


@asynccontextmanager
async def running(spare: int) -> AsyncIterator[MoverPool]:
    """A pool that has what it is to have."""
    pool = MoverPool(spare)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(pool.run)
        await until(lambda: len(pool._ready) == spare)
        yield pool
        nursery.cancel_scope.cancel()


async def test_spares_are_handed_out_once_each_and_replaced() -> None:
    before, fds = children(), len(os.listdir("/proc/self/fd"))
    async with running(2) as pool:
        ready = children() - before
        assert len(ready) == 2
        taken: list[MoverProcess] = []

        async def take(slot: int) -> None:
            taken.append(await pool.start(slot, ME))

        async with trio.open_nursery() as nursery:
            for slot in range(1, 6):
                nursery.start_soon(take, slot)
        assert {p.slot for p in taken} == {1, 2, 3, 4, 5}
        pids = {p.pid for p in taken}
        assert len(pids) == 5
        assert ready < pids
        await until(lambda: len(pool._ready) == 2)
        fresh = children() - before - pids
        assert len(fresh) == 2
        for process in taken:
            await process.end()
        assert children() - before == fresh
    assert children() == before
    assert len(os.listdir("/proc/self/fd")) == fds


async def test_none_is_started_for_later_while_others_are_at_work(monkeypatch: pytest.MonkeyPatch) -> None:
    async with running(1) as pool:
        monkeypatch.setattr(pool_module, "EACH_S", 3600)
        spare, other = await pool.start(1, ME), await pool.start(2, ME)
        await trio.testing.wait_all_tasks_blocked(0.05)
        await spare.end()
        await trio.testing.wait_all_tasks_blocked(0.05)
        assert pool._ready == []
        await other.end()
        await until(lambda: len(pool._ready) == 1)


async def test_what_a_long_migration_is_given_is_replaced_at_once_and_what_a_young_one_is_one_by_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whoever had more movers come waited for 150 ms and more, when others had taken the spares within five seconds."""
    async with running(2) as pool:
        monkeypatch.setattr(pool_module, "EACH_S", 0.4)
        taken = [await pool.start(1, ME), await pool.start(2, ME)]
        assert pool._ready == []
        began = trio.current_time()
        await until(lambda: len(pool._ready) == 1)
        assert trio.current_time() - began >= 0.4
        await until(lambda: len(pool._ready) == 2)
        assert trio.current_time() - began >= 0.8
        monkeypatch.setattr(pool_module, "EACH_S", 3600)
        monkeypatch.setattr(pool_module, "YOUNG_S", 0.0)
        taken += [await pool.start(3, ME), await pool.start(4, ME)]
        await until(lambda: len(pool._ready) == 2)
        for process in taken:
            await process.end()


async def test_a_spare_that_died_is_replaced_and_never_handed_out() -> None:
    async with running(2) as pool:
        first, second = pool._ready
        for spare in (first, second):
            os.kill(spare.pid, signal.SIGKILL)
            os.waitid(os.P_PID, spare.pid, os.WEXITED | os.WNOWAIT)
        process = await pool.start(1, ME)  # before anybody has noticed
        assert process.pid not in (first.pid, second.pid)
        assert process.alive
        await process.end()
        await until(lambda: len(pool._ready) == 2)
        assert not {first, second} & set(pool._ready)
        assert all(p.alive for p in pool._ready)


async def test_spares_that_die_again_and_again_are_started_ever_less_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool_module, "EACH_S", 1.0)
    pool, pauses = MoverPool(1), list[float]()
    for _ in range(8):
        pauses.append(pool._pause_s())
        pool._failures += 1
    assert pauses == [pool_module.SOON_S, 2, 4, 8, 16, 32, 60, 60]


async def test_without_run_each_is_started_when_it_is_wanted() -> None:
    before, pool = children(), MoverPool(2)
    process = await pool.start(7, ME)
    assert children() - before == {process.pid}
    assert process.control.look().entries_total == 0
    await process.end()
    assert children() == before


async def test_a_pool_that_is_ended_before_it_began_leaves_nothing() -> None:
    before = children()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(MoverPool(3).run)
        await trio.sleep(0.06)  # in the middle of starting them
        nursery.cancel_scope.cancel()
    assert children() == before


def rights(pid: int) -> tuple[set[str], list[str]]:
    """Its user ids, and its groups."""
    lines = dict(line.split(":\t", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines() if ":\t" in line)
    return set(lines["Uid"].split()) | set(lines["Gid"].split()), lines["Groups"].split()


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
async def test_a_spare_becomes_whoever_it_is_wanted_for() -> None:
    async with running(1) as pool:
        (spare,) = pool._ready
        process = await pool.start(1, Identity(40001, 40001, (60, 61)))
        assert process is spare
        await until(lambda: rights(process.pid) == ({"40001"}, ["60", "61"]))
        owner = os.stat(f"/proc/{process.pid}/mem").st_uid
        assert owner == 0  # not dumpable: the user gets nowhere near it
        await process.end()


async def test_a_daemon_that_is_not_root_has_movers_of_its_own_only(monkeypatch: pytest.MonkeyPatch) -> None:
    async with running(1) as pool:
        ready = list(pool._ready)
        monkeypatch.setattr(os, "geteuid", lambda: 40001)
        with pytest.raises(MoverError, match="uid 40002"):
            await pool.start(1, Identity(40002, 40002))
        assert pool._ready == ready


async def test_what_is_started_for_later_leaves_the_daemon_the_processor_from_the_first_moment() -> None:
    """A spare loads its code for 80 ms of a core, and somebody waited for an answer meanwhile."""
    process = await start_mover()
    assert os.getpriority(os.PRIO_PROCESS, process.pid) == os.getpriority(os.PRIO_PROCESS, 0) + NICENESS
    await process.end()


async def test_spares_end_with_a_daemon_that_is_killed() -> None:
    """They read the end of their socket, whatever they were doing."""
    async with running(1) as pool:
        (spare,) = pool._ready
        await spare.hang_up()
        with trio.fail_after(10):
            await spare.ended()


async def test_a_process_that_cannot_be_started_ends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Too many open files were an error that ended the daemon: nobody had asked for that mover."""
    before = len(os.listdir("/proc/self/fd"))

    def full(*_: object) -> None:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    async with trio.open_nursery() as nursery:
        for call in ("socket.socketpair", "os.memfd_create"):
            with monkeypatch.context() as patch:
                patch.setattr(call, full)
                pool = MoverPool(1)
                nursery.start_soon(pool.run)
                with trio.fail_after(20):
                    while not pool._failures:  # noqa: ASYNC110 (failing sets no event)
                        await trio.sleep(0.005)
                with pytest.raises(MoverError, match="Too many open files"):
                    await pool.start(1, ME)
        nursery.cancel_scope.cancel()
    assert len(os.listdir("/proc/self/fd")) == before
