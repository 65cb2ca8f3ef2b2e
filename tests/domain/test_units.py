from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from migmond.domain.errors import InvalidInput
from migmond.domain.units import parse_duration, parse_rate, parse_size, show_amount, show_duration, show_size


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("10MiB", 10 << 20),
        ("10MB", 10_000_000),
        ("1.5 GiB", 3 << 29),
        ("512B", 512),
        ("80Mbit", 10_000_000),
        ("1kb", 1000),
    ],
)
def test_sizes(text: str, value: int) -> None:
    assert parse_size(text) == value


@pytest.mark.parametrize(
    "text", ["10", "", "MiB", "-1MiB", "1e9B", "10 XiB", "9999999EiB", "1.2.3MB", "１MB¹", "5iB", "ibit"]
)
def test_bad_sizes(text: str) -> None:
    with pytest.raises(InvalidInput):
        parse_size(text)


def test_rates() -> None:
    assert parse_rate("50MiB/s") == 50 << 20
    assert parse_rate("50MiB") == 50 << 20
    assert parse_rate("off") is None
    with pytest.raises(InvalidInput) as e:
        parse_rate("0B")
    assert "pause" in e.value.hint


@pytest.mark.parametrize(("text", "value"), [("300ms", 0.3), ("5s", 5), ("2h45m", 9900), ("1d", 86400), ("1.5h", 5400)])
def test_durations(text: str, value: float) -> None:
    assert parse_duration(text) == pytest.approx(value)


@pytest.mark.parametrize("text", ["", "5", "h", "5 s", "-5s", "5sx", "x5s"])
def test_bad_durations(text: str) -> None:
    with pytest.raises(InvalidInput):
        parse_duration(text)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (0.0002, "0 ms"),
        (0.9994, "999 ms"),
        (0.9996, "1.0 s"),
        (9.96, "10 s"),
        (59.4, "59 s"),
        (59.6, "1 min"),
    ],
)
def test_what_rounds_to_the_next_unit_is_told_in_it(seconds: float, text: str) -> None:
    assert show_duration(seconds) == text


@given(st.integers(0, 2**62))
def test_shown_sizes_are_near_the_truth(size: int) -> None:
    shown = parse_size(show_size(size))
    assert abs(shown - size) <= max(1, size * 0.01)


@given(st.floats(0, 1e8))
def test_shown_durations_are_near_the_truth(seconds: float) -> None:
    text = show_duration(seconds).replace("min", "m").replace(" ", "")
    assert abs(parse_duration(text) - seconds) <= max(0.5, seconds * 0.06)


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (3 * 1024.0**3, "bytes", "3 GiB"),
        (1024.0, "bytes per second", "1 KiB/s"),
        (0.5, "per second", "0.5/s"),
        (1234.4, "per second", "1,234/s"),
        (0.0, "seconds", "0 ms"),
        (0.0042, "seconds", "4.2 ms"),
        (0.9999, "seconds", "1.0 s"),
        (90.0, "seconds", "1 min 30 s"),
        (7500.0, "seconds", "2 h 5 min"),
        (-5.0, "seconds", "-5.0 s"),
        (-0.25, "seconds", "-250 ms"),
        (0.25, "ratio", "25 %"),
        (0.2857, "ratio", "28.57 %"),
        (12.5, "ratio", "1,250 %"),
        (41.26, "celsius", "41.3 °C"),
        (99.5, "joules", "99.5 J"),
        (7200.0, "joules", "7.2 kJ"),
        (3.6e6, "joules", "1 kWh"),
        (3.0, "", "3"),
        (0.25, "", "0.25"),
        (63.44, "", "63.44"),
        (1234567.0, "", "1,234,567"),
        (1234567.8, "", "1,234,568"),
        (-1234567.0, "", "-1,234,567"),
        (3.0, "files", "3 files"),
    ],
)
def test_values_have_their_units(value: float, unit: str, text: str) -> None:
    assert show_amount(value, unit) == text


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (5 * 2.0**20, "bytes", "5 MiB/s"),
        (0.25, "seconds", "0.25 s/s"),
        (12.0, "", "12/s"),
        (0.3, "joules", "0.3 J/s"),
        (2.0, "files", "2 files/s"),
    ],
)
def test_counters_have_rates(value: float, unit: str, text: str) -> None:
    assert show_amount(value, unit, per_second=True) == text


@given(st.floats(-1e30, 1e30), st.sampled_from(["", "ratio", "per second", "files"]), st.booleans())
def test_large_numbers_have_no_exponent(value: float, unit: str, per_second: bool) -> None:
    shown = show_amount(value, unit, per_second=per_second)
    assert "e+" not in shown
