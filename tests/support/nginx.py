"""nginx with a site of contrib/nginx, on a port of its own, and requests to it over TLS."""

from __future__ import annotations

import base64
import http.client
import os
import shutil
import socket
import ssl
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from daemon import ROOT
from gateway import BASE, free_port

NGINX = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
NAME = "nas.example"
"""In the sites of contrib/nginx."""


def missing() -> str:
    """Return why it cannot be run here, "" when it can."""
    return "" if NGINX and shutil.which("openssl") else "nginx or openssl is missing"


class Nginx:
    """A context manager that starts nginx, and stops it at the end.

    Args:
        directory: for its files.
        site: name of the file in contrib/nginx.
    """

    def __init__(self, directory: Path, site: str) -> None:
        self._directory = directory
        self._site = (ROOT / "contrib" / "nginx" / site).read_text()
        self.port = free_port()
        self.host = f"{NAME}:{self.port}"
        self.origin = f"https://{self.host}"
        self._process: subprocess.Popen[bytes] | None = None

    def change(self, changes: Mapping[str, str]) -> None:
        """Put something else in the place of what stands in the site. Raises AssertionError: it does not."""
        for there, here in changes.items():
            assert there in self._site, there
            self._site = self._site.replace(there, here)

    def __enter__(self) -> Self:
        directory = self._directory
        key, certificate = directory / "key.pem", directory / "certificate.pem"
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", f"/CN={NAME}", "-days", "2",
             "-keyout", key, "-out", certificate], check=True, capture_output=True,
        )  # fmt: skip
        self.change({
            "listen 443 ssl": f"listen 127.0.0.1:{self.port} ssl",
            f"/etc/ssl/{NAME}.pem": str(certificate),
            f"/etc/ssl/private/{NAME}.key": str(key),
        })  # fmt: skip
        (directory / "nginx.conf").write_text(
            f"daemon off; worker_processes 1; user {os.environ.get('USER', 'root')}; pid {directory}/pid;\n"
            f"error_log {directory}/error.log; events {{}}\nhttp {{ access_log off; proxy_temp_path {directory}/t;\n"
            f"client_body_temp_path {directory}/b;\n{self._site}\n}}\n"
        )
        assert NGINX
        log = directory / "error.log"
        self._process = subprocess.Popen([NGINX, "-c", directory / "nginx.conf", "-e", log])
        deadline = time.monotonic() + 20
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
                return self
            except OSError:
                assert self._process.poll() is None, log.read_text()
                assert time.monotonic() < deadline
                time.sleep(0.05)

    def __exit__(self, k: type[BaseException] | None, e: BaseException | None, t: TracebackType | None) -> None:
        assert self._process is not None
        self._process.terminate()
        self._process.wait(20)

    def connected(self, source: str = "127.0.0.1") -> ssl.SSLSocket:
        """Return a connection to it. `source`: the address that it comes from."""
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        sock = socket.create_connection(("127.0.0.1", self.port), timeout=20, source_address=(source, 0))
        return context.wrap_socket(sock, server_hostname=NAME)

    def ask(
        self,
        verb: str,
        path: str,
        body: str | None = None,
        headers: Mapping[str, str] | None = None,
        source: str = "127.0.0.1",
    ) -> tuple[http.client.HTTPResponse, bytes]:
        """Send a request from `source` as a page there does; returns the answer and its body."""
        connection = http.client.HTTPConnection(NAME, self.port)
        connection.sock = self.connected(source)
        sent = {"Host": self.host, "Origin": self.origin, "X-Migmond": "1", **(headers or {})}
        connection.request(verb, path, body, sent)
        answer = connection.getresponse()
        found = answer.read()
        connection.close()
        return answer, found

    def heard(self, until: bytes, headers: Mapping[str, str]) -> bytes:
        """Listen on a WebSocket until that was said, or nothing more comes; returns all of it."""
        key = base64.b64encode(os.urandom(16)).decode()
        lines = [f"GET {BASE}/stream HTTP/1.1", f"Host: {self.host}", f"Origin: {self.origin}", "Connection: Upgrade",
                 "Upgrade: websocket", "Sec-WebSocket-Version: 13", f"Sec-WebSocket-Key: {key}",
                 *(f"{name}: {value}" for name, value in headers.items()), "", ""]  # fmt: skip
        found = b""
        with self.connected() as sock:
            sock.sendall("\r\n".join(lines).encode())
            while until not in found and (data := sock.recv(65536)):
                found += data
        return found
