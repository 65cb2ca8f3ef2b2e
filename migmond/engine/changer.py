"""What everything that changes executions stands on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import trio

from migmond.engine.recording import Recording
from migmond.engine.roster import Roster
from migmond.engine.settings import Surroundings
from migmond.engine.verifications import Verifications


class Means(NamedTuple):
    """Of all executions.

    Attributes:
        recording: how a change gets on record.
        launching: a lock of each execution, by id, held from the look at it until it is as wanted.
    """

    surroundings: Surroundings
    roster: Roster
    verifications: Verifications
    recording: Recording
    launching: Mapping[str, trio.Lock]


class Changer:
    """Base of those that change executions: each has the same means."""

    def __init__(self, means: Means) -> None:
        self._surroundings, self._roster, self._verifications, self._recording, self._launching = means
        self._records = means.surroundings.records
