"""msgspec's decoders, made by one thread at a time.

What msgspec (0.22) has found out about a struct's fields it keeps with the class, and it puts that there before it has
found out all of it, for structs may refer to themselves. Whoever makes a decoder of a type with that struct in it
meanwhile, in another thread, takes half of it for the whole, and reads at address 0: of 40 processes whose four threads
began with the same type, 14 were ended by SIGSEGV. So did a daemon that took up two migrations at once.
"""

from __future__ import annotations

import re
import threading
from typing import Any, TypeVar

import msgspec

from migmond.domain.errors import inside

T = TypeVar("T")

_PLACE = re.compile(r" - at (?:`key` in )?`\$\.?([^`]*)`$")
_NAMED = re.compile(r"Object (?:missing required|contains unknown) field `(.*)`$", re.DOTALL)
_MAKING = threading.Lock()
"""Of the process, as what msgspec keeps is."""


def msgpack_decoder(type_: Any) -> msgspec.msgpack.Decoder[Any]:
    """Return a decoder of msgpack to `type_`."""
    with _MAKING:
        return msgspec.msgpack.Decoder(type_)


def json_decoder(type_: Any) -> msgspec.json.Decoder[Any]:
    """Return a decoder of JSON to `type_`."""
    with _MAKING:
        return msgspec.json.Decoder(type_)


def from_msgpack(data: bytes | msgspec.Raw, type_: type[T]) -> T:
    """Decode msgpack to `type_`; raises as `msgspec.msgpack.decode`."""
    found: T = msgpack_decoder(type_).decode(data)
    return found


def from_json(data: bytes | str | msgspec.Raw, type_: type[T]) -> T:
    """Decode JSON to `type_`; raises as `msgspec.json.decode`."""
    found: T = json_decoder(type_).decode(data)
    return found


def converted(value: Any, type_: type[T], *, strict: bool = True) -> T:
    """Return what plain data is as `type_`.

    Args:
        strict: a text that looks like a number is none.

    Raises:
        msgspec.ValidationError: it is nothing of the kind; the text names the field.
    """
    with _MAKING:
        return msgspec.convert(value, type_, strict=strict)


def field_of(error: msgspec.ValidationError) -> str:
    """Return which field does not fit its type, "" when that is not told: `plan.sources[0].path`."""
    text = str(error)
    place = _PLACE.search(text)
    named = _NAMED.search(text[: place.start()] if place else text)
    return inside(place[1] if place else "", named[1] if named else "")
