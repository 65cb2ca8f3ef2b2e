"""What the global options said, and how commands put things out."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import msgspec

from migmond.cli.render.text import painted, printable, printable_json

T = TypeVar("T")

ENVELOPE_VERSION = 1
_USUAL_COLUMNS = 80


def terminal_columns() -> int:
    """Columns of the terminal: COLUMNS if set, else what it says (`shutil` does the same and takes 3 ms to import)."""
    wanted = os.environ.get("COLUMNS", "")
    if wanted.isdigit() and int(wanted):
        return int(wanted)
    for stream in (sys.__stdout__, sys.__stderr__):
        try:
            columns = os.get_terminal_size(stream.fileno()).columns if stream is not None else 0
        except (OSError, ValueError):
            continue  # no terminal, or closed
        if columns:
            return columns
    return _USUAL_COLUMNS


class State:
    """The global options; commands change them too, because every command accepts them as well.

    Attributes:
        started: the daemon was asked for something that goes on without us.
    """

    def __init__(self) -> None:
        self.json = False
        self.quiet = False
        self.dry_run = False
        self.yes = False
        self.reason = ""
        self.socket: str | None = None
        self.color = "auto"
        self.started = False

    def wants_color(self) -> bool:
        """Whether standard output may be coloured (NO_COLOR and TERM=dumb are obeyed)."""
        if self.color != "auto":
            return self.color == "always"
        return self.live_output() and not os.environ.get("NO_COLOR")

    def live_output(self) -> bool:
        """Whether standard output is a terminal that can be drawn on."""
        return sys.stdout.isatty() and os.environ.get("TERM") != "dumb"

    def live(self) -> bool:
        """Whether standard error is a terminal that a live view can be drawn on."""
        return sys.stderr.isatty() and os.environ.get("TERM") != "dumb" and not self.quiet and not self.json

    def emit(self, kind: str, data: Any) -> None:
        """Print one JSON envelope on a line of standard output."""
        envelope = {"migmon": ENVELOPE_VERSION, "kind": kind, "data": data}
        sys.stdout.write(printable_json(msgspec.json.encode(envelope).decode()) + "\n")
        sys.stdout.flush()

    def show(self, lines: Iterable[str], *, marks: bool = False) -> None:
        """Print lines of data to standard output. `marks`: a line's leading mark may be coloured."""
        paint = painted if marks and self.wants_color() else str
        for line in lines:
            print(paint(printable(line)))

    def put(self, kind: str, data: T, lines: Callable[[T], Iterable[str]], *, marks: bool = False) -> None:
        """Print what a command was asked for: as one JSON envelope if that is wanted, else the lines that `lines` makes
        of it."""
        if self.json:
            self.emit(kind, data)
        else:
            self.show(lines(data), marks=marks)

    def say(self, *lines: str) -> None:
        """Print lines of prose to standard error, unless quiet."""
        if not self.quiet:
            for line in lines or ("",):
                print(printable(line), file=sys.stderr)
