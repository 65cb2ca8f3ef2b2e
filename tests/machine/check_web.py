"""The web gateway's units as they come, on a machine whose systemd runs them.

tests/service/test_systemd.py and scripts/systemd-test boot it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from migmond.cli.gateways import DYNAMIC_USERS, GATEWAY_USER
from on_machine import SERVICE, run, until
from web_on_machine import WEB, ask, gateway_is_nobody, of_web, sign_in


@pytest.fixture(scope="module", autouse=True)
def listening() -> Iterator[None]:
    if Path("/opt/migmond/bin/python").resolve().is_relative_to("/root"):  # a Python of this machine's root's own
        drop_in = Path("/run/systemd/system/migmond-web.service.d/python.conf")
        drop_in.parent.mkdir(parents=True)
        drop_in.write_text("[Service]\nProtectHome=no\n")
        run("systemctl", "daemon-reload")
    run("systemctl", "start", "migmond.socket", "migmond-web.socket")
    yield
    run("systemctl", "stop", "migmond-web.socket", WEB, "migmond.socket", SERVICE)


def test_the_first_browser_starts_it_as_a_user_of_its_own() -> None:
    assert of_web("ActiveState") == "inactive"
    assert ask("GET", "/session")[0] == 401
    assert of_web("ActiveState") == "active"
    gateway_is_nobody()


def test_somebody_who_has_a_link_gets_in_and_a_restart_of_either_changes_nothing() -> None:
    cookie = sign_in()
    assert ask("GET", "/dashboard", cookie=cookie)[0] == 200
    before = of_web("MainPID")
    run("systemctl", "restart", SERVICE)
    until(lambda: ask("GET", "/dashboard", cookie=cookie)[0] == 200, "the dashboard after the daemon's restart")
    assert of_web("MainPID") == before
    run("systemctl", "restart", WEB)
    assert ask("GET", "/session", cookie=cookie)[1]["user"] == "root"
    run("systemctl", "kill", "--signal=KILL", WEB)
    until(lambda: of_web("MainPID") not in ("0", before), "the gateway after it was killed")
    assert ask("GET", "/session", cookie=cookie)[0] == 200


def test_a_gateway_that_opened_its_port_itself_is_given_links_as_well() -> None:
    """systemd's user is who listens then, not root."""
    run("systemctl", "stop", "migmond-web.socket", WEB)
    run("systemctl", "start", WEB)
    assert run("systemctl", "is-active", "migmond-web.socket", check=False).stdout.strip() == "inactive"
    gateway_is_nobody()
    assert os.readlink(f"{DYNAMIC_USERS}/direct:{GATEWAY_USER}") == str(os.stat(f"/proc/{of_web('MainPID')}").st_uid)
    assert ask("GET", "/session", cookie=sign_in())[1]["user"] == "root"
    run("systemctl", "stop", WEB)
    run("systemctl", "start", "migmond-web.socket")


def test_it_is_hardened_and_its_units_are_clean() -> None:
    verified = run("systemd-analyze", "verify", WEB, "migmond-web.socket")
    assert verified.stdout + verified.stderr == ""
    said = run("systemd-analyze", "security", "--no-pager", "--threshold=20", WEB).stdout
    print(said.splitlines()[-1])
