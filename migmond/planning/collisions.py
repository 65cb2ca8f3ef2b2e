"""Names that are different at the source and one at the target."""

from __future__ import annotations

import unicodedata

from migmond.domain.preflight import Folding


def folded(name: bytes, folding: Folding, *, drops_dots: bool = False) -> bytes:
    """Return what all names have in common that a file system of that folding takes for the same as `name`.

    A name that is not UTF-8 has no case: it is compared by its bytes, as ext4 does.

    Args:
        folding: NONE returns the name itself; UNKNOWN is as UNICODE, which finds all that may collide.
        drops_dots: dots at the end do not count.
    """
    if drops_dots:
        name = name.rstrip(b".") or name
    if folding is Folding.NONE:
        return name
    if name.isascii():
        return name.lower()
    try:
        text = name.decode()
    except UnicodeDecodeError:
        return name
    if folding is Folding.CASE:
        return "".join(map(_simple, text)).encode()
    return unicodedata.normalize("NFD", unicodedata.normalize("NFD", text).casefold()).encode()


def _simple(char: str) -> str:
    """Tables of FAT, exFAT and NTFS have one character for one: an sharp s is no double s there."""
    upper = char.upper()
    return upper.lower() if len(upper) == 1 and len(upper.lower()) == 1 else char


class Collisions:
    """Finds the names of one directory that collide. Memory: one key for each name in it.

    Args:
        folding, drops_dots: as in `folded`.
    """

    def __init__(self, folding: Folding, *, drops_dots: bool = False) -> None:
        self._folding = folding
        self._drops_dots = drops_dots
        self._idle = folding is Folding.NONE and not drops_dots
        self._seen: dict[bytes, bool] = {}

    def add(self, name: bytes) -> int:
        """Take a further name; returns how many more names are known to collide now (0, 1, or 2 for the first pair)."""
        if self._idle:
            return 0
        key = folded(name, self._folding, drops_dots=self._drops_dots)
        met = self._seen.get(key)
        if met is None:
            self._seen[key] = False
            return 0
        self._seen[key] = True
        return 1 if met else 2
