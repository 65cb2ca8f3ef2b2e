"""Says whether everything is where it may be of a migration that did not bring over all: somebody had some of it
skipped, cancelled it, or some has failed. By the journal's task table and the tree, by nothing of migmond's code."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Mapping

from judge import TEMPORARY, Case, Finding, Harm, at_the_fault
from oracle import Facts, differences, entries, unlike
from written import CANCELLED, DONE, FAILED, PENDING, RENAMED, STATES, Row, Written


def partly(case: Case, journal: Written, state: str) -> list[Finding]:
    """Judge what lies there when a migration has ended.

    Args:
        state: of the execution.
    """
    found = at_the_fault(case, journal.states())
    if not case.move and os.path.lexists(case.source):
        found += [Finding(Harm.CORRUPT, f"in the source: {line}") for line in differences(case.pristine, case.source)]
    return found + list(_partly(case, journal, state))


def _partly(case: Case, journal: Written, state: str) -> Iterator[Finding]:
    sources, targets = entries(case.source), entries(case.target)
    rows = {row.path: row for row in journal.tasks}
    at_once = [(row.path, row.outcome) for row in journal.tasks] == [(b"", RENAMED)]
    for path, facts in case.known.items():
        if not stat.S_ISDIR(facts.type):
            done = at_once or ((row := rows.get(path)) is not None and row.state == DONE)
            judged = _brought(case, path, sources, targets) if done else _left(case, path, rows.get(path), sources)
            yield from judged
            if not done:
                yield from _nowhere_else(path, rows.get(path), targets, moved=case.move)
    if state == "completed":
        open_ = [row for row in journal.tasks if row.state in (PENDING, FAILED, CANCELLED)]
        yield from (Finding(Harm.DIFFERENT, f"completed, and {row.path!r}: {row}") for row in open_[:5])
    if state in ("completed", "cancelled"):
        for root, there in ((case.source, sources), (case.target, targets)):
            for path in there:
                if os.path.basename(path).startswith(TEMPORARY):
                    yield Finding(Harm.DIFFERENT, f"left behind in {root.name}: {os.fsdecode(path)!r}")


def _brought(
    case: Case, path: bytes, sources: Mapping[bytes, Facts], targets: Mapping[bytes, Facts]
) -> Iterator[Finding]:
    """What was done is at its target (`at_the_fault` has compared it), and of a move nowhere else."""
    if path not in targets:
        yield Finding(Harm.LOST, f"done, and not at the target: {os.fsdecode(path)!r}")
    if case.move and path in sources:
        yield Finding(Harm.DUPLICATE, f"moved, and still at the source: {os.fsdecode(path)!r}")


def _left(case: Case, path: bytes, row: Row | None, sources: Mapping[bytes, Facts]) -> Iterator[Finding]:
    """What was not done is at its source, untouched."""
    name, why = os.fsdecode(path), "not on record" if row is None else STATES[row.state]
    facts = sources.get(path)
    if facts is None:
        yield Finding(Harm.LOST, f"{why}, and not at the source: {name!r}")
        return
    spoilt, others = unlike(case.known[path], facts)
    if spoilt or others:
        yield Finding(Harm.CORRUPT, f"{why}, and its source was changed ({', '.join(others)}): {name!r}")


def _nowhere_else(path: bytes, row: Row | None, targets: Mapping[bytes, Facts], *, moved: bool) -> Iterator[Finding]:
    """What was not done is not at the target: but for a copy that was durable when its move was cancelled, which is
    told."""
    if path in targets and not (moved and row is not None and row.state == CANCELLED):
        why = "not on record" if row is None else STATES[row.state]
        yield Finding(Harm.DUPLICATE, f"{why}, and at the target: {os.fsdecode(path)!r}")
