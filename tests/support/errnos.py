"""Expecting one certain failure of the operating system."""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Iterator


@contextlib.contextmanager
def fails_with(number: int) -> Iterator[None]:
    """Pass when the body raises OSError with that errno."""
    try:
        yield
    except OSError as e:
        if e.errno != number:
            raise AssertionError(f"{e!r} instead of {errno.errorcode[number]}") from e
    else:
        raise AssertionError(f"nothing was raised instead of {errno.errorcode[number]}")
