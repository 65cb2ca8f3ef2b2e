"""Control groups (cgroup v2) of our own, where systemd has delegated one to us: `Delegate=` in the unit.

Processor time and memory of an execution's movers are kept by the kernel then, exactly and whatever they do. What is
not marked as delegated is left alone, however writable it is: other programs may be in it.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from pathlib import Path

CONTROLLERS = ("cpu", "memory")
_OURS = "daemon"
"""The daemon itself: a group that has groups may have no processes (cgroups(7), "no internal processes")."""
_PREFIX = "execution-"
_PERIOD_US = 100_000
_LEAST_QUOTA_US = 1000
"""The kernel takes no smaller one."""
_MARKS = ("user.delegate", "trusted.delegate")
"""systemd marks a directory that it has delegated so, since version 236 and 251."""


class NoControlGroups(Exception):
    """There are none that we may use; the text says why."""


def is_delegated(directory: Path) -> bool:
    """Whether systemd has marked a control group as left to its service."""
    for mark in _MARKS:
        with contextlib.suppress(OSError):
            if os.getxattr(directory, mark) == b"1":
                return True
    return False


def own_group(proc: Path = Path("/proc/self/cgroup"), mount: Path = Path("/sys/fs/cgroup")) -> Path:
    """Return the directory of the control group that we are in.

    Raises:
        NoControlGroups: this machine has no cgroup v2, or not where it is looked for.
    """
    try:
        lines = proc.read_text().splitlines()
    except OSError as e:
        raise NoControlGroups(f"{proc} cannot be read: {e.strerror}") from e
    path = next((line.removeprefix("0::") for line in lines if line.startswith("0::")), None)
    if path is None or not (mount / "cgroup.controllers").exists():
        raise NoControlGroups("this machine has no unified control groups (cgroup v2)")
    return mount / path.lstrip("/")


class Group:
    """One of ours: the movers of an execution."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def add(self, pid: int) -> None:
        """Put a process into it, with all its threads. Raises OSError."""
        _write(self._directory / "cgroup.procs", str(pid))

    def limit(self, cpu_percent: float | None, memory_bytes: int | None) -> None:
        """Limit all processes in it together; None is unlimited. Raises OSError.

        Args:
            cpu_percent: of one core; the least is 1.
            memory_bytes: beyond it they are slowed down and their memory is taken back, their page cache first.
        """
        quota = "max" if cpu_percent is None else str(max(_LEAST_QUOTA_US, round(cpu_percent / 100 * _PERIOD_US)))
        _write(self._directory / "cpu.max", f"{quota} {_PERIOD_US}")
        _write(self._directory / "memory.high", "max" if memory_bytes is None else str(memory_bytes))

    def remove(self) -> None:
        """Remove it, once its processes are gone; one that hangs keeps it, and the next start removes it."""
        with contextlib.suppress(OSError):
            self._directory.rmdir()


class ControlGroups:
    """Makes them. See `prepare`."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    @classmethod
    def prepare(cls, directory: Path, delegated: Callable[[Path], bool] = is_delegated) -> ControlGroups:
        """Make a control group ready to have groups: what is in it goes into one, and its controllers are passed on.

        Raises:
            NoControlGroups: it is not ours, or lacks a controller.
        """
        if directory.name == _OURS and delegated(directory.parent):  # we were started again in our own place
            directory = directory.parent
        if not delegated(directory):
            raise NoControlGroups("no control group is delegated to this daemon (Delegate= in its unit)")
        try:
            there = (directory / "cgroup.controllers").read_text().split()
            if missing := [name for name in CONTROLLERS if name not in there]:
                raise NoControlGroups(f"its control group has no {' and no '.join(missing)} controller")
            (directory / _OURS).mkdir(exist_ok=True)
            for pid in (directory / "cgroup.procs").read_text().split():
                with contextlib.suppress(ProcessLookupError):
                    _write(directory / _OURS / "cgroup.procs", pid)
            _write(directory / "cgroup.subtree_control", " ".join(f"+{name}" for name in CONTROLLERS))
            for left in directory.glob(f"{_PREFIX}*"):
                Group(left).remove()
        except OSError as e:
            raise NoControlGroups(f"its control group cannot be used: {e.strerror}") from e
        return cls(directory)

    def group(self, name: str) -> Group:
        """Make the group of an execution. Raises OSError.

        Args:
            name: what makes it unique; letters and digits.
        """
        directory = self._directory / f"{_PREFIX}{name}"
        directory.mkdir(exist_ok=True)
        return Group(directory)


def _write(path: Path, text: str) -> None:
    """In one write, as these files want it, and without making one that is not there."""
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(fd, text.encode())
    finally:
        os.close(fd)
