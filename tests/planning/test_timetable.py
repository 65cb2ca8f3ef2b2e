"""Timetables against an evaluator that looks at every minute, and what clocks do to them."""

from __future__ import annotations

import datetime
import itertools
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from migmond.domain.errors import InvalidInput
from migmond.planning.timetable import (
    DAY_MIN,
    WEEK_MIN,
    InForce,
    Row,
    changes,
    in_force,
    local_time,
    parse_timetable,
)

MIB = 1 << 20
BERLIN = ZoneInfo("Europe/Berlin")
DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
MONDAY = datetime.datetime(2026, 6, 1, tzinfo=BERLIN)
WHATS = st.sampled_from(("off", "pause", "512KiB", "20MiB", "80Mbit", "workers=1", "workers=4", "workers=auto"))
ROWS = st.lists(
    st.tuples(st.none() | st.sampled_from(DAYS), st.integers(0, 23), st.integers(0, 59), WHATS), min_size=1, max_size=6
)


def text_of(rows: list[tuple[str | None, int, int, str]]) -> str:
    """A timetable without contradictions: of two rows of one minute and matter the first counts."""
    words, seen = [], set[tuple[int, bool]]()
    for day, hour, minute, what in rows:
        days = range(7) if day is None else (DAYS.index(day),)
        keys = {(d * DAY_MIN + hour * 60 + minute, what.startswith("workers")) for d in days}
        if keys.isdisjoint(seen):
            seen |= keys
            words.append(f"{day + '-' if day else ''}{hour:02}:{minute:02},{what}")
    return " ".join(words)


def by_the_minute(text: str) -> list[InForce]:
    """By hand: what holds in each minute of a week, by going through two of them."""
    rate: int | None = None
    paused, workers, found = False, 0, list[InForce]()
    for minute in range(2 * WEEK_MIN):
        day, clock = minute // DAY_MIN % 7, f"{minute % DAY_MIN // 60:02}:{minute % 60:02}"
        for word in text.split():
            at, what = word.split(",")
            if at not in (clock, f"{DAYS[day]}-{clock}"):
                continue
            if what.startswith("workers="):
                workers = 0 if what == "workers=auto" else int(what.removeprefix("workers="))
            else:
                paused = what == "pause"
                rate = {"512KiB": MIB // 2, "20MiB": 20 * MIB, "80Mbit": 10_000_000}.get(what)
        found.append(InForce(rate, paused, workers))
    return found[WEEK_MIN:]


@settings(max_examples=40, deadline=None)
@given(ROWS)
def test_each_minute_has_what_going_through_the_week_says(rows: list[tuple[str | None, int, int, str]]) -> None:
    text = text_of(rows)
    table, expected = parse_timetable(text), by_the_minute(text)
    for minute in range(0, WEEK_MIN, 7):
        assert in_force(table, MONDAY + datetime.timedelta(minutes=minute)) == expected[minute], (text, minute)


@settings(max_examples=40, deadline=None)
@given(ROWS, st.integers(int(datetime.datetime(2026, 1, 1, tzinfo=BERLIN).timestamp()), 1_900_000_000))
def test_changes_are_told_when_they_happen(rows: list[tuple[str | None, int, int, str]], wall: int) -> None:
    """Whatever the clock does in that week: between two of them nothing else holds."""
    table = parse_timetable(text_of(rows))
    told = list(changes(table, wall, BERLIN))
    held, at = in_force(table, local_time(wall, BERLIN)), wall - wall % 60
    expected = []
    for minute in range(1, 7 * DAY_MIN):
        now = in_force(table, local_time(at + 60 * minute, BERLIN))
        if now != held:
            expected.append((at + 60 * minute, now))
            held = now
    end = at + 7 * DAY_MIN * 60
    assert [c for c in told if c[0] < end] == expected


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ("08:00,20MiB 19:00,off", 14),
        ("Mon-00:00,512KiB Fri-23:59,10MiB", 2),
        ("monday-8:00,1MB", 1),
        ("10MiB", 7),
        ("off", 7),
        ("  ", 0),
        ("", 0),
        ("08:00,20MiB/s;19:00,workers=4", 14),
        ("08:00,20MiB 08:00,workers=2", 14),
        ("08:00,20MiB Mon-08:00,20MiB", 7),
    ],
)
def test_what_is_a_timetable(text: str, rows: int) -> None:
    assert len(parse_timetable(text)) == rows


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("08:00,10MiB:1MiB", "direction"),
        ("24:00,10MiB", "no time"),
        ("08:60,10MiB", "no time"),
        ("Foo-08:00,10MiB", "no day"),
        ("08:00", "TIME,WHAT"),
        ("08:00,", "not a size"),
        ("08:00,10", "no unit"),
        ("08:00,0", "rate of 0"),
        ("08:00,workers=0", "workers is 1"),
        ("08:00,workers=many", "not understood"),
        ("08:00,speed=3", "not understood"),
        ("08:00,workers=²", "not understood"),
        ("08:00,10MiB 08:00,off", "different things"),
        ("08:00,10MiB Tue-08:00,pause", "different things"),
        ("08:00,10MiB nonsense", "TIME,WHAT"),
        ("x" * 5000, "characters"),
        ("٠٨:٠٠,off " * 2, "TIME,WHAT"),
    ],
)
def test_what_is_none_says_why_and_what_to_do(text: str, says: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        parse_timetable(text)
    assert says in refused.value.message
    assert refused.value.hint


@given(st.text(max_size=60))
def test_any_text_is_a_timetable_or_refused(text: str) -> None:
    try:
        table = parse_timetable(text)
    except InvalidInput:
        return
    assert list(table) == sorted(table, key=lambda row: (row.minute, row.workers is not None))


def test_before_the_first_row_of_a_week_the_last_of_the_one_before_holds() -> None:
    table = parse_timetable("Wed-12:00,1MiB Fri-18:00,pause")
    assert in_force(table, MONDAY) == InForce(paused=True)
    assert in_force(table, MONDAY + datetime.timedelta(days=2, hours=12)) == InForce(MIB)
    assert table == (Row(2 * DAY_MIN + 720, MIB), Row(4 * DAY_MIN + 1080, paused=True))


def when(day: str, clock: str, fold: int = 0) -> float:
    """Of 2026 in Berlin."""
    return datetime.datetime.fromisoformat(f"2026-{day}T{clock}").replace(tzinfo=BERLIN, fold=fold).timestamp()


def test_a_time_that_is_left_out_comes_when_the_clock_has_passed_it() -> None:
    """On 29 March 2026 there is no 02:30: after 01:59 comes 03:00."""
    table = parse_timetable("02:30,1MiB 12:00,off")
    first = next(changes(table, when("03-29", "00:10"), BERLIN))
    assert first == (when("03-29", "03:00"), InForce(MIB))


def test_an_hour_that_comes_twice_has_its_rows_twice() -> None:
    """On 25 October 2026 after 02:59 comes 02:00."""
    table = parse_timetable("02:30,1MiB 12:00,off")
    found = list(itertools.islice(changes(table, when("10-25", "00:10"), BERLIN), 4))
    assert found == [
        (when("10-25", "02:30"), InForce(MIB)),
        (when("10-25", "02:00", fold=1), InForce()),
        (when("10-25", "02:30", fold=1), InForce(MIB)),
        (when("10-25", "12:00"), InForce()),
    ]


def test_without_rows_nothing_changes() -> None:
    assert list(changes((), 0.0)) == []
    assert in_force((), MONDAY) == InForce()
    assert list(changes(parse_timetable("10MiB"), 0.0)) == [], "what always holds never changes"


def test_workers_are_beside_the_rate() -> None:
    table = parse_timetable("08:00,workers=2 19:00,workers=auto 12:00,pause 13:00,off")
    assert in_force(table, local_time(when("06-01", "20:00"), BERLIN)).workers == 0
    assert in_force(table, local_time(when("06-01", "12:30"), BERLIN)) == InForce(None, paused=True, workers=2)
