"""A journal that is damaged stops everything: no source is deleted on its word."""

from __future__ import annotations

from migmond.engine.crew import Crew
from migmond.ports import (
    Journal,
)


async def stop_when_damaged(journal: Journal, crew: Crew) -> None:
    """Wait for damage, wherever it is met; then kill every mover, at once and whatever it has in hand, and raise.

    What a mover has been told to delete was durable and journaled, but that word cannot be trusted any more.

    Raises:
        JournalDamaged: always.
    """
    error = await journal.until_damaged()
    for process in list(crew.processes.values()):
        process.kill()
    raise error
