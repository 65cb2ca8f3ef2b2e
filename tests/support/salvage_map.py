"""Mapfiles of GNU ddrescue, read: what a salvage has left says what it saved."""

from __future__ import annotations

from migmond.domain.salvage import Range


def parse_map(text: str) -> list[Range]:
    """Return the ranges of a mapfile.

    Raises:
        ValueError: it is none.
    """
    lines = [line.split() for line in text.splitlines() if line and not line.startswith("#")]
    return [Range(int(start, 16), int(size, 16), status) for start, size, status in lines[1:]]
