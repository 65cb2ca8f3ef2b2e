"""rclone's filter patterns as regular expressions (https://rclone.org/filtering, "Pattern syntax")."""

from __future__ import annotations

import re

from migmond.domain.errors import InvalidInput

MAX_PATTERN_LENGTH = 4096


def compile_pattern(pattern: str) -> re.Pattern[str]:
    """Translate one pattern; the result is to be used with `search` on a path without leading slash.

    `*` any run without `/`, `**` any run, `?` one character but `/`, `[a-z]` a class, `{a,b}` alternatives,
    `{{regex}}` a regular expression, `\\` takes the next character literally. A leading `/` anchors at the root;
    otherwise the pattern matches from the start of any path component. A trailing `/` means all below a directory.

    Raises:
        InvalidInput: unbalanced brackets, an empty pattern, or a bad regular expression.
    """
    if not pattern or pattern == "/":
        raise InvalidInput("an empty pattern matches nothing", hint="write e.g. *.jpg or /photos/**")
    if len(pattern) > MAX_PATTERN_LENGTH:
        raise InvalidInput(f"a pattern of {len(pattern)} characters is too long", hint="use several patterns")
    body = pattern.removeprefix("/")
    if body.endswith("/"):
        body += "**"
    prefix = "^" if pattern.startswith("/") else "(?:^|/)"
    try:
        return re.compile(prefix + _Translator(pattern, body).translate() + "$", re.DOTALL)
    except re.error as e:
        raise InvalidInput(f"bad pattern {pattern!r}: {e}", hint="see rclone's pattern syntax") from e


class _Translator:
    def __init__(self, pattern: str, body: str) -> None:
        self._pattern, self._body, self._at = pattern, body, 0

    def translate(self) -> str:
        out, depth = [], 0
        while self._at < len(self._body):
            char = self._body[self._at]
            self._at += 1
            if char == "\\":
                out.append(re.escape(self._next("a backslash at the end")))
            elif char == "*":
                if self._take("*"):
                    out.append(".*")
                else:
                    out.append("[^/]*")
            elif char == "?":
                out.append("[^/]")
            elif char == "[":
                out.append(self._character_class())
            elif char == "{" and self._take("{"):
                out.append(self._regex())
            elif char == "{":
                depth += 1
                out.append("(?:")
            elif char == "}" and depth:
                depth -= 1
                out.append(")")
            elif char == "}":
                raise self._bad("} without {")
            elif char == "," and depth:
                out.append("|")
            else:
                out.append(re.escape(char))
        if depth:
            raise self._bad("{ without }")
        return "".join(out)

    def _take(self, char: str) -> bool:
        if self._body.startswith(char, self._at):
            self._at += 1
            return True
        return False

    def _next(self, problem: str) -> str:
        if self._at >= len(self._body):
            raise self._bad(problem)
        self._at += 1
        return self._body[self._at - 1]

    def _character_class(self) -> str:
        end = self._body.find("]", self._at + 1)
        if end < 0:
            raise self._bad("[ without ]")
        inner = self._body[self._at : end]
        self._at = end + 1
        negated = inner[:1] in {"!", "^"}
        inner = inner[negated:].replace("\\", "\\\\").replace("[", "\\[")
        return f"[{'^/' if negated else ''}{inner}]"

    def _regex(self) -> str:
        end = self._body.find("}}", self._at)
        if end < 0:
            raise self._bad("{{ without }}")
        inner = self._body[self._at : end]
        self._at = end + 2
        return f"(?:{inner})"

    def _bad(self, problem: str) -> InvalidInput:
        return InvalidInput(f"bad pattern {self._pattern!r}: {problem}", hint="see rclone's pattern syntax")
