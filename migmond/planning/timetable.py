"""Timetables: what is allowed at which time of the day or of the week, in rclone's syntax (`--bwlimit`). Pure.

    08:00,20MiB 19:00,off                      every day
    Mon-00:00,512KiB Fri-23:59,10MiB Sun-20:00,off
    08:00,20MiB 12:00,pause 13:00,20MiB 19:00,off 19:00,workers=4

A row holds from its time until the next one that says something about the same: rates and pauses (`off` is no limit)
follow one another, workers (`workers=auto` leaves them to the plan) do so beside them. Times are local ones, as the
clock on the wall shows them: one that is left out when summer time begins comes when the clock has passed it, and the
rows of the hour that comes twice when it ends hold twice.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterator, Sequence

import msgspec

from migmond.domain.errors import InvalidInput
from migmond.domain.units import parse_rate

DAY_MIN, WEEK_MIN = 24 * 60, 7 * 24 * 60
MAX_TEXT = 4096
MAX_ROWS = 200
MAX_WORKERS = 256
FURTHEST_MIN = 8 * DAY_MIN
"""How far to look for a change: a week, and the hour by which one may be longer."""

_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_FULL_DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_TIME = re.compile(r"(?:([A-Za-z]+)-)?([0-9]{1,2}):([0-9]{2})")
_HINT = "write e.g. '08:00,20MiB 12:00,pause 13:00,20MiB 19:00,off', with days Mon-08:00"


class Row(msgspec.Struct, frozen=True):
    """From `minute` of the week (0 is Monday 00:00) on. Either about workers or about the rate.

    Attributes:
        rate: bytes per second, None for no limit.
        paused: nothing moves.
        workers: so many movers, 0 for as many as the plan says; None when the row is about the rate.
    """

    minute: int
    rate: int | None = None
    paused: bool = False
    workers: int | None = None


class InForce(msgspec.Struct, frozen=True):
    """What a timetable says at one moment.

    Attributes:
        rate: bytes per second, None for no limit.
        workers: so many movers, 0 for as many as the plan says.
    """

    rate: int | None = None
    paused: bool = False
    workers: int = 0


def parse_timetable(text: str) -> tuple[Row, ...]:
    """Parse a timetable to rows in the order of the week; "" and blanks to none. A row without a day is seven.

    A single rate without a time (`10MiB`, as rclone takes it) holds always.

    Raises:
        InvalidInput: not a timetable; two rows say something different of the same moment.
    """
    if len(text) > MAX_TEXT:
        raise InvalidInput(f"a timetable of {len(text):,} characters", hint=f"the limit is {MAX_TEXT:,}")
    words = re.split(r"[\s;]+", text.strip())
    if words == [""]:
        return ()
    if len(words) == 1 and "," not in words[0] and _TIME.fullmatch(words[0]) is None:
        words = [f"00:00,{words[0]}"]
    rows: dict[tuple[int, bool], Row] = {}
    of: dict[tuple[int, bool], str] = {}
    for word in words:
        for row in _rows(word):
            key = (row.minute, row.workers is not None)
            if key in rows and rows[key] != row:
                raise InvalidInput(
                    f"timetable rows {of[key]!r} and {word!r} say different things of the same time",
                    hint="leave one of them out",
                )
            rows[key], of[key] = row, word
    if len(rows) > MAX_ROWS * 7:
        raise InvalidInput(f"a timetable of {len(words)} rows", hint=f"the limit is {MAX_ROWS}")
    return tuple(rows[key] for key in sorted(rows))


def parse_rates(text: str) -> tuple[Row, ...]:
    """Parse a timetable of rates only, such as the daemon as a whole may have.

    Raises:
        InvalidInput: see `parse_timetable`; it pauses, or sets workers.
    """
    table = parse_timetable(text)
    if any(row.paused or row.workers is not None for row in table):
        raise InvalidInput(f"{text[:60]!r} has rows other than rates", hint="pause and workers are a migration's own")
    return table


def _rows(word: str) -> Iterator[Row]:
    at, comma, what = word.partition(",")
    match = _TIME.fullmatch(at)
    if not comma or match is None:
        raise InvalidInput(f"timetable row {word[:60]!r} is not TIME,WHAT", hint=_HINT)
    day, hour, minute = match.groups()
    if int(hour) > 23 or int(minute) > 59:
        raise InvalidInput(f"timetable row {word[:60]!r}: there is no time {at}", hint="00:00 to 23:59")
    days: Sequence[int] = range(7)
    if day is not None:
        name = day.lower()
        if name not in _DAYS + _FULL_DAYS:
            raise InvalidInput(f"timetable row {word[:60]!r}: there is no day {day[:20]!r}", hint=", ".join(_DAYS))
        days = ((_DAYS + _FULL_DAYS).index(name) % 7,)
    row = _said(word, what)
    for number in days:
        yield msgspec.structs.replace(row, minute=number * DAY_MIN + int(hour) * 60 + int(minute))


def _said(word: str, what: str) -> Row:
    if what.lower() == "pause":
        return Row(0, paused=True)
    name, equals, count = what.partition("=")
    if equals:
        if name.lower() != "workers" or not (count.lower() == "auto" or re.fullmatch(r"[0-9]{1,9}", count)):
            raise InvalidInput(f"timetable row {word[:60]!r} is not understood", hint="workers=4, workers=auto")
        workers = 0 if count.lower() == "auto" else int(count)
        if count.lower() != "auto" and not 0 < workers <= MAX_WORKERS:
            raise InvalidInput(f"timetable row {word[:60]!r}: workers is 1 to {MAX_WORKERS}", hint="or pause, or auto")
        return Row(0, workers=workers)
    if ":" in what:
        raise InvalidInput(
            f"timetable row {word[:60]!r} has a rate for each direction",
            hint="everything that is read here is written: give one rate",
        )
    try:
        return Row(0, rate=parse_rate(what))
    except InvalidInput as e:
        hint = "write pause for no byte at all" if "0" in e.message and "rate of 0" in e.message else e.hint
        raise InvalidInput(f"timetable row {word[:60]!r}: {e.message}", hint=hint) from e


def minute_of_week(local: datetime.datetime) -> int:
    """Return which minute of its week a local time is in."""
    return local.weekday() * DAY_MIN + local.hour * 60 + local.minute


def in_force(table: Sequence[Row], local: datetime.datetime) -> InForce:
    """Return what holds at a local time. Before the first row of a week the last one of the week before does."""
    return _at(table, minute_of_week(local))


def _at(table: Sequence[Row], minute: int) -> InForce:
    rates = [row for row in table if row.workers is None]
    crews = [row for row in table if row.workers is not None]
    rate = _latest(rates, minute)
    crew = _latest(crews, minute)
    return InForce(
        rate.rate if rate is not None else None,
        rate is not None and rate.paused,
        crew.workers or 0 if crew is not None else 0,
    )


def _latest(rows: Sequence[Row], minute: int) -> Row | None:
    before = [row for row in rows if row.minute <= minute]
    return before[-1] if before else (rows[-1] if rows else None)


def changes(table: Sequence[Row], wall: float, zone: datetime.tzinfo | None = None) -> Iterator[tuple[float, InForce]]:
    """Yield when something else begins to hold, in wall clock seconds, and what; for a week from `wall` on.

    Whatever the clock does meanwhile (summer time), what is yielded is what `in_force` says at that moment; when
    summer time ends, an hour of rows may hold twice.

    Args:
        zone: None for that of the machine.
    """
    if not table:
        return
    held = in_force(table, local_time(wall, zone))
    start = wall - wall % 60
    minutes = sorted({row.minute for row in table})
    offset = _offset(start, zone)
    minute, at = minute_of_week(local_time(start, zone)), start
    while at < start + FURTHEST_MIN * 60:
        # To the next row, but never over a change of the clock: those come at full quarters of an hour.
        to_row = min((m - minute - 1) % WEEK_MIN + 1 for m in minutes)
        at += 60 * to_row if _offset(at + 60 * to_row, zone) == offset else 60 * (15 - int(at // 60) % 15)
        offset = _offset(at, zone)
        local = local_time(at, zone)
        minute = minute_of_week(local)
        now = in_force(table, local)
        if now != held:
            held = now
            yield at, now


def local_time(wall: float, zone: datetime.tzinfo | None = None) -> datetime.datetime:
    """Return what the clock on the wall shows. `zone`: None for that of the machine."""
    return datetime.datetime.fromtimestamp(wall, datetime.UTC).astimezone(zone)


def _offset(wall: float, zone: datetime.tzinfo | None) -> datetime.timedelta:
    found = local_time(wall, zone).utcoffset()
    assert found is not None
    return found
