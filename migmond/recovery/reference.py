"""The page of errors: what is done about each, what they may come from, and what to do:
`python -m migmond.recovery.reference` prints it."""

from __future__ import annotations

import signal

from migmond.domain.fault import Phase
from migmond.recovery.advice import HINTS, entries
from migmond.recovery.correlation import AT_EDGE, UNNAMED, WINDOW_S, causes
from migmond.recovery.dispositions import ANY_DEVICE, ANY_PHASE, Row, others, rows

_INTRODUCTION = """What is done about an error depends on the error, on the step in which it was met, and on what the
file system stands on (a disk of this machine, the network, a FUSE process). Every such triple has exactly one row.
`retry` tries again after a while, `hold` holds the migration and tries one entry at a time, `fail` leaves that entry.
Errors that count against the device hold the migration as well when there are many of them in a row."""

_CAUSES = f"""What speaks for a cause: the error alone (first figure), and what was noticed within {WINDOW_S:.0f} s of
it on the same device. At the edge of that time a fact counts {AT_EDGE:.1f}, and {UNNAMED:.1f} when it names no device.
The figures combine as 1 − (1 − a)(1 − b)…"""


def reference() -> str:
    """Return Markdown: the error table, the causes, the advice."""
    lines = ["# Errors", "", _INTRODUCTION, "", "## What is done", ""]
    lines += ["| errors | steps | on | what | tries | counts against the device | why |", "| --- " * 7 + "|"]
    lines += [_row(row) for row in (*rows(), *others())]
    lines += ["", "## What they come from", "", _CAUSES, "", "| cause | | errors | facts |", "| --- " * 4 + "|"]
    for cause in causes():
        errors = ", ".join(f"`{kind}` {chance:.2f}" for kind, chance in cause.errors.items()) or "any"
        facts = ", ".join(f"{kind.value} {strength:.2f}" for kind, strength in cause.facts.items())
        lines.append(f"| `{cause.name}` | {cause.title} | {errors} | {facts} |")
    lines += ["", "## What to do", "", "| cause | it means | do | command | source |", "| --- " * 5 + "|"]
    for advice in entries():
        commands = ", or ".join(f"`{c.value}`" for c in advice.commands)
        lines.append(f"| `{advice.cause}` | {advice.meaning} | {advice.action} | {commands} | {advice.source} |")
    lines += ["", "When no cause is likely:", "", "| error | do |", "| --- | --- |"]
    lines += [f"| `{kind}` | {hint} |" for kind, hint in HINTS.items()]
    return "\n".join(lines) + "\n"


def _row(row: Row) -> str:
    errors = ", ".join(f"`{k}`" for k in sorted(row.kinds)) or "all others"
    missing = ANY_PHASE - row.phases
    steps = "all" if not missing else ", ".join(p.value for p in Phase if p in row.phases)
    if 0 < len(missing) < len(row.phases):
        steps = "all but " + ", ".join(sorted(p.value for p in missing))
    on = "all" if row.devices == ANY_DEVICE else ", ".join(sorted(row.devices))
    tries = str(row.attempts or "as configured") if row.disposition.value == "retry" else ""
    against = "yes" if row.device else ""
    return f"| {errors} | {steps} | {on} | {row.disposition.value} | {tries} | {against} | {row.reason} |"


if __name__ == "__main__":
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # a reader that has seen enough (`| head`) ends it
    print(reference(), end="")
