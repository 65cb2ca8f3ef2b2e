"""What a journal in memory holds. See `memory`."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from migmond.domain.alert import Alert, AlertRule, Delivery, Silence
from migmond.domain.changes import ReceiptSeal
from migmond.domain.execution import Execution
from migmond.domain.file_kinds import FileKind
from migmond.domain.intervention import Intervention
from migmond.domain.journal import FaultRecord
from migmond.domain.plan import Plan
from migmond.domain.session import SessionRecord
from migmond.domain.task import CommitGroup, Directory, Task
from migmond.domain.timeline import Milestone


class State:
    """Everything, by execution key and number. Plain and obvious rather than fast."""

    def __init__(self) -> None:
        self.executions: dict[int, Execution] = {}
        self.requests: dict[tuple[str, int], str] = {}
        self.tasks: dict[tuple[int, int], Task] = {}
        self.directories: dict[tuple[int, int], Directory] = {}
        self.unread: set[tuple[int, int]] = set()
        self.touched: set[tuple[int, int]] = set()
        self.groups: dict[tuple[int, int], CommitGroup] = {}
        self.births: dict[tuple[int, int], int] = {}
        self.kinds: dict[tuple[int, int], FileKind] = {}
        self.copy_times: dict[tuple[int, int], int] = {}
        self.seals: dict[tuple[int, bytes], ReceiptSeal] = {}
        self.breakdowns: dict[int, bytes] = {}
        self.left_out: dict[tuple[int, int], str] = {}
        self.sent_to: dict[tuple[int, int], int] = {}
        self.sent_directories: set[tuple[int, int, int]] = set()
        self.milestones: dict[int, tuple[Milestone, ...]] = {}
        self.sessions: dict[int, SessionRecord] = {}
        self.faults: dict[tuple[int, int], tuple[FaultRecord, float]] = {}
        self.interventions: list[Intervention] = []
        self.deliveries: dict[str, Delivery] = {}
        self.plans: dict[tuple[int, str], tuple[Plan, float]] = {}
        self.rules: dict[str, AlertRule] = {}
        self.alerts: dict[str, Alert] = {}
        self.silences: dict[str, Silence] = {}

    def of(self, key: int) -> Iterator[tuple[tuple[int, int], Task]]:
        return ((k, t) for k, t in sorted(self.tasks.items()) if k[0] == key)

    def update(self, at: tuple[int, int], **fields: object) -> None:
        if at in self.tasks:
            self.tasks[at] = msgspec.structs.replace(self.tasks[at], **fields)
