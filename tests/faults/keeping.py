"""Says what became of everything that somebody had under a name while migrations and a person were at work.

It knows every content that ever was (`person`), and looks at what is there now.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from judge import TEMPORARY, Finding, Harm
from oracle import Facts, entries
from person import EMPTY, Content, Person, key_of
from written import DONE, FILE, LEFT_OUT, SKIPPED, Written

FURTHER = b".h"
"""Ends the name of a hard link that was there at first: whoever writes to a file writes to all its names."""

Place = tuple[Path, bytes]


@dataclass(frozen=True)
class Move:
    """A migration as it was asked for. `newer`: it may replace what is older."""

    source: Path
    target: Path
    move: bool
    newer: bool = False


def kept(
    person: Person, moves: tuple[Move, ...], roots: tuple[Path, ...], journals: Sequence[Written] = ()
) -> list[Finding]:
    """Judge all contents: none is lost that somebody had and did not give up, and there are none but those.

    Args:
        journals: what is on record of the migrations, to be told with what is lost.
    """
    there, temporaries = _contents(roots)
    found = list[Finding]()
    for content in person.contents.values():
        if not content.holders or content.key == EMPTY or content.key in there:
            continue
        if _outdated(content, person, moves):
            continue
        where = f", but for {temporaries[content.key][1]!r}" if content.key in temporaries else ""
        first = sorted({f"{root.name}/{os.fsdecode(name)}" for root, name, _ in content.stood})
        how = "its copy was spoilt, then its source deleted: " if content.spoilt else ""
        history = f"{_history(person, content)} | {_on_record(content, journals)}"
        found.append(Finding(Harm.LOST, f"{how}what was at {', '.join(first)} is nowhere{where}: {history}"))
    for key, (root, name, facts) in there.items():
        if key not in person.contents:
            of = f"{root.name}/{os.fsdecode(name)}"
            found.append(
                Finding(Harm.CORRUPT, f"{of} has {facts.size} bytes that never were there: {_at(person, name)}")
            )
    return found


def told(person: Person, move: Move, state: str, journal: Written, first: Mapping[bytes, str]) -> list[Finding]:
    """Judge what is said of files that nobody but one migration has touched.

    Args:
        state: of the execution in the end.
        first: what was at its source at first, by name.
    """
    return [Finding(Harm.DIFFERENT, f"told wrong: {line}") for line in _told(person, move, state, journal, first)]


def _told(person: Person, move: Move, state: str, journal: Written, first: Mapping[bytes, str]) -> Iterator[str]:
    rows = {row.path: row for row in journal.tasks}
    ended = state in ("completed", "completed_with_errors")
    for name, key in first.items():
        if name.removesuffix(FURTHER) in person.touched or name in person.touched:
            continue
        row, source = rows.get(name), key_of(os.path.join(bytes(move.source), name))
        if row is None:
            if ended and len(rows) > 1:
                yield f"nothing is said of {os.fsdecode(name)!r}"
            continue
        if (row.state, row.outcome) == (SKIPPED, LEFT_OUT):
            if source != key:
                yield f"{os.fsdecode(name)!r} was skipped, and its source has changed"
            if key_of(os.path.join(bytes(move.target), name)) == key:
                yield f"{os.fsdecode(name)!r} was skipped, and is at the target"
        if row.type != FILE or row.state != DONE:
            continue
        final = os.path.join(os.path.dirname(name), row.target_name) if row.target_name else name
        target = key_of(os.path.join(bytes(move.target), final))
        if target != key and final not in person.touched:
            yield f"{os.fsdecode(name)!r} is done, and something else is at the target"
        if move.move and source is not None:
            yield f"{os.fsdecode(name)!r} is done, and it is still at its source"
        if not move.move and source != key:
            yield f"{os.fsdecode(name)!r} was copied, and its source has changed"


def _contents(roots: tuple[Path, ...]) -> tuple[dict[str, tuple[Path, bytes, Facts]], dict[str, Place]]:
    """By content: one place with it under a final name, and one in a temporary."""
    there, temporaries = dict[str, tuple[Path, bytes, Facts]](), dict[str, Place]()
    for root in roots:
        for path, facts in entries(root).items():
            key = facts.digest if stat.S_ISREG(facts.type) else f"-> {os.fsdecode(facts.text)}" if facts.text else ""
            if key and TEMPORARY in path:
                temporaries[key] = root, path
            elif key:
                there[key] = root, path, facts
    return there, temporaries


def _outdated(content: Content, person: Person, moves: tuple[Move, ...]) -> bool:
    """Whether a migration was told to replace it: something newer came to where it was, or could get, by this name."""
    for move in (move for move in moves if move.newer):
        above, here = _upstream(move.source, moves), {move.target, *_upstream(move.target, moves)}
        for name, mtime_ns in {(name, mtime_ns) for root, name, mtime_ns in content.stood if root in here}:
            stood = [*person.others, *(at for other in person.contents.values() for at in other.stood)]
            if any(root in above and other == name and at_ns > mtime_ns for root, other, at_ns in stood):
                return True
    return False


def _upstream(root: Path, moves: tuple[Move, ...]) -> set[Path]:
    """Where things come from that get to `root`; itself as well."""
    found = {root}
    while more := {move.source for move in moves if move.target in found} - found:
        found |= more
    return found


def _history(person: Person, content: Content) -> str:
    names = {name for _, name, _ in content.stood}
    return f"{'; '.join(content.deeds)} | {'; '.join(_at(person, name) for name in sorted(names))}"


def _on_record(content: Content, journals: Sequence[Written]) -> str:
    names = {name for _, name, _ in content.stood}
    rows = [f"{number}: {row}" for number, journal in enumerate(journals) for row in journal.tasks if row.path in names]
    return f"journal: {', '.join(rows) or 'nothing'}"


def _at(person: Person, name: bytes) -> str:
    """What the person did under that name."""
    text = os.fsdecode(name).removesuffix("/inside").removesuffix("~linked")
    deeds = [deed for deed in person.deeds if deed.rpartition("/")[2] == text.rpartition("/")[2]]
    return f"deeds there: {', '.join(deeds) or 'none'}"
