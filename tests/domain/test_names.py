from __future__ import annotations

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from migmond.domain.errors import InvalidInput
from migmond.domain.names import MAX_ASKED, common_directory, from_outside, from_text, to_text


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


def test_what_is_asked_about_is_bounded() -> None:
    assert from_outside("a" * MAX_ASKED) == b"a" * MAX_ASKED
    assert from_outside("a\\x0a") == b"a\n"
    with pytest.raises(InvalidInput, match=f"{MAX_ASKED + 1:,} characters") as refused:
        from_outside("\\" * (MAX_ASKED + 1))
    assert len(str(refused.value)) < 200
    deep = b"/".join([b"x" * 255] * 1000)
    assert from_text(to_text(deep)) == deep  # what was found is told whole, however deep


def test_an_error_does_not_repeat_a_long_text() -> None:
    with pytest.raises(InvalidInput, match="stray backslash") as refused:
        from_outside("a" * 60000 + "\\")
    assert len(str(refused.value)) < 200


@given(st.lists(st.lists(st.sampled_from([b"a", b"ab", b"b", b"a-", b"\xff"]), max_size=4), min_size=1, max_size=6))
def test_the_common_directory_follows_from_the_first_and_the_last(trees: list[list[bytes]]) -> None:
    paths = [b"/".join(parts) for parts in trees]
    ends = sorted(path + b"/" for path in paths)
    assert common_directory(ends[0], ends[-1]) == os.path.commonpath(paths)
