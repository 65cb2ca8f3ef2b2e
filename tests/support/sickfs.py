"""A sick file system: a directory seen through FUSE, with faults that are switched while it is in use. Needs root."""

from __future__ import annotations

import contextlib
import dataclasses
import importlib.util
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

from sick_rules import Sickness

_START_S = 30


def missing() -> str:
    """Why no such file system can be had here; "" when it can."""
    if os.geteuid() != 0:
        return "a FUSE file system for everybody needs root"
    if not os.path.exists("/dev/fuse"):
        return "there is no /dev/fuse here"
    if importlib.util.find_spec("mfusepy") is None:
        return "mfusepy is not installed"
    probe = subprocess.run([sys.executable, "-c", "import mfusepy"], capture_output=True, text=True, check=False)
    return "" if probe.returncode == 0 else "libfuse is not installed (Debian: fuse3)"


class SickFs:
    """A mounted one.

    Attributes:
        root: where it is mounted; what is done here meets the faults.
        backing: the directory behind it, always healthy.
    """

    def __init__(self, root: Path, backing: Path, lines: TextIO) -> None:
        self.root = root
        self.backing = backing
        self._lines = lines
        self._number = 0

    def fall_ill(self, operation: str, **rule: Any) -> int:
        """Set a fault, see `sick_rules.Sickness`; returns its number."""
        self._number += 1
        self._ask(do="add", number=self._number, rule=dataclasses.asdict(Sickness(operation, **rule)))
        return self._number

    def heal(self, number: int = 0) -> None:
        """Take a fault away, or all; what hangs goes on."""
        self._ask(do="remove", number=number)

    def struck(self, number: int) -> int:
        """Return how often a fault has struck."""
        return self._ask(do="struck", number=number)

    @property
    def hanging(self) -> int:
        """How many operations hang at the moment."""
        return self._ask(do="hanging")

    def until_hanging(self, timeout_s: float = 60) -> None:
        """Wait until at least one operation hangs."""
        end = time.monotonic() + timeout_s
        while not self.hanging:
            assert time.monotonic() < end, "nothing hangs"
            time.sleep(0.01)

    def note(self, text: str) -> int:
        """Write a note into the log; returns how many events there are with it."""
        return self._ask(do="note", text=text)

    def _ask(self, **command: Any) -> int:
        print(json.dumps(command), file=self._lines, flush=True)
        return int(json.loads(self._lines.readline()))


@contextlib.contextmanager
def sick_fs(directory: Path, *, folding: bool = False, log: Path | None = None) -> Iterator[SickFs]:
    """Mount a healthy one below `directory`; at the end it is unmounted and its process has ended.

    Args:
        folding: names that differ in case or normal form only are one, as on a Mac or a Windows disk.
        log: where to keep a log of all writes and flushes, see `write_log`.

    Raises:
        RuntimeError: it did not start; the message has what its process printed.
    """
    backing, root, printed = directory / "backing", directory / "sick", directory / "sick.log"
    options = ["--folding"] * folding + ([] if log is None else ["--log", str(log)])
    backing.mkdir(parents=True)
    root.mkdir()
    ours, theirs = socket.socketpair()
    with theirs, printed.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("sick_server.py")), str(backing), str(root),
             str(theirs.fileno()), *options],
            stdin=subprocess.DEVNULL, stdout=output, stderr=output, pass_fds=(theirs.fileno(),),
            start_new_session=True,  # Ctrl-C is for us: it serves until it is unmounted
        )  # fmt: skip
    try:
        with ours, ours.makefile("rw") as lines:
            ours.settimeout(_START_S)
            try:
                if not lines.readline():
                    raise RuntimeError("the sick file system did not start:\n" + printed.read_text())
                yield SickFs(root, backing, lines)
            finally:
                with contextlib.suppress(OSError):
                    print(json.dumps({"do": "remove", "number": 0}), file=lines, flush=True)
                subprocess.run(["umount", "-l", root], check=False, capture_output=True)
    finally:
        try:
            process.wait(0.5)
        except subprocess.TimeoutExpired:
            process.kill()  # ends the connection: whatever still waits for it gets an error
            process.wait()
