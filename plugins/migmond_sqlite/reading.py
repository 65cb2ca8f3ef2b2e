"""Each query as SQL, run on the reading connection in a worker thread."""

from __future__ import annotations

import itertools
from array import array
from collections.abc import Iterator, Sequence
from typing import Any

import apsw

from migmond.domain.alert import Delivery
from migmond.domain.changes import (
    ReceiptSeal,
)
from migmond.domain.columns import Columns
from migmond.domain.decoding import from_json
from migmond.domain.entry import EntryType, Lost
from migmond.domain.execution import Execution
from migmond.domain.fault import SOURCE_PHASES, Fault, Phase
from migmond.domain.file_kinds import FileKind
from migmond.domain.intervention import Intervention
from migmond.domain.journal import FaultGroup, FaultRecord, Sift
from migmond.domain.names import common_directory
from migmond.domain.packing import Unpacker
from migmond.domain.plan import Plan
from migmond.domain.session import SessionRecord
from migmond.domain.states import ExecutionState, Outcome, TaskState
from migmond.domain.steering import Order
from migmond.domain.task import CommitGroup, Directory, Task
from migmond.domain.timeline import Milestone, MilestoneKind
from migmond_sqlite import beside
from migmond_sqlite.connections import run
from migmond_sqlite.schema import INT64_MAX, NUMBER_BITS, NUMBER_MASK, UINT64_MASK

_PAGE = 20_000
_MANY = 500
"""Ids in one IN list."""
_TYPES = tuple(EntryType)
_STATES = tuple(TaskState)
_OUTCOMES = tuple(Outcome)
_MILESTONES = {kind.value: kind for kind in MilestoneKind}
_FILE_KINDS = tuple(FileKind)
_NOTHING = Lost.NOTHING
_FINAL = (ExecutionState.COMPLETED, ExecutionState.COMPLETED_WITH_ERRORS, ExecutionState.CANCELLED)


def _task(row: tuple[Any, ...]) -> Task:
    mtime_ns, ctime_ns = row[5], row[6]
    if mtime_ns.__class__ is bytes:
        mtime_ns = int.from_bytes(mtime_ns, "big", signed=True)
    if ctime_ns.__class__ is bytes:
        ctime_ns = int.from_bytes(ctime_ns, "big", signed=True)
    return Task(
        row[0] & NUMBER_MASK, row[1], row[2], _TYPES[row[3]], row[4], mtime_ns, ctime_ns, row[7] & UINT64_MASK, row[8],
        row[9], _STATES[row[10]], _OUTCOMES[row[11]], row[12], row[13], Lost(row[14]) if row[14] else _NOTHING, row[15],
        row[16], row[17] & UINT64_MASK,
    )  # fmt: skip


def _time(stored: int | bytes) -> int:
    return int.from_bytes(stored, "big", signed=True) if isinstance(stored, bytes) else stored


def _range(key: int) -> tuple[int, int]:
    return key << NUMBER_BITS, key << NUMBER_BITS | NUMBER_MASK


def _in_parts(base: int, numbers: Sequence[int]) -> Iterator[tuple[str, list[int]]]:
    for start in range(0, len(numbers), _MANY):
        part = [base | n for n in numbers[start : start + _MANY]]
        yield ",".join("?" * len(part)), part


def executions(db: apsw.Connection) -> list[Execution]:
    decoder = Unpacker[Execution](Execution)
    return [decoder.unpack(body) for (body,) in db.execute("SELECT body FROM execution ORDER BY key")]


def find_request(db: apsw.Connection, request_id: str, uid: int) -> str | None:
    found = run(db, "SELECT id FROM execution WHERE request_id=? AND uid=?", (request_id, uid))
    return found[0][0] if found else None


def forgotten(db: apsw.Connection) -> list[int]:
    """From key to key: one step for each execution, however many tasks it has."""
    found, after = [], -1
    while rows := run(db, "SELECT id >> ?1 FROM task WHERE id > ?2 ORDER BY id LIMIT 1", (NUMBER_BITS, after)):
        ((key,),) = rows
        if not run(db, "SELECT 1 FROM execution WHERE key=?", (key,)):
            found.append(key)
        after = key << NUMBER_BITS | NUMBER_MASK
    return found


def last_number(db: apsw.Connection, key: int) -> int:
    found = run(db, "SELECT max(id) FROM task WHERE id BETWEEN ? AND ?", _range(key))[0][0]
    return 0 if found is None else found & NUMBER_MASK


def tasks(
    db: apsw.Connection,
    key: int,
    after: int,
    limit: int,
    states: tuple[TaskState, ...],
    *,
    followers: bool | None,
    directories: bool | None,
    sift: Sift | None = None,
) -> list[Task]:
    base, end = _range(key)
    sifted: list[int | bytes] = []
    where = ["id > ?", "id <= ?"]
    if states:
        marks = ",".join(str(int(s)) for s in states)
        where.append(f"state IN ({marks})" if len(states) > 1 else f"state = {marks}")
        if not {TaskState.PENDING, TaskState.DONE} & set(states):
            where.append("state NOT IN (0, 3)")  # says so literally for the partial index
    if followers is not None:
        where.append("leader > 0" if followers else "leader = 0")
    if directories is not None:
        where.append(f"type {'=' if directories else '<>'} {int(EntryType.DIRECTORY)}")
    if sift is not None:
        end = base | min(sift.last, NUMBER_MASK)
        if sift.types:
            where.append(f"type IN ({','.join(str(int(t)) for t in sift.types)})")
        for wanted, is_so in (
            (sift.larger_than, "size > ?"),
            (sift.smaller_than, "size < ?"),
            (sift.directory, "directory = ?"),
            (sift.name, "name = ?"),
        ):
            if wanted is not None:
                where.append(is_so)
                sifted.append(wanted)
    sql = f"SELECT * FROM task WHERE {' AND '.join(where)} ORDER BY id LIMIT ?"
    return [_task(row) for row in db.execute(sql, (base | after, end, *sifted, limit))]


def _integers(concatenated: str) -> list[int]:
    return from_json(f"[{concatenated}]", list[int])


def pending(db: apsw.Connection, key: int, after: int, limit: int, *, followers: bool) -> Columns:
    """One row of seven lists, made by SQLite while the loop goes on: twenty thousand rows take 1.6 times as long, five
    times as long of which nobody else has the interpreter."""
    base, end = _range(key)
    chosen = (
        "(SELECT id, directory, name, type, size, mtime_ns, device FROM task WHERE id > ? AND id <= ? AND state = 0"
        f" AND leader {'> 0' if followers else '= 0'} AND type <> {int(EntryType.DIRECTORY)} ORDER BY id LIMIT ?)"
    )
    sql = (
        f"SELECT group_concat(id & {NUMBER_MASK}), group_concat(directory), CAST(group_concat(name, x'00') AS BLOB),"
        f" group_concat(type), group_concat(size), group_concat(device), group_concat(mtime_ns + 0), max(mtime_ns)"
        f" FROM {chosen}"
    )
    bounds = (base | after, end, limit)
    numbers, directories, names, types, sizes, devices, times, latest = run(db, sql, bounds)[0]
    if numbers is None:
        return Columns([], [], [], [], [], [], [])
    if isinstance(latest, bytes):  # some are beyond 64 bits, stored as bytes: `+ 0` keeps these out of a text
        times_ns = [_time(time) for (time,) in run(db, f"SELECT mtime_ns FROM {chosen}", bounds)]
    else:
        times_ns = _integers(times)
    return Columns(
        _integers(numbers),
        _integers(directories),
        names.split(b"\0"),  # which no name has in it
        _integers(types),
        _integers(sizes),
        times_ns,
        _integers(devices),
    )


_KEYS = {
    Order.SMALL_FIRST: "size, id",
    Order.LARGE_FIRST: "size DESC, id",
    # Numbers from 2^63 on are stored as negative ones.
    Order.INODE: "device, inode < 0, inode, id",
}


def line_up(db: apsw.Connection, key: int, order: Order) -> array[int]:
    base, end = _range(key)
    numbers = array("Q")
    sql = (
        "SELECT id FROM task WHERE id > ? AND id <= ? AND state = 0 AND leader = 0"
        f" AND type <> {int(EntryType.DIRECTORY)} ORDER BY {_KEYS[order]}"
    )
    rows = db.execute(sql, (base, end))
    while page := [row[0] & NUMBER_MASK for row in itertools.islice(rows, _PAGE)]:
        numbers.extend(page)
    return numbers


def left_out(db: apsw.Connection, key: int) -> dict[str, int]:
    sql = "SELECT by, count(*) FROM left_out WHERE id BETWEEN ? AND ? GROUP BY by"
    return dict(run(db, sql, _range(key)))


def left_out_by(db: apsw.Connection, key: int, by: str, after: int, limit: int) -> list[Task]:
    base, end = _range(key)
    sql = (
        "SELECT task.* FROM left_out JOIN task USING (id)"
        " WHERE left_out.id > ? AND left_out.id <= ? AND left_out.by = ? ORDER BY left_out.id LIMIT ?"
    )
    return [_task(row) for row in db.execute(sql, (base | after, end, by, limit))]


def directories_backwards(db: apsw.Connection, key: int, before: int, limit: int) -> list[Task]:
    base = key << NUMBER_BITS
    top = min(base | min(before, NUMBER_MASK), base | NUMBER_MASK)
    sql = (
        "SELECT task.* FROM directory JOIN task USING (id)"
        " WHERE directory.id >= ? AND directory.id < ? ORDER BY directory.id DESC LIMIT ?"
    )
    return [_task(row) for row in db.execute(sql, (base, top, limit))]


def get_tasks(db: apsw.Connection, key: int, numbers: Sequence[int]) -> dict[int, Task]:
    found: dict[int, Task] = {}
    for marks, ids in _in_parts(key << NUMBER_BITS, numbers):
        for row in db.execute(f"SELECT * FROM task WHERE id IN ({marks})", ids):
            found[row[0] & NUMBER_MASK] = _task(row)
    return found


def places(db: apsw.Connection, key: int, numbers: Sequence[int]) -> dict[int, Directory]:
    found: dict[int, Directory] = {}
    for marks, ids in _in_parts(key << NUMBER_BITS, numbers):
        for id_, root, path in db.execute(f"SELECT id, root, path FROM directory WHERE id IN ({marks})", ids):
            found[id_ & NUMBER_MASK] = Directory(id_ & NUMBER_MASK, root, path)
    return found


def marked_directories(db: apsw.Connection, key: int, mark: str, after: int, limit: int) -> list[Directory]:
    base, end = _range(key)
    sql = f"SELECT id, root, path FROM directory WHERE {mark} = 1 AND id > ? AND id <= ? ORDER BY id LIMIT ?"
    return [Directory(i & NUMBER_MASK, root, path) for i, root, path in db.execute(sql, (base | after, end, limit))]


def sent_to(db: apsw.Connection, key: int, numbers: Sequence[int]) -> dict[int, int]:
    found: dict[int, int] = {}
    for marks, ids in _in_parts(key << NUMBER_BITS, numbers):
        for id_, destination in db.execute(f"SELECT id, destination FROM sent_to WHERE id IN ({marks})", ids):
            found[id_ & NUMBER_MASK] = destination
    return found


def sent_directories(db: apsw.Connection, key: int, after: tuple[int, int], limit: int) -> list[tuple[int, int]]:
    sql = (
        "SELECT destination, number FROM sent_directory WHERE key = ? AND (destination, number) > (?, ?)"
        " ORDER BY destination, number LIMIT ?"
    )
    return [(destination, number) for destination, number in db.execute(sql, (key, *after, limit))]


def sent_unfinished(db: apsw.Connection, key: int, of: int) -> list[tuple[int, int]]:
    base, end = _range(key)
    sql = (
        "SELECT DISTINCT s.destination, coalesce(d.root, (t.id & ?) - 1) FROM sent_to s"
        " JOIN task t ON t.id = s.id + ? LEFT JOIN directory d ON d.id = (t.id - (t.id & ?)) + t.directory"
        f" WHERE s.id BETWEEN ? AND ? AND t.state IN ({int(TaskState.PENDING)}, {int(TaskState.DURABLE)})"
        " ORDER BY 1, 2"
    )
    values = (NUMBER_MASK, (of - key) << NUMBER_BITS, NUMBER_MASK, base, end)
    return [(destination, root) for destination, root in db.execute(sql, values)]


def leaders(db: apsw.Connection, key: int, device: int, inodes: Sequence[int]) -> dict[int, int]:
    base, end = _range(key)
    found: dict[int, int] = {}
    for start in range(0, len(inodes), _MANY):
        part = [i if i <= INT64_MAX else i - UINT64_MASK - 1 for i in inodes[start : start + _MANY]]
        sql = (
            f"SELECT inode, min(id) FROM task WHERE device = ? AND inode IN ({','.join('?' * len(part))})"
            " AND id BETWEEN ? AND ? AND links>1 AND type=0 AND leader=0"
            f" AND (state<>{int(TaskState.SKIPPED)} OR outcome={int(Outcome.LEFT_OUT)}) GROUP BY inode"
        )
        for inode, id_ in db.execute(sql, (device, *part, base, end)):
            found[inode & UINT64_MASK] = id_ & NUMBER_MASK
    return found


def names_in(db: apsw.Connection, key: int, directory: int) -> list[bytes]:
    base, end = _range(key)
    # Entries of a directory come after it: the walk starts there.
    rows = db.execute(
        "SELECT name FROM task WHERE id > ? AND id <= ? AND directory = ?", (base | directory, end, directory)
    )
    return [name for (name,) in rows]


def open_groups(db: apsw.Connection, key: int) -> list[CommitGroup]:
    decoder = Unpacker[CommitGroup](CommitGroup)
    rows = db.execute("SELECT body FROM commit_group WHERE key=? ORDER BY number", (key,))
    return [decoder.unpack(body) for (body,) in rows]


def births(db: apsw.Connection, key: int, numbers: Sequence[int]) -> dict[int, int]:
    found: dict[int, int] = {}
    for marks, ids in _in_parts(key << NUMBER_BITS, numbers):
        for id_, at_ns in db.execute(f"SELECT id, at_ns FROM birth WHERE id IN ({marks})", ids):
            found[id_ & NUMBER_MASK] = _time(at_ns)
    return found | beside.get(db, beside.BIRTHS, key << NUMBER_BITS, numbers)


def kinds(db: apsw.Connection, key: int, numbers: Sequence[int]) -> dict[int, FileKind]:
    found: dict[int, int] = {}
    for marks, ids in _in_parts(key << NUMBER_BITS, numbers):
        for id_, kind in db.execute(f"SELECT id, kind FROM file_kind WHERE id IN ({marks})", ids):
            found[id_ & NUMBER_MASK] = kind
    later = beside.get(db, beside.KINDS, key << NUMBER_BITS, numbers)
    found |= {number: kind - 1 for number, kind in later.items()}
    # A later migmond may know more of them.
    return {n: _FILE_KINDS[kind] if kind < len(_FILE_KINDS) else FileKind.OTHER for n, kind in found.items()}


def sessions(db: apsw.Connection, after: int, limit: int) -> list[SessionRecord]:
    decoder = Unpacker[SessionRecord](SessionRecord)
    rows = db.execute("SELECT body FROM session WHERE key > ? ORDER BY key LIMIT ?", (after, limit))
    return [decoder.unpack(body) for (body,) in rows]


def session(db: apsw.Connection, key: int) -> SessionRecord | None:
    found = run(db, "SELECT body FROM session WHERE key=?", (key,))
    return Unpacker[SessionRecord](SessionRecord).unpack(found[0][0]) if found else None


def seals(db: apsw.Connection, key: int) -> list[ReceiptSeal]:
    sql = "SELECT sha256, format, at, ended_at FROM receipt_seal WHERE key=? ORDER BY at, sha256"
    return [ReceiptSeal(*row) for row in db.execute(sql, (key,))]


def breakdown(db: apsw.Connection, key: int) -> bytes:
    found = run(db, "SELECT body FROM breakdown WHERE key=?", (key,))
    return found[0][0] if found else b""


def milestones(db: apsw.Connection, key: int) -> list[Milestone]:
    rows = db.execute("SELECT at, kind, text FROM milestone WHERE key=? ORDER BY number", (key,))
    return [Milestone(at, _MILESTONES[kind], text) for at, kind, text in rows if kind in _MILESTONES]  # or newer ones


def faults(db: apsw.Connection, key: int, numbers: Sequence[int]) -> dict[int, FaultRecord]:
    found: dict[int, FaultRecord] = {}
    for marks, ids in _in_parts(key << NUMBER_BITS, numbers):
        sql = f"SELECT id, phase, kind, errno, message, last_at FROM fault WHERE id IN ({marks})"
        for id_, phase, kind, errno, message, at in db.execute(sql, ids):
            number = id_ & NUMBER_MASK
            found[number] = FaultRecord(number, at, Fault(Phase(phase), kind, errno, message))
    return found


def fault_groups(db: apsw.Connection, key: int) -> list[FaultGroup]:
    base, end = _range(key)
    from_ = "FROM fault JOIN task USING (id)"
    where = "WHERE fault.id BETWEEN ? AND ? AND (task.state = 5 OR task.state = 0 AND task.attempts > 0)"
    device = f"CASE WHEN phase IN ({','.join(repr(p.value) for p in SOURCE_PHASES)}) THEN task.device ELSE 0 END"
    sql = (
        f"SELECT phase, kind, errno, {device} AS at_device, max(message), count(*), sum(task.state = 0), min(first_at),"
        f" max(last_at) {from_} {where} GROUP BY phase, kind, errno, at_device"
        " ORDER BY count(*) DESC, phase, kind, errno, at_device"
    )
    groups: list[FaultGroup] = []
    for phase, kind, errno, number, message, count, waiting, first_at, last_at in run(db, sql, (base, end)):
        of = f"{where} AND phase=? AND kind=? AND errno=? AND {device}=?"
        values = (base, end, phase, kind, errno, number)
        latest = run(db, f"SELECT fault.id {from_} {of} ORDER BY last_at DESC, fault.id DESC LIMIT 3", values)
        lies = f"{from_} LEFT JOIN directory ON directory.id = task.directory | {base}"
        roots = (
            "min(root), max(root), min(CAST(path || '/' AS BLOB)), max(CAST(path || '/' AS BLOB)), min(task.directory)"
        )
        ((lowest, highest, first, last, directory),) = run(db, f"SELECT {roots} {lies} {of}", values)
        alone = directory and lowest == highest  # a source that is no directory lies in none
        groups.append(
            FaultGroup(
                Fault(Phase(phase), kind, errno, message), count, first_at, last_at,
                tuple(row[0] & NUMBER_MASK for row in latest), waiting, number,
                lowest if alone else -1, common_directory(first, last) if alone else b"",
            )
        )  # fmt: skip
    return groups


def interventions(db: apsw.Connection, execution: str) -> list[Intervention]:
    decoder = Unpacker[Intervention](Intervention)
    rows = db.execute("SELECT body FROM intervention WHERE execution=? ORDER BY number", (execution,))
    return [decoder.unpack(body) for (body,) in rows]


def deliveries(db: apsw.Connection, alert: str, settled: bool | None, limit: int) -> list[Delivery]:  # noqa: FBT001
    decoder = Unpacker[Delivery](Delivery)
    wanted: tuple[int | str, ...] = (0, 1) if settled is None else (int(settled), int(settled))
    about = "alert=? AND " if alert else ""
    sql = f"SELECT body FROM delivery WHERE {about}settled IN (?, ?) ORDER BY number DESC LIMIT ?"
    found = run(db, sql, (*((alert,) if alert else ()), *wanted, limit))
    return [decoder.unpack(body) for (body,) in found][::-1]


def plans(db: apsw.Connection, uid: int) -> list[tuple[Plan, float]]:
    decoder = Unpacker[Plan](Plan)
    rows = db.execute("SELECT body, saved_at FROM plan WHERE uid=? ORDER BY name", (uid,))
    return [(decoder.unpack(body), at) for body, at in rows]


def check(db: apsw.Connection) -> list[str]:
    found = [f"SQLite: {row[0]}" for row in run(db, "PRAGMA quick_check(20)") if row[0] != "ok"]
    orphans = run(db, "SELECT count(*) FROM commit_group WHERE key NOT IN (SELECT key FROM execution)")[0][0]
    if orphans:
        found.append(f"{orphans} open commit groups belong to no execution")
    decoder = Unpacker[Execution](Execution)
    with_groups = run(db, "SELECT body FROM execution WHERE key IN (SELECT key FROM commit_group) ORDER BY key")
    executions = [decoder.unpack(body) for (body,) in with_groups]
    found += [f"execution {e.id} is {e.state}, but has open commit groups" for e in executions if e.state in _FINAL]
    return found
