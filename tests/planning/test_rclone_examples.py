"""What https://rclone.org/filtering says of patterns, example by example (as of rclone 1.71)."""

from __future__ import annotations

import pytest

from migmond.planning.patterns import Patterns

EXAMPLES = (
    # "Pattern syntax"
    ("file.jpg", ("file.jpg", "directory/file.jpg"), ("afile.jpg", "directory/afile.jpg")),
    ("/file.jpg", ("file.jpg",), ("afile.jpg", "directory/file.jpg")),
    ("potato", ("potato",), ("POTATO",)),
    # "Using regular expressions in filter patterns"
    ("*.{{jpe?g}}", ("file.jpg", "file.jpeg"), ("file.png",)),
    ("*.{{(?i)jpg}}", ("file.jpg", "file.JPG"), ("file.png",)),
    ("{{start[^/]*end\\.jpg}}", ("start-end.jpg", "dir/startend.jpg"), ("start/end.jpg", "start.jpg")),
    ("{{start.*end\\.jpg}}", ("start/end.jpg", "start-end.jpg"), ("end.jpg",)),
    # "Filter pattern examples"
    ("*.jpg", ("file.jpg", "dir/file.jpg"), ("file.png", "dir/file.png")),
    ("/*.jpg", ("file.jpg", "file2.jpg"), ("file.png", "dir/file.jpg")),
    ("*.{jpg,png}", ("file.jpg", "dir/file.png"), ("file.gif", "dir/file.gif")),
    ("dir/**", ("dir/anyfile", "subdir/dir/subsubdir/anyfile"), ("file.png", "subdir/file.png")),
    ("*.t?t", ("file.txt", "dir/file.tzt"), ("file.qxt", "dir/file.png")),
    ("*.[a-z]", ("file.a", "dir/file.b"), ("file.0", "dir/file.1")),
    ("*.\\?\\?\\?", ("file.???", "dir/file.???"), ("file.abc", "dir/file.def")),
    ("*.\\d\\d\\d", ("file.012", "dir/file.345"), ("file.abc", "dir/file.def")),
    ("/{{.*\\.jpe?g}}", ("file.jpeg", "file.jpg"), ("file.png",)),
    # "Character classes"
    ("[\\d]x", ("7x", "dir/0x"), ("ax", "x")),
    ("[^\\d]x", ("ax", "dir/_x"), ("7x", "x")),
    ("[\\D]x", ("ax",), ("7x",)),
    ("\\w\\W", ("a-", "dir/_."), ("ab", "--")),
    ("a\\sb", ("a b", "a\tb"), ("a_b",)),
    ("a\\Sb", ("a_b",), ("a b",)),
    ("[[:alnum:]].x", ("a.x", "7.x"), ("-.x",)),
    ("[[:punct:]]", ("-", "dir/!"), ("a",)),
    ("[[:xdigit:]][[:xdigit:]]", ("fF", "0a"), ("g0",)),
    ("[a\\-\\]]", ("a", "-", "]"), ("b", "\\")),
    # "--exclude", "How filter rules are applied to directories"
    ("*.bak", ("x.bak", "dir/x.bak"), ("x.bak/y", "bak")),
    ("/dir/**", ("dir/x", "dir/sub/x"), ("sub/dir/x", "dir")),
    ("*\\[{JP,KR,HK}\\]*", ("film [JP].mkv", "dir/[HK]"), ("film [US].mkv", "film JP.mkv")),
    ("directory/*", ("directory/x", "a/directory/x"), ("directory/sub/x",)),
    ("directory/**", ("directory/x", "directory/sub/x"), ("x",)),
    ("{dir1/**,dir2/**}", ("dir1/x", "dir2/sub/x"), ("dir3/x",)),
    ("{dir1,dir2}/**", ("dir1/x", "dir2/sub/x"), ("dir3/x",)),
)
"""Pattern, paths that it matches, paths that it does not. Ours have no leading slash.

The page's table says that `/{{.*\\.jpe?g}}` does not match `/dir/file.jpg`; by its own words ("`.*` will match `/`
characters", "/{{regexp}} becomes ^(regexp)$") it does, so that one is not here.
"""


@pytest.mark.parametrize(("pattern", "matched", "others"), EXAMPLES, ids=[e[0] for e in EXAMPLES])
def test_documented_examples(pattern: str, matched: tuple[str, ...], others: tuple[str, ...]) -> None:
    patterns = Patterns([pattern])
    assert [p for p in matched if not patterns.match(p.encode())] == []
    assert [p for p in others if patterns.match(p.encode())] == []
    for path in (*matched, *others):  # as one of several in its directory
        directory, slash, name = path.encode().rpartition(b"/")
        found = patterns.match_names(directory + slash, [b"\xff", name, b"\xfe"])
        assert (1 in found) is (path in matched)
