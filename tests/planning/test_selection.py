from __future__ import annotations

import fnmatch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from migmond.domain.entry import EntryType
from migmond.domain.errors import InvalidInput
from migmond.domain.selector import Selector
from migmond.domain.states import TaskState
from migmond.planning.patterns import compile_pattern
from migmond.planning.selection import Candidate, Matcher


def matches(pattern: str, path: str) -> bool:
    return compile_pattern(pattern).match(path.encode())


@pytest.mark.parametrize(
    ("pattern", "path", "expected"),
    [
        ("file.jpg", "file.jpg", True),
        ("file.jpg", "directory/file.jpg", True),
        ("file.jpg", "afile.jpg", False),
        ("/file.jpg", "file.jpg", True),
        ("/file.jpg", "directory/file.jpg", False),
        ("*.jpg", "a/b.jpg", True),
        ("*.jpg", "a.jpg/b", False),
        ("/*.jpg", "a/b.jpg", False),
        ("dir/**", "dir/a/b", True),
        ("dir/", "x/dir/a", True),
        ("dir/*", "dir/a/b", False),
        ("a?c", "abc", True),
        ("a?c", "a/c", False),
        ("*.{jpg,png}", "x.png", True),
        ("*.{jpg,png}", "x.gif", False),
        ("[a-c]x", "bx", True),
        ("[!a-c]x", "bx", False),
        ("{{.*\\.jpe?g}}", "x.jpeg", True),
        ("\\*", "*", True),
        ("\\*", "x", False),
        ("a.b", "axb", False),
    ],
)
def test_rclone_patterns(pattern: str, path: str, expected: bool) -> None:
    assert matches(pattern, path) is expected


@pytest.mark.parametrize("pattern", ["", "/", "[a", "{a", "a}", "{{a", "a\\", "{{(}}", "x" * 5000])
def test_bad_patterns(pattern: str) -> None:
    with pytest.raises(InvalidInput):
        compile_pattern(pattern)


@given(st.text("ab*?", min_size=1, max_size=8).filter(lambda p: "**" not in p), st.text("ab", max_size=8))
def test_patterns_agree_with_fnmatch_on_names(pattern: str, name: str) -> None:
    assert matches("/" + pattern, name) is fnmatch.fnmatchcase(name, pattern)


NOW = 1_000_000.0
VIDEO = Candidate(
    b"films/one.MKV", EntryType.FILE, 5_000, int((NOW - 100) * 1e9), TaskState.FAILED, "EIO", "read:EIO:5"
)


@pytest.mark.parametrize(
    ("selector", "picked"),
    [
        (Selector(), True),
        (Selector(under=b"films"), True),
        (Selector(under=b"film"), False),
        (Selector(larger_than=4_999), True),
        (Selector(larger_than=5_000), False),
        (Selector(smaller_than=5_001), True),
        (Selector(smaller_than=5_000), False),
        (Selector(newer_than=101.0), True),
        (Selector(newer_than=99.0), False),
        (Selector(older_than=99.0), True),
        (Selector(types=("video",)), True),
        (Selector(types=("image", "directory")), False),
        (Selector(types=("file",)), True),
        (Selector(states=("failed",)), True),
        (Selector(states=("done",)), False),
        (Selector(errors=("EIO",)), True),
        (Selector(errors=("read:EIO:5",)), True),
        (Selector(errors=("copy:EIO:5", "ENOSPC")), False),
        (Selector(errors=("EACCES",)), False),
        (Selector(include=("*.MKV",), exclude=("one.*",)), False),
        (Selector(include=("*.MKV",), smaller_than=10), False),
    ],
)
def test_conditions(selector: Selector, picked: bool) -> None:
    assert Matcher(selector, NOW).picks(VIDEO) is picked


@pytest.mark.parametrize(
    "selector", [Selector(types=("vidio",)), Selector(states=("finished",)), Selector(include=("{",))]
)
def test_a_selector_with_a_typo_is_refused(selector: Selector) -> None:
    with pytest.raises(InvalidInput):
        Matcher(selector, NOW)
