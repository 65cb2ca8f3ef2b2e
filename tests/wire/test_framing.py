from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from migmond.domain.errors import FrameTooLarge, ProtocolError
from migmond.wire.framing import FrameReader, LineReader, frame


def pieces(data: bytes, cuts: list[int]) -> list[bytes]:
    places = sorted({min(c, len(data)) for c in cuts})
    return [data[a:b] for a, b in zip([0, *places], [*places, len(data)], strict=True)]


@given(st.lists(st.binary(max_size=50)), st.lists(st.integers(0, 3000)))
def test_frames_come_out_as_they_went_in_however_they_are_cut(payloads: list[bytes], cuts: list[int]) -> None:
    reader = FrameReader(50)
    stream = b"".join(frame(p) for p in payloads)
    found = [f for piece in pieces(stream, cuts) for f in reader.feed(piece)]
    assert found == payloads
    reader.finish()


@given(st.lists(st.binary(max_size=40).map(lambda b: b.replace(b"\n", b"").strip())), st.lists(st.integers(0, 3000)))
def test_lines_come_out_as_they_went_in(lines: list[bytes], cuts: list[int]) -> None:
    reader = LineReader(40)
    stream = b"".join(line + b"\n" for line in lines)
    found = [f for piece in pieces(stream, cuts) for f in reader.feed(piece)]
    assert found == [line for line in lines if line.strip()]
    reader.finish()


def test_a_long_frame_is_refused_by_its_header() -> None:
    with pytest.raises(FrameTooLarge):
        list(FrameReader(10).feed((11).to_bytes(4, "big")))


def test_a_long_line_is_refused_before_it_ends() -> None:
    with pytest.raises(FrameTooLarge):
        list(LineReader(10).feed(b"x" * 11))


@pytest.mark.parametrize("data", [b"\0", b"\0\0\0\5ab"])
def test_an_end_in_the_middle_is_an_error(data: bytes) -> None:
    reader = FrameReader(10)
    assert list(reader.feed(data)) == []
    with pytest.raises(ProtocolError, match="incomplete"):
        reader.finish()
