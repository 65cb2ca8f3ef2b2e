"""What movers have done, read from outside: from the slots in their memory, past the daemon that shares them."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from typing import Any

_BYTES_TOTAL = 104
"""Offset in a slot, of `bytes_total` and then `entries_total`; see `migmond.wire.slots`."""
_TOTALS = struct.Struct("=2Q")
_CONTROL = struct.Struct("=Q")
"""At the beginning of a slot."""
_RATE = struct.Struct("=d")
_RATE_AT = 24
"""In the first bucket of a budget, that of bytes; see `migmond.wire.budget`."""


class Peephole:
    """The totals of the movers with the process ids `pids`; those that have no slot (any more) are left out."""

    def __init__(self, pids: Iterable[int]) -> None:
        self._pids = list(pids)
        self._slots = [(pid, at) for pid in self._pids if (at := _address(pid, "migmond-slot")) is not None]
        self._last: dict[int, tuple[Any, ...]] = {}
        self._budgets = [(pid, at) for pid in self._pids if (at := _address(pid, "migmond-budget")) is not None]

    def totals(self) -> tuple[int, int]:
        """Return bytes and entries that all of them together have copied; a mover that has ended with what it had when
        it was last looked at."""
        for pid, at in self._slots:
            if (found := _read(pid, at + _BYTES_TOTAL, _TOTALS)) is not None:
                self._last[pid] = found
        return sum(size for size, _ in self._last.values()), sum(entries for _, entries in self._last.values())

    def controls(self) -> list[int]:
        """Return what each mover is told to do (`migmond.wire.slots.Control`); those that have ended are left out."""
        return [found[0] for pid, at in self._slots if (found := _read(pid, at, _CONTROL)) is not None]

    def bytes_per_s(self) -> float:
        """Return the limit that all of them share, 0 when there is none."""
        found = (_read(pid, at + _RATE_AT, _RATE) for pid, at in self._budgets)
        return next((float(rates[0]) for rates in found if rates is not None), 0.0)


def _read(pid: int, at: int, fields: struct.Struct) -> tuple[Any, ...] | None:
    """Return what is at an address of a process; None when that has ended."""
    try:
        with open(f"/proc/{pid}/mem", "rb", buffering=0) as memory:
            memory.seek(at)
            read = memory.read(fields.size)
    except (OSError, ValueError):
        return None
    return fields.unpack(read) if len(read) == fields.size else None


def _address(pid: int, name: str) -> int | None:
    """Return where a process has mapped a memory file."""
    try:
        with open(f"/proc/{pid}/maps") as lines:
            return next((int(line.split("-")[0], 16) for line in lines if f"memfd:{name}" in line), None)
    except OSError:
        return None
