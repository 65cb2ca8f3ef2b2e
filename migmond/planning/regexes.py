"""Regular expressions that can be matched without backtracking, as rclone's (Go's RE2) are: text becomes a Node.

Literals, `.`, classes, `\\d \\w \\s`, groups, `|`, `* + ? {m,n}` (lazy or not is the same here), `^`, `$`, `(?i)`.
Look-around, back references and word boundaries cannot be had at that price and are refused.
"""

from __future__ import annotations

import string
from collections.abc import Callable
from collections.abc import Sequence as Items

from migmond.domain.errors import InvalidInput
from migmond.planning.automaton import Char, Choice, Edge, Node, Repeat, Sequence

MAX_COUNT = 1000
"""Largest number in `{m,n}`, as in RE2."""
MAX_DEPTH = 50
"""Groups within groups."""

Test = Callable[[str], bool]

_CONTROLS = {"n": "\n", "t": "\t", "r": "\r", "f": "\f", "v": "\v", "a": "\a"}
_KINDS: dict[str, Test] = {
    "d": str.isdecimal,
    "w": lambda c: c.isalnum() or c == "_",
    "s": str.isspace,
}
_HEX_DIGITS = {"x": 2, "u": 4, "U": 8}


def parse_regex(text: str) -> Node:
    """Parse a regular expression.

    Raises:
        InvalidInput: it is none, or uses what cannot be matched in linear time.
    """
    return _Parser(text).parse()


def sequence(parts: Items[Node]) -> Node:
    """Return the parts one after the other, without those that match only the empty text and need no state."""
    kept = tuple(p for p in parts if p != Sequence(()))
    return kept[0] if len(kept) == 1 else Sequence(kept)


def any_char(char: str) -> bool:
    """Let every character pass."""
    return True


def in_ranges(ranges: Items[tuple[str, str]], *, negated: bool) -> Test:
    """Return a test for characters in (or outside of) inclusive ranges."""
    kept = tuple(ranges)
    return lambda c: any(low <= c <= high for low, high in kept) is not negated


class _Parser:
    def __init__(self, text: str) -> None:
        self._text, self._at, self._depth = text, 0, 0
        self._fold_case = False

    def parse(self) -> Node:
        node = self._choice()
        if self._at < len(self._text):
            raise self._bad("unbalanced parenthesis")
        return node

    def _choice(self) -> Node:
        parts = [self._sequence()]
        while self._take("|"):
            parts.append(self._sequence())
        return parts[0] if len(parts) == 1 else Choice(tuple(parts))

    def _sequence(self) -> Node:
        parts: list[Node] = []
        while self._at < len(self._text) and self._text[self._at] not in "|)":
            parts.append(self._repeated(self._atom()))
        return sequence(parts)

    def _repeated(self, node: Node) -> Node:
        bounds = self._bounds()
        if bounds is None:
            return node
        self._take("?")
        if self._at < len(self._text) and (self._text[self._at] in "*+?" or self._looks_like_count()):
            raise self._bad("a repetition of a repetition")
        return node if node == Sequence(()) else Repeat(node, *bounds)

    def _bounds(self) -> tuple[int, int | None] | None:
        if self._take("*"):
            return 0, None
        if self._take("+"):
            return 1, None
        if self._take("?"):
            return 0, 1
        if not self._looks_like_count():
            return None
        end = self._text.index("}", self._at)
        least, comma, most = self._text[self._at + 1 : end].partition(",")
        self._at = end + 1
        bounds = int(least or 0), (int(most) if most else None) if comma else int(least)
        if bounds[0] > MAX_COUNT or (bounds[1] or 0) > MAX_COUNT or (bounds[1] is not None and bounds[0] > bounds[1]):
            raise self._bad(f"a count is out of range, 0 to {MAX_COUNT}")
        return bounds

    def _looks_like_count(self) -> bool:
        """Anything else in braces stands for itself."""
        if not self._text.startswith("{", self._at):
            return False
        end = self._text.find("}", self._at)
        least, comma, most = self._text[self._at + 1 : max(end, self._at + 1)].partition(",")
        numbers = [n for n in (least, most) if n]
        return (
            end > 0
            and bool(least or (comma and most))
            and all(n.isascii() and n.isdigit() and len(n) < 9 for n in numbers)
        )

    def _atom(self) -> Node:
        char = self._text[self._at]
        self._at += 1
        match char:
            case "(":
                return self._group()
            case "[":
                return Char(self._fold(self._class()))
            case ".":
                return Char(any_char)
            case "^" | "$":
                return Edge(char == "$")
            case "\\":
                return Char(self._fold(self._escape()))
            case "*" | "+" | "?":
                raise self._bad("nothing to repeat")
            case _:
                return Char(self._fold(char.__eq__))

    def _group(self) -> Node:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise self._bad(f"groups are nested more than {MAX_DEPTH} deep")
        fold_case = self._fold_case
        if self._take("?"):
            if self._take("P<"):
                self._at = self._find(">") + 1
            elif not self._flags():
                # (?i) holds until the end of the group around it.
                self._depth -= 1
                return Sequence(())
        node = self._choice()
        if not self._take(")"):
            raise self._bad("( without )")
        self._fold_case = fold_case
        self._depth -= 1
        return node

    def _flags(self) -> bool:
        """Read `i:` or `:`, after which a group begins; False after `i)`, where none does."""
        start = self._at
        while self._at < len(self._text) and self._text[self._at] in "is":
            self._fold_case = self._fold_case or self._text[self._at] == "i"
            self._at += 1
        if self._take(":"):
            return True
        if self._at > start and self._take(")"):
            return False
        raise self._bad("only (?:...), (?i) and (?P<name>...) are known; look-around is not")

    def _class(self) -> Test:
        negated = self._take("^")
        tests: list[Test] = []
        ranges: list[tuple[str, str]] = []
        start = self._at
        while not self._text.startswith("]", self._at) or self._at == start:
            low = self._class_item()
            if not isinstance(low, str):
                tests.append(low)
                continue
            high: str | Test = low
            if self._text.startswith("-", self._at) and not self._text.startswith("-]", self._at):
                self._at += 1
                high = self._class_item()
            if not isinstance(high, str) or high < low:
                raise self._bad("a bad range in a class")
            ranges.append((low, high))
        self._at += 1
        tests.append(in_ranges(ranges, negated=False))
        kept = tuple(tests)
        return lambda c: any(test(c) for test in kept) is not negated

    def _class_item(self) -> str | Test:
        if self._at >= len(self._text):
            raise self._bad("[ without ]")
        if self._text.startswith("[:", self._at):
            raise self._bad("named classes are not known: write \\w, \\d or a range")
        char = self._text[self._at]
        self._at += 1
        return self._escaped() if char == "\\" else char

    def _escape(self) -> Test:
        found = self._escaped()
        return found.__eq__ if isinstance(found, str) else found

    def _escaped(self) -> str | Test:
        """What a backslash and the following mean: one character, or a kind of characters."""
        if self._at >= len(self._text):
            raise self._bad("a backslash at the end")
        char = self._text[self._at]
        self._at += 1
        if char in _CONTROLS:
            return _CONTROLS[char]
        if char in _KINDS:
            return _KINDS[char]
        if char.lower() in _KINDS:
            kind = _KINDS[char.lower()]
            return lambda c: not kind(c)
        if char in _HEX_DIGITS:
            digits = self._text[self._at : self._at + _HEX_DIGITS[char]]
            self._at += len(digits)
            if (
                len(digits) != _HEX_DIGITS[char]
                or not set(digits) <= set(string.hexdigits)
                or int(digits, 16) > 0x10FFFF
            ):
                raise self._bad(f"\\{char} needs {_HEX_DIGITS[char]} hexadecimal digits")
            return chr(int(digits, 16))
        if char.isascii() and char.isalnum():
            raise self._bad(f"\\{char} is not known: back references and word boundaries are not supported")
        return char

    def _fold(self, test: Test) -> Test:
        if not self._fold_case:
            return test
        return lambda c: test(c) or test(c.lower()) or test(c.upper())

    def _find(self, what: str) -> int:
        found = self._text.find(what, self._at)
        if found < 0:
            raise self._bad(f"{what} is missing")
        return found

    def _take(self, text: str) -> bool:
        if self._text.startswith(text, self._at):
            self._at += len(text)
            return True
        return False

    def _bad(self, problem: str) -> InvalidInput:
        return InvalidInput(
            f"bad regular expression at character {self._at}: {problem}", hint="see rclone's pattern syntax"
        )
