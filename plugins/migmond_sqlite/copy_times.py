"""When copies got their names: rows of many each, see `domain.copy_times`."""

from __future__ import annotations

from collections.abc import Sequence

import apsw

from migmond.domain.changes import KeepCopyTimes
from migmond.domain.copy_times import SPAN, CopyTimes
from migmond_sqlite.schema import NUMBER_BITS, NUMBER_MASK


def keep(connection: apsw.Connection, change: KeepCopyTimes) -> None:
    """Carry out the change."""
    base = change.key << NUMBER_BITS
    rows = [(base | t.first, t.base_ns, t.after, t.numbers) for t in change.times]
    connection.executemany("INSERT OR REPLACE INTO copy_time VALUES (?,?,?,?)", rows)


def read(db: apsw.Connection, key: int, numbers: Sequence[int]) -> dict[int, int]:
    """See `ports.Journal.copy_times`."""
    if not numbers:
        return {}
    wanted, base, found = frozenset(numbers), key << NUMBER_BITS, dict[int, int]()
    sql = "SELECT id, base_ns, after, numbers FROM copy_time WHERE id BETWEEN ? AND ?"
    for id_, *packed in db.execute(sql, (base | max(0, min(wanted) - SPAN + 1), base | max(wanted))):
        for number, at_ns in CopyTimes(id_ & NUMBER_MASK, *packed).each():
            if number in wanted and at_ns > found.get(number, 0):
                found[number] = at_ns
    return found
