"""A daemon forked from a process that has loaded its code already: a real one, up in a tenth of the time."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
import traceback
from pathlib import Path

from daemon import EmbeddedDaemon

_LOOK_S = 0.005


class ForkedProcess:
    """A child of `os.fork` with the face of `subprocess.Popen`."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._code: int | None = None

    def poll(self) -> int | None:
        """Its exit code, negative for a signal; None while it runs."""
        if self._code is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self._code = os.waitstatus_to_exitcode(status)
        return self._code

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end.

        Raises:
            subprocess.TimeoutExpired: it lives on.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        while (code := self.poll()) is None:
            if deadline is not None and time.monotonic() > deadline:
                raise subprocess.TimeoutExpired("migmond", timeout or 0.0)
            time.sleep(_LOOK_S)
        return code

    def send_signal(self, sig: int) -> None:
        """Send a signal unless it has been reaped."""
        if self.poll() is None:
            os.kill(self.pid, sig)

    def kill(self) -> None:
        """Kill it."""
        self.send_signal(signal.SIGKILL)


class ForkedDaemon(EmbeddedDaemon):
    """An EmbeddedDaemon for many short trials. The calling process must have no other threads.

    Args:
        home, configuration: see EmbeddedDaemon.
        interpreter: what it starts movers with; None for our own Python.
    """

    def __init__(self, home: Path, configuration: str = "", interpreter: Path | None = None) -> None:
        super().__init__(home, configuration)
        self._interpreter = interpreter

    def _spawn(self, arguments: list[str], log_fd: int, ready_fd: int) -> ForkedProcess:
        import migmond.daemon.main  # what every child would load again
        import migmond_sqlite  # noqa: F401

        pid = os.fork()
        if pid:
            return ForkedProcess(pid)
        code = 1
        try:
            self._become_daemon(log_fd, ready_fd)
            migmond.daemon.main.main(arguments)
            code = 0
        except SystemExit as e:
            code = e.code if isinstance(e.code, int) else 1
        except BaseException:  # whatever it is: it must not run on as a second parent
            traceback.print_exc()
        finally:
            with contextlib.suppress(ValueError, OSError):
                sys.stderr.flush()
            os._exit(code)

    def _become_daemon(self, log_fd: int, ready_fd: int) -> None:
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_DFL)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(log_fd, 1)
        os.dup2(log_fd, 2)
        for fd in map(int, os.listdir("/proc/self/fd")):
            if fd > 2 and fd != ready_fd:
                with contextlib.suppress(OSError):  # the one that listed them
                    os.close(fd)
        sys.stdout = sys.stderr = os.fdopen(2, "w", buffering=1, closefd=False)
        os.environ.clear()
        os.environ.update(self.environment)
        if self._interpreter is not None:
            sys.executable = str(self._interpreter)
