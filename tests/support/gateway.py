"""A gateway of one's own for tests and scripts, before a daemon of one's own."""

from __future__ import annotations

import http.client
import json
import socket
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from daemon import EmbeddedDaemon
from migmond.client.sync import Client
from migmond.domain.people import Link, LinkParams

BASE = "/api/v1/migration-monitoring"


def free_port() -> int:
    """Return a port that nobody listens at."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


class RunningGateway:
    """`migmond-web` on a port of its own. A context manager that stops it at the end.

    Args:
        unix: its socket, in place of a port.
        owner: uid and group of its process; None for ours.
    """

    def __init__(
        self,
        daemon: EmbeddedDaemon,
        *options: str,
        port: int = 0,
        unix: Path | None = None,
        owner: tuple[int, int] | None = None,
    ) -> None:
        self.daemon = daemon
        self.port = port or free_port()
        self._unix = unix
        self._owner = owner
        self._options = options
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def origin(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, k: type[BaseException] | None, e: BaseException | None, t: TracebackType | None) -> None:
        self.stop()

    def start(self) -> None:
        """Start it and wait until it serves."""
        address = f"unix:{self._unix}" if self._unix else f"127.0.0.1:{self.port}"
        command = [sys.executable, "-m", "migmond_web.main"]
        if self._owner:
            command = [sys.executable, str(Path(__file__).with_name("unprivileged_gateway.py")), *map(str, self._owner)]
        command += ["--bind", address, "--socket", self.daemon.socket]
        with open(self.daemon.home / "gateway.log", "ab") as log:
            self.process = subprocess.Popen(
                [*command, *self._options], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                env=self.daemon.environment,
            )  # fmt: skip
        deadline = time.monotonic() + 20
        while True:
            try:
                self._connect()
                return
            except OSError:
                if self.process.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError("the gateway did not start:\n" + self.log()) from None
                time.sleep(0.05)

    def _connect(self) -> None:
        """Raises OSError: it does not serve yet."""
        if self._unix is None:
            socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
            return
        with socket.socket(socket.AF_UNIX) as sock:
            sock.connect(str(self._unix))

    def stop(self) -> None:
        """End it as systemd does."""
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            self.process.wait(20)

    def kill(self) -> None:
        """SIGKILL."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def log(self) -> str:
        """Everything it has logged."""
        return (self.daemon.home / "gateway.log").read_text()

    def link(self, role: str = "") -> str:
        """Return a link's secret for whoever runs this."""
        with Client(self.daemon.socket) as client:
            return client.call("session.link", LinkParams(role), Link).link


class Answer:
    """Of one request."""

    def __init__(self, response: http.client.HTTPResponse) -> None:
        self.status = response.status
        self.headers = {name.lower(): value for name, value in response.getheaders()}
        self.body = response.read()

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Browser:
    """Sends requests as a page of the dashboard does, with the cookie that it was given."""

    def __init__(self, gateway: RunningGateway) -> None:
        self.gateway = gateway
        self.cookie = ""

    def ask(self, verb: str, path: str, body: Any = None, headers: dict[str, str] | None = None) -> Answer:
        """Send a request; `path` is below BASE unless it begins with //."""
        sent = {"Host": f"127.0.0.1:{self.gateway.port}"}
        if verb != "GET":
            sent["X-Migmond"] = "1"
        if self.cookie:
            sent["Cookie"] = self.cookie
        sent |= headers or {}
        connection = http.client.HTTPConnection("127.0.0.1", self.gateway.port, timeout=20)
        try:
            data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
            connection.request(verb, path[1:] if path.startswith("//") else BASE + path, data, sent)
            return Answer(connection.getresponse())
        finally:
            connection.close()

    def sign_in(self, role: str = "", link: str = "") -> Answer:
        """Open a link, one for whoever runs this when none is given."""
        answer = self.ask("POST", "/session", {"link": link or self.gateway.link(role)})
        self.cookie = answer.headers.get("set-cookie", "").partition(";")[0]
        return answer

    def migrate(self, source: Path, name: str) -> str:
        """Start a migration of `source` to a directory beside it, and wait for its end; returns its id."""
        plan = {"sources": [{"path": str(source)}], "destination": f"{source}-copy"}
        started = self.ask("POST", "/migrations", {"plan": plan, "name": name})
        assert started.status == 201, started.body
        id_: str = started.json["id"]
        deadline = time.monotonic() + 30
        while self.ask("GET", f"/{id_}/view").json["state"] != "completed":
            assert time.monotonic() < deadline
            time.sleep(0.05)
        return id_
