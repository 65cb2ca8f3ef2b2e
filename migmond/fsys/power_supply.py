"""Whether the machine runs on its battery (Documentation/ABI/testing/sysfs-class-power)."""

from __future__ import annotations

import contextlib
import os

_MAINS = frozenset({"Mains", "USB", "USB_C", "USB_PD"})


def on_battery(sys: str = "/sys") -> bool | None:
    """Return whether no source of power but a battery is online; None when there is no battery, or nobody tells.

    Batteries of mice and the like (`scope` Device) do not count.
    """
    base = os.path.join(sys, "class/power_supply")
    online: list[bool] = []
    discharging = False
    with contextlib.suppress(OSError):
        for name in sorted(os.listdir(base)):
            if _text(base, name, "scope") == "Device":
                continue
            kind = _text(base, name, "type")
            if kind in _MAINS and (told := _text(base, name, "online")):
                online.append(told != "0")
            elif kind == "Battery":
                discharging |= _text(base, name, "status") == "Discharging"
    if any(online):
        return False
    return True if discharging else None if not online else False


def _text(base: str, name: str, key: str) -> str:
    with contextlib.suppress(OSError), open(os.path.join(base, name, key), "rb") as file:
        return file.read(256).decode("ascii", "replace").strip()
    return ""
