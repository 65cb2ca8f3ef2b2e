"""Structs as bytes: msgpack, and JSON for the few that hold a number which msgpack has no form for.

Times are nanoseconds since the epoch everywhere, as whole numbers without limit. The times that files have may need
94 bits (64 of seconds, 30 of nanoseconds), and msgpack holds 64: they end in 1677 below and in 2554 above. JSON's
numbers have no end, and JSON of an array or an object begins with a byte with which no msgpack of one does: one look
tells which it is. Nothing is rounded, and what is ordinary pays nothing for what is not.
"""

from __future__ import annotations

from typing import Any, Generic, TypeVar

import msgspec

from migmond.domain.decoding import json_decoder, msgpack_decoder

T = TypeVar("T")

_INT64_MIN, _INT64_MAX = -(1 << 63), (1 << 63) - 1
_JSON_BEGINS = frozenset(b"[{")
"""In msgpack these are the small numbers 91 and 123 (https://github.com/msgpack/msgpack/blob/master/spec.md)."""


def pack(data: msgspec.Struct) -> bytes:
    """Return `data` as bytes that an `Unpacker` of its type takes."""
    try:
        return msgspec.msgpack.encode(data)
    except OverflowError:
        return msgspec.json.encode(data)


def pack_for_anyone(data: Any) -> bytes:
    """Return msgpack that every reader takes, whatever numbers are in `data`.

    Sums of sizes may be larger than all 64 bits hold (three empty files of 8 EiB are enough, and anybody can make such
    files): the largest signed number of 64 bits stands for those. Only what is shown is rounded like that.
    """
    try:
        return msgspec.msgpack.encode(data)
    except OverflowError:
        return msgspec.msgpack.encode(_saturated(msgspec.to_builtins(data, builtin_types=(bytes,))))


def _saturated(data: Any) -> Any:
    if isinstance(data, dict):
        return {key: _saturated(value) for key, value in data.items()}
    if isinstance(data, list | tuple):
        return [_saturated(value) for value in data]
    if isinstance(data, int) and not isinstance(data, bool):
        return max(_INT64_MIN, min(data, _INT64_MAX))
    return data


class Unpacker(Generic[T]):
    """Makes structs of type `type_` (or of a union of such) of bytes."""

    def __init__(self, type_: Any) -> None:
        self._msgpack: msgspec.msgpack.Decoder[T] = msgpack_decoder(type_)
        self._json: msgspec.json.Decoder[T] = json_decoder(type_)

    def unpack(self, data: bytes) -> T:
        """Return what `pack` made `data` of.

        Raises:
            msgspec.DecodeError: it is something else.
        """
        return (self._json if data[:1] and data[0] in _JSON_BEGINS else self._msgpack).decode(data)
