"""The tiers of history.db: rows of packed buckets, rolled up from tier to tier.

A row holds one series for one slot of time. Its key is `slot << 28 | series`: rows lie in the order of time, so that
what is recorded now is written to neighbouring pages, and what is too old is removed from one end. Slots are longer in
coarser tiers: a chart of any range reads a few hundred rows of each series at most.

Invariant, which every transaction keeps: of each tier but the first, `rolled` says up to which time it has everything
that was recorded, and nothing behind that time. The next finer tier has what lies behind. So a query reads each
bucket from exactly one tier; a crash between two transactions loses and doubles nothing; and what is recorded for a
time that was rolled up already (the clock was set back) goes into all tiers at once.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

import apsw
import msgspec

from migmond.analytics.rollup import Points, coarser, merged
from migmond.analytics.tiers import WIDTHS_S, Grid
from migmond_sqlite.connections import run
from migmond_sqlite.history_codec import decode, encode, is_weighted

SERIES_BITS = 28
_SERIES_MASK = (1 << SERIES_BITS) - 1
MAX_NUMBER = _SERIES_MASK

SPANS_S = (10, 600, 4 * 3600, 16 * 86_400)
"""How long the slots of each tier are. The first is what is written at a time: a new row per series, no old one read.
The others make a few hundred buckets a row, which deflate well, and of a chart's range a few dozen rows."""
_EVERY_S = (0, 120, 600, 3600)
"""How much time each tier is rolled up at a time: its last row is written anew, so the longer the less is written."""
_PIECE_S = (0, 120, 1200, 4 * 3600)
"""How much of it in one transaction, when the daemon was away in between."""
_SETTLE_S = 20.0
"""What is recorded later than others by less than this is in time for the roll-up; anything later costs more."""
_PRUNED_AT_ONCE = 4000
_SCANNED = 200_000
"""Slots that are looked up one by one; for more of them (the clock once said 1970) the table is read."""


class Marks(msgspec.Struct, frozen=True):
    """What is known of all tiers, wall clock seconds.

    Attributes:
        rolled: up to where each tier has everything; of the first there is no end, so it is 0.
        kept: from when on it still has everything.
        newest: the latest time that was recorded.
    """

    rolled: tuple[int, ...] = (0,) * len(WIDTHS_S)
    kept: tuple[float, ...] = (0.0,) * len(WIDTHS_S)
    newest: float = 0.0


def read_marks(connection: apsw.Connection) -> Marks:
    """Return the marks as this connection sees them."""
    found = dict(run(connection, "SELECT name, value FROM mark"))
    return Marks(
        tuple(int(found.get(f"rolled_{w}", 0)) for w in WIDTHS_S),
        tuple(found.get(f"kept_{w}", 0.0) for w in WIDTHS_S),
        found.get("newest", 0.0),
    )


def write_mark(connection: apsw.Connection, name: str, value: float) -> None:
    run(connection, "INSERT OR REPLACE INTO mark VALUES (?, ?)", (name, value))


def add(connection: apsw.Connection, tier: int, number: int, points: Points, *, weighted: bool) -> None:
    """Merge buckets of the tier's width into its rows; within a transaction.

    Args:
        tier: position in WIDTHS_S.
        number: of the series.
    """
    width, per_slot = WIDTHS_S[tier], SPANS_S[tier] // WIDTHS_S[tier]
    at = 0
    while at < len(points):
        slot = points.index[at] // per_slot
        base = slot * per_slot
        mine = points.between(base, base + per_slot)
        at += len(mine)
        key = slot << SERIES_BITS | number
        old = run(connection, f"SELECT body FROM tier_{width} WHERE key = ?", (key,))
        if old:
            mine = merged([decode(old[0][0], base), mine])
        body = encode(mine, base, weighted=weighted)
        run(connection, f"INSERT OR REPLACE INTO tier_{width} VALUES (?, ?)", (key, body))


def record(connection: apsw.Connection, marks: Marks, number: int, points: Points, *, weighted: bool) -> None:
    """Record buckets of the finest tier, and of what was rolled up already also in the others; within a transaction."""
    add(connection, 0, number, points, weighted=weighted)
    for tier in range(1, len(WIDTHS_S)):
        if points.index[0] * WIDTHS_S[0] >= marks.rolled[tier]:
            continue
        late = points.between(points.index[0], marks.rolled[tier] // WIDTHS_S[0])
        if late.index:
            add(connection, tier, number, coarser(late, WIDTHS_S[tier] // WIDTHS_S[0]), weighted=weighted)


def read(connection: apsw.Connection, tier: int, number: int, start: int, end: int) -> Points:
    """Return the buckets of one tier from `start` to `end`, wall clock seconds, multiples of its width."""
    width, span = WIDTHS_S[tier], SPANS_S[tier]
    first, last = start // span, -(-end // span)
    if first >= last:
        return Points()
    sql = (
        "WITH RECURSIVE wanted (key) AS (SELECT ?1 UNION ALL SELECT key + ?2 FROM wanted WHERE key + ?2 < ?3)"
        f" SELECT t.key, t.body FROM wanted CROSS JOIN tier_{width} t ON t.key = wanted.key"
    )
    bounds = (first << SERIES_BITS | number, 1 << SERIES_BITS, last << SERIES_BITS | number)
    per_slot = span // width
    parts = [decode(body, (key >> SERIES_BITS) * per_slot) for key, body in connection.execute(sql, bounds)]
    return merged(parts).between(start // width, end // width)


def read_on(connection: apsw.Connection, tier: int, number: int, on: Grid, marks: Marks) -> Points:
    """Return the buckets of a series on a grid whose step is a multiple of the tier's width: from that tier as far as
    it was rolled up, behind that from the finer ones."""
    start, end = on.start, on.end
    parts = []
    for position in range(tier, -1, -1):
        until = min(end, marks.rolled[position]) if position else end
        if start < until:
            found = read(connection, position, number, start, until)
            parts.append(coarser(found, on.step_s // WIDTHS_S[position]))
            start = until
    return merged(parts)


def next_piece(connection: apsw.Connection, marks: Marks) -> tuple[int, int, int] | None:
    """Return which tier is to be rolled up next, from when and until when; None when all are."""
    limit = int(marks.newest - _SETTLE_S)
    for tier in range(1, len(WIDTHS_S)):
        target = limit // _EVERY_S[tier] * _EVERY_S[tier]
        rolled = marks.rolled[tier]
        if target > rolled:
            source, span = WIDTHS_S[tier - 1], SPANS_S[tier - 1]
            key = rolled // span << SERIES_BITS
            (found,) = run(connection, f"SELECT min(key) FROM tier_{source} WHERE key >= ?", (key,))[0]
            start = max(rolled, (found >> SERIES_BITS) * span) if found is not None else target
            if start >= target:
                return tier, target, target
            piece = _PIECE_S[tier]
            return tier, start // WIDTHS_S[tier] * WIDTHS_S[tier], min(target, (start // piece + 1) * piece)
        limit = rolled
    return None


def roll_up(connection: apsw.Connection, tier: int, start: int, end: int) -> None:
    """Roll the next finer tier up into this one from `start` to `end`; within a transaction."""
    source, span = WIDTHS_S[tier - 1], SPANS_S[tier - 1]
    factor, per_slot = WIDTHS_S[tier] // source, span // source
    sql = f"SELECT key, body FROM tier_{source} WHERE key >= ? AND key < ?"
    bounds = (start // span << SERIES_BITS, -(-end // span) << SERIES_BITS)
    parts: defaultdict[int, list[Points]] = defaultdict(list)
    weighted: dict[int, bool] = {}
    for key, body in connection.execute(sql, bounds):
        number = key & _SERIES_MASK
        parts[number].append(decode(body, (key >> SERIES_BITS) * per_slot))
        weighted[number] = is_weighted(body)
    for number, found in parts.items():
        points = merged(found).between(start // source, end // source)
        if points.index:
            add(connection, tier, number, coarser(points, factor), weighted=weighted[number])
    write_mark(connection, f"rolled_{WIDTHS_S[tier]}", end)


def prune_piece(connection: apsw.Connection, marks: Marks, keep_s: Mapping[int, float], now: float) -> bool:
    """Remove some rows that are too old; within a transaction. Return whether there are more.

    Nothing goes before it was rolled up.

    Args:
        now: wall clock seconds.
    """
    more = False
    for tier, width in enumerate(WIDTHS_S):
        horizon = now - keep_s[width]
        if tier + 1 < len(WIDTHS_S):
            horizon = min(horizon, marks.rolled[tier + 1])
        span = SPANS_S[tier]
        slot = int(max(0.0, horizon) // span)
        # If the clock was ahead when this was last done: from now on, at least, everything is there.
        kept = max(min(marks.kept[tier], now), float(slot * span))
        if kept != marks.kept[tier]:
            write_mark(connection, f"kept_{width}", kept)
        sql = f"DELETE FROM tier_{width} WHERE key IN (SELECT key FROM tier_{width} WHERE key < ? ORDER BY key LIMIT ?)"
        run(connection, sql, (slot << SERIES_BITS, _PRUNED_AT_ONCE))
        more = more or connection.changes() == _PRUNED_AT_ONCE
    return more


def remove(connection: apsw.Connection, tier: int, number: int, start: float, end: float) -> None:
    """Remove the rows of a series in a tier from `start` to `end`, wall clock seconds; within a transaction."""
    span, width = SPANS_S[tier], WIDTHS_S[tier]
    if (end - start) / span > _SCANNED:
        run(connection, f"DELETE FROM tier_{width} WHERE key & {_SERIES_MASK} = ?", (number,))
        return
    sql = (
        "WITH RECURSIVE gone (key) AS (SELECT ?1 UNION ALL SELECT key + ?2 FROM gone WHERE key + ?2 <= ?3)"
        f" DELETE FROM tier_{width} WHERE key IN gone"
    )
    first, last = (int(at // span) << SERIES_BITS | number for at in (start, end))
    run(connection, sql, (first, 1 << SERIES_BITS, last))


def counts(connection: apsw.Connection) -> dict[int, int]:
    """Return how many rows each tier has."""
    return {w: run(connection, f"SELECT count(*) FROM tier_{w}")[0][0] for w in WIDTHS_S}
