"""A connection to a mail server that may be hostile: it can be cut from outside, and only so much is read from it.

smtplib waits a whole timeout for each piece that comes, and keeps every line of an answer: a server that sends a byte
now and then, or never ends, would have a thread or the daemon's memory for ever.
"""

from __future__ import annotations

import contextlib
import smtplib
import socket
import ssl
import threading
from typing import IO

MOST_SAID = 64 << 10
"""Bytes that a server may say on one connection, before TLS and after it: what real ones say is some hundred."""


class Line:
    """The connection of one mail, as whoever waits for it sees it. May be used by two threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._socket: socket.socket | None = None
        self._is_cut = False

    def take(self, connection: socket.socket) -> None:
        """It is this one.

        Raises:
            TimeoutError: nobody waits for it any more.
        """
        with self._lock:
            if self._is_cut:
                connection.close()
                raise TimeoutError("it took too long")
            # TLS takes the socket's descriptor over: a second one is shut down for both.
            self._socket = connection.dup()

    def cut(self) -> None:
        """Whoever reads or writes there is told that it has ended, now or when it begins."""
        with self._lock:
            self._is_cut = True
            if self._socket is not None:
                with contextlib.suppress(OSError):
                    self._socket.shutdown(socket.SHUT_RDWR)
                self._socket.close()
                self._socket = None


class _Bounded:
    """A file from which only so much can be read."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._left = MOST_SAID

    def readline(self, size: int) -> bytes:
        line = self._file.readline(size)
        self._left -= len(line)
        if self._left < 0:
            raise OSError("it says too much")  # smtplib hangs up then
        return line

    def close(self) -> None:
        self._file.close()


class Connection(smtplib.SMTP):
    """Without TLS, or with STARTTLS."""

    def __init__(self, line: Line, host: str, port: int, timeout: float) -> None:
        self._line = line
        super().__init__(host, port, timeout=timeout)

    def _get_socket(self, host: str, port: int, timeout: float) -> socket.socket:
        made = socket.create_connection((host, port), timeout)
        self._line.take(made)
        return made

    def getreply(self) -> tuple[int, bytes]:
        if self.file is None and self.sock is not None:
            self.file = _Bounded(self.sock.makefile("rb"))
        return super().getreply()


class TlsConnection(smtplib.SMTP_SSL, Connection):
    """With TLS from the first byte on."""

    def __init__(self, line: Line, host: str, port: int, timeout: float, context: ssl.SSLContext) -> None:
        self._line = line
        smtplib.SMTP_SSL.__init__(self, host, port, timeout=timeout, context=context)
