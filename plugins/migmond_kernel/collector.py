"""Reading /dev/kmsg: never blocks, begins with what comes after it was opened, and counts."""

from __future__ import annotations

import contextlib
import errno
import os
import time
from collections import Counter
from collections.abc import Callable, Iterable

from migmond.plugin_api import MetricDesc, MetricKind, NoData, Note, Sample
from migmond_kernel.messages import KINDS, classify, parse_record

MESSAGES = MetricDesc(
    "migmond_kernel_io_messages_total", "", MetricKind.COUNTER,
    "Messages of the kernel about a disk or file system since this daemon started, by kind; without a device those "
    "that name none.", ("device", "kind"),
)  # fmt: skip
LOST = MetricDesc(
    "migmond_kernel_messages_lost_total", "", MetricKind.COUNTER,
    "Messages of the kernel that were overwritten before they could be read.",
)  # fmt: skip

MAX_RECORDS = 10_000
"""Read at one look: as fast as they can be written they would keep us reading."""
MAX_DEVICES = 200
"""Series of devices; names that come later count as `other`."""
_RECORD_BYTES = 8192
"""The longest that the kernel writes (CONSOLE_EXT_LOG_MAX, PRINTK_MESSAGE_MAX)."""
_KERNEL = 0


class KernelLog:
    """Counts from its first look on. Close it after use.

    Args:
        path: the device of the log.
        facilities: whose messages count; the kernel's own are 0.
        wall, monotonic: the clocks, seconds.
    """

    def __init__(
        self,
        path: str = "/dev/kmsg",
        *,
        facilities: frozenset[int] = frozenset({_KERNEL}),
        wall: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._path = path
        self._facilities = facilities
        self._wall = wall
        self._monotonic = monotonic
        self._fd: int | None = None
        self._sequence: int | None = None
        self._counts: Counter[tuple[str, str]] = Counter({("", kind): 0 for kind in KINDS})
        self._devices: set[str] = set()
        self._lost = 0

    def close(self) -> None:
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None

    async def collect(self) -> Iterable[Sample | Note]:
        """Return the counts so far and a note of each message since the last look."""
        notes: list[Note] = []
        try:
            if self._fd is None:
                self._fd = os.open(self._path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
                with contextlib.suppress(OSError):  # what has no end to go to is read from its beginning
                    os.lseek(self._fd, 0, os.SEEK_END)
            self._read(self._fd, notes)
        except OSError as e:
            self.close()
            reason = NoData(_why(self._path, e))
            return [Sample(MESSAGES.name, reason, {"device": "", "kind": kind}) for kind in KINDS] + [
                Sample(LOST.name, reason)
            ]
        samples: list[Sample | Note] = [
            Sample(MESSAGES.name, float(count), {"device": device, "kind": kind})
            for (device, kind), count in self._counts.items()
        ]
        return [*samples, Sample(LOST.name, float(self._lost)), *notes]

    def _read(self, fd: int, notes: list[Note]) -> None:
        for _ in range(MAX_RECORDS):
            try:
                data = os.read(fd, _RECORD_BYTES)
            except BlockingIOError:
                return
            except BrokenPipeError:  # what was to come next has been overwritten; the next read goes on after it
                continue
            if not data:
                return
            self._take(data, notes)

    def _take(self, data: bytes, notes: list[Note]) -> None:
        record = parse_record(data)
        if record is None:
            return
        if self._sequence is not None:
            self._lost += max(0, record.sequence - self._sequence - 1)
        self._sequence = record.sequence
        found = classify(record.message) if record.facility in self._facilities else None
        if found is None:
            return
        device = found.device
        if device and device not in self._devices:
            if len(self._devices) >= MAX_DEVICES:
                device = "other"
            else:
                self._devices.add(device)
        self._counts[device, found.kind] += 1
        # The kernel's clock stands still while the machine sleeps, as the monotonic one does.
        at = self._wall() - max(0.0, self._monotonic() - record.at_s)
        notes.append(Note(at, found.kind, record.message, found.device))


def _why(path: str, error: OSError) -> str:
    if error.errno in (errno.EPERM, errno.EACCES):
        return f"{path} may not be read: that takes root or CAP_SYSLOG (kernel.dmesg_restrict)"
    if error.errno == errno.ENOENT:
        return f"there is no {path} here, as in many containers"
    return f"{path}: {error.strerror}"
