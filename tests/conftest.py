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
    """Let commands that tests start take Ctrl-C, also when whoever started us ignored it (nohup, `&` in a script), and
    see no mounts but the machine's own and this process's."""
    import apart

    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if os.geteuid() == 0:
        apart.enter()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> object:
    """Share tests out among processes, where there are several."""
    from spread import Spread

    return Spread(config, log)


_LONG = ("faults", "web", "engine", "service")
"""Directories whose tests wait for daemons, the longest waits first: what is short is left for the end, so that all
processes end together."""


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Begin with what takes long, where several processes share the tests."""
    if hasattr(config, "workerinput"):
        items.sort(key=lambda item: _LONG.index(d) if (d := item.path.parent.name) in _LONG else len(_LONG))


@pytest.fixture(autouse=True)
def _no_left_mounts(request: pytest.FixtureRequest) -> Iterator[None]:
    """What a test mounted ends with it, before its directory is removed: that is why it comes after `tmp_path`."""
    import left_mounts

    directory: Path | None = request.getfixturevalue("tmp_path") if "tmp_path" in request.fixturenames else None
    yield
    if os.geteuid() == 0:
        dead = left_mounts.take_away()
        if directory is not None:
            left_mounts.take_away_below(directory)
        assert dead == []


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """pytest is about to remove what is left, if all tests have passed."""
    import left_mounts

    factory = session.config._tmp_path_factory  # type: ignore[attr-defined]
    if os.geteuid() == 0 and factory._basetemp is not None:
        left_mounts.take_away_below(factory._basetemp)


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
