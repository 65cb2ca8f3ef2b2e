"""What an execution cost: time, energy, wear of disks, and money by the operator's own prices.

Nothing is invented: what configuration does not tell stays unknown, and the result says what to configure.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from migmond.domain.analysis import CostView, EnergyView, MoneyView, WearView

JOULES_PER_KWH = 3.6e6
GB = 1e9
_NEARLY_ALL = 0.95
"""Of its time in which energy was read: a restart of the daemon costs a little of it."""


class DiskUse(msgspec.Struct, frozen=True):
    """One disk over the execution, and what configuration tells of it; None is not configured.

    Attributes:
        busy_s: seconds in which it worked for this execution.
        written_bytes: that this execution wrote to it.
        active_watts, idle_watts: of the data sheet.
        rated_bytes: that may be written to it in its life (TBW × 10^12).
        write_amplification: bytes written to flash for each byte of the host (WAF); 1 for rotating disks.
        price: of the disk, in the currency of the prices.
    """

    device: str
    busy_s: float | None = None
    written_bytes: int = 0
    active_watts: float | None = None
    idle_watts: float | None = None
    rated_bytes: float | None = None
    write_amplification: float | None = None
    price: float | None = None


class Prices(msgspec.Struct, frozen=True):
    """The operator's prices on a date; None is not configured. `per_gb`: for each 10^9 bytes moved (a fee)."""

    currency: str
    as_of: str
    per_kwh: float | None = None
    per_gb: float | None = None


class Usage(msgspec.Struct, frozen=True):
    """What an execution used.

    Attributes:
        cpu_s: processor seconds of its movers.
        cpu_share: of all processor time that was not idle, 0 to 1, what its movers had: RAPL measures the machine.
        machine_joules: what processors and memory of the machine took in `machine_s`, by RAPL; None when nobody could
            read it.
        machine_s: seconds of `wall_s` in which that was read.
        idle_watts: of processors and memory when the machine does nothing.
        watts_per_core: what a busy core takes more than an idle one.
    """

    wall_s: float
    active_s: float
    moved_bytes: int
    cpu_s: float | None = None
    cpu_share: float | None = None
    machine_joules: float | None = None
    machine_s: float = 0.0
    idle_watts: float | None = None
    watts_per_core: float | None = None
    disks: tuple[DiskUse, ...] = ()


def is_summed(zone: str) -> bool:
    """Whether a zone of RAPL counts for the machine: packages, and the memory beside them. Cores are in their packages,
    and `psys` has all of it in it once more."""
    package, _, part = zone.partition("/")
    return package.startswith("package") and part in ("", "dram")


def energy(usage: Usage) -> EnergyView:
    """Return the energy that an execution used beyond what the machine takes anyway.

    Measured, where RAPL and the idle power are known: (joules of the machine - idle watts × seconds) × its share of the
    busy processor time. That is processors and memory; disks are not in RAPL.
    Else modelled: Σ disks (active - idle watts) × busy seconds, and watts per core × processor seconds
    (design page ETA, "Cost"). Only what is known is in it, and the reason says what is not.
    """
    if usage.machine_joules is not None and usage.idle_watts is not None:
        above_idle = usage.machine_joules - usage.idle_watts * usage.machine_s
        share = 1.0 if usage.cpu_share is None else usage.cpu_share
        whose = "" if usage.cpu_share is not None else "; of everything that ran on the machine"
        if usage.machine_s < _NEARLY_ALL * usage.wall_s:
            whose += f"; of {usage.machine_s:.0f} of its {usage.wall_s:.0f} s"
        return EnergyView(max(0.0, above_idle) * share, "measured", f"RAPL: processors and memory, no disks{whose}")
    joules, parts, without = 0.0, [], []
    for disk in usage.disks:
        if disk.active_watts is None or disk.idle_watts is None or disk.busy_s is None:
            without.append(disk.device)
            continue
        joules += max(0.0, disk.active_watts - disk.idle_watts) * disk.busy_s
        parts.append(disk.device)
    if usage.watts_per_core is not None and usage.cpu_s is not None:
        joules += usage.watts_per_core * usage.cpu_s
        parts.append("processor")
    else:
        without.append("processor")
    if not parts:
        why = "no RAPL here" if usage.machine_joules is None else "RAPL, but no prices.idle_watts of the machine"
        return EnergyView(None, "unknown", f"{why}, and no watts of disks or cores are configured")
    missing = f"; not in it: {', '.join(without)}" if without else ""
    return EnergyView(joules, "modelled", f"from configured watts of {', '.join(parts)}{missing}")


def wear(disk: DiskUse) -> WearView:
    """Return what was taken of a disk's rated endurance: bytes written × WAF ÷ TBW (design page ETA, "Cost").

    Vendors rate host bytes at their own workload (JESD 218/219): with another WAF configured the share is an estimate.
    """
    media = None if disk.write_amplification is None else disk.written_bytes * disk.write_amplification
    if disk.rated_bytes is None or disk.rated_bytes < 1:
        return WearView(disk.device, disk.written_bytes, media, None, "no rated endurance (TBW) is configured")
    if media is None:
        share = disk.written_bytes / disk.rated_bytes
        return WearView(
            disk.device, disk.written_bytes, None, share, "host bytes: no write amplification is configured"
        )
    return WearView(disk.device, disk.written_bytes, media, media / disk.rated_bytes, "")


def cost(usage: Usage, prices: Prices | None) -> CostView:
    """Return all of it. Money is only what prices are configured for; without any there is none. A disk that nothing
    was written to has no wear."""
    used, worn = energy(usage), tuple(wear(d) for d in usage.disks if d.written_bytes)
    missing = []
    if used.joules is None:
        missing.append(f"energy: {used.reason}")
    missing += [f"wear of {w.device}: {w.reason}" for w in worn if w.share is None]
    money = None
    if prices is None:
        missing.append("money: no prices are configured")
    else:
        parts = _parts(usage, used, worn, prices)
        missing += _without_price(usage, used, prices)
        if parts:
            money = MoneyView(sum(parts.values()), prices.currency, prices.as_of, parts)
    return CostView(usage.wall_s, usage.active_s, usage.cpu_s, used, worn, money, tuple(missing))


def _parts(usage: Usage, used: EnergyView, worn: Sequence[WearView], prices: Prices) -> dict[str, float]:
    parts = {}
    if prices.per_kwh is not None and used.joules is not None:
        parts["energy"] = used.joules / JOULES_PER_KWH * prices.per_kwh
    if prices.per_gb is not None:
        parts["transfer"] = usage.moved_bytes / GB * prices.per_gb
    price_of: Mapping[str, float | None] = {d.device: d.price for d in usage.disks}
    for one in worn:
        price = price_of[one.device]
        if one.share is not None and price is not None:
            parts[f"wear of {one.device}"] = one.share * price
    return parts


def _without_price(usage: Usage, used: EnergyView, prices: Prices) -> list[str]:
    missing = []
    if prices.per_kwh is None and used.joules is not None:
        missing.append("money: no price per kWh is configured")
    if prices.per_gb is None:
        missing.append("money: no price per GB is configured")
    missing += [
        f"money: no price of {d.device} is configured"
        for d in usage.disks
        if d.price is None and d.rated_bytes and d.written_bytes
    ]
    return missing
