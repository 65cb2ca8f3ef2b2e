"""Which entry of an execution a path is."""

from __future__ import annotations

from migmond.domain.execution import Execution
from migmond.domain.journal import Sift
from migmond.domain.task import Task
from migmond.ports import Journal

_WINDOW = 50_000
"""Tasks that the journal sifts in one go, for which what runs has to wait with its own reading: see `FilePager`."""


async def find_entry(journal: Journal, execution: Execution, path: bytes) -> Task | None:
    """Return the task of a path, directory by directory; None when there is none.

    Args:
        path: below a source; or a full one, as lists of large files show it, of the source or of the target. Of several
            sources that have it, the first one's.
    """
    key, plan = execution.key, execution.plan
    last = await journal.last_number(key)
    roots = await journal.get_tasks(key, range(1, len(plan.sources) + 1))
    for number, root in roots.items():
        source = plan.sources[number - 1]
        full = (source.path, plan.destination + b"/" + source.into)
        for names in (*(n for base in full if (n := _below(path, base)) is not None), _names(path)):
            found: Task | None = root
            for name in names:
                found = await _child(journal, key, found.number, name, last) if found is not None else None
            if found is not None:
                return found
    return None


def _below(path: bytes, base: bytes) -> list[bytes] | None:
    """Return the names by which a full path goes on from `base`, None when it does not."""
    names, above = _names(path), _names(base)
    return names[len(above) :] if path.startswith(b"/") and names[: len(above)] == above else None


def _names(path: bytes) -> list[bytes]:
    return [name for name in path.split(b"/") if name not in (b"", b".")]  # `.` is what a source itself is shown as


async def _child(journal: Journal, key: int, directory: int, name: bytes, last: int) -> Task | None:
    """Entries of a directory come after it in scan order, though very many others may lie between: the journal passes
    over those, a stretch at a time."""
    for after in range(directory, last, _WINDOW):
        sift = Sift(after + _WINDOW, directory=directory, name=name)
        if found := await journal.tasks(key, after=after, limit=1, sift=sift):
            return found[0]
    return None
