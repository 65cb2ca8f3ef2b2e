"""The gateway over its real port, before a real daemon."""

from __future__ import annotations

import gzip
import posixpath
import re
import time
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import Any

import pytest

from daemon import EmbeddedDaemon
from gateway import Browser, RunningGateway


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    with EmbeddedDaemon(tmp_path_factory.mktemp("web") / "home") as daemon, RunningGateway(daemon) as running:
        yield running


@pytest.fixture
def browser(gateway: RunningGateway) -> Browser:
    signed_in = Browser(gateway)
    assert signed_in.sign_in().status == 201
    return signed_in


def test_nobody_sees_anything_before_signing_in(gateway: RunningGateway) -> None:
    stranger = Browser(gateway)
    for path in ("/session", "/dashboard", "/migrations", "/any", "/status", "/stream"):
        answer = stranger.ask("GET", path)
        assert (answer.status, answer.json["error"]["code"]) == (401, "signed_out"), path
    stranger.cookie = "migmond_session=made-up"
    assert stranger.ask("GET", "/dashboard").status == 401


def test_a_link_signs_in_once_and_the_cookie_is_out_of_reach_of_scripts(gateway: RunningGateway) -> None:
    browser, link = Browser(gateway), gateway.link()
    answer = browser.ask("POST", "/session", {"link": link})
    assert answer.status == 201
    assert answer.json["role"] == "admin"
    assert "token" not in answer.json
    cookie = answer.headers["set-cookie"]
    assert all(word in cookie for word in ("HttpOnly", "SameSite=Strict", "Path=/"))
    assert browser.ask("POST", "/session", {"link": link}).status == 403


def test_signing_out_ends_the_session(gateway: RunningGateway) -> None:
    browser = Browser(gateway)
    browser.sign_in()
    assert browser.ask("GET", "/session").status == 200
    assert "Max-Age=0" in browser.ask("DELETE", "/session").headers["set-cookie"]
    assert browser.ask("GET", "/session").status == 401


def test_trying_to_sign_in_again_and_again_is_refused(gateway: RunningGateway) -> None:
    with RunningGateway(gateway.daemon) as fresh:
        stranger = Browser(fresh)
        answers = [stranger.ask("POST", "/session", {"link": "x"}).status for _ in range(12)]
    assert answers == [403] * 10 + [429] * 2


def test_who_guesses_passwords_locks_nobody_out_who_has_a_link(gateway: RunningGateway) -> None:
    """Behind a proxy both have one address: ten wrong passwords a minute kept everybody out."""
    with RunningGateway(gateway.daemon) as fresh:
        stranger, wrong = Browser(fresh), {"user": "nobody-here", "password": "guessed"}
        assert [stranger.ask("POST", "/session", wrong).status for _ in range(11)] == [403] * 10 + [429]
        assert Browser(fresh).sign_in().status == 201


@pytest.mark.parametrize(
    ("headers", "why"),
    [
        ({"Host": "evil.example"}, "this is not"),
        ({"Host": "127.0.0.1:1"}, "this is not"),
        ({"Origin": "https://evil.example"}, "another site"),
        ({"Sec-Fetch-Site": "cross-site"}, "another site"),
        ({"X-Migmond": None}, "needs the header"),
    ],
)
def test_what_another_site_makes_a_browser_send_does_not_count(
    browser: Browser, headers: dict[str, Any], why: str
) -> None:
    sent = {"Host": f"127.0.0.1:{browser.gateway.port}", "X-Migmond": "1", **headers}
    plain = "X-Migmond" in headers
    answer = _without_header(browser) if plain else browser.ask("POST", "/plans/check", {}, sent)
    assert answer.status == 403
    assert why in answer.json["error"]["message"]


def _without_header(browser: Browser) -> Any:
    import http.client

    from gateway import BASE, Answer

    host = f"127.0.0.1:{browser.gateway.port}"
    connection = http.client.HTTPConnection(host, timeout=20)
    connection.request("POST", f"{BASE}/plans/check", b"{}", {"Cookie": browser.cookie, "Host": host})
    answer = Answer(connection.getresponse())
    connection.close()
    return answer


def test_every_answer_says_what_a_page_may_do(browser: Browser) -> None:
    for path in ("/session", "//", "//js/main.js", "//no/such/file.js", "/no/such/thing/at/all"):
        headers = browser.ask("GET", path).headers
        assert "default-src 'none'" in headers["content-security-policy"], path
        assert "require-trusted-types-for 'script'" in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["x-frame-options"] == "DENY"


def test_a_migration_from_start_to_end(browser: Browser, tmp_path: Path) -> None:
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "a<b>.txt").write_bytes(b"hostile")
    plan = {"sources": [{"path": str(tmp_path / "source")}], "destination": str(tmp_path / "target")}
    assert browser.ask("POST", "/plans/check", {"plan": plan}).json["feasible"] is True
    key = {"Idempotency-Key": "once"}
    started = browser.ask("POST", "/migrations", {"plan": plan, "name": "one"}, key)
    assert started.status == 201
    again = browser.ask("POST", "/migrations", {"plan": plan, "name": "one"}, key)
    assert again.json["id"] == started.json["id"]
    id_ = started.json["id"]
    deadline = time.monotonic() + 30
    while browser.ask("GET", f"/{id_}/view").json["state"] != "completed":
        assert time.monotonic() < deadline
        time.sleep(0.05)
    session = browser.ask("GET", f"/{id_}").json
    assert session["execution"]["progress"]["done"]["bytes"] == 7
    files = browser.ask("GET", f"/{id_}/files?limit=10").json["tasks"]
    assert "a<b>.txt" in [f["path"] for f in files]
    selected = browser.ask("GET", f'/{id_}/files?selector={{"include":["*.txt"]}}&limit=10').json["tasks"]
    assert [f["path"] for f in selected] == ["a<b>.txt"]
    listed = browser.ask("GET", "/migrations?states=completed&states=failed").json
    assert id_ in [e["id"] for e in listed["executions"]]
    overview = browser.ask("GET", "/dashboard").json
    assert id_ in [e["id"] for e in overview["ended"]]
    figures = browser.ask("GET", "/dashboard?executions=false").json
    assert set(overview) - set(figures) == {"executions", "ended", "total"}
    assert figures["system"] is not None
    assert browser.ask("GET", f"/{id_}/performance-analysis?time_range=1h").json["session"]["execution"]["id"] == id_
    for part in ("errors", "breakdown", "timeline", "large-files", "batches", "why", "report", "interventions"):
        assert browser.ask("GET", f"/{id_}/{part}").status == 200, part


@pytest.mark.parametrize(
    ("verb", "path", "body", "status", "field"),
    [
        ("GET", "/none/files", None, 404, None),
        ("GET", "/migrations?limit=many", None, 422, "limit"),
        ("GET", "/migrations?states=no-such", None, 422, "states"),
        ("GET", "/migrations?unknown=1", None, 422, "unknown"),
        ("POST", "/migrations", b"{", 400, None),
        ("POST", "/migrations", b'{"a":' * 100_000, 400, None),
        ("POST", "/migrations", {}, 422, "plan"),
        ("POST", "/migrations", b"x" * (1 << 20) + b"x", 413, None),
        ("GET", "/any/performance-analysis?time_range=2y", None, 422, "time_range"),
        ("PATCH", "/migrations", {}, 405, None),
        ("GET", "/a/b/c/d/e", None, 404, None),
    ],
)
def test_what_is_wrong_is_told(browser: Browser, verb: str, path: str, body: Any, status: int, field: str) -> None:
    answer = browser.ask(verb, path, body)
    assert answer.status == status, answer.body
    error = answer.json["error"]
    assert error["message"]
    assert error["field"] == field


def test_a_viewer_changes_nothing(gateway: RunningGateway, tmp_path: Path) -> None:
    viewer = Browser(gateway)
    viewer.sign_in("viewer")
    plan = {"sources": [{"path": str(tmp_path)}], "destination": str(tmp_path / "target")}
    assert viewer.ask("POST", "/migrations", {"plan": plan}).status == 403
    assert viewer.ask("POST", "/any/interventions", {"action": {"type": "pause"}}).status in (403, 501)


def test_answers_are_compressed_and_not_sent_twice(browser: Browser) -> None:
    plain = browser.ask("GET", "/openapi.json")
    packed = browser.ask("GET", "/openapi.json", headers={"Accept-Encoding": "gzip"})
    assert gzip.decompress(packed.body) == plain.body
    assert browser.ask("GET", "/openapi.json", headers={"If-None-Match": plain.headers["etag"]}).status == 304
    page = browser.ask("GET", "//migrations/anything")
    assert page.status == 200
    assert b'<div id="app" data-session>' in page.body  # so that its script begins to listen at once
    stranger = Browser(browser.gateway).ask("GET", "//migrations/x", headers={"If-None-Match": page.headers["etag"]})
    assert (stranger.status, b'<div id="app">' in stranger.body) == (200, True)
    assert "cookie" in stranger.headers["vary"]
    assert browser.ask("GET", "//", headers={"If-None-Match": page.headers["etag"]}).status == 304


def test_what_a_page_loads_has_its_version_in_its_address_and_is_asked_for_once(browser: Browser) -> None:
    page = browser.ask("GET", "//").body.decode()
    named = re.findall(r'(?:href|src)="(/[^"]+)"', page)
    assert len(named) > 10
    version = named[0].split("/")[2]
    module, seen = re.compile(r'(?:\}\s*from\s*|\w from |\bimport\()"([^"]+)"'), set()
    while named:
        path = named.pop()
        if path in seen:
            continue
        seen.add(path)
        assert path.startswith(f"/v/{version}/")
        answer = browser.ask("GET", f"/{path}", headers={"Accept-Encoding": "gzip"})
        assert (answer.status, answer.headers["cache-control"]) == (200, "public, max-age=31536000, immutable"), path
        text = gzip.decompress(answer.body).decode()
        # Modules name one another relatively, so that they have the version as well.
        imported = module.findall(text) if path.endswith(".js") else []
        assert all(name.startswith(".") for name in imported), path
        named += [posixpath.normpath(posixpath.join(posixpath.dirname(path), name)) for name in imported]
    assert f"/v/{version}/js/pages/migration.js" in seen
    assert f"/v/{version}/vendor/uplot.js" in seen
    assert "no-cache" in browser.ask("GET", f"//v/{version}/index.html").headers["cache-control"]
    gone = browser.ask("GET", "//v/0123456789abcdef/js/main.js")  # of a gateway that there was before
    assert (gone.status, gone.headers["cache-control"]) == (404, "no-store")
    assert "no-cache" in browser.ask("GET", "//js/main.js").headers["cache-control"]


def test_the_web_files_in_the_wheel_are_small() -> None:
    static = resources.files("migmond_web") / "static"
    with resources.as_file(static) as directory:
        assert sum(f.stat().st_size for f in directory.rglob("*") if f.is_file()) <= 300_000


def test_the_stream_begins_with_what_there_is(browser: Browser) -> None:
    import http.client
    import json

    from gateway import BASE

    connection = http.client.HTTPConnection("127.0.0.1", browser.gateway.port, timeout=20)
    connection.request("GET", f"{BASE}/stream", headers={"Cookie": browser.cookie, "Accept": "text/event-stream"})
    response = connection.getresponse()
    assert response.getheader("content-type", "").startswith("text/event-stream")
    line = b""
    while not line.startswith(b"data: "):
        line = response.readline()
    assert json.loads(line[6:])["kind"] == "hello"
    connection.close()


def test_sessions_outlive_the_gateway(gateway: RunningGateway) -> None:
    with RunningGateway(gateway.daemon) as first:
        browser = Browser(first)
        browser.sign_in()
        first.kill()
        first.start()
        assert browser.ask("GET", "/session").status == 200
