"""What attackers try at the gateway's port, over sockets of their own: no client library tidies it up."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from daemon import EmbeddedDaemon
from gateway import BASE, Browser, RunningGateway
from migmond.client.errors import RemoteError
from migmond.client.sync import Client
from migmond.domain.identity import Role
from migmond.domain.people import OpenParams, Token, TokenParams
from migmond.rpc.methods import standard_registry
from migmond_web.routes import Route, routes
from patience import until

HOSTILE = (
    b"<img src=x onerror=alert(1)>", b"\x1b[31mred\x07", b"line\nbreak\rreturn", b"\xff\xfe surrogates \xed\xa0\x80",
    b"x" * 255, "\u202egnp.exe".encode(), b"%2e%2e%2f", b"'; DROP TABLE tasks; --", b"{{7*7}}${7*7}", b" ", b"\\",
)  # fmt: skip


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    with EmbeddedDaemon(tmp_path_factory.mktemp("attacks") / "home") as daemon, RunningGateway(daemon) as running:
        yield running


@pytest.fixture(scope="module")
def browser(gateway: RunningGateway) -> Browser:
    signed_in = Browser(gateway)
    assert signed_in.sign_in().status == 201
    return signed_in


def raw(gateway: RunningGateway, request: bytes, timeout_s: float = 20) -> bytes:
    """Send these very bytes; returns everything until the gateway closes, or for so long says nothing."""
    with socket.create_connection(("127.0.0.1", gateway.port), timeout=timeout_s) as sock:
        with contextlib.suppress(OSError):  # it may refuse before it has read all
            sock.sendall(request)
        answer = b""
        with contextlib.suppress(ConnectionResetError, TimeoutError):
            while data := sock.recv(65536):
                answer += data
        return answer


def request(browser: Browser, verb: str, path: str, *lines: str, body: bytes = b"", host: str = "") -> bytes:
    """A request with the person's cookie and exactly these further header lines."""
    head = [f"{verb} {path} HTTP/1.1", f"Host: {host or f'127.0.0.1:{browser.gateway.port}'}", "Connection: close"]
    head += [f"Cookie: {browser.cookie}", *lines, *([f"Content-Length: {len(body)}"] if body else [])]
    return "\r\n".join(head).encode("latin-1") + b"\r\n\r\n" + body


def status(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1])


def filled(route: Route, id_: str) -> str:
    """A path of `route` with something in every place."""
    return re.sub(r"\{(\w+)\}", lambda m: id_ if m[1] == "id" else "n", route.path)


CHANGES = [r for r in routes() if r.verb != "GET"]


# --- other sites -----------------------------------------------------------------------------------


@pytest.mark.parametrize("route", CHANGES, ids=lambda r: f"{r.verb} {r.path}")
@pytest.mark.parametrize(
    "lines",
    [
        (),
        ("X-Migmond: 1", "Origin: https://evil.example"),
        ("X-Migmond: 1", "Origin: null"),
        ("X-Migmond: 1", "Sec-Fetch-Site: cross-site"),
        ("X-Migmond: 1", "Sec-Fetch-Site: same-site"),
        ("Content-Type: text/plain",),
    ],
    ids=["no header", "foreign origin", "no origin", "cross-site", "same-site", "form"],
)
def test_no_other_site_makes_a_browser_change_anything(browser: Browser, route: Route, lines: tuple[str, ...]) -> None:
    answer = raw(browser.gateway, request(browser, route.verb, BASE + filled(route, "x"), *lines, body=b"{}"))
    assert status(answer) == 403


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1", "127.0.0.1:1", "localhost.evil.example:{}", "0x7f000001:{}", "[::1]:{}"]
)
def test_an_address_of_another_name_is_not_ours(browser: Browser, host: str) -> None:
    named = host.format(browser.gateway.port)
    answer = raw(browser.gateway, request(browser, "GET", f"{BASE}/dashboard", host=named))
    assert status(answer) == 403
    assert b"migrations" not in answer


def test_two_hosts_are_none(browser: Browser) -> None:
    answer = raw(browser.gateway, request(browser, "GET", f"{BASE}/dashboard", "Host: evil.example"))
    assert status(answer) in (400, 403)


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "", "http://127.0.0.1:1", None])
def test_a_websocket_of_another_page_is_refused(browser: Browser, origin: str | None) -> None:
    lines = ["Upgrade: websocket", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA=="]
    lines += [] if origin is None else [f"Origin: {origin}"]
    asked = request(browser, "GET", f"{BASE}/stream", *lines).replace(b"Connection: close", b"Connection: Upgrade")
    assert status(raw(browser.gateway, asked)) == 403


# --- whose rights ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def migration(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> str:
    """One that nobody touches; it has ended."""
    source = tmp_path_factory.mktemp("hostile") / "source"
    source.mkdir()
    for name in HOSTILE:
        with open(os.path.join(os.fsencode(source), name), "wb") as file:
            file.write(b"content")
    id_ = browser.migrate(source, "<script>alert(1)</script>")
    until(lambda: not browser.ask("GET", f"/{id_}/view").json["movers"], "its last mover's end")  # and its last figures
    return id_


def standing(browser: Browser, id_: str) -> Any:
    """All that a change could change: the view but for its time and its movers, which go by themselves, and what is
    kept of plans, dashboards, interventions, rules and silences."""
    view = browser.ask("GET", f"/{id_}/view").json
    paths = (f"/{id_}/interventions", "/plans", "/dashboards", "/alerts/silences")
    total = browser.ask("GET", "/migrations").json["total"]
    rules = [rule["rule"] for rule in browser.ask("GET", "/alerts/rules").json["rules"]]
    return {**view, "as_of": "", "movers": ()}, total, rules, [browser.ask("GET", path).json for path in paths]


def bodies(directory: Path) -> dict[str, Any]:
    """Return a good body for every change that takes more than being signed in, by the daemon's method."""
    plan = {"sources": [{"path": str(directory)}], "destination": str(directory / "target"), "name": "n"}
    rule = {"name": "made", "condition": {"metric": "migmond_cpu_busy_ratio", "operator": ">", "threshold": 0.9}}
    return {
        "execution.start": {"plan": plan}, "execution.verify": {}, "execution.forget": {},
        "execution.undo": {}, "execution.rollback": {},
        "execution.intervene": {"action": {"type": "throttle", "io_bytes_per_s": 1 << 20}},
        "plan.check": {"plan": plan}, "plan.save": {"plan": plan}, "plan.remove": {"name": "n"},
        "alerts.acknowledge": {}, "alerts.silence": {"for_s": 60.0}, "alerts.unsilence": {},
        "rules.put": {"rule": rule}, "rules.remove": {}, "rules.enable": {"enabled": False},
    }  # fmt: skip


def test_a_viewer_tries_every_change(browser: Browser, gateway: RunningGateway, migration: str, tmp_path: Path) -> None:
    """A viewer's own dashboards and session are a viewer's own, and asking what was measured changes nothing."""
    viewer = Browser(gateway)
    viewer.sign_in("viewer")
    before = standing(browser, migration)
    registry, tried = standard_registry(), set()
    for route in CHANGES:
        method = registry.get(route.call)
        assert method is not None
        if method.role > Role.VIEWER:
            body = bodies(tmp_path)[route.call]  # one that anybody else is let do: what is refused is the role
            answer = viewer.ask(route.verb, filled(route, migration), body)
            assert (answer.status, answer.json["error"]["code"]) == (403, "not_permitted"), (route, answer.body)
            tried.add(route.call)
    assert tried == set(bodies(tmp_path))
    assert standing(browser, migration) == before


def test_a_gateway_that_lies_about_who_somebody_is_is_refused(gateway: RunningGateway) -> None:
    with Client(gateway.daemon.socket) as client:
        with pytest.raises(RemoteError) as refused:
            client.call("session.open", OpenParams(vouched="root"), Token)
        assert refused.value.kind == "not_permitted"
        with pytest.raises(RemoteError):
            client.call("session.assume", TokenParams("made-up"), dict)


def test_a_proxys_header_counts_for_nothing_at_a_port(gateway: RunningGateway) -> None:
    stranger = Browser(gateway)
    for header in ("X-Remote-User", "Remote-User", "X-Forwarded-User"):
        assert stranger.ask("GET", "/dashboard", headers={header: "root"}).status == 401


# --- cookies ---------------------------------------------------------------------------------------


def test_a_session_that_somebody_else_chose_is_not_taken_over(gateway: RunningGateway) -> None:
    """Session fixation: what was in the cookie before signing in is worth nothing after it."""
    victim = Browser(gateway)
    victim.cookie = "migmond_session=chosen-by-the-attacker"
    victim.sign_in()
    assert "chosen-by-the-attacker" not in victim.cookie
    attacker = Browser(gateway)
    attacker.cookie = "migmond_session=chosen-by-the-attacker"
    assert attacker.ask("GET", "/session").status == 401


@pytest.mark.parametrize(
    "cookie", ["migmond_session=", "migmond_session", "=", "a=migmond_session=T", "MIGMOND_SESSION=T",
               "migmond_session=\xff\xfe", "migmond_session=" + "x" * 8000, "migmond_session=a\tb"],
)  # fmt: skip
def test_what_is_no_token_signs_nobody_in(browser: Browser, cookie: str) -> None:
    token = browser.cookie.partition("=")[2]
    asked = request(browser, "GET", f"{BASE}/session").replace(
        browser.cookie.encode(), cookie.replace("T", token).encode("latin-1")
    )  # fmt: skip
    assert status(raw(browser.gateway, asked)) in (400, 401)


# --- names -----------------------------------------------------------------------------------------


def test_hostile_names_come_back_as_they_are_and_as_data_only(browser: Browser, migration: str) -> None:
    found = browser.ask("GET", f"/{migration}/files?limit=100")
    assert found.headers["content-type"] == "application/json"
    assert found.headers["x-content-type-options"] == "nosniff"
    assert len([t for t in found.json["tasks"] if t["type"] == "file"]) == len(HOSTILE)
    for part in ("", "/view", "/errors", "/breakdown", "/timeline", "/large-files", "/batches", "/why", "/report"):
        answer = browser.ask("GET", f"/{migration}{part}")
        assert answer.status == 200, part
        assert answer.headers["content-type"] == "application/json"
    for table in ("files", "executions"):
        assert browser.ask("GET", f"/export?table={table}&execution={migration}&format=csv").status == 200
    for task in found.json["tasks"]:
        selector = quote(json.dumps({"under": task["path"]}))
        assert browser.ask("GET", f"/{migration}/files?selector={selector}&limit=100").status in (200, 422)


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_in_a_path_find_nothing(browser: Browser, name: bytes) -> None:
    for part in ("", "/files", "/performance-analysis", "/stream", "/interventions"):
        answer = browser.ask("GET", f"/{quote(name, safe='')}{part}")
        assert answer.status in (404, 409, 422), (part, answer.body)
        assert answer.headers["content-type"] == "application/json"


@pytest.mark.parametrize(
    "path",
    ["/../../../../etc/passwd", "/js/../../../main.py", "/%2e%2e/%2e%2e/etc/passwd", "/js/..%2f..%2fapp.py",
     "//etc/passwd", "/js/%00main.js", "/..\\..\\etc\\passwd", "/%c0%ae%c0%ae/etc/passwd", "/js/main.js/../../app.py"],
)  # fmt: skip
def test_no_path_leads_out_of_the_web_files(browser: Browser, path: str) -> None:
    answer = raw(browser.gateway, request(browser, "GET", path))
    assert status(answer) in (200, 400, 404)
    body = answer.partition(b"\r\n\r\n")[2]
    assert b"root:" not in body
    assert b"import " not in body
    if status(answer) == 200:  # a page of the dashboard, which says that there is none
        assert b'<div id="app"' in body


# --- more than anybody needs -----------------------------------------------------------------------


def still_serves(browser: Browser) -> bool:
    return browser.ask("GET", "/session").status == 200


@pytest.mark.parametrize(
    ("what", "statuses"),
    [
        (b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\nHost: HOST\r\nConnection: close\r\n\r\n", (400, 414, 431)),
        (b"GET / HTTP/1.1\r\nHost: HOST\r\nX-Long: " + b"a" * 100_000 + b"\r\n\r\n", (400, 431)),
        (b"GET / HTTP/1.1\r\nHost: HOST\r\n" + b"X-Many: 1\r\n" * 20_000 + b"\r\n", (400, 431)),
        (b"POST BASE/session HTTP/1.1\r\nHost: HOST\r\nX-Migmond: 1\r\nConnection: close\r\nContent-Length: 3000000\r\n"
         b"\r\n" + b"x" * 3_000_000, (413,)),
        (b"POST BASE/session HTTP/1.1\r\nHost: HOST\r\nX-Migmond: 1\r\nContent-Length: 5\r\n"
         b"Content-Length: 6\r\n\r\nabcdef",
         (400,)),
        (b"POST BASE/session HTTP/1.1\r\nHost: HOST\r\nX-Migmond: 1\r\nContent-Length: -1\r\n\r\n", (400,)),
        (b"GET / HTTP/1.1\r\nHost: HOST\r\nX-A: b\r\n X-Migmond: folded\r\nConnection: close\r\n\r\n", (200, 400)),
        (b"GET / HTTP/1.1\r\nHost : HOST\r\n\r\n", (400,)),
        (b"GET / HTTP/9.9\r\nHost: HOST\r\nConnection: close\r\n\r\n", (200, 400, 505)),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(200) + b"\r\n\r\n", (400,)),
    ],
    ids=["url", "header", "headers", "body", "two lengths", "negative length", "folded", "space", "version", "tls"],
)  # fmt: skip
def test_what_is_too_much_or_malformed_is_refused(browser: Browser, what: bytes, statuses: tuple[int, ...]) -> None:
    host = f"127.0.0.1:{browser.gateway.port}".encode()
    answer = raw(browser.gateway, what.replace(b"HOST", host).replace(b"BASE", BASE.encode()))
    assert answer == b"" or status(answer) in statuses
    assert still_serves(browser)


def test_a_request_in_a_request_is_not_answered(browser: Browser) -> None:
    """Smuggling: both ways to say how long a body is must not make two requests of one."""
    inner = f"GET {BASE}/session HTTP/1.1\r\nHost: x\r\n\r\n".encode()
    head = request(browser, "POST", f"{BASE}/plans/check", "X-Migmond: 1", "Transfer-Encoding: chunked",
                   "Content-Length: 4").replace(b"Connection: close\r\n", b"")  # fmt: skip
    answer = raw(browser.gateway, head + b"0\r\n\r\n" + inner, timeout_s=3)
    assert answer
    assert answer.count(b"HTTP/1.1 2") == 0


def test_slow_requests_hold_nobody_up(browser: Browser) -> None:
    """Slowloris: two hundred that never finish their headers."""
    with contextlib.ExitStack() as stack:
        for _ in range(200):
            sock = stack.enter_context(socket.create_connection(("127.0.0.1", browser.gateway.port), timeout=20))
            sock.sendall(b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Slow: ")
        began = time.monotonic()
        assert still_serves(browser)
        assert time.monotonic() - began < 2


def test_a_browser_that_reads_nothing_holds_nobody_up(browser: Browser) -> None:
    with contextlib.ExitStack() as stack:
        for _ in range(20):
            sock = stack.enter_context(socket.create_connection(("127.0.0.1", browser.gateway.port), timeout=20))
            sock.sendall(request(browser, "GET", f"{BASE}/openapi.json").replace(b"close", b"keep-alive") * 50)
        began = time.monotonic()
        assert still_serves(browser)
        assert time.monotonic() - began < 5


def test_no_answer_carries_what_a_request_wanted_in_its_headers(browser: Browser) -> None:
    """Response splitting."""
    path = f"{BASE}/x%0d%0aSet-Cookie:%20a=b%0d%0a%0d%0a<script>"
    head = raw(browser.gateway, request(browser, "GET", path)).partition(b"\r\n\r\n")[0]
    assert b"set-cookie" not in head.lower()


def test_http_methods_that_nobody_needs_do_nothing(browser: Browser) -> None:
    for verb in ("TRACE", "OPTIONS", "PATCH", "CONNECT", "PROPFIND"):
        asked = request(browser, verb, f"{BASE}/migrations", "X-Migmond: 1")
        with contextlib.suppress(http.client.HTTPException):
            assert status(raw(browser.gateway, asked)) in (400, 403, 404, 405)
    assert still_serves(browser)
