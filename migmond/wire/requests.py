"""Reads the JSON-RPC requests that a client sent.

Named parameters only. Every problem with what came from outside is a `Malformed` that says which code to answer with.
"""

from __future__ import annotations

from typing import Any

import msgspec

from migmond.domain.errors import ProtocolError
from migmond.wire.jsonrpc import INVALID_REQUEST, PARSE_ERROR, Codec, Encoding, RequestId

MAX_BATCH = 1000
"""Requests in one batch."""
MAX_REQUEST_BYTES = 4 << 20
"""Of a request, or a batch. Answers may be larger; reading a frame full of small things takes a third of a second, in
which nobody else is served, and no method needs that many."""


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


class _Envelope(msgspec.Struct):
    """A request as it came; an empty Raw is a missing field. Nothing is decoded before it is known to be no container:
    an id of five million empty arrays fits into a frame, and took 12 s and 400 MiB."""

    jsonrpc: msgspec.Raw = msgspec.Raw()
    method: msgspec.Raw = msgspec.Raw()
    params: msgspec.Raw = msgspec.Raw()
    id: msgspec.Raw = msgspec.Raw()


_Items = msgspec.defstruct(
    "_Items", [(f"item_{n}", msgspec.Raw, msgspec.Raw()) for n in range(MAX_BATCH + 1)], array_like=True
)
"""The first items of an array; an empty Raw stands for one that is not there. A list would make an object of each of
the 16 million numbers that fit into a frame; what is beyond the last field of a struct is only skipped."""


class RequestCodec(Codec):
    """Reads requests, and writes answers, in one encoding."""

    def __init__(self, encoding: Encoding) -> None:
        super().__init__(encoding)
        self._many = self.decoder(_Items)
        self._envelope = self.decoder(_Envelope)

    def decode(self, data: bytes) -> Request | Batch:
        """Read what a client sent.

        Raises:
            Malformed: it is neither a request nor a batch of at least one. Inside a batch, malformed items stand
                as Malformed in their place.
        """
        if len(data) > MAX_REQUEST_BYTES:
            raise Malformed(INVALID_REQUEST, f"a request of {len(data)} bytes, the limit is {MAX_REQUEST_BYTES}")
        if not self._looks_like_batch(data):
            return self._request(data)
        try:
            parts = [part for item in msgspec.structs.astuple(self._many(data)) if (part := bytes(item))]
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

    def _looks_like_batch(self, data: bytes) -> bool:
        if self.encoding is Encoding.JSON:
            return data.lstrip()[:1] == b"["
        first = data[:1]
        return bool(first) and (0x90 <= first[0] <= 0x9F or first[0] in (0xDC, 0xDD))

    def _request(self, data: bytes) -> Request:
        try:
            found = self._envelope(data)
            id_, version, method = self._scalar(found.id), self._scalar(found.jsonrpc), self._scalar(found.method)
        except msgspec.ValidationError as e:
            raise Malformed(INVALID_REQUEST, f"not a request object: {e}") from e
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as e:
            raise Malformed(PARSE_ERROR, f"not valid {self.encoding.value}: {e}") from e
        good_id = id_ is msgspec.UNSET or id_ is None or isinstance(id_, str) or type(id_) is int
        answer_to: RequestId = id_ if good_id and id_ is not msgspec.UNSET else None
        if version != "2.0":
            raise Malformed(INVALID_REQUEST, 'the field jsonrpc must be "2.0"', answer_to)
        if not isinstance(method, str) or not method:
            raise Malformed(INVALID_REQUEST, "the field method must be a name", answer_to)
        if not good_id:
            raise Malformed(INVALID_REQUEST, "the field id must be a string, an integer or null")
        return Request(answer_to, method, found.params, notification=id_ is msgspec.UNSET)

    def _scalar(self, raw: msgspec.Raw) -> Any:
        """Return what a field holds, UNSET for a missing one, the field itself for an array or object."""
        first = bytes(memoryview(raw)[:1])
        if not first:
            return msgspec.UNSET
        return raw if self._is_container(first[0]) else self.convert(raw, object)

    def _is_container(self, first: int) -> bool:
        if self.encoding is Encoding.JSON:
            return first in b"[{"
        return 0x80 <= first <= 0x9F or 0xDC <= first <= 0xDF
