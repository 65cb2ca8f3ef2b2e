"""Says what a fault did to people's files: at the moment of the fault, and when all is over.

Like the oracle it rests on, it knows of migmond only the names of temporaries and the journal's task table.
"""

from __future__ import annotations

import collections
import enum
import os
import shutil
import sqlite3
import stat
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from oracle import Facts, differences, entries, unlike

DURABLE, DONE = 2, 3
"""States of a task whose copy the journal vouches for (`migmond.domain.states.TaskState`)."""

_TEMPORARY = b".migmond-"


class Harm(enum.StrEnum):
    """What must never happen."""

    LOST = "lost"
    """Complete neither under its source name nor under its target name."""
    CORRUPT = "corrupt"
    """A final name shows something else than the file."""
    DUPLICATE = "duplicate"
    """The target has more than the tree had, or a moved file is still at its source when all is over."""
    UNVERIFIED_DELETE = "unverified delete"
    """The source is gone, and the journal does not vouch for the target."""
    DIFFERENT = "different"
    """Complete, but owner, mode, times, attributes or links are not the source's; or the run did not end as it must."""


@dataclass(frozen=True)
class Finding:
    """One harm and what it was done to."""

    harm: Harm
    what: str

    def __str__(self) -> str:
        return f"{self.harm}: {self.what}"


@dataclass(frozen=True)
class Case:
    """A tree on its way: `pristine` is a copy of it that no trial touches."""

    pristine: Path
    known: Mapping[bytes, Facts]
    source: Path
    target: Path
    move: bool = True


def known(pristine: Path) -> dict[bytes, Facts]:
    """Look at a pristine tree once for many trials."""
    return entries(pristine)


def at_the_fault(case: Case, vouched: Mapping[bytes, int] | None = None) -> list[Finding]:
    """Judge what lies there while a migration is broken off. Directories and temporaries do not count.

    Args:
        vouched: the journal's states of tasks by path; None where it says nothing about deletes (moves by rename).
    """
    return list(_at_the_fault(case, vouched))


def _at_the_fault(case: Case, vouched: Mapping[bytes, int] | None) -> Iterator[Finding]:
    sources, targets = entries(case.source), entries(case.target)
    for path, facts in case.known.items():
        if stat.S_ISDIR(facts.type):
            continue
        name, source, target = repr(os.fsdecode(path)), sources.get(path), targets.get(path)
        whole = False
        for entry, where in ((source, "source"), (target, "target")):
            if entry is None:
                continue
            spoilt, others = unlike(facts, entry)
            if spoilt:
                yield Finding(Harm.CORRUPT, f"not whole under its {where} name: {name}")
            elif others:
                yield Finding(Harm.DIFFERENT, f"at the {where}: {', '.join(others)}: {name}")
            whole = not spoilt and where == "target"
        if source is None and not whole:
            yield Finding(Harm.LOST, f"neither at the source nor at the target: {name}")
        elif source is None and vouched is not None and vouched.get(path) not in (DURABLE, DONE):
            yield Finding(Harm.UNVERIFIED_DELETE, f"deleted while the journal has it as {vouched.get(path)}: {name}")
    for path in targets.keys() - case.known.keys():
        if not os.path.basename(path).startswith(_TEMPORARY):
            yield Finding(Harm.DUPLICATE, f"the tree has no such entry: {os.fsdecode(path)!r}")


def at_the_end(case: Case) -> list[Finding]:
    """Judge what lies there when the migration says that it is complete."""
    if not os.path.lexists(case.target):
        return [Finding(Harm.LOST, "there is no target")]
    found = [_of_difference(line) for line in differences(case.pristine, case.target)]
    if not case.move:
        found += [Finding(Harm.CORRUPT, f"in the source: {line}") for line in differences(case.pristine, case.source)]
    elif os.path.lexists(case.source):
        left = [path for path, facts in entries(case.source).items() if not stat.S_ISDIR(facts.type)]
        found.append(Finding(Harm.DUPLICATE, f"the source is still there, with {len(left)} file(s)"))
    return found


def _of_difference(line: str) -> Finding:
    for start, harm in (
        ("only in A", Harm.LOST),
        ("only in B", Harm.DUPLICATE),
        ("size", Harm.CORRUPT),
        ("content", Harm.CORRUPT),
        ("type", Harm.CORRUPT),
        ("unreadable", Harm.CORRUPT),
        ("link text", Harm.CORRUPT),
    ):
        if line.startswith(start):
            return Finding(harm, line)
    return Finding(Harm.DIFFERENT, line)


def vouched(state: Path) -> dict[bytes, int]:
    """Return what the journal in `state` says of every task, by path. It is read from a copy: to look must not mend."""
    with tempfile.TemporaryDirectory(prefix="migmond-journal-") as copy:
        for part in state.glob("journal.db*"):
            if not part.name.endswith("-shm"):
                shutil.copy(part, copy)
        database = sqlite3.connect(Path(copy) / "journal.db")
        try:
            rows = database.execute(
                "SELECT d.path, t.name, t.state FROM task t JOIN directory d"
                " ON d.id = ((t.id >> 40) << 40) + t.directory WHERE t.directory > 0"
            ).fetchall()
        finally:
            database.close()
    return {bytes(path) + b"/" + bytes(name) if path else bytes(name): state for path, name, state in rows}


def counted(findings: list[Finding]) -> collections.Counter[Harm]:
    """How many findings of each kind."""
    return collections.Counter(f.harm for f in findings)
