"""What a daemon tells of a migration that has ended, compared with its journal's task table and with the tree."""

from __future__ import annotations

import collections
import io
import os
import stat
from collections.abc import Iterator

from daemon import EmbeddedDaemon
from frozen import frozen
from judge import Case, Finding, Harm
from migmond.client.sync import Client
from migmond.domain import api
from migmond.domain.error_api import ErrorGroup, ErrorGroups
from migmond.domain.names import to_text
from migmond.domain.receipt import ReceiptPage, ReceiptParams, ReceiptWriter, check_receipt
from oracle import entries
from written import (
    CANCELLED,
    DONE,
    DURABLE,
    FAILED,
    NOT_SELECTED,
    PENDING,
    RENAMED,
    SKIPPED,
    STATES,
    Row,
    Written,
    written,
)

_TALLIES = {"done": DONE, "failed": FAILED, "skipped": SKIPPED, "cancelled": CANCELLED}
_PAGE = 1000


def misstated(daemon: EmbeddedDaemon, execution: str, case: Case | None = None) -> list[Finding]:
    """Compare everything that is told of an execution that has ended.

    Args:
        case: what it brought over, when nobody but the migration has touched it: then the tree is counted too.
    """
    with Client(daemon.socket) as client:
        view = client.call("execution.get", api.ExecutionParams(execution), api.ExecutionView)
        listed = client.call("execution.list", api.ListParams(limit=_PAGE), api.ExecutionPage).executions
        groups = client.call("execution.errors", api.ExecutionParams(execution), ErrorGroups).groups
        files, receipt = _files(client, execution), _receipt(client, execution)
    with frozen(daemon):
        journal = written(daemon.home / "state", execution)
    lines = [
        *_totals(view, journal),
        *_states(files, journal),
        *_errors(groups, journal),
        *_ending(view, journal),
        *_of_receipt(receipt, journal, view),
        *_listed(listed, view),
        *(_tree(view, case) if case is not None and not _at_once(journal) else ()),
    ]
    return [Finding(Harm.DIFFERENT, f"told wrong: {line}") for line in lines]


def _totals(view: api.ExecutionView, journal: Written) -> Iterator[str]:
    """Planned is all that counts; each state has its own tally, and what is in none is still to be done."""
    told = view.progress
    yield from _tally("planned", told.planned, [row for row in journal.tasks if _counts(row)])
    for name, state in _TALLIES.items():
        yield from _tally(name, getattr(told, name), [r for r in journal.tasks if _counts(r) and r.state == state])


def _counts(row: Row) -> bool:
    return (row.state, row.outcome) != (SKIPPED, NOT_SELECTED)


def _tally(name: str, told: api.TallyView, rows: list[Row]) -> Iterator[str]:
    counted = (len(rows), sum(row.bytes for row in rows))
    if (told.entries, told.bytes) != counted:
        which = "; ".join(
            f"{os.fsdecode(row.path)}, {row.size} bytes, {row}" for row in [r for r in rows if r.faults][:8]
        )
        numbers = f"{told.entries} entries of {told.bytes} bytes"
        tried = f" (tried again: {which})" if which else ""
        yield f"{name}: {numbers}; the journal has {counted[0]} of {counted[1]}{tried}"


def _states(files: list[api.TaskView], journal: Written) -> Iterator[str]:
    told = {task.number: (task.path, task.state, task.size) for task in files}
    rows = {row.number: (to_text(row.path) or ".", STATES[row.state], row.size) for row in journal.tasks}
    for number in sorted(told.keys() | rows.keys()):
        if told.get(number) != rows.get(number):
            yield f"task {number}: execution.files has {told.get(number)}, the journal {rows.get(number)}"
    for task in files:
        if task.state == "failed" and not task.fault:
            yield f"{task.path} has failed, and nobody says why"


def _errors(groups: tuple[ErrorGroup, ...], journal: Written) -> Iterator[str]:
    told = {(group.phase, group.kind, group.errno): group.count for group in groups}
    if told != journal.errors:
        yield f"execution.errors has {told}, the journal {journal.errors}"
    failed = [row for row in journal.tasks if row.state == FAILED]
    if sum(told.values()) != len(failed):
        yield f"execution.errors has {sum(told.values())} tasks; {len(failed)} have failed"
    names = {to_text(row.path) or "." for row in failed}
    for group in groups:
        if set(group.examples) - names:
            yield f"examples of {group.kind} that have not failed: {set(group.examples) - names}"
    yield from (f"no reason on record why {row.path!r} failed" for row in failed if not row.faults)


def _ending(view: api.ExecutionView, journal: Written) -> Iterator[str]:
    states = collections.Counter(STATES[row.state] for row in journal.tasks)
    if view.state == "completed" and {"pending", "running", "durable", "failed", "cancelled"} & states.keys():
        yield f"completed, with {dict(states)}"
    if view.state == "completed_with_errors" and (not states["failed"] or states["pending"] or states["durable"]):
        yield f"completed with errors, with {dict(states)}"
    if view.state.startswith("completed"):
        if journal.groups:
            yield f"it has ended with {journal.groups} open commit groups"
        if journal.unread and not states["failed"]:
            yield f"it has ended with {journal.unread} directories that were not read"
        if view.progress.growing and not states["failed"]:
            yield "it has ended, and its totals are growing"
    if view.state == "cancelled" and {PENDING, DURABLE} & {row.state for row in journal.tasks}:
        yield f"cancelled, with {dict(states)}"


def _listed(listed: tuple[api.ExecutionView, ...], view: api.ExecutionView) -> Iterator[str]:
    for row in (row for row in listed if row.id == view.id):
        # Who looks closely at one that failed is told as well which other migration took its source.
        same = row.why == view.why or (view.state == "failed" and view.why.startswith(f"{row.why}; "))
        if (row.state, row.progress.done) != (view.state, view.progress.done) or not same:
            yield f"execution.list has it as {row.state} ({row.why}), execution.get as {view.state} ({view.why})"


def _of_receipt(receipt: bytes, journal: Written, view: api.ExecutionView) -> Iterator[str]:
    found = check_receipt(io.BytesIO(receipt))
    if found.header is None or found.footer is None:
        yield f"receipt, line {found.line}: {found.damage}"
        return
    if found.header.state != view.state or not (found.header.final or view.state == "drained"):
        yield f"the receipt is of {found.header.state}, final: {found.header.final}"
    sums = {state: (told.entries, told.bytes) for state, told in found.footer.sum.states.items()}
    rows = {
        name: (len(of_it), sum(row.bytes for row in of_it))
        for state, name in STATES.items()
        if (of_it := [row for row in journal.tasks if row.state == state])
    }
    if sums != rows:
        yield f"the receipt has {sums}, the journal {rows}"


def _at_once(journal: Written) -> bool:
    """Whether the whole tree got its new place by one rename, so that nobody has looked what is in it."""
    return [(row.path, row.outcome) for row in journal.tasks] == [(b"", RENAMED)]


def _tree(view: api.ExecutionView, case: Case) -> Iterator[str]:
    """Every entry counts once, every file's bytes once for all its names."""
    seen, size = set[tuple[int, int]](), 0
    for facts in case.known.values():
        if facts.inode is None or facts.inode not in seen:
            size += facts.size if stat.S_ISREG(facts.type) else 0
        if facts.inode is not None:
            seen.add(facts.inode)
    counted = (len(case.known), size)
    for name, told in (("planned", view.progress.planned), ("done", view.progress.done)):
        if (told.entries, told.bytes) != counted and (name == "planned" or view.state == "completed"):
            yield f"{name}: {told.entries} entries of {told.bytes} bytes; the tree has {counted[0]} of {counted[1]}"
    if view.state == "completed" and len(there := entries(case.target)) != len(case.known):
        yield f"completed: {len(there)} entries at the target; the tree had {len(case.known)}"


def _files(client: Client, execution: str) -> list[api.TaskView]:
    found, after = list[api.TaskView](), 0
    while True:
        page = client.call("execution.files", api.FilesParams(execution, after=after, limit=_PAGE), api.TaskPage)
        found += page.tasks
        if page.next is None:
            return found
        after = page.next


def _receipt(client: Client, execution: str) -> bytes:
    writer, after, lines = ReceiptWriter(), 0, list[bytes]()
    while True:
        page = client.call("execution.receipt", ReceiptParams(execution, after=after, limit=_PAGE), ReceiptPage)
        lines += [] if lines else [writer.header(page.header)]
        lines += [writer.entry(entry) for entry in page.entries]
        if page.next is None:
            return b"".join([*lines, writer.footer()])
        after = page.next
