from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from migmond.domain.errors import InvalidInput
from migmond.domain.units import parse_duration, parse_rate, parse_size, show_duration, show_size


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


@pytest.mark.parametrize("text", ["10", "", "MiB", "-1MiB", "1e9B", "10 XiB", "9999999EiB", "1.2.3MB", "１MB¹"])
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


@given(st.integers(0, 2**62))
def test_shown_sizes_are_near_the_truth(size: int) -> None:
    shown = parse_size(show_size(size))
    assert abs(shown - size) <= max(1, size * 0.01)


@given(st.floats(0, 1e8))
def test_shown_durations_are_near_the_truth(seconds: float) -> None:
    text = show_duration(seconds).replace("min", "m").replace(" ", "")
    assert abs(parse_duration(text) - seconds) <= max(0.5, seconds * 0.06)
