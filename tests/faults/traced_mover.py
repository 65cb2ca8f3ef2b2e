"""`traced_mover.py DIRECTORY -P -s -m migmond.mover ...`: what a daemon of `tracing.TracedMovers` starts as its mover.

When an order lies in DIRECTORY and means this mover, it puts itself under strace once its code is loaded: faults are to
hit the mover's work, not Python's start.
"""

from __future__ import annotations

import itertools
import json
import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(1, str(Path(__file__).parents[1] / "support"))


def main() -> None:
    import migmond.mover.main as mover
    from tracing import ORDER, OUTPUT, TRACER, attach

    directory = Path(sys.argv[1])
    try:
        arrival, arguments = json.loads((directory / ORDER).read_text())
    except FileNotFoundError:
        pass
    else:
        if arrival == _arrive(directory):
            tracer = attach(os.getpid(), directory / OUTPUT, *arguments)
            (directory / f"{TRACER}.new").write_text(str(tracer.pid))
            (directory / f"{TRACER}.new").rename(directory / TRACER)
    sys.argv = ["migmond.mover", *sys.argv[sys.argv.index("migmond.mover") + 1 :]]
    mover.main()


def _arrive(directory: Path) -> int:
    """Return how many movers came before since the order was given; movers may come at the same time."""
    from tracing import ARRIVAL

    for number in itertools.count():
        try:
            (directory / f"{ARRIVAL}{number}").touch(exist_ok=False)
        except FileExistsError:
            continue
        return number
    raise AssertionError("unreachable")


if __name__ == "__main__":
    main()
