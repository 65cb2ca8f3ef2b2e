"""Limits as people give them, the same for a plan as for a migration that runs."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import click

from migmond.cli.parse import RATE, SIZE, Parsed, together
from migmond.domain.errors import InvalidInput

OFF = "off"
_FIELDS = {
    "io": "io_bytes_per_s",
    "cpu": "cpu_percent",
    "memory": "memory_bytes",
    "ops": "io_ops_per_s",
    "network": "network_bytes_per_s",
}
NO_LIMITS: dict[str, Any] = {**dict.fromkeys(_FIELDS.values()), "timetable": ""}
"""Every field of `domain.limits.Limits`, unlimited."""


def _limit(kind: str, parse: Callable[[str], float]) -> Parsed:
    """A limit that may be off, and never is nothing at all: that would be a pause."""

    def parsed(text: str) -> float | str:
        if text.strip().lower() == OFF:
            return OFF
        value = parse(text)
        if not value:
            raise InvalidInput(f"{text!r} would stop the migration", hint="use pause, or off for unlimited")
        return value

    return Parsed(kind, parsed)


def _number(unit: str, what: str, hint: str) -> Callable[[str], float]:
    """Return what parses a number after which `unit`, a pattern, may stand."""

    def parse(text: str) -> float:
        found = re.fullmatch(rf"(\d+(?:\.\d+)?)(?:{unit})?", text.strip())
        if found is None:
            raise InvalidInput(f"{text!r} is no {what}", hint=hint)
        return float(found[1])

    return parse


_PERCENT = _number(r"\s*%", "percentage", "write 80%, of one core: 150% is one and a half; or off")
_PER_S = _number("/s", "number of operations", "write 200, operations per second; or off")


def limit_options(command: Any) -> Any:
    """The flags; `limits_given` reads them."""
    percent, size, number = _limit("percent", _PERCENT), _limit("size", SIZE.parser), _limit("number", _PER_S)
    return together(
        click.option("--io", type=RATE, metavar="RATE", help="Bytes read per second, e.g. 50MiB/s; off for unlimited."),
        click.option("--cpu", type=percent, metavar="PERCENT", help="Of one core, for all movers, e.g. 150%; off."),
        click.option("--memory", type=size, metavar="SIZE", help="Of all its movers, e.g. 1GiB; off."),
        click.option("--ops", type=number, metavar="N", help="Entries begun per second, e.g. 200; off."),
        click.option("--network", type=RATE, metavar="RATE", help="For remote targets, e.g. 80Mbit; off."),
        click.option(
            "--timetable", metavar="ROWS",
            help="'08:00,20MiB 12:00,pause 13:00,20MiB 19:00,off', days as Mon-08:00; the daemon's local time; off.",
        ),
    )(command)  # fmt: skip


def limits_given(values: dict[str, Any]) -> dict[str, Any]:
    """Return what was given among the flags' `values`, by the names of `domain.limits.Limits`; what is off is None."""
    given = {field: values[name] for name, field in _FIELDS.items() if values[name] is not None}
    given = {field: None if value == OFF else value for field, value in given.items()}
    timetable = values["timetable"]
    if timetable is not None:
        given["timetable"] = "" if timetable.strip().lower() == OFF else timetable
    return given
