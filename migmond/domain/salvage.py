"""What is known of parts of a damaged file."""

from __future__ import annotations

import msgspec


class Range(msgspec.Struct, frozen=True, array_like=True):
    """Bytes `start` to `start + size`, and what is known of them: one of ddrescue's `?`, `*`, `/`, `-`, `+`."""

    start: int
    size: int
    status: str
