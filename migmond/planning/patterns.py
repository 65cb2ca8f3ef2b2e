"""rclone's filter patterns (https://rclone.org/filtering, "Pattern syntax"), matched in linear time."""

from __future__ import annotations

from collections.abc import Sequence as Items

from migmond.domain.errors import InvalidInput
from migmond.planning.automaton import MAX_STATES, Automaton, Char, Choice, Node, Repeat, Sequence
from migmond.planning.regexes import MAX_DEPTH, any_char, in_ranges, parse_regex, sequence

MAX_PATTERN_LENGTH = 4096
MAX_PATTERNS = 10_000
"""In one list. Plain names cost nothing more each, patterns with wildcards count by their states."""

_ANYTHING = Repeat(Char(any_char))
_ANY_BUT_SLASH = Char("/".__ne__)
_SPECIAL = frozenset("*?[]{},\\")


class Patterns:
    """Several patterns, each as `compile_pattern` takes it. None of them match nothing.

    Raises:
        InvalidInput: one of them is bad, or all together are too many.
    """

    def __init__(self, patterns: Items[str]) -> None:
        if len(patterns) > MAX_PATTERNS:
            raise InvalidInput(f"{len(patterns)} patterns, the limit is {MAX_PATTERNS}", hint="use wildcards")
        for pattern in patterns:
            _check(pattern)
        plain = [p for p in patterns if not _SPECIAL & set(p) and not p.endswith("/")]
        self._anchored = frozenset(p[1:] for p in plain if p.startswith("/"))
        self._names = frozenset(p for p in plain if not p.startswith("/"))
        # `*.jpg` and its like share one automaton: together they cost what one costs. With other patterns the sets of
        # live states would multiply (`*1*` with `*2*` with `*3*`), so each of those has its own.
        endings = [p for p in patterns if p[:1] == "*" and not _SPECIAL & set(p[1:]) and not p.endswith("/")]
        single = set(plain) | set(endings)
        nodes: list[Node] = [Choice(tuple([_parsed(p) for p in endings]))] if endings else []
        nodes += [_parsed(p) for p in dict.fromkeys(patterns) if p not in single]
        self._automata: list[Automaton] = []
        left = MAX_STATES
        for node in nodes:
            self._automata.append(Automaton(node, left))
            left -= self._automata[-1].states

    def match(self, path: str) -> bool:
        """Return whether any pattern matches `path`, which has no leading slash."""
        if path in self._anchored or (self._names and self._ends_in_name(path)):
            return True
        return any(automaton.matches(path) for automaton in self._automata)

    def _ends_in_name(self, path: str) -> bool:
        """Plain patterns are looked up: every end of the path that begins with a component."""
        if path in self._names:
            return True
        at = path.find("/")
        while at >= 0:
            if path[at + 1 :] in self._names:
                return True
            at = path.find("/", at + 1)
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


def _parsed(pattern: str) -> Node:
    body = pattern.removeprefix("/")
    if body.endswith("/"):
        body += "**"
    parsed = _Parser(pattern, body).parse()
    if pattern.startswith("/"):
        return parsed
    return sequence([Repeat(Sequence((_ANYTHING, Char("/".__eq__))), 0, 1), parsed])


class _Parser:
    def __init__(self, pattern: str, body: str) -> None:
        self._pattern, self._body, self._at, self._depth = pattern, body, 0, 0

    def parse(self) -> Node:
        node = self._sequence()
        if self._at < len(self._body):
            raise self._bad("} without {")
        return node

    def _sequence(self) -> Node:
        parts: list[Node] = []
        while self._at < len(self._body):
            char = self._body[self._at]
            if char == "}" or (char == "," and self._depth):
                break
            self._at += 1
            parts.append(self._one(char))
        return sequence(parts)

    def _one(self, char: str) -> Node:
        match char:
            case "\\":
                return Char(self._next("a backslash at the end").__eq__)
            case "*":
                return _ANYTHING if self._take("*") else Repeat(_ANY_BUT_SLASH)
            case "?":
                return _ANY_BUT_SLASH
            case "[":
                return self._character_class()
            case "{":
                return self._regex() if self._take("{") else self._alternatives()
            case _:
                return Char(char.__eq__)

    def _alternatives(self) -> Node:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise self._bad(f"braces are nested more than {MAX_DEPTH} deep")
        parts = [self._sequence()]
        while self._take(","):
            parts.append(self._sequence())
        if not self._take("}"):
            raise self._bad("{ without }")
        self._depth -= 1
        return Choice(tuple(parts))

    def _character_class(self) -> Node:
        end = self._body.find("]", self._at + 1)
        if end < 0:
            raise self._bad("[ without ]")
        inner = self._body[self._at : end]
        self._at = end + 1
        negated = inner[:1] in {"!", "^"}
        ranges: list[tuple[str, str]] = [("/", "/")] if negated else []
        at = int(negated)
        while at < len(inner):
            low = high = inner[at]
            if inner[at + 1 : at + 2] == "-" and at + 2 < len(inner):
                high = inner[at + 2]
                at += 2
            if high < low:
                raise self._bad(f"bad range {low}-{high}")
            ranges.append((low, high))
            at += 1
        return Char(in_ranges(ranges, negated=negated))

    def _regex(self) -> Node:
        end = self._body.find("}}", self._at)
        if end < 0:
            raise self._bad("{{ without }}")
        while not self._depth and self._body.startswith("}", end + 2):
            end += 1  # {{x{3}}}: the count's brace is the regular expression's
        inner = self._body[self._at : end]
        self._at = end + 2
        return parse_regex(inner)

    def _next(self, problem: str) -> str:
        if self._at >= len(self._body):
            raise self._bad(problem)
        self._at += 1
        return self._body[self._at - 1]

    def _take(self, char: str) -> bool:
        if self._body.startswith(char, self._at):
            self._at += 1
            return True
        return False

    def _bad(self, problem: str) -> InvalidInput:
        return InvalidInput(f"bad pattern {self._pattern!r}: {problem}", hint="see rclone's pattern syntax")
