"""Large files that are held or skipped while a mover copies them: the mover waits with it, or gives it up."""

from __future__ import annotations

from collections.abc import Callable

import trio

from migmond.domain.file_kinds import FileKind
from migmond.domain.steering import Skip
from migmond.domain.task import Task
from migmond.engine.agenda import Agenda
from migmond.engine.flight import Batch
from migmond.engine.scope import Scope
from migmond.engine.station import Station
from migmond.wire.slots import Control

LOOK_S = 0.02
"""How often it looks at what movers have at hand while some entries are held or skipped: an effect within 100 ms."""


class Parking:
    """A mover that has a held file at hand keeps it, with everything open, until the hold goes; another mover takes its
    place meanwhile. One that has a skipped file at hand gives it up.

    Only files that are a batch of their own: of others a mover has 100 ms of work in hand, which it finishes.

    Args:
        stand_in: lets one more mover come.
    """

    def __init__(self, scope: Scope, agenda: Agenda, stand_in: Callable[[], None]) -> None:
        self._scope = scope
        self._agenda = agenda
        self._stand_in = stand_in
        self._stand_ins = 0

    async def run(self) -> None:
        """Look until cancelled, while anything is held or skipped in part."""
        scope, agenda = self._scope, self._agenda
        while True:
            parting = agenda.parting.mark()
            while agenda.rules.parting or scope.crew.told:
                await self._look()
                await trio.sleep(LOOK_S)
            await parting.wait()

    async def _look(self) -> None:
        crew, at_hand = self._scope.crew, dict[int, tuple[Station, int, Task]]()
        kinds: dict[int, FileKind] = {}
        for slot, station in crew.stations.items():
            number = station.process.control.look().task
            for id_, batch in station.flight.batches.items():
                if number in batch.tasks and _is_alone(batch):
                    at_hand[slot] = (station, id_, batch.tasks[number])
                    if (kind := station.process.control.kind_of(number)) is not None:
                        kinds[number] = kind
        parted = await self._agenda.rules.parted([task for _, _, task in at_hand.values()], kinds)
        told: dict[int, Control] = {}
        for slot, (station, id_, task) in at_hand.items():
            still = crew.stations.get(slot) is station and id_ in station.flight.batches
            if still and task.number in parted:
                told[slot] = Control.ABANDON if parted[task.number] is Skip else Control.PAUSE
        if told != crew.told:
            crew.told = told
            crew.mirror_control()
            self._scope.share_limits()
            self._scope.progress.set()
        while self._stand_ins < sum(control is Control.PAUSE for control in told.values()):
            self._stand_ins += 1
            self._stand_in()


def _is_alone(batch: Batch) -> bool:
    return len(batch.tasks) == 1
