"""What processors and memory have used, as they count it themselves (RAPL; the kernel's powercap/powercap.rst)."""

from __future__ import annotations

import os
import re

from migmond.plugin_api import NoData

_ZONE = re.compile(r"intel-rapl(:\d+)+")
"""AMD's processors have zones of that name too. intel-rapl-mmio is the same package once more, by another way."""
_NONE = NoData("this machine does not tell what it uses: there is no RAPL zone in {} (most virtual machines hide it)")
_READ_BYTES = 64


class Energy:
    """Keeps the last readings: counters of 32 bits and less wrap, in some ten minutes at full load.

    Args:
        directory: of zones, each a directory, and each with those of its parts in it as well as beside it.
    """

    def __init__(self, directory: str = "/sys/class/powercap") -> None:
        self._directory = directory
        self._last: dict[str, int] = {}
        self._used: dict[str, int] = {}

    def read(self) -> dict[str, float | NoData]:
        """Return the joules that each zone has used since the first call, by name; a part's has its zone's before it
        (`package-0/dram`). "" and why there are none where there are none.

        Called at least every few minutes, it misses no wrap.
        """
        try:
            zones = sorted(name for name in os.listdir(self._directory) if _ZONE.fullmatch(name))
        except OSError:
            zones = []
        if not zones:
            return {"": NoData(_NONE.reason.format(self._directory))}
        found: dict[str, float | NoData] = {}
        for zone in zones:
            name = self._name(zone)
            found[name if name not in found else f"{name} ({zone})"] = self._joules(zone)
        return found

    def _joules(self, zone: str) -> float | NoData:
        try:
            now, most = self._number(zone, "energy_uj"), self._number(zone, "max_energy_range_uj")
        except (OSError, ValueError) as e:
            self._last.pop(zone, None)  # how often it wraps meanwhile is not known
            why = e.strerror if isinstance(e, OSError) else "it is no number"
            return NoData(f"{self._directory}/{zone}/energy_uj: {why}")
        before = self._last.get(zone, now)
        self._last[zone] = now
        self._used[zone] = self._used.get(zone, 0) + (now - before if now >= before else now + most - before)
        return self._used[zone] / 1e6

    def _name(self, zone: str) -> str:
        """Return what the kernel calls it, after what it calls the zones that it is a part of."""
        parts = zone.split(":")
        return "/".join(self._text(":".join(parts[:end]), "name") for end in range(2, len(parts) + 1))

    def _number(self, zone: str, file: str) -> int:
        with open(f"{self._directory}/{zone}/{file}", "rb", buffering=0) as opened:
            return int(opened.read(_READ_BYTES))

    def _text(self, zone: str, file: str) -> str:
        try:
            with open(f"{self._directory}/{zone}/{file}", encoding="utf-8", errors="replace") as opened:
                return opened.read(_READ_BYTES).strip() or zone
        except OSError:
            return zone
