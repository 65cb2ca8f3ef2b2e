"""Slot numbers: what each mover of an execution is for. Those that copy have the numbers from FIRST_SLOT on, fewer than
a thousand; each of the others has one above, so that nobody takes it for one of them."""

from __future__ import annotations

FIRST_SLOT = 1
SCANNING_SLOT = 1000
"""It scans, or looks at what is to be undone."""
ROOM_SLOT = 1001
"""It looks again whether there is room."""
OUTLOOK_SLOT = 1002
"""It looks what a rollback would do."""
LOCATING_SLOT = 1003
"""It looks where the content of files lies."""
VERIFYING_SLOT = 2000
"""The first of those that verify; they have the numbers from there on."""
SALVAGING_SLOT = 3000
ROUTING_SLOT = 4000
"""It looks at a further destination."""


def copies(slot: int) -> bool:
    """Whether a mover in that slot copies."""
    return slot < SCANNING_SLOT
