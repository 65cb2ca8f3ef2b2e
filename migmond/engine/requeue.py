"""Tasks that go back to be dispatched again, some only after a while."""

from __future__ import annotations

import heapq
import itertools

from migmond.domain.task import Task
from migmond.engine.in_hand import InHand


class Requeue:
    """A queue by time. `now` is monotonic seconds."""

    def __init__(self, in_hand: InHand) -> None:
        self._in_hand = in_hand
        self._heap: list[tuple[float, int, Task]] = []
        self._order = itertools.count()

    def __len__(self) -> int:
        return len(self._heap)

    def put(self, task: Task, ready_at: float) -> None:
        self._in_hand.back(task.number)
        heapq.heappush(self._heap, (ready_at, next(self._order), task))

    def ready(self, task: Task, now: float) -> None:
        """Queue a task that was just taken in hand."""
        heapq.heappush(self._heap, (now, next(self._order), task))

    def take(self, now: float, limit: int) -> list[Task]:
        """Remove and return at most `limit` tasks that are ready at `now`, the longest ready first."""
        ready: list[Task] = []
        while self._heap and self._heap[0][0] <= now and len(ready) < limit:
            ready.append(heapq.heappop(self._heap)[2])
        return ready

    def ready_at(self, number: int) -> float | None:
        """Return when a task is ready, None when it is not queued. Takes time by the length of the queue."""
        return next((at for at, _, task in self._heap if task.number == number), None)

    def wait_s(self, now: float) -> float:
        """Return how long until the next task is ready; infinity when there is none."""
        return max(0.0, self._heap[0][0] - now) if self._heap else float("inf")
