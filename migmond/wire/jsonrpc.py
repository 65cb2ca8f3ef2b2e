"""JSON-RPC 2.0 (https://www.jsonrpc.org/specification) over msgpack or JSON. No I/O.

What both sides share; `requests` reads what a client sent, `answers` what a daemon did.
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from typing import Any, TypeAlias, TypeVar

import msgspec

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
    """The `error` of an answer. `data` has kind, retryable, path, errno, hint."""

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
        """Return the message's bytes, without frame or newline."""
        return self._encode(message)

    def decoder(self, type_: type[R]) -> Callable[[bytes], R]:
        """Return what decodes many messages of one type; see `convert` for what it raises."""
        if self.encoding is Encoding.JSON:
            return msgspec.json.Decoder(type_).decode
        return msgspec.msgpack.Decoder(type_).decode

    def convert(self, raw: msgspec.Raw, type_: type[Any]) -> Any:
        """Decode a part to its type.

        Raises:
            msgspec.ValidationError: it does not fit; the text names the field.
            msgspec.DecodeError, RecursionError, UnicodeDecodeError: it is no valid encoding at all.
        """
        if self.encoding is Encoding.JSON:
            return msgspec.json.decode(raw, type=type_)
        return msgspec.msgpack.decode(raw, type=type_)
