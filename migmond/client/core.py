"""What both clients share: requests out, answers in, no I/O."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any, TypeVar

import msgspec

from migmond.domain import api
from migmond.domain.decoding import from_msgpack
from migmond.domain.errors import InvalidInput, ProtocolError
from migmond.domain.events import Delivery
from migmond.wire.answers import Answer, AnswerCodec
from migmond.wire.framing import FrameReader, frame
from migmond.wire.jsonrpc import Encoding

MAX_FRAME_BYTES = 16 << 20
R = TypeVar("R")


class _Call(msgspec.Struct, frozen=True):
    id: int
    method: str
    params: Any
    jsonrpc: str = "2.0"


class ClientCore:
    """Numbers and frames requests, and sorts what comes back."""

    def __init__(self) -> None:
        self._ids = itertools.count(1)
        self._codec = AnswerCodec(Encoding.MSGPACK)
        self._reader = FrameReader(MAX_FRAME_BYTES)

    def request(self, method: str, params: api.Params | dict[str, Any]) -> tuple[int, bytes]:
        """Return the number and the bytes of a call.

        Raises:
            InvalidInput: there is a number in it that no message can carry.
        """
        number = next(self._ids)
        try:
            return number, frame(self._codec.encode(_Call(number, method, params)))
        except OverflowError as e:
            raise InvalidInput(f"a number for {method} is too large", hint="64 bits are the most") from e

    def feed(self, data: bytes) -> Iterator[Answer | Delivery]:
        """Yield every answer and every event that is complete now.

        Raises:
            ProtocolError: the daemon does not speak the protocol.
        """
        for payload in self._reader.feed(data):
            answer = self._codec.decode_answer(payload)
            if answer.method == "event":
                yield self.result(answer.params, Delivery)
            else:
                yield answer

    def result(self, raw: msgspec.Raw, type_: type[R]) -> R:
        """Decode a result.

        Raises:
            ProtocolError: it is not of that type: daemon and client do not fit together.
        """
        try:
            return from_msgpack(raw, type_)
        except msgspec.DecodeError as e:
            raise ProtocolError(f"the daemon's answer does not fit: {e}", hint="are both of the same version?") from e
