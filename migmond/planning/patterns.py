"""rclone's filter patterns (https://rclone.org/filtering, "Pattern syntax") on RE2, whose syntax rclone's have too.

RE2 matches in time proportional to the path, whatever the pattern is: patterns come from clients and are matched
inside the daemon's loop, where one that backtracks for hours would stop everybody.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NoReturn

import re2

from migmond.domain.errors import InvalidInput

MAX_PATTERN_LENGTH = 4096
MAX_PATTERNS = 10_000
MAX_DEPTH = 50
"""Braces within braces."""
MAX_WILDCARDS = 1000
"""Patterns of one list that are more than a name: building their automaton takes 25 ms, a path then 4 µs."""
_MEMORY_BYTES = 32 << 20
"""For one list's automaton. RE2 refuses patterns that would need more; those allowed here leave it room to work in,
without which it would find nothing."""
_SPECIAL = frozenset("*?[]{},\\")


class Patterns:
    """Several patterns, each as `compile_pattern` takes it. None of them match nothing.

    Raises:
        InvalidInput: one of them is bad, or all together are too many.
    """

    def __init__(self, patterns: Sequence[str]) -> None:
        if len(patterns) > MAX_PATTERNS:
            raise InvalidInput(f"{len(patterns)} patterns, the limit is {MAX_PATTERNS}", hint="use wildcards")
        for pattern in patterns:
            _check(pattern)
        # Plain names are looked up: thousands of them cost what one costs.
        plain = [p for p in patterns if not _SPECIAL & set(p) and not p.endswith("/")]
        self._anchored = frozenset(p[1:] for p in plain if p.startswith("/"))
        self._names = frozenset(p for p in plain if not p.startswith("/"))
        others = [p for p in dict.fromkeys(patterns) if p not in self._names and p[1:] not in self._anchored]
        if len(others) > MAX_WILDCARDS:
            raise InvalidInput(
                f"{len(others)} patterns with wildcards, the limit is {MAX_WILDCARDS}", hint="use plain names, or {a,b}"
            )
        self._automaton = _automaton(others) if others else None

    def match(self, path: bytes) -> bool:
        """Return whether any pattern matches `path`, which has no leading slash.

        A byte that is no UTF-8 counts as one character, which only wildcards match.
        """
        text = path.decode("utf-8", "replace")
        if text in self._anchored or (self._names and self._ends_in_name(text)):
            return True
        return self._automaton is not None and bool(self._automaton.Match(text))

    def _ends_in_name(self, text: str) -> bool:
        """Every end of the path that begins with a component is looked up."""
        if text in self._names:
            return True
        at = text.find("/")
        while at >= 0:
            if text[at + 1 :] in self._names:
                return True
            at = text.find("/", at + 1)
        return False


def compile_pattern(pattern: str) -> Patterns:
    """Translate one pattern.

    `*` any run without `/`, `**` any run, `?` one character but `/`, `[a-z]` a class, `{a,b}` alternatives,
    `{{regex}}` a regular expression, `\\` takes the next character literally. A leading `/` anchors at the root;
    otherwise the pattern matches from the start of any path component. A trailing `/` means all below a directory.

    Raises:
        InvalidInput: unbalanced brackets, an empty pattern, or a bad regular expression.
    """
    return Patterns([pattern])


def _check(pattern: str) -> None:
    if not pattern or pattern == "/":
        raise InvalidInput("an empty pattern matches nothing", hint="write e.g. *.jpg or /photos/**")
    if len(pattern) > MAX_PATTERN_LENGTH:
        raise InvalidInput(f"a pattern of {len(pattern)} characters is too long", hint="use several patterns")


def _automaton(patterns: Sequence[str]) -> re2.Set:
    options = re2.Options()
    options.dot_nl = True
    options.never_capture = True
    options.log_errors = False
    options.max_mem = _MEMORY_BYTES
    found = re2.Set.FullMatchSet(options)
    for pattern in patterns:
        expression = _translated(pattern)
        try:
            found.Add(expression)
        except (re2.error, UnicodeEncodeError) as e:
            raise InvalidInput(
                f"bad pattern {pattern[:100]!r}: {_why_not(expression, options)}",
                hint="see rclone's pattern syntax, and RE2's for what is in {{ }}",
            ) from e
    try:
        found.Compile()
    except re2.error as e:
        raise InvalidInput(
            f"{len(patterns)} patterns are too complex together", hint="use fewer or simpler ones"
        ) from e
    return found


def _why_not(expression: str, options: re2.Options) -> str:
    """A set does not say what is wrong with a pattern; compiling it alone does."""
    try:
        re2.compile(expression, options)
    except UnicodeEncodeError:
        return "it is not valid text"
    except re2.error as e:
        return str(e.args[0].decode(errors="replace"))
    return "it is too complex"


def _translated(pattern: str) -> str:
    body = pattern.removeprefix("/")
    if body.endswith("/"):
        body += "**"
    inner = _Translator(pattern, body).translate()
    return f"(?:{inner})" if pattern.startswith("/") else f"(?:(?:.*/)?(?:{inner}))"


class _Translator:
    def __init__(self, pattern: str, body: str) -> None:
        self._pattern, self._body, self._at, self._depth = pattern, body, 0, 0

    def translate(self) -> str:
        expression = self._sequence()
        if self._at < len(self._body):
            self._refuse("} without {")
        return expression

    def _sequence(self) -> str:
        parts: list[str] = []
        while self._at < len(self._body):
            char = self._body[self._at]
            if char == "}" or (char == "," and self._depth):
                break
            self._at += 1
            parts.append(self._one(char))
        return "".join(parts)

    def _one(self, char: str) -> str:
        match char:
            case "\\":
                return _literal(self._next("a backslash at the end"))
            case "*":
                return ".*" if self._take("*") else "[^/]*"
            case "?":
                return "[^/]"
            case "[":
                return self._character_class()
            case "{":
                return self._regex() if self._take("{") else self._alternatives()
            case _:
                return _literal(char)

    def _alternatives(self) -> str:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            self._refuse(f"braces are nested more than {MAX_DEPTH} deep")
        parts = [self._sequence()]
        while self._take(","):
            parts.append(self._sequence())
        if not self._take("}"):
            self._refuse("{ without }")
        self._depth -= 1
        return f"(?:{'|'.join(parts)})"

    def _character_class(self) -> str:
        end = self._body.find("]", self._at + 1)
        if end < 0:
            self._refuse("[ without ]")
        inner = self._body[self._at : end]
        self._at = end + 1
        negated = inner[:1] in {"!", "^"}
        parts = ["/"] if negated else []
        at = int(negated)
        while at < len(inner):
            low = high = inner[at]
            if inner[at + 1 : at + 2] == "-" and at + 2 < len(inner):
                high = inner[at + 2]
                at += 2
            if high < low:
                self._refuse(f"bad range {low}-{high}")
            parts.append(f"{_literal(low)}-{_literal(high)}")
            at += 1
        return f"[{'^' if negated else ''}{''.join(parts)}]"

    def _regex(self) -> str:
        end = self._body.find("}}", self._at)
        if end < 0:
            self._refuse("{{ without }}")
        while not self._depth and self._body.startswith("}", end + 2):
            end += 1  # {{x{3}}}: the count's brace is the regular expression's
        inner = self._body[self._at : end]
        self._at = end + 2
        return f"(?:{inner})"

    def _next(self, problem: str) -> str:
        if self._at >= len(self._body):
            self._refuse(problem)
        self._at += 1
        return self._body[self._at - 1]

    def _take(self, char: str) -> bool:
        if self._body.startswith(char, self._at):
            self._at += 1
            return True
        return False

    def _refuse(self, problem: str) -> NoReturn:
        raise InvalidInput(f"bad pattern {self._pattern!r}: {problem}", hint="see rclone's pattern syntax")


def _literal(char: str) -> str:
    """One character, whatever it may mean to RE2."""
    return char if char.isalnum() and char.isascii() else f"\\x{{{ord(char):x}}}"
