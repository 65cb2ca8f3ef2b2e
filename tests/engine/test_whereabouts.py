"""Where a task is that has not ended: with a mover, copied and not durable, or waiting for another try."""

from __future__ import annotations

from types import SimpleNamespace
from typing import cast

from migmond.domain.entry import EntryType
from migmond.domain.task import Task
from migmond.engine.flight import Batch, Flight, Group
from migmond.engine.in_hand import InHand
from migmond.engine.requeue import Requeue
from migmond.engine.scope import Scope
from migmond.engine.whereabouts import Whereabouts, whereabouts


def task(number: int) -> Task:
    return Task(number, 1, b"f%d" % number, EntryType.FILE, 10, 1, 1, 99, 7, 2)


def test_a_task_is_where_it_was_put() -> None:
    flight, requeue = Flight(), Requeue(InHand())
    flight.batches[1] = Batch({2: task(2)}, 10, 0.0)
    flight.groups[1] = Group(1, b"m")
    flight.groups[1].tasks[3] = task(3)
    for number, ready_at in ((4, 112.0), (5, 90.0)):
        requeue.ready(task(number), ready_at)
    stations = {1: SimpleNamespace(flight=Flight()), 2: SimpleNamespace(flight=flight)}
    scope = SimpleNamespace(crew=SimpleNamespace(stations=stations), requeue=requeue, now=lambda: 100.0)
    found = [whereabouts(cast("Scope", scope), number) for number in range(1, 6)]
    assert found == [
        Whereabouts(), Whereabouts(handed=True), Whereabouts(copied=True), Whereabouts(retry_in_s=12.0),
        Whereabouts(retry_in_s=0.0),
    ]  # fmt: skip
