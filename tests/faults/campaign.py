"""Many trials of one kind, counted: what `scripts/faults` runs."""

from __future__ import annotations

import collections
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TypeAlias

from judge import Harm, counted
from trial import Trial

TrialOf: TypeAlias = Callable[[int], Trial]
"""Runs the trial of that number."""

_SHOWN = 8
_EVERY = 100
"""Where nobody looks on, so many trials make a line."""

HARMS = (Harm.LOST, Harm.CORRUPT, Harm.DUPLICATE, Harm.UNVERIFIED_DELETE, Harm.DIFFERENT)


@dataclass
class Tally:
    """Figures of one kind of trials. A harm counts once for a trial, however many files it was done to."""

    kind: str
    trials: int = 0
    hits: int = 0
    bad: int = 0
    harms: collections.Counter[Harm] = field(default_factory=collections.Counter)

    def row(self) -> list[str]:
        """Its line of the table."""
        return [self.kind, f"{self.trials:,}", f"{self.hits:,}", *(f"{self.harms[h]:,}" for h in HARMS)]


def run(tally: Tally, trial: TrialOf, numbers: Iterable[int], until: float | None, repeat: str) -> None:
    """Run trials and tell each that did harm, with how to repeat it.

    Args:
        tally: gets the figures of every trial when it ends.
        numbers: of the trials.
        until: monotonic seconds when to stop all the same; None for never.
        repeat: the command that repeats trial `{number}`.
    """
    looked_on = sys.stdout.isatty()
    for number in numbers:
        if until is not None and time.monotonic() >= until:
            break
        done = trial(number)
        harms = counted(done.findings)
        tally.trials += 1
        tally.hits += done.hit
        tally.bad += bool(harms)
        tally.harms.update(harms.keys())
        if harms or done.remark or looked_on:
            verdict = ", ".join(f"{count} {harm}" for harm, count in harms.items()) or "unharmed"
            print(f"{number:5} {done.seconds:5.1f} s  {done.what}{'' if done.hit else ' (missed)'}: {verdict}")
            if done.remark:
                print(f"              {done.remark}")
            for finding in done.findings[:_SHOWN]:
                print(f"              {finding}")
            if harms:
                print(f"              again: {repeat.format(number=number)}")
        elif tally.trials % _EVERY == 0:
            print(f"{tally.kind}: {tally.trials} trials, {tally.bad} with harm")
        sys.stdout.flush()


def table(tallies: list[Tally]) -> str:
    """All figures, for people."""
    rows = [["", "trials", "hit", *(str(h) for h in HARMS)], *(t.row() for t in tallies)]
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return "\n".join(
        "  ".join(cell.ljust(widths[0]) if i == 0 else cell.rjust(widths[i]) for i, cell in enumerate(row)).rstrip()
        for row in rows
    )
