"""An HTTP server on the loopback address that notes what it is sent and answers as it is told."""

from __future__ import annotations

import http.server
import ssl
import subprocess
import threading
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec


class Seen(msgspec.Struct, frozen=True):
    path: str
    headers: dict[str, str]
    body: bytes


class Loopback:
    """A context manager; `answers` are statuses with headers, the last one again and again.

    Args:
        tls: certificate and key in one file.
        port: 0 for any that is free.
    """

    def __init__(self, tls: Path | None = None, port: int = 0) -> None:
        self.seen: list[Seen] = []
        self.answers: list[tuple[int, dict[str, str]]] = [(200, {})]
        self.hang = threading.Event()
        self.hang.set()
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
                outer.seen.append(Seen(self.path, {k.lower(): v for k, v in self.headers.items()}, body))
                outer.hang.wait(20)
                status, headers = outer.answers.pop(0) if len(outer.answers) > 1 else outer.answers[0]
                self.send_response(status)
                for name, value in {**headers, "Content-Length": "0"}.items():
                    self.send_header(name, value)
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002
                return

        class Quiet(http.server.ThreadingHTTPServer):
            def handle_error(self, request: object, client_address: object) -> None:
                return  # who hangs up early

        self._server = Quiet(("127.0.0.1", port), Handler)
        if tls is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(tls)
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self.port = self._server.server_address[1]
        self.url = f"http{'s' if tls else ''}://localhost:{self.port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, k: type[BaseException] | None, e: BaseException | None, t: TracebackType | None) -> None:
        self.hang.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


def certificate(directory: Path) -> Path:
    """Make a certificate for localhost that only itself vouches for; returns a file with it and its key."""
    made, key = directory / "localhost.pem", directory / "localhost.key"
    subprocess.run(
        [
            "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
            "-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost",
            "-keyout", str(key), "-out", str(made),
        ],
        check=True, capture_output=True,
    )  # fmt: skip
    made.write_text(made.read_text() + key.read_text())
    return made


def free_port() -> int:
    """Return a port that nobody listens at."""
    with Loopback() as gone:
        return gone.port
