from __future__ import annotations

from array import array

from hypothesis import given
from hypothesis import strategies as st

from migmond.planning.orders import in_turns


@given(st.lists(st.integers(0, 1 << 40)))
def test_both_ends_take_turns(sizes: list[int]) -> None:
    left, expected = sorted(sizes), []
    while left:
        expected.append(left.pop(0))
        expected += [left.pop()] if left else []
    assert list(in_turns(array("Q", sorted(sizes)))) == expected
