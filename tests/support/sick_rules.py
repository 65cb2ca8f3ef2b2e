"""What is wrong with a sick file system at the moment: a list of rules that may change at any time."""

from __future__ import annotations

import errno
import fnmatch
import os
import threading
import time
from dataclasses import dataclass

FOREVER = 0


@dataclass(frozen=True)
class Sickness:
    """One thing that goes wrong.

    Attributes:
        operation: what it hits: "read", "write", "fsync", "fsyncdir", "flush", "open", "getattr", ...; "*" is all.
        path: glob of the paths that it hits, from the root of the file system ("/d/*"; a star also takes slashes).
        start, end: byte range that a read or write must touch; `end` 0 is the end of the file.
        error: name of the errno that the operation fails with, "" for none.
        flip_at: a read that covers this byte returns it with its lowest bit flipped; -1 for none.
        hang: the operation blocks until the rule is taken away.
        delay_s: the operation takes that much longer, seconds.
        times: how often it strikes, FOREVER for no limit.
    """

    operation: str
    path: str = "*"
    start: int = 0
    end: int = 0
    error: str = ""
    flip_at: int = -1
    hang: bool = False
    delay_s: float = 0.0
    times: int = FOREVER

    def hits(self, operation: str, path: str, start: int, end: int) -> bool:
        """Whether an operation on bytes `start` to `end` of `path` meets it."""
        if self.operation not in ("*", operation) or not fnmatch.fnmatchcase(path, self.path):
            return False
        if self.flip_at >= 0:
            return operation == "read" and start <= self.flip_at < end
        return start < (self.end or end + 1) and self.start < end if end > start else self.start == 0


class Rules:
    """The rules in force. Any thread may change or meet them."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._rules: dict[int, Sickness] = {}
        self._struck: dict[int, int] = {}
        self._hanging = 0

    def add(self, number: int, rule: Sickness) -> None:
        with self._changed:
            self._rules[number] = rule
            self._struck[number] = 0

    def remove(self, number: int) -> None:
        """Take a rule away, 0 for all; what hangs by it goes on."""
        with self._changed:
            for found in list(self._rules) if number == 0 else [number]:
                self._rules.pop(found, None)
            self._changed.notify_all()

    def struck(self, number: int) -> int:
        """Return how often a rule has struck."""
        with self._changed:
            return self._struck.get(number, 0)

    @property
    def hanging(self) -> int:
        """Operations that hang at the moment."""
        with self._changed:
            return self._hanging

    def meet(self, operation: str, path: str, start: int = 0, end: int = 0) -> list[int]:
        """An operation begins: it waits or fails as the rules say.

        Returns:
            Offsets of the bytes to flip in what it reads.

        Raises:
            OSError: a rule says so.
        """
        flips: list[int] = []
        for number, rule in self._taken(operation, path, start, end):
            time.sleep(rule.delay_s)
            if rule.hang:
                self._hang(number)
            if rule.error:
                code = int(getattr(errno, rule.error))
                raise OSError(code, os.strerror(code), path)
            if rule.flip_at >= 0:
                flips.append(rule.flip_at)
        return flips

    def _taken(self, operation: str, path: str, start: int, end: int) -> list[tuple[int, Sickness]]:
        with self._changed:
            taken = []
            for number, rule in self._rules.items():
                spent = rule.times != FOREVER and self._struck[number] >= rule.times
                if not spent and rule.hits(operation, path, start, end):
                    self._struck[number] += 1
                    taken.append((number, rule))
            return taken

    def _hang(self, number: int) -> None:
        with self._changed:
            self._hanging += 1
            self._changed.wait_for(lambda: number not in self._rules)
            self._hanging -= 1
