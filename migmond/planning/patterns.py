"""rclone's filter patterns (https://rclone.org/filtering, "Pattern syntax") on RE2, whose syntax rclone's have too.

RE2 matches in time proportional to the path, whatever the pattern is: patterns come from clients and are matched
inside the daemon's loop, where one that backtracks for hours would stop everybody.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NoReturn

import re2

from migmond.domain.errors import InvalidInput

MAX_PATTERN_LENGTH = 4096
MAX_PATTERNS = 10_000
MAX_DEPTH = 50
"""Braces within braces."""
MAX_WILDCARDS = 1000
"""Patterns of one list that are more than a name: building their automaton takes 25 ms, a path then 4 µs."""
_MOST_IN_RUNS = 30
"""Patterns that are looked for in many names together. Each is twice in that automaton: of 1,000 it has no room for its
states, and a name took 700 µs, where one by one takes 4."""
_MEMORY_BYTES = 32 << 20
"""For one list's automaton. RE2 refuses patterns that would need more; those allowed here leave it room to work in,
without which it would find nothing."""
_SPECIAL = frozenset("*?[]{},\\")
_CLASSES = frozenset("dDsSwW")
"""After a backslash: character classes, as in a regular expression."""
_POSIX = frozenset(
    [
        "alnum",
        "alpha",
        "ascii",
        "blank",
        "cntrl",
        "digit",
        "graph",
        "lower",
        "print",
        "punct",
        "space",
        "upper",
        "word",
        "xdigit",
    ]
)


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
        self._others = others
        self._runs: object = _NOT_YET
        self._bases: dict[str, set[str]] | None = None

    def match(self, path: bytes) -> bool:
        """Return whether any pattern matches `path`, which has no leading slash.

        A byte that is no UTF-8 counts as one character, which only wildcards match.
        """
        text = path.decode("utf-8", "replace")
        if text in self._anchored or (self._names and self._ends_in_name(text)):
            return True
        return self._automaton is not None and bool(self._automaton.Match(text))

    def match_names(self, prefix: bytes, names: Sequence[bytes]) -> list[int]:
        """Return which of `names` match when they come after `prefix`: their positions, ascending.

        All in one scan, in which neighbours that match are found together: 0.1 to 0.9 µs a name, where one by one
        takes 1 to 4. Regular expressions in `{{ }}`, and names or patterns with a newline, go one by one.

        Args:
            prefix: the path of their directory with a slash at its end, or nothing.
        """
        if not names:
            return []
        if self._runs is _NOT_YET:
            self._runs = _runs(self._others)
        text = (b"\n" + prefix).join((b"", *names))
        if text.count(b"\n") != len(names) or (self._others and self._runs is None):
            return [position for position, name in enumerate(names) if self.match(prefix + name)]
        found = self._found_by_name(prefix, names)
        if self._runs is not None:
            # Invalid bytes become as many characters as they do in each path by itself: a newline ends a sequence.
            text = text.decode("utf-8", "replace").encode()[1:]
            at = position = 0
            for match in self._runs.finditer(text):  # type: ignore[attr-defined]
                start, end = match.span()
                position += text.count(b"\n", at, start)
                last = position + text.count(b"\n", start, end)
                found.update(range(position, last + 1))
                at, position = end, last
        return sorted(found)

    def _found_by_name(self, prefix: bytes, names: Sequence[bytes]) -> set[int]:
        """Return which of the names are plain ones of ours."""
        if not self._anchored and not self._names:
            return set()
        if self._bases is None:
            self._bases = {}
            for kind, paths in (("/", self._anchored), ("", self._names)):
                for path in paths:
                    directory, _, base = path.rpartition("/")
                    # Anchored ones lie in the directory of that very path, others in any that ends in it.
                    self._bases.setdefault(kind + directory, set()).add(base)
        directory = prefix[:-1].decode("utf-8", "replace")
        wanted = set(self._bases.get("/" + directory, ()))
        for end in _ends(directory):
            wanted |= self._bases.get(end, set())
        if not wanted:
            return set()
        texts = b"\n".join(names).decode("utf-8", "replace").split("\n")
        return {position for position, name in enumerate(texts) if name in wanted}

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


_NOT_YET = object()


def _ends(directory: str) -> Iterator[str]:
    """Yield every end of a path that begins with a component, and the empty one."""
    yield ""
    if directory:
        yield directory
    at = directory.find("/")
    while at >= 0:
        yield directory[at + 1 :]
        at = directory.find("/", at + 1)


def compile_pattern(pattern: str) -> Patterns:
    """Translate one pattern.

    `*` any run without `/`, `**` any run, `?` one character but `/`, `[a-z]` a class, `{a,b}` alternatives,
    `{{regex}}` a regular expression, `\\d \\D \\s \\S \\w \\W` and `[[:alpha:]]` classes as in one; `\\` takes any
    other character literally. A leading `/` anchors at the root; otherwise the pattern matches from the start of any
    path component. A trailing `/` means all below a directory.

    Raises:
        InvalidInput: unbalanced brackets, an empty pattern, or a bad regular expression.
    """
    return Patterns([pattern])


def _check(pattern: str) -> None:
    if not pattern or pattern == "/":
        raise InvalidInput("an empty pattern matches nothing", hint="write e.g. *.jpg or /photos/**")
    if len(pattern) > MAX_PATTERN_LENGTH:
        raise InvalidInput(f"a pattern of {len(pattern)} characters is too long", hint="use several patterns")


def _options() -> re2.Options:
    options = re2.Options()
    options.dot_nl = True
    options.never_capture = True
    options.log_errors = False
    options.max_mem = _MEMORY_BYTES
    return options


def _runs(patterns: Sequence[str]) -> object | None:
    """Return a regular expression that finds lines of a text which match any of `patterns`, neighbours together; None
    when there are no patterns, or when one of them might look beyond its line."""
    if not 0 < len(patterns) <= _MOST_IN_RUNS:
        return None
    try:
        line = "|".join(_translated(pattern, lines=True) for pattern in patterns)
    except _LooksBeyond:
        return None
    options = _options()
    options.longest_match = True
    try:
        return re2.compile(f"(?m)^(?:{line})(?:\n(?:{line}))*$", options)  # type: ignore[no-any-return]
    except re2.error:  # as a set they fit, twice in one they do not
        return None


def _automaton(patterns: Sequence[str]) -> re2.Set:
    options = _options()
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


def _translated(pattern: str, *, lines: bool = False) -> str:
    body = pattern.removeprefix("/")
    if body.endswith("/"):
        body += "**"
    inner = _Translator(pattern, body, lines=lines).translate()
    any_directory = "[^\n]*/" if lines else ".*/"
    return f"(?:{inner})" if pattern.startswith("/") else f"(?:(?:{any_directory})?(?:{inner}))"


class _LooksBeyond(Exception):
    """A pattern may match a newline, which is what ends a line."""


class _Translator:
    """Args: lines: the expression matches no newline, or there is none (`_LooksBeyond`)."""

    def __init__(self, pattern: str, body: str, *, lines: bool) -> None:
        self._pattern, self._body, self._at, self._depth = pattern, body, 0, 0
        self._lines = lines
        self._any = "[^\n]*" if lines else ".*"
        self._other = "[^/\n]" if lines else "[^/]"

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
                return self._escaped(self._next("a backslash at the end"))
            case "*":
                return self._any if self._take("*") else f"{self._other}*"
            case "?":
                return self._other
            case "[":
                return self._character_class()
            case "{":
                return self._regex() if self._take("{") else self._alternatives()
            case _:
                return self._plain(char)

    def _plain(self, char: str) -> str:
        if char == "\n" and self._lines:
            raise _LooksBeyond
        return _literal(char)

    def _escaped(self, char: str) -> str:
        if char not in _CLASSES:
            return self._plain(char)
        if self._lines and char in "DsSW":
            raise _LooksBeyond
        return f"\\{char}"

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
        negated = self._take("!") or self._take("^")
        parts = ["/\n" if self._lines else "/"] if negated else []
        first = True
        while first or not self._take("]"):
            first = False
            if self._at >= len(self._body):
                self._refuse("[ without ]")
            parts.append(self._range())
        return f"[{'^' if negated else ''}{''.join(parts)}]"

    def _range(self) -> str:
        if self._body.startswith("[:", self._at):
            end = self._body.find(":]", self._at)
            name = self._body[self._at + 2 : end] if end > 0 else ""
            if name.removeprefix("^") in _POSIX:
                self._at = end + 2
                if self._lines and name not in ("alnum", "alpha", "digit", "lower", "upper", "word", "xdigit"):
                    raise _LooksBeyond
                return f"[:{name}:]"
        low, is_class = self._member()
        if is_class:
            return self._escaped(low)
        if self._body[self._at : self._at + 1] != "-" or self._body[self._at + 1 : self._at + 2] in ("", "]"):
            high = low
        else:
            self._at += 1
            high, _ = self._member()
        if high < low:
            self._refuse(f"bad range {low}-{high}")
        if self._lines and low <= "\n" <= high:
            raise _LooksBeyond
        return f"{_literal(low)}-{_literal(high)}"

    def _member(self) -> tuple[str, bool]:
        """Return the next character of a class, and whether it stands for a class itself."""
        char = self._next("[ without ]")
        if char != "\\":
            return char, False
        char = self._next("[ without ]")
        return char, char in _CLASSES

    def _regex(self) -> str:
        if self._lines:
            raise _LooksBeyond
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
