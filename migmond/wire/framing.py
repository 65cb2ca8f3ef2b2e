"""Length-prefixed frames: a 4-byte big-endian length, then that many bytes. No I/O."""

from __future__ import annotations

from collections.abc import Iterator

from migmond.domain.errors import FrameTooLarge, ProtocolError

HEADER_BYTES = 4


def frame(payload: bytes) -> bytes:
    """Return `payload` with its length in front.

    Raises:
        FrameTooLarge: 4 GiB or more.
    """
    if len(payload) >= 1 << 32:
        raise FrameTooLarge("a frame cannot hold 4 GiB")
    return len(payload).to_bytes(HEADER_BYTES, "big") + payload


class FrameReader:
    """Cuts a byte stream into frames. Holds at most one incomplete frame of `max_bytes` plus what was fed last.

    Args:
        max_bytes: longest payload accepted.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._buffer = bytearray()

    @property
    def pending_bytes(self) -> int:
        """How much of an incomplete frame has come so far."""
        return len(self._buffer)

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Take `data` in and yield every frame that is complete now.

        Raises:
            FrameTooLarge: a header announces more than `max_bytes`, found as soon as the header is there.
        """
        buffer = self._buffer
        buffer += data
        position = 0
        try:
            while len(buffer) - position >= HEADER_BYTES:
                length = int.from_bytes(buffer[position : position + HEADER_BYTES], "big")
                if length > self._max_bytes:
                    raise FrameTooLarge(
                        f"frame of {length} bytes announced, the limit is {self._max_bytes}",
                        hint="send a 4-byte big-endian length, then msgpack; or JSON lines starting with {",
                    )
                end = position + HEADER_BYTES + length
                if len(buffer) < end:
                    break
                yield bytes(buffer[position + HEADER_BYTES : end])
                position = end
        finally:
            del buffer[:position]

    def finish(self) -> None:
        """Say that the stream has ended.

        Raises:
            ProtocolError: in the middle of a frame.
        """
        if self._buffer:
            raise ProtocolError(f"the stream ended {len(self._buffer)} bytes into an incomplete frame")


class LineReader:
    """Cuts a byte stream into lines without their newline; empty lines are left out.

    Args:
        max_bytes: longest line accepted.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._buffer = bytearray()

    @property
    def pending_bytes(self) -> int:
        """How much of an incomplete line has come so far."""
        return len(self._buffer)

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Take `data` in and yield every line that is complete now.

        Raises:
            FrameTooLarge: a line is longer than `max_bytes`.
        """
        *lines, rest = data.split(b"\n")
        for line in lines:
            whole = bytes(self._buffer) + line
            self._buffer.clear()
            if len(whole) > self._max_bytes:
                raise FrameTooLarge(f"a line of {len(whole)} bytes, the limit is {self._max_bytes}")
            if whole.strip():
                yield whole
        self._buffer += rest
        if len(self._buffer) > self._max_bytes:
            raise FrameTooLarge(f"a line of more than {self._max_bytes} bytes", hint="end each message with a newline")

    def finish(self) -> None:
        """Say that the stream has ended.

        Raises:
            ProtocolError: in the middle of a line.
        """
        if self._buffer.strip():
            raise ProtocolError(f"the stream ended {len(self._buffer)} bytes into an incomplete line")
