"""JSON-RPC 2.0 (https://www.jsonrpc.org/specification) over msgpack or JSON. No I/O.

Named parameters only. Every problem with what came from outside is a `Malformed` that says which code to answer with.
"""

from __future__ import annotations

import enum
from typing import Any, TypeAlias

import msgspec

from migmond.domain.errors import ProtocolError
from migmond.domain.packing import pack_for_anyone

RequestId: TypeAlias = str | int | None

PARSE_ERROR = -32700
INVALID_REQUEST = -32600
METHOD_NOT_FOUND = -32601
INVALID_PARAMS = -32602
INTERNAL_ERROR = -32603

MAX_BATCH = 1000
"""Requests in one batch."""


class Encoding(enum.Enum):
    """How messages of a connection are written."""

    MSGPACK = "msgpack"
    JSON = "json"


class Request(msgspec.Struct, frozen=True):
    """A call. `notification` is True when no answer is wanted. `params` are undecoded bytes in the same encoding."""

    id: RequestId
    method: str
    params: msgspec.Raw
    notification: bool


class Malformed(ProtocolError):
    """A message that is no request; `code` and `id` go into the answer."""

    def __init__(self, code: int, message: str, id_: RequestId = None) -> None:
        super().__init__(message)
        self.code = code
        self.id = id_


class Batch(msgspec.Struct, frozen=True):
    """Several messages that came together and are answered together."""

    items: tuple[Request | Malformed, ...]


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


class _Envelope(msgspec.Struct):
    """A request as it came. UNSET tells a missing field from null."""

    jsonrpc: Any = msgspec.UNSET
    method: Any = msgspec.UNSET
    params: msgspec.Raw = msgspec.Raw()
    id: Any = msgspec.UNSET


_Items = msgspec.defstruct(
    "_Items", [(f"item_{n}", msgspec.Raw, msgspec.Raw()) for n in range(MAX_BATCH + 1)], array_like=True
)
"""The first items of an array; an empty Raw stands for one that is not there. A list would make an object of each of
the 16 million numbers that fit into a frame; what is beyond the last field of a struct is only skipped."""


class Answer(msgspec.Struct, frozen=True):
    """Anything a client may receive: an answer (`id`) or a notification (`method`)."""

    id: RequestId = None
    method: str = ""
    params: msgspec.Raw = msgspec.Raw()
    result: msgspec.Raw = msgspec.Raw()
    error: ErrorObject | None = None


class Codec:
    """Reads and writes messages in one encoding. A JSON message is one line without its newline."""

    def __init__(self, encoding: Encoding) -> None:
        self.encoding = encoding
        if encoding is Encoding.JSON:
            self._encode = msgspec.json.Encoder().encode
            self._many: Any = msgspec.json.Decoder(_Items)
            self._envelope: Any = msgspec.json.Decoder(_Envelope)
            self._answer: Any = msgspec.json.Decoder(Answer)
        else:
            self._encode = msgspec.msgpack.Encoder().encode
            self._many = msgspec.msgpack.Decoder(_Items)
            self._envelope = msgspec.msgpack.Decoder(_Envelope)
            self._answer = msgspec.msgpack.Decoder(Answer)

    def encode(self, message: Any) -> bytes:
        """Return the message's bytes, without frame or newline.

        Raises:
            OverflowError: msgpack has no form for a number in it.
        """
        return self._encode(message)

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
            return msgspec.json.decode(raw, type=type_)
        return msgspec.msgpack.decode(raw, type=type_)

    def decode(self, data: bytes) -> Request | Batch:
        """Read what a client sent.

        Raises:
            Malformed: it is neither a request nor a batch of at least one. Inside a batch, malformed items stand
                as Malformed in their place.
        """
        if not self._looks_like_batch(data):
            return self._request(data)
        try:
            parts = [part for item in msgspec.structs.astuple(self._many.decode(data)) if (part := bytes(item))]
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as e:
            raise Malformed(PARSE_ERROR, f"not valid {self.encoding.value}: {e}") from e
        if not parts:
            raise Malformed(INVALID_REQUEST, "an empty batch")
        if len(parts) > MAX_BATCH:
            raise Malformed(INVALID_REQUEST, f"a batch of more than {MAX_BATCH}")
        items: list[Request | Malformed] = []
        for part in parts:
            try:
                items.append(self._request(part))
            except Malformed as e:
                items.append(e)
        return Batch(tuple(items))

    def decode_answer(self, data: bytes) -> Answer:
        """Read what a daemon sent.

        Raises:
            ProtocolError: it is no answer.
        """
        try:
            answer: Answer = self._answer.decode(data)
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as e:
            raise ProtocolError(f"the daemon sent something that is no answer: {e}") from e
        return answer

    def _looks_like_batch(self, data: bytes) -> bool:
        if self.encoding is Encoding.JSON:
            return data.lstrip()[:1] == b"["
        first = data[:1]
        return bool(first) and (0x90 <= first[0] <= 0x9F or first[0] in (0xDC, 0xDD))

    def _request(self, data: bytes) -> Request:
        try:
            found: _Envelope = self._envelope.decode(data)
        except msgspec.ValidationError as e:
            raise Malformed(INVALID_REQUEST, f"not a request object: {e}") from e
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as e:
            raise Malformed(PARSE_ERROR, f"not valid {self.encoding.value}: {e}") from e
        id_ = found.id
        good_id = id_ is msgspec.UNSET or id_ is None or isinstance(id_, str) or type(id_) is int
        answer_to: RequestId = id_ if good_id and id_ is not msgspec.UNSET else None
        if found.jsonrpc != "2.0":
            raise Malformed(INVALID_REQUEST, 'the field jsonrpc must be "2.0"', answer_to)
        if not isinstance(found.method, str) or not found.method:
            raise Malformed(INVALID_REQUEST, "the field method must be a name", answer_to)
        if not good_id:
            raise Malformed(INVALID_REQUEST, "the field id must be a string, an integer or null")
        return Request(answer_to, found.method, found.params, notification=id_ is msgspec.UNSET)
