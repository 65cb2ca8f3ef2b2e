"""Moments as clients read them."""

from __future__ import annotations

import datetime


def time_text(wall: float) -> str:
    """Return wall clock seconds as RFC 3339 text in UTC."""
    return datetime.datetime.fromtimestamp(wall, datetime.UTC).isoformat(timespec="milliseconds")
