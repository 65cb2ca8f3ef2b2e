"""What a cube's sums look like from outside: see `migmond.analytics.cube`."""

from __future__ import annotations

import msgspec

from migmond.analytics.cube_directories import BYTES, SHIFT
from migmond.domain.execution import Tally


class Row(msgspec.Struct, frozen=True):
    """The sums of some cells. `kind`, `size`: position in `classes.TYPES` and `SIZES`, or None when it is over all of
    them; `directory`: number of its task or OTHER, or None likewise. `in_flight`: see `Cube.snapshot`."""

    kind: int | None
    size: int | None
    directory: int | None
    planned: Tally
    done: Tally
    failed: Tally
    skipped: Tally
    cancelled: Tally
    durable: Tally
    in_flight: Tally


def tally(number: int) -> Tally:
    """Return entries and bytes that a cell has as one number."""
    return Tally(number >> SHIFT, number & BYTES)
