"""JSON-RPC 2.0 (https://www.jsonrpc.org/specification) over msgpack or JSON. No I/O.

What both sides share; `requests` reads what a client sent, `answers` what a daemon did.
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from typing import Any, TypeAlias, TypeVar

import msgspec

from migmond.domain.decoding import from_json, from_msgpack, json_decoder, msgpack_decoder
from migmond.domain.packing import pack_for_anyone

RequestId: TypeAlias = str | int | None
R = TypeVar("R")

PARSE_ERROR = -32700
INVALID_REQUEST = -32600
METHOD_NOT_FOUND = -32601
INVALID_PARAMS = -32602
INTERNAL_ERROR = -32603


class Encoding(enum.Enum):
    """How messages of a connection are written."""

    MSGPACK = "msgpack"
    JSON = "json"


class ErrorObject(msgspec.Struct, frozen=True, omit_defaults=True):
    """The `error` of an answer. `data` has kind, retryable, path, errno, hint, field."""

    code: int
    message: str
    data: dict[str, Any] | None = None


class Success(msgspec.Struct, frozen=True):
    """An answer with a result."""

    id: RequestId
    result: Any
    jsonrpc: str = "2.0"


class Failure(msgspec.Struct, frozen=True):
    """An answer with an error."""

    id: RequestId
    error: ErrorObject
    jsonrpc: str = "2.0"


class Notification(msgspec.Struct, frozen=True):
    """A message from the daemon that nobody asked for; `params` may be `msgspec.Raw`."""

    method: str
    params: Any
    jsonrpc: str = "2.0"


class Codec:
    """Writes messages in one encoding, and reads their parts. A JSON message is one line without its newline."""

    def __init__(self, encoding: Encoding) -> None:
        self.encoding = encoding
        json = encoding is Encoding.JSON
        self._encode = msgspec.json.Encoder().encode if json else msgspec.msgpack.Encoder().encode

    def encode(self, message: Any) -> bytes:
        """Return the message's bytes, without frame or newline.

        Raises:
            OverflowError: msgpack has no form for a number in it.
        """
        return self._encode(message)

    def decoder(self, type_: type[R]) -> Callable[[bytes], R]:
        """Return what decodes many messages of one type; see `convert` for what it raises."""
        if self.encoding is Encoding.JSON:
            return json_decoder(type_).decode
        return msgpack_decoder(type_).decode

    def encode_success(self, message: Success) -> bytes:
        """The same for an answer, whatever numbers are in it: see `migmond.domain.packing.pack_for_anyone`."""
        return self._encode(message) if self.encoding is Encoding.JSON else pack_for_anyone(message)

    def convert(self, raw: msgspec.Raw, type_: type[Any]) -> Any:
        """Decode a part to its type.

        Raises:
            msgspec.ValidationError: it does not fit; the text names the field.
            msgspec.DecodeError, RecursionError, UnicodeDecodeError: it is no valid encoding at all.
        """
        if self.encoding is Encoding.JSON:
            return from_json(raw, type_)
        return from_msgpack(raw, type_)
