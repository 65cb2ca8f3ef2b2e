"""Makes `tests/support` importable and says what this machine lacks."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile("migmond", deadline=None)  # an example takes as long as the machine is busy
settings.load_profile("migmond")

sys.path.insert(0, str(Path(__file__).parent / "support"))


def pytest_configure() -> None:
    """Let commands that tests start take Ctrl-C, also when whoever started us ignored it (nohup, `&` in a script)."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


@pytest.fixture
def other_fs(tmp_path: Path) -> Iterator[Path]:
    """A directory on another file system than tmp_path."""
    import shutil
    import tempfile

    shm = Path("/dev/shm")
    if not shm.is_dir() or shm.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("/dev/shm is no file system of its own here")
    directory = Path(tempfile.mkdtemp(dir=shm, prefix="migmond-test-"))
    yield directory
    shutil.rmtree(directory, ignore_errors=True)
