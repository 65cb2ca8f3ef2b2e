"""Reads the JSON-RPC answers and notifications that a daemon sent."""

from __future__ import annotations

import msgspec

from migmond.domain.errors import ProtocolError
from migmond.wire.jsonrpc import Codec, Encoding, ErrorObject, RequestId


class Answer(msgspec.Struct, frozen=True):
    """Anything a client may receive: an answer (`id`) or a notification (`method`)."""

    id: RequestId = None
    method: str = ""
    params: msgspec.Raw = msgspec.Raw()
    result: msgspec.Raw = msgspec.Raw()
    error: ErrorObject | None = None


class AnswerCodec(Codec):
    """Reads answers, and writes requests, in one encoding."""

    def __init__(self, encoding: Encoding) -> None:
        super().__init__(encoding)
        self._answer = self.decoder(Answer)

    def decode_answer(self, data: bytes) -> Answer:
        """Read what a daemon sent.

        Raises:
            ProtocolError: it is no answer.
        """
        try:
            return self._answer(data)
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as e:
            raise ProtocolError(f"the daemon sent something that is no answer: {e}") from e
