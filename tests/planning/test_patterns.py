"""Patterns from clients are matched inside the daemon's loop: whatever they are, they take time in proportion."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from migmond.domain.errors import InvalidInput
from migmond.planning.patterns import MAX_PATTERNS, MAX_WILDCARDS, Patterns, compile_pattern

Glob = list[str]
"""Pieces of a pattern: `*`, `**`, `?`, `[ab]`, `[!a]` or one character."""
GLOBS = st.lists(
    st.sampled_from(["*", "**", "?", "[ab]", "[!a]", "a", "b", "/", ".", "\n", "é"]), min_size=1, max_size=6
)


def fits(glob: Glob, path: str) -> bool:
    """What a pattern means, by trying everything."""
    if not glob:
        return not path
    first, rest = glob[0], glob[1:]
    if first in ("*", "**"):
        ends = range(len(path) + 1)
        return any(fits(rest, path[end:]) for end in ends if first == "**" or "/" not in path[:end])
    if not path:
        return False
    one = {"?": path[0] != "/", "[ab]": path[0] in "ab", "[!a]": path[0] not in "a/"}.get(first, path[0] == first)
    return one and fits(rest, path[1:])


@given(GLOBS, st.text("ab./é\n", max_size=7), st.booleans())
def test_globs_agree_with_a_naive_reading(glob: Glob, path: str, anchored: bool) -> None:
    # Two stars side by side are a piece of their own.
    pieces = [p for i, p in enumerate(glob) if not (p[0] == "*" and i and glob[i - 1][0] == "*")]
    while pieces and pieces[0] == "/":
        pieces.pop(0)
    while pieces and pieces[-1] == "/":
        pieces.pop()
    if not pieces:
        return
    starts = [0] if anchored else [0, *(i + 1 for i, char in enumerate(path) if char == "/")]
    pattern = ("/" if anchored else "") + "".join(pieces)
    assert compile_pattern(pattern).match(path.encode()) is any(fits(pieces, path[start:]) for start in starts)


@pytest.mark.parametrize(
    ("pattern", "path", "expected"),
    [
        ("{{a{3}}}", "aaa", True),
        ("{{a{3}}}", "aa", False),
        ("{{a{x}}}", "a{x}", True),
        ("{{(?i)img_\\d+\\.jpe?g}}", "x/IMG_7.JPEG", True),
        ("{{(?P<year>20\\d\\d)/.*}}", "2024/x", True),
        ("{{\\x41[\\x42-\\x44]}}", "AC", True),
        ("{{[]a]}}", "]", True),
        ("{{^x$}}", "x", True),
        ("{x,{{a+}}}", "aaa", True),
        ("*.jpg", "a.jpg\n", False),
        ("[a&&b-]", "-", True),
        ("x?", b"\xff/x\xfe", True),
        ("*.jpg", b"\xff.jpg", True),
        ("[[.]x", b"[x", True),
        ("{a,b{c,d}}e", b"bde", True),
        ("\\*", b"*", True),
        ("\\*", b"x", False),
        ("name", "a/b/name", True),
        ("b/name", "a/b/name", True),
        ("/b/name", "a/b/name", False),
    ],
)  # fmt: skip
def test_what_patterns_mean(pattern: str, path: str | bytes, expected: bool) -> None:
    assert compile_pattern(pattern).match(path if isinstance(path, bytes) else path.encode()) is expected


@pytest.mark.parametrize(
    "regex",
    [
        "a**", "a{2}{3}", "(?=a)", "(?<!a)b", "(a)\\1", "a{2000}", "a{3,2}", "(a", "a)", "[a", "[b-a]", "*a",
        "\\x4", "(?P<n", "((a{1000}){1000}){1000}", "\\",
    ],
)  # fmt: skip
def test_what_cannot_be_matched_in_linear_time_is_refused(regex: str) -> None:
    with pytest.raises(InvalidInput):
        compile_pattern("{{" + regex + "}}")


@pytest.mark.parametrize("pattern", ["{x," * 100 + "a" + "}" * 100, "[z-a]", "?" * 4096 + "{{a{1000}}}"])
def test_globs_have_their_limits_too(pattern: str) -> None:
    with pytest.raises(InvalidInput):
        compile_pattern(pattern)


def test_the_number_of_patterns_is_limited() -> None:
    many = Patterns([f"name-{i}" for i in range(MAX_PATTERNS)])
    assert many.match(b"a/name-77")
    assert not many.match(b"a/name-x")
    with pytest.raises(InvalidInput):
        Patterns(["x"] * (MAX_PATTERNS + 1))
    with pytest.raises(InvalidInput, match="wildcards"):
        Patterns([f"*name-{i}*" for i in range(MAX_WILDCARDS + 1)])
    with pytest.raises(InvalidInput, match="complex"):
        Patterns([f"{{{{(a{i}|b{i}|[c-z]){{500}}}}}}" for i in range(MAX_WILDCARDS)])


def test_many_patterns_cost_what_one_costs() -> None:
    many = Patterns([f"*name-{i}*" for i in range(MAX_WILDCARDS)])
    assert many.match(b"a/my-name-77.txt")
    began = time.process_time()
    assert not any(many.match(b"some/directory/file-%d" % i) for i in range(10_000))
    assert time.process_time() - began < 1.0


def test_an_error_says_what_is_wrong() -> None:
    with pytest.raises(InvalidInput, match="missing \\)"):
        compile_pattern("{{(a}}")
    with pytest.raises(InvalidInput, match="not valid text"):
        compile_pattern("{{\udcff}}")


@pytest.mark.parametrize(
    ("pattern", "path"),
    [
        ("*a" * 20 + "b", "a" * 255),
        ("**a" * 20 + "b", "a/" * 2000),
        ("{{(a+)+$}}", "a" * 4000 + "b"),
        ("{{(a|aa)+}}b", "a" * 4000),
        ("{{" + "a?" * 500 + "a{500}}}", "a" * 499),
        ("{a*,aa*,aaa*}" * 10 + "b", "a" * 255),
    ],
)
def test_patterns_that_backtrack_for_ever_elsewhere_take_no_time_here(pattern: str, path: str) -> None:
    began = time.process_time()
    assert not compile_pattern(pattern).match(path.encode())
    assert time.process_time() - began < 1.0


def test_remembering_is_bounded() -> None:
    pattern = compile_pattern("{{.*[ab].{12}}}")
    for number in range(3000):
        text = f"{number:014b}".replace("0", "a").replace("1", "c")
        assert pattern.match(text.encode()) is (text[-13] == "a")
