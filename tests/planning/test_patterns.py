"""Patterns from clients are matched inside the daemon's loop: whatever they are, they take time in proportion."""

from __future__ import annotations

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from migmond.domain.errors import InvalidInput
from migmond.planning.automaton import Automaton
from migmond.planning.patterns import MAX_PATTERNS, Patterns, compile_pattern
from migmond.planning.regexes import parse_regex

PARTS = st.sampled_from(
    ["a", "b", ".", "[ab]", "[^a]", "(a|b)", "(?:ab)", "", "^", "$", "\\w", "\\.", "(|a)", "(?i:A)"]
)
COUNTS = st.sampled_from(["", "*", "+", "?", "{2}", "{1,}", "{0,2}", "*?", "+?"])
REGEXES = st.lists(st.tuples(PARTS, COUNTS), max_size=5).map(
    lambda parts: "".join(p if not p or p in "^$" else p + c for p, c in parts)
)
NESTED = st.tuples(REGEXES, REGEXES, COUNTS, REGEXES).map(lambda p: f"{p[0]}|({p[1]}){p[2]}{p[3]}")


@given(REGEXES | NESTED, st.text("ab./A\n", max_size=6))
def test_regular_expressions_agree_with_re(pattern: str, text: str) -> None:
    # In re, $ also matches before a last newline; here and in RE2 it does not.
    expected = re.fullmatch(pattern.replace("$", "\\Z"), text, re.DOTALL) is not None
    assert Automaton(parse_regex(pattern)).matches(text) is expected


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
        ("x?", "\udcff/x\udcfe", True),
        ("name", "a/b/name", True),
        ("b/name", "a/b/name", True),
        ("/b/name", "a/b/name", False),
    ],
)  # fmt: skip
def test_what_patterns_mean(pattern: str, path: str, expected: bool) -> None:
    assert compile_pattern(pattern).match(path) is expected


@pytest.mark.parametrize(
    "regex",
    [
        "a**", "a{2}{3}", "(?=a)", "(?<!a)b", "(a)\\1", "\\bx", "a{2000}", "a{3,2}", "(a", "a)", "[a", "[b-a]", "*a",
        "\\x4", "(?P<n", "[[:alpha:]]", "((a{1000}){1000}){1000}", "(" * 100 + "a" + ")" * 100, "\\",
    ],
)  # fmt: skip
def test_what_cannot_be_matched_in_linear_time_is_refused(regex: str) -> None:
    with pytest.raises(InvalidInput):
        compile_pattern("{{" + regex + "}}")


@pytest.mark.parametrize("pattern", ["{x," * 100 + "a" + "}" * 100, "[z-a]", "?" * 4096 + "{{a{1000}}}"])
def test_globs_have_their_limits_too(pattern: str) -> None:
    with pytest.raises(InvalidInput):
        compile_pattern(pattern)


def test_empty_groups_cost_nothing_however_often() -> None:
    assert compile_pattern("{{" + "(" * 40 + "()" + "{1000})" * 40 + "x}}").match("x")


def test_the_number_of_patterns_is_limited() -> None:
    many = Patterns([f"name-{i}" for i in range(MAX_PATTERNS)])
    assert many.match("a/name-77")
    assert not many.match("a/name-x")
    with pytest.raises(InvalidInput):
        Patterns(["x"] * (MAX_PATTERNS + 1))
    with pytest.raises(InvalidInput, match="complex"):
        Patterns([f"*name-{i}*" for i in range(MAX_PATTERNS)])


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
    assert not compile_pattern(pattern).match(path)
    assert time.process_time() - began < 1.0


def test_remembering_is_bounded() -> None:
    pattern = compile_pattern("{{.*[ab].{12}}}")
    for number in range(3000):
        text = f"{number:014b}".replace("0", "a").replace("1", "c")
        assert pattern.match(text) is (text[-13] == "a")
