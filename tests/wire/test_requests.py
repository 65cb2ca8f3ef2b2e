"""What a request may cost before anybody knows that it is none."""

from __future__ import annotations

import tracemalloc

import pytest

from migmond.wire.jsonrpc import Encoding
from migmond.wire.requests import MAX_REQUEST_BYTES, Malformed, Request, RequestCodec

MANY = 500_000
EMPTY = {
    Encoding.JSON: b"[" + b"[]," * MANY + b"[]]",
    Encoding.MSGPACK: b"\xdd" + MANY.to_bytes(4, "big") + b"\x90" * MANY,
}
TEXT = {
    Encoding.JSON: {"id": b'"id"', "method": b'"method"', "jsonrpc": b'"jsonrpc"', "2.0": b'"2.0"', "a": b'"a"'},
    Encoding.MSGPACK: {
        "id": b"\xa2id", "method": b"\xa6method", "jsonrpc": b"\xa7jsonrpc", "2.0": b"\xa32.0", "a": b"\xa1a",
    },
}  # fmt: skip


def request(encoding: Encoding, **fields: bytes) -> bytes:
    named = {"jsonrpc": TEXT[encoding]["2.0"], "method": TEXT[encoding]["a"], "id": TEXT[encoding]["a"], **fields}
    parts = [(TEXT[encoding][name], value) for name, value in named.items()]
    if encoding is Encoding.JSON:
        return b"{ " + b", ".join(name + b" : " + value for name, value in parts) + b" }"
    return b"\x83" + b"".join(name + value for name, value in parts)


@pytest.mark.parametrize("encoding", Encoding)
@pytest.mark.parametrize("field", ["id", "method", "jsonrpc"])
def test_no_object_is_made_of_what_is_no_name(encoding: Encoding, field: str) -> None:
    data, codec = request(encoding, **{field: EMPTY[encoding]}), RequestCodec(encoding)
    tracemalloc.start()
    with pytest.raises(Malformed, match=field):
        codec.decode(data)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4 * len(data) < 56 * MANY  # an empty list takes 56 bytes


@pytest.mark.parametrize("encoding", Encoding)
def test_a_plain_one_is_read(encoding: Encoding) -> None:
    found = RequestCodec(encoding).decode(request(encoding))
    assert isinstance(found, Request)
    assert (found.id, found.method, found.notification) == ("a", "a", False)


@pytest.mark.parametrize("encoding", Encoding)
def test_what_is_too_long_is_not_even_looked_at(encoding: Encoding) -> None:
    with pytest.raises(Malformed, match=f"the limit is {MAX_REQUEST_BYTES}"):
        RequestCodec(encoding).decode(b"\xff" * (MAX_REQUEST_BYTES + 1))
