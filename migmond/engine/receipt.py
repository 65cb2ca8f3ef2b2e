"""Receipts out of the journal, a page at a time: the same pages whenever an ended execution is asked for them."""

from __future__ import annotations

import os
from collections.abc import Callable

import msgspec

from migmond.domain.changes import (
    ReceiptSeal,
    SealReceipt,
)
from migmond.domain.entry import Lost
from migmond.domain.errors import Conflict
from migmond.domain.execution import Execution
from migmond.domain.fault import Fault
from migmond.domain.names import to_text
from migmond.domain.plan import VerifyLevel
from migmond.domain.receipt import (
    FORMAT,
    HASH_NAME,
    ReceiptEntry,
    ReceiptHeader,
    ReceiptPage,
    ReceiptWriter,
    Seals,
    SealView,
    exact_path,
    exact_time,
)
from migmond.domain.states import TERMINAL_EXECUTION_STATES, ExecutionState, TaskState
from migmond.domain.task import Directory, Task
from migmond.engine.places import Places
from migmond.engine.routes import Routes
from migmond.engine.settings import Surroundings
from migmond.engine.views import time_or_none, time_text
from migmond.planning.plans import spec_of
from migmond.ports import (
    Journal,
)

PAGE_TASKS = 1_000
"""At most so many are taken from the journal at once: 10 ms of the loop."""
PAGE_PATH_BYTES = 1 << 20
"""A page ends early when its paths are this long together: as text they may take seven times that."""


async def receipt_page(journal: Journal, execution: Execution, after: int, limit: int) -> ReceiptPage:
    """Return the entries with numbers above `after`, at most `limit`, and where to go on."""
    tasks = await journal.tasks(execution.key, after=after, limit=min(limit, PAGE_TASKS))
    places = await Places(journal, execution.key).find(t.directory for t in tasks if t.directory)
    faults = await journal.faults(execution.key, [t.number for t in tasks if t.state is TaskState.FAILED])
    births = await journal.births(execution.key, [t.number for t in tasks])
    sent = await Routes(journal, execution).paths([t.number for t in tasks])
    entries: list[ReceiptEntry] = []
    length = 0
    for task in tasks:
        place = places[task.directory] if task.directory else Directory(0, task.number - 1, b"")
        path = os.path.join(place.path, task.name) if place.path else task.name
        length += len(path)
        if entries and length > PAGE_PATH_BYTES:
            break
        fault = faults.get(task.number)
        cause = fault.fault if fault is not None else None
        entry = _entry(task, place.root, path or b".", cause, births.get(task.number))
        if to := sent.get(task.number):
            entry = msgspec.structs.replace(entry, destination=to_text(to))
        entries.append(entry)
    header = receipt_header(execution)
    return ReceiptPage(header, tuple(entries), entries[-1].number if entries else None)


async def seal(surroundings: Surroundings, find: Callable[[], Execution]) -> Seals:
    """Record the hash of an ended execution's receipt in the journal, unless it has it, and return all it has.

    The hash is made from the journal here, a page at a time, whatever its asker says.

    Args:
        find: returns the execution as it is now.

    Raises:
        Conflict: it was set going again meanwhile.
    """
    journal, execution = surroundings.journal, find()
    header = receipt_header(execution)
    known = await journal.seals(execution.key)

    def present(kept: ReceiptSeal) -> bool:
        return header.final and (kept.ended_at, kept.format) == (execution.finished_at, FORMAT)

    if header.final and not any(map(present, known)):
        writer, after = ReceiptWriter(), 0
        writer.header(header)
        while True:
            page = await receipt_page(journal, execution, after, PAGE_TASKS)
            for entry in page.entries:
                writer.entry(entry)
            if page.next is None:
                break
            after = page.next
        if receipt_header(find()) != header:
            raise Conflict(
                f"{execution.name} was set going again meanwhile", hint="ask for its receipt when it has ended"
            )
        made = ReceiptSeal(writer.sha256(), FORMAT, surroundings.clock.wall(), execution.finished_at)
        await journal.apply([SealReceipt(execution.key, made)])
        known = await journal.seals(execution.key)
    known.sort(key=present)  # last, whatever the clock said in between
    views = tuple(SealView(s.sha256.hex(), s.format, time_text(s.at), time_or_none(s.ended_at)) for s in known)
    return Seals(execution.id, header.final, views)


def receipt_header(execution: Execution) -> ReceiptHeader:
    """Return the first line of an execution's receipt."""
    plan = execution.plan
    return ReceiptHeader(
        receipt=FORMAT,
        execution=execution.id,
        name=execution.name,
        state=execution.state.value,
        final=execution.state in TERMINAL_EXECUTION_STATES and execution.state is not ExecutionState.DRAINED,
        why=execution.reason,
        operation=plan.operation.value,
        verify=plan.verify.value,
        hash=None if plan.verify is VerifyLevel.NONE else HASH_NAME,
        uid=execution.identity.uid,
        host=execution.host,
        migmond=execution.version,
        created_at=time_text(execution.created_at),
        started_at=time_or_none(execution.started_at),
        ended_at=time_or_none(execution.finished_at),
        plan=spec_of(plan),
    )


def _entry(task: Task, root: int, path: bytes, fault: Fault | None, birth_ns: int | None) -> ReceiptEntry:
    return ReceiptEntry(
        number=task.number,
        path=to_text(path),
        type=task.type.name.lower(),
        size=task.size,
        mtime_ns=exact_time(task.mtime_ns),
        state=task.state.name.lower(),
        outcome=task.outcome.name.lower(),
        source=root,
        path_base64=exact_path(path),
        lost=tuple(flag.name.lower() for flag in Lost if flag & task.lost and flag.name),
        xxh3_128=None if task.digest is None or task.state is TaskState.FAILED else task.digest.hex(),
        target_name=None if task.target_name is None else to_text(task.target_name),
        link_of=task.leader,
        fault=None if fault is None else f"{fault.phase.value}: {fault.kind}: {fault.message}",
        birth_ns=None if birth_ns is None else exact_time(birth_ns),
    )
