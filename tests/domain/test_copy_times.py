"""Times of copies, packed and unpacked."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from migmond.domain.copy_times import SPAN, CopyTimes, pack_times
from migmond.domain.packing import Unpacker, pack

NOW = 1_790_000_000_123_456_789
NUMBERS = st.one_of(st.integers(1, 40), st.integers(1, 3 * SPAN), st.integers(1, 1 << 40))
TIMES = st.one_of(
    st.integers(NOW, NOW + 1000), st.integers(NOW - (1 << 33), NOW + (1 << 33)), st.integers(1, (1 << 63) - 1)
)


@given(times=st.dictionaries(NUMBERS, TIMES, max_size=200))
def test_what_is_packed_is_unpacked_the_same(times: dict[int, int]) -> None:
    stretches = pack_times(times)
    assert dict(told for stretch in stretches for told in stretch.each()) == times
    for stretch in stretches:
        numbers = [number for number, _ in stretch.each()]
        assert numbers == sorted(numbers)
        assert numbers[0] == stretch.first
        assert numbers[-1] - numbers[0] < SPAN
        assert Unpacker[CopyTimes](CopyTimes).unpack(pack(stretch)) == stretch


def test_what_no_clock_shows_is_left_out() -> None:
    assert pack_times({1: 0, 2: -5, 3: 1 << 63}) == ()
    assert [dict(t.each()) for t in pack_times({1: 0, 2: 7, 3: 1 << 63})] == [{2: 7}]


def test_copies_in_a_row_take_four_bytes_each() -> None:
    (stretch,) = pack_times({5 + n: NOW + 20_000 * n for n in range(SPAN)})
    assert (stretch.numbers, len(stretch.after)) == (b"", 4 * SPAN)
    (gaps,) = pack_times({5 + 2 * n: NOW for n in range(SPAN // 2)})
    assert (len(gaps.numbers), len(gaps.after)) == (SPAN, 2 * SPAN)


@pytest.mark.parametrize(
    "wrong", [CopyTimes(1, 5, b"abc"), CopyTimes(1, 5, b"abcd", b"x"), CopyTimes(1, 5, b"", b"xy")]
)
def test_what_does_not_fit_together_is_refused(wrong: CopyTimes) -> None:
    with pytest.raises(ValueError, match="do not fit together"):
        list(wrong.each())
