"""`migmon dash`: a link for a gateway that is nobody else's."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from daemon import ROOT, EmbeddedDaemon
from gateway import Browser, RunningGateway
from migmond.cli.gateways import GATEWAY_USER, listener, safe

TABLE = """\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:1D17 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 1 1 0 100 0 0 10 0
   1: 0100007F:1D18 0100007F:9999 01 00000000:00000000 00:00000000 00000000  1001        0 1 1 0 100 0 0 10 0
   2: 00000000:1D19 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1 1 0 100 0 0 10 0
"""


@pytest.mark.parametrize(("port", "uid"), [(7447, 1000), (7448, None), (7449, 0), (7450, None)])
def test_who_listens_is_known_from_the_kernel(port: int, uid: int | None) -> None:
    assert listener(port, TABLE) == uid


def test_a_link_is_given_to_nobody_but_root_oneself_and_the_gateway() -> None:
    assert safe(0, 1000, system=True)
    assert safe(1000, 1000, system=False)
    assert not safe(1001, 1000, system=False)
    assert not safe(1001, 1000, system=True)


def test_the_user_that_systemd_made_for_the_gateway_is_trusted_with_links(tmp_path: Path) -> None:
    """By systemd's own note: what the name service says may be nothing."""
    unit = (ROOT / "contrib/systemd/migmond-web.service").read_text()
    assert f"\nUser={GATEWAY_USER}\n" in unit
    (tmp_path / f"direct:{GATEWAY_USER}").symlink_to("64748")
    assert safe(64748, 1000, system=True, dynamic_users=str(tmp_path))
    assert not safe(64749, 1000, system=True, dynamic_users=str(tmp_path))
    assert not safe(64748, 1000, system=False, dynamic_users=str(tmp_path))


def test_the_first_link_starts_a_gateway_that_later_ones_use(tmp_path: Path) -> None:
    with EmbeddedDaemon(tmp_path / "home") as daemon:
        links = []
        for _ in range(2):
            done = subprocess.run(
                [sys.executable, "-m", "migmond.cli", "--json", "dash", "--print"],
                env=daemon.environment, capture_output=True, text=True, check=True, timeout=60,
            )  # fmt: skip
            links.append(json.loads(done.stdout))
        urls = [urlsplit(link["data"]["url"]) for link in links]
        port = int((tmp_path / "home" / "gateway").read_text())
        try:
            assert [url.port for url in urls] == [port, port]
            assert listener(port) == os.getuid()
            browser = Browser(RunningGateway(daemon, port=port))
            tokens = [url.fragment.removeprefix("link=") for url in urls]
            assert tokens[0] != tokens[1]
            assert [browser.ask("POST", "/session", {"link": token}).status for token in tokens] == [201, 201]
        finally:
            for child in _listening(port):
                os.kill(child, 15)


def test_a_port_that_somebody_takes_meanwhile_is_left_to_him(tmp_path: Path) -> None:
    """He listens a moment later, or never: a gateway that does not get its port is not waited for at another's."""
    with EmbeddedDaemon(tmp_path / "home") as daemon, socket.socket() as his:
        taken = next(port for port in range(7448, 7480) if listener(port) is None and _bound(his, port))
        link = daemon.migmon("dash", "--print").stdout.strip()
        port = urlsplit(link).port
        assert port is not None
        try:
            assert port > taken
            assert (tmp_path / "home" / "gateway").read_text() == str(port)
            token = urlsplit(link).fragment.removeprefix("link=")
            assert Browser(RunningGateway(daemon, port=port)).ask("POST", "/session", {"link": token}).status == 201
        finally:
            for child in _listening(port):
                os.kill(child, 15)


def _bound(sock: socket.socket, port: int) -> bool:
    try:
        sock.bind(("127.0.0.1", port))
    except OSError:
        return False
    return True


def _listening(port: int) -> list[int]:
    import psutil

    return [p.pid for p in psutil.process_iter(["cmdline"]) if f"127.0.0.1:{port}" in (p.info["cmdline"] or [])]
