from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from migmond.domain.errors import InvalidInput
from migmond.domain.names import from_text, to_text


@given(st.binary())
def test_text_form_is_lossless_and_printable(name: bytes) -> None:
    text = to_text(name)
    assert from_text(text) == name
    assert text.isprintable()
    text.encode("utf-8")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        (b"plain.txt", "plain.txt"),
        ("größe 写".encode(), "größe 写"),
        (b"new\nline", "new\\x0aline"),
        (b"\x1b[31mred", "\\x1b[31mred"),
        (b"bad\xff", "bad\\xff"),
        (b"back\\slash", "back\\\\slash"),
        ("bidi\u202e".encode(), "bidi\\xe2\\x80\\xae"),
    ],
)
def test_examples(name: bytes, text: str) -> None:
    assert to_text(name) == text


@pytest.mark.parametrize("text", ["a\\b", "end\\", "\\xg1", "\ud800"])
def test_bad_text_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput):
        from_text(text)
