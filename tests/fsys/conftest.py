from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from loopfs import LoopFs, missing, mounted


@pytest.fixture(scope="session")
def loop_fs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], LoopFs]]:
    """`loop_fs("xfs")` is a mounted file system of that kind, the same one in all tests; skips where it cannot be."""
    with contextlib.ExitStack() as mounts:
        known: dict[str, LoopFs] = {}

        def get(kind: str) -> LoopFs:
            if reason := missing(kind):
                pytest.skip(reason)
            if kind not in known:
                known[kind] = mounts.enter_context(mounted(tmp_path_factory.mktemp("loop"), kind))
            return known[kind]

        yield get


@pytest.fixture
def opened() -> Iterator[Callable[..., int]]:
    """`opened(path, flags=O_RDONLY)`: an fd that is closed when the test ends."""
    with contextlib.ExitStack() as stack:

        def get(path: Path | bytes, flags: int = os.O_RDONLY) -> int:
            fd = os.open(path, flags | os.O_CLOEXEC, 0o600)
            stack.callback(os.close, fd)
            return fd

        yield get
