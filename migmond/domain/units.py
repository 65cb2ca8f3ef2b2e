"""Sizes, rates and durations as people write them. A suffix is required: bare numbers are a known trap."""

from __future__ import annotations

import re

from migmond.domain.errors import InvalidInput

_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*((?:[kmgtpe]i?)?)(b|bit)", re.IGNORECASE)
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d|w)")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
_PREFIXES = " kmgtpe"


def parse_size(text: str) -> int:
    """Parse `10MiB`, `10MB`, `1.5 GiB`, `512B`, `80Mbit` to bytes (rounded down).

    Raises:
        InvalidInput: no number, no unit, or more than 2**63 - 1 bytes.
    """
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        if re.fullmatch(r"\d+(\.\d+)?", text.strip()):
            raise InvalidInput(f"{text!r} has no unit", hint=f"write {text.strip()}MiB, {text.strip()}MB or the like")
        raise InvalidInput(f"{text!r} is not a size", hint="write a number with a unit: 512KiB, 10MB, 1.5GiB")
    number, prefix, unit = match.groups()
    prefix = prefix.lower()
    base = 1024 if prefix.endswith("i") else 1000
    value = float(number) * base ** _PREFIXES.index(prefix[:1] or " ") / (8 if unit.lower() == "bit" else 1)
    if value >= 2**63:
        raise InvalidInput(f"{text!r} is too large", hint="the largest size is 8EiB - 1")
    return int(value)


def parse_rate(text: str) -> int | None:
    """Parse `50MiB/s` (the `/s` may be left out) to bytes per second; `off` to None, unlimited.

    Raises:
        InvalidInput: not a rate, or 0 ("use pause").
    """
    text = text.strip()
    if text.lower() == "off":
        return None
    rate = 0 if re.fullmatch(r"0+(\.0+)?", text) else parse_size(text.removesuffix("/s"))
    if rate == 0:
        raise InvalidInput("a rate of 0 would stop the migration", hint="use pause, or off for unlimited")
    return rate


def parse_duration(text: str) -> float:
    """Parse `300ms`, `5s`, `2h45m`, `1d` to seconds.

    Raises:
        InvalidInput: not a duration, or negative.
    """
    text = text.strip()
    total, end = 0.0, 0
    for match in _DURATION.finditer(text):
        if match.start() != end:
            break
        total += float(match.group(1)) * _SECONDS[match.group(2)]
        end = match.end()
    if not text or end != len(text):
        raise InvalidInput(f"{text!r} is not a duration", hint="write 300ms, 5s, 2h45m or 1d")
    return total


def show_size(size_bytes: float) -> str:
    """Return `size_bytes` in IEC units with three significant digits: `611 GiB`, `1.86 TiB`, `17 B`."""
    value = float(size_bytes)
    for unit in ("B", "KiB", "MiB", "GiB", "TiB", "PiB"):
        if abs(value) < 1000:
            return f"{value:.0f} {unit}" if unit == "B" or value >= 100 else f"{value:.3g} {unit}"
        value /= 1024
    return f"{value:.3g} EiB"


def show_duration(seconds: float) -> str:
    """Return `seconds` with its two largest units: `2 h 10 min`, `36 min`, `4.2 s`, `120 ms`."""
    if seconds == 0:
        return "0 s"  # nobody measured it to the millisecond: there was none
    if seconds < 0.9995:  # each bound is where the next larger unit is what it rounds to
        return f"{seconds * 1000:.0f} ms"
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    if seconds < 59.5:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min" if minutes >= 10 or not rest else f"{minutes} min {rest} s"
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        return f"{hours} h {minutes} min" if minutes else f"{hours} h"
    days, hours = divmod(hours, 24)
    return f"{days} d {hours} h" if hours else f"{days} d"


def show_rate(bytes_per_s: float) -> str:
    """Return `bytes_per_s` as a size each second: `12.3 MiB/s`."""
    return f"{show_size(bytes_per_s)}/s"


def show_number(value: float) -> str:
    """Return a number without a unit, with all its whole digits or with four: `0.25`, `63.44`, `1,234,567`."""
    return f"{value:,.0f}" if float(value).is_integer() or abs(value) >= 1000 else f"{value:.4g}"


def show_degrees(celsius: float) -> str:
    """Return a temperature: `41.3 °C`; no sensor of a disk is better than that."""
    return f"{celsius:.3g} °C"


def show_energy(joules: float) -> str:
    """Return `joules` in the unit that people know for so much: `99.5 J`, `7.2 kJ`, `1.25 kWh`."""
    if joules >= 3.6e5:
        return f"{joules / 3.6e6:.3g} kWh"
    return f"{joules:.3g} J" if joules < 1000 else f"{joules / 1000:.3g} kJ"


def show_amount(value: float, unit: str, *, per_second: bool = False) -> str:
    """Return a value with its unit as people write it: the one way for metrics, alerts, charts and reports.

    Args:
        unit: as a metric or report has it: `bytes`, `bytes per second`, `seconds`, `ratio`, `celsius`, `joules`,
            `per second`, "" for a number of things; any other is told as it is.
        per_second: it is the rate of a counter.
    """
    return _amount(value, unit, per_second=per_second) + ("/s" if per_second else "")


def _amount(value: float, unit: str, *, per_second: bool) -> str:
    match unit:
        case "":
            return show_number(value)
        case "bytes":
            return show_size(value)
        case "bytes per second":
            return show_rate(value)
        case "per second":
            return f"{show_number(value)}/s"
        case "ratio":
            return f"{show_number(value * 100)} %"
        case "celsius":
            return show_degrees(value)
        case "joules":
            return show_energy(value)
        case "seconds" if per_second:  # seconds each second: a share, which "250 ms/s" hides
            return f"{show_number(value)} s"
        case "seconds" if abs(value) < 0.9995:  # a latency, of which a chart shows more than whole milliseconds
            return f"{value * 1000:.3g} ms"
        case "seconds":
            return ("-" if value < 0 else "") + show_duration(abs(value))
    return f"{show_number(value)} {unit}"
