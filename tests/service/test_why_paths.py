"""Looking for one entry by its path among very many: the journal sifts, and nobody waits for the loop."""

from __future__ import annotations

import time
from types import SimpleNamespace
from typing import Any, cast

import msgspec
import pytest
import trio

from migmond.daemon.entries import find_entry
from migmond.daemon.monitoring import Monitoring
from migmond.domain.changes import (
    PutExecution,
)
from migmond.domain.errors import InvalidInput, NotFound
from migmond.domain.execution import Execution
from migmond.domain.hold import Hold, HoldReason
from migmond.domain.names import to_text
from migmond.domain.selector import Selector
from migmond.domain.task import Task
from migmond.engine.manager import Engine
from migmond.engine.settings import Surroundings
from migmond.monitor.sampler import Sampler
from migmond.plugin_api.conformance import DIRECTORY, entry, execution, listing, root
from migmond.plugin_api.memory import MemoryJournal

MANY = 60_000


class Counting(MemoryJournal):
    """Counts the tasks that it hands out."""

    read = 0

    async def tasks(self, *args: Any, **sieve: Any) -> list[Task]:
        found = await super().tasks(*args, **sieve)
        self.read += len(found)
        return found


class WallClock:
    def wall(self) -> float:
        return 1_790_000_000.0


async def with_many() -> tuple[Monitoring, Counting, Execution]:
    """`first/f0` ... and behind them `second/last`."""
    journal, it = Counting(), execution()
    files = [entry(b"f%d" % n) for n in range(MANY)]
    await journal.apply(
        [
            PutExecution(it), root(), listing(1, 2, entry(b"first", DIRECTORY), entry(b"second", DIRECTORY)),
            listing(2, 4, *files), listing(3, 4 + MANY, entry(b"last")),
        ]
    )  # fmt: skip
    engine = SimpleNamespace(run_of=lambda _: None)
    sampler = SimpleNamespace(session=lambda _: None)
    surroundings = SimpleNamespace(journal=journal, clock=WallClock())
    monitoring = Monitoring(cast("Engine", engine), cast("Surroundings", surroundings), cast("Sampler", sampler))
    return monitoring, journal, it


@pytest.mark.parametrize("path", ["first/f59999", "second/last", "/second//last/", "second"])
async def test_an_entry_is_found_without_reading_all_others(path: str) -> None:
    monitoring, journal, it = await with_many()
    assert await find_entry(journal, it, path.encode()) is not None
    assert journal.read < 10
    told = await monitoring.why(it, path)
    assert told.kind == "waiting"


async def test_full_paths_of_source_and_target_are_understood_as_they_are_shown() -> None:
    monitoring, journal, it = await with_many()
    source, target = it.plan.sources[0].path, it.plan.destination
    expected = await find_entry(journal, it, b"second/last")
    assert expected is not None
    for base in (source, target):
        assert await find_entry(journal, it, base + b"/second/last") == expected
        assert await find_entry(journal, it, base) == await find_entry(journal, it, b"")
        assert await find_entry(journal, it, base + b"x/second/last") is None
    assert await find_entry(journal, it, source[1:] + b"/second/last") is None  # not a full path
    assert (await monitoring.why(it, to_text(source) + "/first/f3")).kind == "waiting"


@pytest.mark.parametrize("path", ["first/none", "none", "second/last/below", "first/first/first"])
async def test_what_is_not_there_is_not_looked_for_one_by_one(path: str) -> None:
    monitoring, journal, it = await with_many()
    with pytest.raises(NotFound):
        await monitoring.why(it, path)
    assert journal.read < 10


async def test_a_path_longer_than_any_keeps_nobody_waiting() -> None:
    monitoring, _, it = await with_many()
    began = time.process_time()
    with pytest.raises(InvalidInput):
        await monitoring.why(it, "\\x41" * (1 << 20))
    assert time.process_time() - began < 0.1
    with pytest.raises(NotFound) as told, trio.fail_after(10):
        await monitoring.why(it, "a/" * 30_000)
    assert len(told.value.message) < 1000


async def test_a_hold_on_some_entries_is_not_said_of_the_others() -> None:
    monitoring, _, it = await with_many()
    picks = Selector(under=b"second", include=("l*",))
    held = msgspec.structs.replace(it, holds=(Hold("h1", HoldReason.USER, "ana", 0.0, None, "", picks, "i-1"),))
    told = await monitoring.why(held, "second/last")
    assert (told.kind, told.sentence) == ("held", "It is held: ana paused it.")
    for path in ("first/f7", "second"):
        told = await monitoring.why(held, path)
        assert (told.kind, told.sentence) == ("waiting", "It waits for its turn."), path  # others than those before it
    whole = msgspec.structs.replace(it, holds=(*held.holds, Hold("h2", HoldReason.THERMAL, "engine", 0.0)))
    assert (await monitoring.why(whole, "first/f7")).sentence == "It is held: engine holds it (thermal)."
    assert "(and 1 more hold)." in (await monitoring.why(whole, "second/last")).sentence
