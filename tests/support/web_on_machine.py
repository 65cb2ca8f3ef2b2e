"""The web gateway for checks that run inside a `machine.Machine` (tests/machine)."""

from __future__ import annotations

import http.client
import json
import re
from pathlib import Path
from typing import Any

from on_machine import MIGMON, journal, run

BASE = "/api/v1/migration-monitoring"
WEB = "migmond-web.service"


def of_web(name: str) -> str:
    """One property of the gateway's service."""
    return run("systemctl", "show", "--value", "-p", name, WEB).stdout.strip()


def fetch(verb: str, path: str, body: Any = None, cookie: str = "") -> tuple[int, bytes, str]:
    """Ask the gateway's port. Returns the status, the body, and the cookie that came."""
    connection = http.client.HTTPConnection("127.0.0.1", 7447, timeout=30)
    headers = {"X-Migmond": "1", "Cookie": cookie}
    connection.request(verb, path, None if body is None else json.dumps(body), headers)
    try:
        answer = connection.getresponse()
    except OSError as e:
        raise AssertionError(f"{e}\n{journal(WEB)}") from e
    found = answer.read()
    connection.close()
    return answer.status, found, (answer.getheader("set-cookie") or "").partition(";")[0]


def ask(verb: str, path: str, body: Any = None, cookie: str = "") -> tuple[int, Any, str]:
    """As `fetch`, of the HTTP API, with the JSON that came."""
    status, found, given = fetch(verb, BASE + path, body, cookie)
    return status, json.loads(found), given


def sign_in(user: str = "") -> str:
    """Sign in by a link that `user` made, root without one. Returns the cookie."""
    printed = run(MIGMON, "dash", "--print", user=user).stdout
    link = re.search(r"#link=([\w-]+)", printed)
    assert link, printed
    status, _, cookie = ask("POST", "/session", {"link": link[1]})
    assert status == 201
    return cookie


def gateway_is_nobody() -> None:
    """It runs as a user of its own that systemd made, in the group by which the daemon knows it, without any rights."""
    status = Path(f"/proc/{of_web('MainPID')}/status").read_text()
    uid, gid = (re.search(rf"^{what}:\s+(\d+)", status, re.MULTILINE) for what in ("Uid", "Gid"))
    assert uid
    assert gid
    assert 61184 <= int(uid[1]) <= 65519  # systemd's range for DynamicUser=
    assert gid[1] == run("getent", "group", "migmond-web").stdout.split(":")[2]
    assert re.search(r"^CapBnd:\s+0+$", status, re.MULTILINE)
