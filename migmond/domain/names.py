"""File names are bytes; this is their one text form, lossless and printable.

Valid UTF-8 that prints stands as it is. A backslash is doubled; every control character, unprintable
code point and byte that is not UTF-8 becomes `\\xHH` per byte. `from_text(to_text(b)) == b` for all b.
The API, `--json` and the terminal all use this form, so hostile names (newlines, escape sequences,
bidirectional overrides) can neither spoil a terminal nor be lost.
"""

from __future__ import annotations

import re

from migmond.domain.errors import InvalidInput

MAX_ASKED = 1 << 16
"""Characters of a path that anybody may ask about. Trees may be deeper than what the kernel takes at once (4,095
bytes), so this is more. One of 65,536 that are all escapes keeps the loop for 20 to 35 ms (measured)."""

_ESCAPE = re.compile(rb"\\(x[0-9a-fA-F]{2}|\\)?")


def to_text(name: bytes) -> str:
    """Return the text form of `name`."""
    try:
        text = name.decode("utf-8")
    except UnicodeDecodeError:
        text = name.decode("utf-8", "surrogateescape")
    if text.isprintable() and "\\" not in text:
        return text
    return "".join(_escape(c) for c in text)


def common_directory(lowest: bytes, highest: bytes) -> bytes:
    """Return the deepest directory that all paths lie in, or are, of which these are the first and the last in order of
    bytes, each with a slash at its end; b"" when that is the root. (What these two begin with alike, all between them
    do. Without the slash `a-` would lie between `a` and `a/b`.)"""
    common = 0
    for mine, theirs in zip(lowest, highest, strict=False):
        if mine != theirs:
            break
        common += 1
    found = lowest[:common]
    return found[: max(0, found.rfind(b"/"))]


def _escape(char: str) -> str:
    if char == "\\":
        return "\\\\"
    if char.isprintable():
        return char
    return "".join(f"\\x{b:02x}" for b in char.encode("utf-8", "surrogateescape"))


def from_text(text: str) -> bytes:
    """Return the bytes that `text` stands for.

    Raises:
        InvalidInput: a backslash that starts no escape, or a lone surrogate.
    """
    try:
        raw = text.encode("utf-8")
    except UnicodeEncodeError as e:
        raise InvalidInput(f"path is not valid text at character {e.start}", hint="write raw bytes as \\xHH") from e
    if b"\\" not in raw:
        return raw

    def unescape(match: re.Match[bytes]) -> bytes:
        body = match.group(1)
        if body is None:
            raise InvalidInput(
                f"stray backslash in path {_short(text)}", hint="write a backslash as \\\\, a raw byte as \\xHH"
            )
        return b"\\" if body == b"\\" else bytes((int(body[1:], 16),))

    return _ESCAPE.sub(unescape, raw)


def from_outside(text: str) -> bytes:
    """Return the bytes that a path stands for which somebody sent: `from_text` for texts of any length, bounded.

    Raises:
        InvalidInput: it is longer than MAX_ASKED, or as for `from_text`.
    """
    if len(text) > MAX_ASKED:
        raise InvalidInput(f"path {_short(text)} has {len(text):,} characters", hint=f"the limit is {MAX_ASKED:,}")
    return from_text(text)


def _short(text: str) -> str:
    return repr(text) if len(text) <= 200 else f"{text[:40]!r}…"
