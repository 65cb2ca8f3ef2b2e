"""A daemon of one's own for tests and scripts: started, killed, started again on the same state."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

import psutil

ROOT = Path(__file__).parents[2]
LONGEST_SOCKET = 107
"""Bytes of a Unix socket's path (unix(7)): directories of tests that run side by side are longer sometimes."""


class DaemonProcess(Protocol):
    """What is asked of the process: all of it as `subprocess.Popen` has it."""

    @property
    def pid(self) -> int: ...
    def poll(self) -> int | None: ...
    def wait(self, timeout: float | None = None) -> int: ...
    def send_signal(self, sig: int) -> None: ...
    def kill(self) -> None: ...


class EmbeddedDaemon:
    """`python -m migmond.daemon --user` on its own socket and state. A context manager that stops it at the end.

    Args:
        home: directory for socket, state and log; made when missing. Where its path is too long for a socket, that is
            in a directory of its own, until nobody knows of this object any more.
        configuration: text of a migmond.toml of its own.
        open_files: its soft and hard limit of open files; None for ours.
    """

    def __init__(self, home: Path, configuration: str = "", open_files: tuple[int, int] | None = None) -> None:
        self.home = home
        self._open_files = open_files
        self.socket = str(home / "socket")
        if len(os.fsencode(self.socket)) > LONGEST_SOCKET:
            self._elsewhere = tempfile.TemporaryDirectory(prefix="mm-", dir="/tmp")
            self.socket = os.path.join(self._elsewhere.name, "socket")
        home.mkdir(parents=True, exist_ok=True)
        (home / "config").mkdir(exist_ok=True)
        (home / "config" / "migmond.toml").write_text(configuration or "# defaults\n")
        self.process: DaemonProcess | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, k: type[BaseException] | None, e: BaseException | None, t: TracebackType | None) -> None:
        self.stop()

    @property
    def environment(self) -> dict[str, str]:
        """What `migmon` needs to find it."""
        path = os.pathsep.join([str(ROOT), str(ROOT / "plugins")])
        return {**os.environ, "MIGMOND_SOCKET": self.socket, "PYTHONPATH": path, "TERM": "dumb"}

    def start(self) -> None:
        """Start it and wait until it serves."""
        ready, theirs = os.pipe()
        with open(self.home / "log", "ab") as log:
            self.process = self._spawn(
                [
                    "--user", "--socket", self.socket,
                    "--state-directory", str(self.home / "state"), "--config-directory", str(self.home / "config"),
                    "--foreground-ready-fd", str(theirs),
                ],
                log.fileno(), theirs,
            )  # fmt: skip
            if self._open_files is not None:  # the interpreter has not come so far yet that it would matter
                resource.prlimit(self.process.pid, resource.RLIMIT_NOFILE, self._open_files)
        os.close(theirs)
        with open(ready, "rb") as answer:
            if not answer.read(1):
                raise RuntimeError(f"the daemon did not start ({self._ended()}):\n{self.log()}")

    def _ended(self) -> str:
        """How its process ended, for people: one that was killed has logged nothing."""
        assert self.process is not None
        try:
            return f"it ended with {self.process.wait(10)}"
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            return "it runs and said nothing"

    def _spawn(self, arguments: list[str], log_fd: int, ready_fd: int) -> DaemonProcess:
        return subprocess.Popen(
            [sys.executable, "-m", "migmond.daemon", *arguments],
            stdin=subprocess.DEVNULL, stdout=log_fd, stderr=log_fd, env=self.environment, pass_fds=(ready_fd,),
        )  # fmt: skip

    def log(self) -> str:
        """Everything it has logged."""
        return (self.home / "log").read_text()

    @property
    def pid(self) -> int:
        """Of its present process."""
        assert self.process is not None
        return self.process.pid

    @property
    def running(self) -> bool:
        """Whether its process lives."""
        return self.process is not None and self.process.poll() is None

    def children(self) -> list[int]:
        """Pids of all its movers, also of those that wait for work."""
        assert self.process is not None
        try:
            return [child.pid for child in psutil.Process(self.process.pid).children()]
        except psutil.NoSuchProcess:
            return []

    def movers(self) -> list[int]:
        """Pids of its movers that have opened a plan: the others have no threads yet."""
        return [pid for pid in self.children() if _threads(pid) > 1]

    def kill(self, *, movers: bool) -> None:
        """SIGKILL the daemon, and its movers at the same moment or not at all."""
        assert self.process is not None
        children = self.children()
        self.process.kill()
        if movers:
            kill_all(children)
        self.process.wait()
        wait_gone(children)

    def stop(self) -> None:
        """Stop it in order; kill it when that takes too long."""
        if self.process is None or not self.running:
            return
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.kill(movers=True)

    def migmon(self, *arguments: str, check: bool = True, timeout_s: float = 120) -> subprocess.CompletedProcess[str]:
        """Run `migmon` against it."""
        return subprocess.run(
            [sys.executable, "-m", "migmond.cli", *arguments],
            env=self.environment, capture_output=True, text=True, check=check, timeout=timeout_s,
        )  # fmt: skip


def _threads(pid: int) -> int:
    try:
        return psutil.Process(pid).num_threads()
    except psutil.NoSuchProcess:
        return 0


def kill_all(pids: list[int]) -> None:
    """SIGKILL processes that may be gone already."""
    for pid in pids:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue


def wait_gone(pids: list[int], timeout_s: float = 10) -> None:
    """Wait until none of `pids` lives (orphans are reaped by init)."""
    deadline = time.monotonic() + timeout_s
    while any(_alive(pid) for pid in pids):
        if time.monotonic() > deadline:
            raise TimeoutError(f"processes {pids} live on")
        time.sleep(0.01)


def _alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
