"""What a process and its children take of the machine."""

from __future__ import annotations

import os
import threading


class Watch:
    """CPU and memory of a process and its children, by looking ten times a second. A context manager."""

    INTERVAL_S = 0.1

    def __init__(self, pid: int) -> None:
        self.peak_bytes = 0
        self.cpu_s = 0.0
        self._pid = pid
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._look_on)

    def __enter__(self) -> Watch:
        self._before_s = self._all_cpu_s()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()
        self.cpu_s = max(0.0, self._all_cpu_s() - self._before_s)

    def _look_on(self) -> None:
        while not self._done.wait(self.INTERVAL_S):
            rss = sum(self._rss_bytes(pid) for pid in (self._pid, *self._children()))
            self.peak_bytes = max(self.peak_bytes, rss)

    def _all_cpu_s(self) -> float:
        # Children that have ended are in the process's own figures.
        return sum(self._cpu_s(pid) for pid in (self._pid, *self._children()))

    def _children(self) -> list[int]:
        return [int(pid) for pid in self._read(self._pid, f"task/{self._pid}/children").split()]

    def _cpu_s(self, pid: int) -> float:
        fields = self._read(pid, "stat").rpartition(")")[2].split()
        return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")

    def _rss_bytes(self, pid: int) -> int:
        fields = self._read(pid, "statm").split()
        return (int(fields[1]) - int(fields[2])) * os.sysconf("SC_PAGE_SIZE") if fields else 0

    @staticmethod
    def _read(pid: int, name: str) -> str:
        """A file of /proc; "" when the process has ended meanwhile."""
        try:
            with open(f"/proc/{pid}/{name}") as file:
                return file.read()
        except (FileNotFoundError, ProcessLookupError):
            return ""


def peak_resident_bytes(pid: int) -> int:
    """The most memory that a process has had at any moment, shared pages included; 0 when it has ended."""
    try:
        with open(f"/proc/{pid}/status") as lines:
            for line in lines:
                if line.startswith("VmHWM:"):
                    return int(line.split()[1]) * 1024
    except (FileNotFoundError, ProcessLookupError):
        pass  # it has ended, or is about to: a process without memory has no such line
    return 0
