"""Which tests go together when several processes share them out."""

from __future__ import annotations

import functools
from pathlib import Path

from xdist.scheduler import LoadScopeScheduling

_SHARED = 'scope="module"'
_WITH_A_BROWSER = "from dashboard import"


class Spread(LoadScopeScheduling):  # type: ignore[misc]
    """Every test goes by itself to whoever is free, but a file whose tests share what is costly to make (a browser's
    site, a daemon with a past) goes as a whole, and before the others: it takes longest. All that drive a browser go
    together: two browsers are more than two processors are for."""

    def _split_scope(self, nodeid: str) -> str:
        file, _, _ = nodeid.partition("::")
        return _unit(self.config.rootpath / file, file) or nodeid


@functools.cache
def _unit(path: Path, file: str) -> str:
    """Return what a test of that file goes with, "" if with nothing."""
    text = path.read_text()
    if _WITH_A_BROWSER in text:
        return "those with a browser"
    beside = path.with_name("conftest.py")  # whose fixtures it has as well
    return file if _SHARED in text or (beside.exists() and _SHARED in beside.read_text()) else ""
