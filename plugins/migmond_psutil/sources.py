"""What psutil does not tell: pressure, and memory that waits to be written. Both are text of the kernel."""

from __future__ import annotations

import os

from migmond.plugin_api import NoData

RESOURCES = ("cpu", "memory", "io")
EXTENTS = ("some", "full")


class Pressure:
    """Pressure stall information (Documentation/accounting/psi.rst)."""

    def __init__(self, directory: str = "/proc/pressure") -> None:
        self._directory = directory

    def read(self, resource: str) -> dict[str, tuple[float, float]] | NoData:
        """Return (avg10 as a ratio, total in seconds) by extent.

        NoData where the kernel was built or started without PSI, and in containers that hide it.
        """
        path = f"{self._directory}/{resource}"
        try:
            with open(path, "rb", buffering=0) as file:
                return parse_pressure(file.read(1024))
        except FileNotFoundError:
            return NoData("this kernel shows no pressure (psi=1 on its command line may turn it on)")
        except OSError as e:  # EOPNOTSUPP when it was turned off at boot
            return NoData(f"{path}: {e.strerror}")


def parse_pressure(text: bytes) -> dict[str, tuple[float, float]]:
    """Return (avg10 as a ratio, total in seconds) by extent; lines that are not understood are left out."""
    found: dict[str, tuple[float, float]] = {}
    for line in text.splitlines():
        extent, *pairs = line.split()
        values = dict(pair.partition(b"=")[::2] for pair in pairs)
        if b"avg10" in values and b"total" in values:
            found[os.fsdecode(extent)] = (float(values[b"avg10"]) / 100, int(values[b"total"]) / 1e6)
    return found


def parse_meminfo(text: bytes) -> dict[str, float]:
    """Return the figures of /proc/meminfo in bytes; those that are not in kB are left out."""
    found: dict[str, float] = {}
    for line in text.splitlines():
        fields = line.split()
        if len(fields) == 3 and fields[2] == b"kB":
            found[os.fsdecode(fields[0][:-1])] = int(fields[1]) * 1024.0
    return found
