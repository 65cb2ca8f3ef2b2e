"""Conditions as people write them: what parses is what was meant, and what does not says where."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from migmond.domain.alert import Aggregation, Condition, Missing, Operator
from migmond.domain.alert_expression import parse_condition, parse_value, show_condition
from migmond.domain.errors import InvalidInput

UNITS = st.sampled_from(["", "_bytes", "_bytes_per_second", "_bytes_total", "_seconds", "_ratio", "_celsius"])
NAMES = st.from_regex(r"[a-z][a-z_]{0,20}", fullmatch=True)
SECONDS = st.one_of(
    st.just(0.0), st.floats(0.001, 1e6, allow_nan=False), st.sampled_from([60.0, 300.0, 3600.0, 86_400.0, 90.0])
)
VALUES = st.one_of(
    st.floats(allow_nan=False, allow_infinity=False, min_value=-1e30, max_value=1e30),
    st.integers(-(1 << 50), 1 << 50).map(float),
    st.integers(1, 1000).map(lambda n: n * 1024.0**2),
    st.integers(0, 200).map(lambda n: n / 100),
)
CONDITIONS = st.builds(
    Condition,
    st.tuples(NAMES, UNITS).map("".join).filter(lambda n: n not in {a.value for a in Aggregation}),
    st.sampled_from(list(Operator)),
    VALUES,
    st.sampled_from(list(Aggregation)),
    SECONDS.filter(bool),
    st.dictionaries(NAMES, st.text(st.characters(codec="utf-8"), max_size=10), max_size=3),
    st.one_of(st.none(), VALUES),
    SECONDS,
    SECONDS,
    st.sampled_from(list(Missing)),
)


@given(CONDITIONS)
def test_what_is_shown_parses_to_the_same(condition: Condition) -> None:
    assert parse_condition(show_condition(condition)) == condition


@pytest.mark.parametrize(
    ("text", "condition"),
    [
        (
            "avg(migmond_execution_bytes_per_second) < 20MiB for 5m",
            Condition(
                "migmond_execution_bytes_per_second", Operator.BELOW, 20 << 20, Aggregation.AVG, 60.0, for_s=300.0
            ),
        ),
        ("x>=80%", Condition("x", Operator.ABOVE_OR_EQUAL, 0.8)),
        ("x > 50C resolve 45C", Condition("x", Operator.ABOVE, 50.0, resolve_threshold=45.0)),
        (
            'max(x{disk="sd a",dir=read}[2h45m]) > 1h missing fire keep 90s for 5m',
            Condition(
                "x", Operator.ABOVE, 3600.0, Aggregation.MAX, 9900.0, {"disk": "sd a", "dir": "read"}, None, 300.0,
                90.0, Missing.FIRE,
            ),
        ),
        ("x < -5", Condition("x", Operator.BELOW, -5.0)),
        ("rate(x[5m]) != 0", Condition("x", Operator.NOT_EQUAL, 0.0, Aggregation.RATE, 300.0)),
    ],
)  # fmt: skip
def test_what_people_write(text: str, condition: Condition) -> None:
    assert parse_condition(text) == condition


@pytest.mark.parametrize(
    ("text", "place", "said"),
    [
        ("", 1, "expected a metric"),
        ("avg(x < 5", 7, "expected )"),
        ("mean(x) < 5", 1, "no aggregation: avg, max"),
        ("x 5", 3, "expected an operator"),
        ("x < ", 4, "expected a value"),
        ("x < 20Mib5", 5, "is no value"),
        ("x < 5 for", 10, "expected a duration"),
        ("x < 5 for 5", 11, "not a duration"),
        ("x < 5 for 5m for 6m", 14, "each once"),
        ("x < 5 and y > 3", 7, "each once"),
        ("x{a} < 5", 4, "expected = after a"),
        ("x{a=1 b=2} < 5", 7, "expected a comma"),
        ("x[5m < 5", 6, "expected ]"),
        ('x{a="1} < 5', 5, "does not belong there"),
        ("x < 5 missing maybe", 15, "fire or keep"),
        ("x < 5 resolve", 14, "expected a value"),
    ],
)
def test_errors_point_at_the_place(text: str, place: int, said: str) -> None:
    with pytest.raises(InvalidInput) as e:
        parse_condition(text)
    assert f"at character {place}:" in e.value.message
    assert said in e.value.message
    assert "avg(" in e.value.hint


@pytest.mark.parametrize(
    "text",
    [
        "migmond_execution_bytes_per_second < 1TiB/s",
        "rate(migmond_disk_bytes_total[5m]) > 20MiB/s",
        "migmond_memory_used_bytes > 1536MiB",
        "migmond_memory_used_bytes > 1000000",
        "migmond_execution_stalled_seconds > 2m resolve 1s",
        "migmond_execution_stalled_seconds > 0.5",
        "migmond_execution_error_ratio > 5% resolve 2% for 30s",
        "migmond_disk_heat_margin_celsius <= 0C resolve 5C",
    ],
)
def test_values_are_shown_as_people_write_them(text: str) -> None:
    """A page of rules said `< 1099511627776`."""
    assert show_condition(parse_condition(text)) == text


@given(st.text(max_size=60))
def test_whatever_is_typed_is_a_condition_or_refused(text: str) -> None:
    try:
        condition = parse_condition(text)
    except InvalidInput:
        return
    assert parse_condition(show_condition(condition)) == condition


@pytest.mark.parametrize(
    ("word", "value"),
    [("20MiB", 20 << 20), ("20MB/s", 20e6), ("80Mbit", 1e7), ("5m", 300), ("1.5", 1.5), ("-5m", -300), ("x", None),
     ("1e3", 1000), ("50°C", 50), ("%", None), ("", None)],
)  # fmt: skip
def test_values(word: str, value: float | None) -> None:
    assert parse_value(word) == (None if value is None else pytest.approx(value))
