"""What a file and a byte cost in a run that has ended: what the next run on these devices begins with."""

from __future__ import annotations

from collections.abc import Sequence

from migmond.analytics.measures import Cost, Tick

WINDOWS = 200
"""Of equal share of the bytes and files, as many as a predictor closes."""


def fit(ticks: Sequence[Tick]) -> Cost | None:
    """Return the costs that explain a run best, or None when nothing was done in it.

    Least squares of the windows' durations on their files and bytes, both costs at least 0, then scaled so that the
    whole run took as long as it did. A run whose ticks leave one of them open (one file; only empty files; files of one
    size) gives it what the constraint leaves: 0 means "says nothing of it".

    Args:
        ticks: of the whole run, in order. Times under a limit belong to the limit, not to the devices: they are left
            out, unless nothing else is there.
    """
    pieces = windows(ticks, limited=False) or windows(ticks, limited=True)
    took = sum(t for t, _, _ in pieces)
    nn, nb, bb, nt, bt = 0.0, 0.0, 0.0, 0.0, 0.0
    files, size = sum(n for _, n, _ in pieces), sum(b for _, _, b in pieces)
    if took <= 0 or (files <= 0 and size <= 0):
        return None
    per_file, per_byte = 1.0 / max(files, 1), 1.0 / max(size, 1)  # both near 1, or the sums lose their digits
    for seconds, n, length in pieces:
        x, y = n * per_file, length * per_byte
        nn, nb, bb, nt, bt = nn + x * x, nb + x * y, bb + y * y, nt + x * seconds, bt + y * seconds
    determinant = nn * bb - nb * nb
    a = b = -1.0
    if determinant > 1e-9 * nn * bb:
        a, b = (nt * bb - bt * nb) / determinant, (bt * nn - nt * nb) / determinant
    if a < 0 or b < 0:  # the better of the two edges
        alone_a, alone_b = (nt / nn if nn else 0.0), (bt / bb if bb else 0.0)
        gain_a, gain_b = alone_a * nt, alone_b * bt
        a, b = (alone_a, 0.0) if gain_a > gain_b else (0.0, alone_b)
    whole = a * files * per_file + b * size * per_byte
    scale = took / whole if whole > 0 else 0.0
    return Cost(a * per_file * scale, b * per_byte * scale)


def windows(ticks: Sequence[Tick], *, limited: bool) -> list[tuple[float, int, int]]:
    """Return (seconds, files, bytes) of at most about WINDOWS pieces, `limited` ticks among them or not."""
    if not ticks:
        return []
    width = ticks[-1].t / WINDOWS
    found: list[tuple[float, int, int]] = []
    t, n, b = 0.0, 0, 0
    before = Tick(0.0, 0, 0)
    for tick in ticks:
        if tick.limit is None or limited:
            t += max(0.0, tick.t - before.t)
            n += max(0, tick.files - before.files)
            b += max(0, tick.bytes - before.bytes)
            if t >= width and (n or b):
                found.append((t, n, b))
                t, n, b = 0.0, 0, 0
        before = tick
    if t > 0 or n or b:
        found.append((t, n, b))
    return found
