"""Says what a fault did to people's files: at the moment of the fault, and when all is over.

Like the oracle it rests on, it knows of migmond only the names of temporaries and the journal's task table.
"""

from __future__ import annotations

import collections
import enum
import os
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from oracle import Facts, differences, entries, unlike
from written import DONE, DURABLE, STATES

TEMPORARY = b".migmond-"
"""How names of copies begin that are not whole yet."""


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
    """A tree on its way: `pristine` is a copy of it that no trial touches.

    Attributes:
        inodes: what was laid out at the source, by path: what has the same inode at the target was renamed, not copied.
    """

    pristine: Path
    known: Mapping[bytes, Facts]
    source: Path
    target: Path
    move: bool = True
    inodes: Mapping[bytes, int] = field(default_factory=dict)


def known(pristine: Path) -> dict[bytes, Facts]:
    """Look at a pristine tree once for many trials."""
    return entries(pristine)


def at_the_fault(case: Case, vouched: Mapping[bytes, int] | None = None) -> list[Finding]:
    """Judge what lies there while a migration is broken off. Directories and temporaries do not count.

    Args:
        vouched: the journal's states of tasks by path; None where it is not known. Of what was renamed it says nothing.
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
        elif (
            source is None
            and vouched is not None
            and not _vouched(case, path, vouched)
            and not _is_aside(path, facts, sources)
        ):
            state = STATES.get(vouched.get(path, -1), "unknown")
            yield Finding(Harm.UNVERIFIED_DELETE, f"deleted while the journal has it as {state}: {name}")
    for path in targets.keys() - case.known.keys():
        if not os.path.basename(path).startswith(TEMPORARY):
            yield Finding(Harm.DUPLICATE, f"the tree has no such entry: {os.fsdecode(path)!r}")


def _is_aside(path: bytes, facts: Facts, sources: Mapping[bytes, Facts]) -> bool:
    """Whether a source has its private name at the moment: it is not deleted yet (but its name is not it)."""
    directory = os.path.dirname(path)
    for other, entry in sources.items():
        name = os.path.basename(other)
        if os.path.dirname(other) == directory and name.startswith(TEMPORARY) and name.endswith(b".source"):
            spoilt, _ = unlike(facts, entry)
            if not spoilt:
                return True
    return False


def at_the_end(case: Case) -> list[Finding]:
    """Judge what lies there when the migration says that it is complete."""
    if not os.path.lexists(case.target):
        return [Finding(Harm.DIFFERENT if os.path.lexists(case.source) else Harm.LOST, "there is no target")]
    sources = entries(case.source)
    left = {f"only in A: {os.fsdecode(path)!r}" for path in sources}
    found = [
        Finding(Harm.DIFFERENT, f"not brought over: {line}") if line in left else _of_difference(line)
        for line in differences(case.pristine, case.target)
    ]
    if not case.move:
        found += [Finding(Harm.CORRUPT, f"in the source: {line}") for line in differences(case.pristine, case.source)]
    elif os.path.lexists(case.source):
        files = sum(not stat.S_ISDIR(facts.type) for facts in sources.values())
        found.append(Finding(Harm.DUPLICATE, f"the source is still there, with {files} file(s)"))
    return found


def inodes(root: Path) -> dict[bytes, int]:
    """Inode numbers of everything below `root` but directories, by path: taken when it is laid out."""
    paths = [path for path, facts in entries(root).items() if not stat.S_ISDIR(facts.type)]
    return {path: os.lstat(os.path.join(bytes(root), path) if path else bytes(root)).st_ino for path in paths}


def _vouched(case: Case, path: bytes, vouched: Mapping[bytes, int]) -> bool:
    return vouched.get(path) in (DURABLE, DONE) or _renamed(case, path)


def _renamed(case: Case, path: bytes) -> bool:
    """Whether what is at the target is the very file that was laid out at the source. Only for what has no source."""
    there = os.lstat(os.path.join(bytes(case.target), path) if path else bytes(case.target))
    return there.st_ino == case.inodes.get(path) and there.st_dev == os.lstat(case.source.parent).st_dev


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


def counted(findings: list[Finding]) -> collections.Counter[Harm]:
    """How many findings of each kind."""
    return collections.Counter(f.harm for f in findings)
