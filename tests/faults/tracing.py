"""Faults at system calls: a mover, or the daemon, runs under strace, which kills it or lets a call fail.

strace counts calls by thread: "the third openat" is that of the first thread that comes to its third.
Never with --seccomp-bpf: it drops an injected SIGKILL.
"""

from __future__ import annotations

import collections
import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

from daemon import wait_gone

ORDER, TRACER, OUTPUT, ARRIVAL = "order.json", "tracer", "output", "arrival-"

NO_POINTS = frozenset({
    "accept4", "brk", "clock_gettime", "clock_nanosleep", "clone3", "epoll_ctl", "epoll_wait", "exit", "exit_group",
    "futex", "getegid", "geteuid", "getpriority", "getrandom", "getsockname", "getsockopt", "gettid", "madvise", "mmap",
    "mprotect", "mremap", "munmap", "prctl", "restart_syscall", "rseq", "rt_sigaction", "rt_sigprocmask",
    "rt_sigreturn", "sched_yield", "set_robust_list", "setsockopt",
})  # fmt: skip
"""Calls that change nothing outside the process: a death there is one at the next call that does."""

DETACH_S = 5.0
"""strace waits for ever for a process that dies while it is being detached."""

_CALL = re.compile(r"^(\d+) +([a-z_0-9]+)\(")
_ATTACH_S = 20.0
ATTEMPTS = 3


class TracedMovers:
    """Lets the daemon start its movers through a wrapper, which puts those under strace that were ordered.

    Args:
        directory: for the wrapper and what strace writes; made when missing.
    """

    def __init__(self, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self._directory = directory
        self.interpreter = directory / "python"
        """What the daemon is to start its movers with."""
        program = Path(__file__).with_name("traced_mover.py")
        self.interpreter.write_text(f'#!/bin/sh\nexec {sys.executable} -P -s {program} {directory} "$@"\n')
        self.interpreter.chmod(0o755)

    def order(self, *arguments: str, arrival: int = 0) -> None:
        """Put one mover under strace with these arguments.

        Args:
            arrival: which of those that start from now on: 0 is the next one.
        """
        self.cancel()
        for name in (TRACER, OUTPUT):
            (self._directory / name).unlink(missing_ok=True)
        new = self._directory / "new.json"
        new.write_text(json.dumps([arrival, arguments]))
        new.rename(self._directory / ORDER)

    def cancel(self) -> None:
        """From now on no mover is put under strace."""
        (self._directory / ORDER).unlink(missing_ok=True)
        for arrived in self._directory.glob(ARRIVAL + "*"):
            arrived.unlink()

    def detach(self) -> None:
        """Let a traced mover run on by itself: the fault is gone."""
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            pid = int((self._directory / TRACER).read_text())
            os.kill(pid, signal.SIGTERM)
            try:
                wait_gone([pid], DETACH_S)
            except TimeoutError:
                os.kill(pid, signal.SIGKILL)
                wait_gone([pid])

    def output(self) -> str:
        """What strace has written."""
        try:
            return (self._directory / OUTPUT).read_text(errors="replace")
        except FileNotFoundError:
            return ""


def counts(output: str) -> dict[str, int]:
    """Return how often each system call comes at most in one thread of what strace has written."""
    by_thread: collections.Counter[tuple[str, str]] = collections.Counter()
    for line in output.splitlines():
        match = _CALL.match(line)
        if match:
            by_thread[match[1], match[2]] += 1
    found: dict[str, int] = {}
    for (_, name), count in by_thread.items():
        found[name] = max(count, found.get(name, 0))
    return found


def points(found: dict[str, int]) -> list[tuple[str, int]]:
    """Return every (system call, number) at which a process may die."""
    return [(name, n) for name in sorted(found.keys() - NO_POINTS) for n in range(1, found[name] + 1)]


NOT_ITS_MOVERS = ("-b", "execve")
"""For the daemon: what it starts is let go when it becomes another program."""


def kill_at(call: str, number: int) -> tuple[str, ...]:
    """strace's arguments for a SIGKILL at the `number`-th `call` of a thread."""
    return "-e", f"trace={call}", "-e", f"inject={call}:signal=SIGKILL:when={number}"


def fail_at(call: str, error: str, when: str) -> tuple[str, ...]:
    """strace's arguments for letting calls fail.

    Args:
        error: errno's name.
        when: `N`, `N+` (and all later ones) or `N..M`, counted by thread.
    """
    return "-e", f"trace={call}", "-e", f"inject={call}:error={error}:when={when}"


def detach(tracer: subprocess.Popen[bytes]) -> None:
    """Let a process that `attach` has put under strace run on by itself."""
    tracer.terminate()
    try:
        tracer.communicate(timeout=DETACH_S)
    except subprocess.TimeoutExpired:
        tracer.kill()
        tracer.communicate()


def attach(pid: int, output: Path, *arguments: str) -> subprocess.Popen[bytes]:
    """Put a running process under strace, and wait until it is.

    Raises:
        RuntimeError: strace would not.
    """
    for _ in range(ATTEMPTS - 1):
        with contextlib.suppress(RuntimeError):  # on a busy machine it gives up now and then, and says nothing
            return _attached(pid, output, *arguments)
    return _attached(pid, output, *arguments)


def _attached(pid: int, output: Path, *arguments: str) -> subprocess.Popen[bytes]:
    with open(os.devnull, "wb") as nowhere:
        tracer = subprocess.Popen(
            ["strace", "-f", "-qq", "-o", output, "-p", str(pid), *arguments],
            stdin=subprocess.DEVNULL, stdout=nowhere, stderr=subprocess.PIPE, start_new_session=True,
        )  # fmt: skip
    deadline = time.monotonic() + _ATTACH_S
    while not _traced(pid):
        if tracer.poll() is not None or time.monotonic() > deadline:
            tracer.kill()
            why = tracer.communicate()[1].decode(errors="replace").strip()
            raise RuntimeError(f"strace cannot attach: {why}")
        time.sleep(0.002)
    return tracer


def _traced(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/status") as lines:
            return any(line.startswith("TracerPid:") and line.split()[1] != "0" for line in lines)
    except FileNotFoundError:
        return False
