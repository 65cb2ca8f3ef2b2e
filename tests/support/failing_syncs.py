"""Syncs that fail as long as a test likes, in a real engine with real movers."""

from __future__ import annotations

import errno

import pytest

from migmond.domain.fault import Fault, Phase
from migmond.engine.commits import Commits
from migmond.engine.station import Station
from migmond.wire.from_mover import Synced
from migmond.wire.items import ItemFault


class FailingSyncs:
    """While `failing`, every sync fails; what has its name keeps it. `fail_when_named`: from the first that would have
    made names durable."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.failing = self.fail_when_named = False
        self.struck = 0
        synced = Commits.synced

        def failed(commits: Commits, station: Station, message: Synced) -> None:
            groups, fault = station.flight.groups, Fault(Phase.SYNC, "EIO", errno.EIO, "Input/output error")
            faults = {n: tuple(ItemFault(m, fault) for m in g.members) for n, g in groups.items()}
            self.failing |= self.fail_when_named and bool(message.durable)
            if self.failing:
                self.struck += 1
                doubtful = {n: faults[n] for n in message.durable}
                message = Synced(message.group, faults.get(message.group, ()), (), doubtful)
            synced(commits, station, message)

        monkeypatch.setattr(Commits, "synced", failed)
