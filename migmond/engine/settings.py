"""What the engine is told by the configuration."""

from __future__ import annotations

import os
import random
from collections.abc import Callable

import msgspec

from migmond.domain.file_system import Own
from migmond.engine.bus import EventBus
from migmond.engine.pool import MoverPool
from migmond.engine.records import Records
from migmond.engine.salvaging import Salvages
from migmond.fsys.control_groups import ControlGroups
from migmond.planning.shares import Whole
from migmond.planning.turns import TurnLimits
from migmond.ports import (
    Clock,
    Journal,
)


class EngineSettings(msgspec.Struct, frozen=True):
    """Numbers that an administrator may change; the configuration has the same defaults and their help.

    Attributes:
        workers: movers of an execution whose plan names no number; 0 is one per core.
        stall_after_s: a system call that takes longer makes its mover "stalled".
        restart_limit: deaths of movers within a minute after which an execution is held.
        group_entries, group_bytes, group_idle_s, group_age_s: size of a commit group, see MoverOptions.
        attempts: how often a transient fault is tried again.
        changed_attempts: how often a source that changed while it was copied is taken up again.
        hold_s: after how long an environmental hold (no space, device gone) lifts itself to try again.
        machine_code, io_priority: see MoverOptions.
        turns: how much runs at the same time.
    """

    workers: int = 0
    stall_after_s: float = 5.0
    restart_limit: int = 5
    group_entries: int = 2000
    group_bytes: int = 256 << 20
    group_idle_s: float = 0.05
    group_age_s: float = 2.0
    attempts: int = 5
    changed_attempts: int = 3
    hold_s: float = 30.0
    machine_code: bool = True
    io_priority: str = "normal"
    turns: TurnLimits = TurnLimits()

    @property
    def default_workers(self) -> int:
        return self.workers or len(os.sched_getaffinity(0))


class Surroundings(msgspec.Struct, frozen=True):
    """What every execution is given: journal, event bus, clock, randomness, settings, a log, movers, and records of
    interventions.

    `log(message, **fields)` writes one line for the administrator. `own`: what the daemon itself needs to go on.
    `whole()` returns what all executions together may do now.
    `groups` makes control groups for movers, None where there are none. `salvages`: what is being salvaged.
    """

    journal: Journal
    bus: EventBus
    clock: Clock
    rng: random.Random
    settings: EngineSettings
    log: Callable[..., None]
    own: tuple[Own, ...] = ()
    pool: MoverPool = msgspec.field(default_factory=MoverPool)
    records: Records = msgspec.field(default_factory=Records)
    whole: Callable[[], Whole] = Whole
    groups: ControlGroups | None = None
    salvages: Salvages = msgspec.field(default_factory=Salvages)
