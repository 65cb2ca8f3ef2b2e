"""What movers have done, read from outside: from the slots in their memory, past the daemon that shares them."""

from __future__ import annotations

import struct
from collections.abc import Iterable

_BYTES_TOTAL = 104
"""Offset in a slot, of `bytes_total` and then `entries_total`; see `migmond.wire.slots`."""
_TOTALS = struct.Struct("=2Q")
_CONTROLS = struct.Struct("=2Q")
"""At the beginning of a slot: `control` and `bytes_per_s`."""


class Peephole:
    """The totals of the movers with the process ids `pids`; those that have no slot (any more) are left out."""

    def __init__(self, pids: Iterable[int]) -> None:
        self._slots = [(pid, at) for pid in pids if (at := _slot_address(pid)) is not None]

    def totals(self) -> tuple[int, int]:
        """Return bytes and entries that all of them together have copied; a mover that has ended counts as nothing."""
        size = entries = 0
        for pid, at in self._slots:
            try:
                with open(f"/proc/{pid}/mem", "rb", buffering=0) as memory:
                    memory.seek(at + _BYTES_TOTAL)
                    found = memory.read(_TOTALS.size)
            except (OSError, ValueError):
                continue
            if len(found) == _TOTALS.size:
                size, entries = size + _TOTALS.unpack(found)[0], entries + _TOTALS.unpack(found)[1]
        return size, entries

    def controls(self) -> list[int]:
        """Return what each mover is told to do (`migmond.wire.slots.Control`); those that have ended are left out."""
        return [control for control, _ in self._told()]

    def rates(self) -> list[int]:
        """Return each mover's share of the limit in bytes per second, 0 for none."""
        return [rate for _, rate in self._told()]

    def _told(self) -> list[tuple[int, int]]:
        found = []
        for pid, at in self._slots:
            try:
                with open(f"/proc/{pid}/mem", "rb", buffering=0) as memory:
                    memory.seek(at)
                    read = memory.read(_CONTROLS.size)
            except (OSError, ValueError):
                continue
            if len(read) == _CONTROLS.size:
                found.append(_CONTROLS.unpack(read))
        return found


def _slot_address(pid: int) -> int | None:
    try:
        with open(f"/proc/{pid}/maps") as lines:
            return next((int(line.split("-")[0], 16) for line in lines if "memfd:migmond-slot" in line), None)
    except OSError:
        return None
