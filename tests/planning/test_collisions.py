from __future__ import annotations

import unicodedata
from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from migmond.domain.preflight import Folding
from migmond.planning.collisions import Collisions, folded

NAMES = st.lists(
    st.text("aAbBéÉe\u0301ßsS.", min_size=1, max_size=4).map(str.encode) | st.binary(min_size=1, max_size=3),
    max_size=12,
    unique=True,
)


def collide(a: bytes, b: bytes, folding: Folding, *, drops_dots: bool) -> bool:
    """The naive way to say it, for one pair."""
    if drops_dots:
        a, b = (n if set(n) == {ord(".")} else n.rstrip(b".") for n in (a, b))
    if a == b:
        return True
    if folding is Folding.NONE:
        return False
    try:
        left, right = a.decode(), b.decode()
    except UnicodeDecodeError:
        return a.isascii() and b.isascii() and a.lower() == b.lower()
    if folding is Folding.CASE:
        return len(left) == len(right) and all(
            x == y or x.upper() == y.upper() or x.lower() == y.lower() for x, y in zip(left, right, strict=True)
        )
    forms = [unicodedata.normalize("NFD", unicodedata.normalize("NFD", t).casefold()) for t in (left, right)]
    return forms[0] == forms[1]


@given(NAMES, st.sampled_from(Folding), st.booleans())
def test_every_name_that_has_a_partner_counts_once(names: list[bytes], folding: Folding, drops_dots: bool) -> None:
    found = Collisions(folding, drops_dots=drops_dots)
    total = sum(found.add(name) for name in names)
    partners: set[bytes] = set()
    for a, b in combinations(names, 2):
        if collide(a, b, folding, drops_dots=drops_dots):
            partners |= {a, b}
    assert total == len(partners)


@pytest.mark.parametrize(
    ("a", "b", "case", "unicode"),
    [
        ("Photo.JPG", "photo.jpg", True, True),
        ("É", "é", True, True),
        ("\u00e9", "e\u0301", False, True),
        ("Straße", "STRASSE", False, True),
        ("a", "b", False, False),
    ],
)
def test_what_each_kind_takes_for_the_same(a: str, b: str, case: bool, unicode: bool) -> None:
    for folding, same in ((Folding.NONE, False), (Folding.CASE, case), (Folding.UNICODE, unicode)):
        assert (folded(a.encode(), folding) == folded(b.encode(), folding)) is same


def test_bytes_that_are_no_text_have_no_case() -> None:
    assert folded(b"A\xff", Folding.UNICODE) != folded(b"a\xff", Folding.UNICODE)
