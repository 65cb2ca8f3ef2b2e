"""What a setting is: its type, its default, and what is said of it."""

from __future__ import annotations

import enum
from typing import get_args, get_type_hints

import msgspec


class Kind(enum.Enum):
    """How a setting's text is read."""

    PLAIN = "plain"
    SIZE = "size"
    DURATION = "duration"
    RATES = "rates"
    """A rate, `off`, or a timetable of such."""


class Help(msgspec.Struct, frozen=True):
    """What `migmon config` and conf.d/ say of a setting.

    Attributes:
        text: one sentence.
        kind: how its text is read.
        least, most: bounds of the parsed number, inclusive.
        restart: a change takes effect only when the daemon starts again.
        example: shown where there is no default.
    """

    text: str
    kind: Kind = Kind.PLAIN
    least: float | None = None
    most: float | None = None
    restart: bool = True
    example: float | str | None = None


class Section(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One table of the files: its fields are settings, each annotated with its Help."""


def help_of(section: type[Section], key: str) -> Help:
    """Return the help of a setting."""
    annotation = get_type_hints(section, include_extras=True)[key]
    found = [a for a in get_args(annotation) if isinstance(a, Help)]
    return found[0]


def type_of(section: type[Section], key: str) -> type:
    """Return what a setting must be: str, int, bool or float (then an integer will do as well)."""
    kind = get_type_hints(section)[key]
    (wanted,) = [k for k in get_args(kind) or (kind,) if k is not type(None)]
    assert isinstance(wanted, type)
    return wanted
