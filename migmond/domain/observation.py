"""One look at a running execution: what the engine lets the monitor see. Counters only ever grow."""

from __future__ import annotations

import msgspec

from migmond.domain.activity import Spent
from migmond.domain.execution import Execution, Tally


class MoverAtWork(msgspec.Struct, frozen=True):
    """One mover process right now.

    Attributes:
        slot: its number within the execution.
        doing: what it is in, for people.
        task: number of the task at hand, 0 for none; `name` is its path below the source.
        file_bytes, file_done: size of the file at hand, and bytes of it that are copied.
        busy_ns: how long what it is in has taken so far.
    """

    slot: int
    pid: int
    doing: str
    task: int
    name: bytes | None
    file_bytes: int
    file_done: int
    busy_ns: int


class Observation(msgspec.Struct, frozen=True):
    """An execution that is being worked on.

    Attributes:
        execution: as it stands, its totals and holds with it.
        active_s: seconds in which work was done, over all runs; see Execution.
        in_flight: copied but not durable yet.
        movers: processes at work.
        copying, committing: what the copying and the committing threads of all movers of this run spent their time
            with, those that are gone included.
        deaths: movers of this run that died.
        batch_entries: how many entries the movers are given at a time, the mean; 0 when there is none.
        source_devices, target_devices: st_dev of each root, once a mover has opened them.
    """

    execution: Execution
    active_s: float
    in_flight: Tally
    movers: tuple[MoverAtWork, ...]
    copying: Spent
    committing: Spent
    deaths: int
    batch_entries: float
    source_devices: tuple[int, ...] = ()
    target_devices: tuple[int, ...] = ()
