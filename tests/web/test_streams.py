"""What happens, as it comes: who is let listen, from where on, and for how long."""

from __future__ import annotations

import contextlib
import http.client
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from daemon import EmbeddedDaemon
from gateway import BASE, Browser, RunningGateway
from migmond_web.live import MAX_STREAMS_OF_SESSION
from patience import until


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    with EmbeddedDaemon(tmp_path_factory.mktemp("streams") / "home") as daemon, RunningGateway(daemon) as running:
        yield running


@pytest.fixture
def browser(gateway: RunningGateway) -> Browser:
    signed_in = Browser(gateway)
    assert signed_in.sign_in().status == 201
    return signed_in


class Stream:
    """Server-sent events."""

    def __init__(self, browser: Browser, query: str = "") -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", browser.gateway.port, timeout=20)
        self._connection.request("GET", f"{BASE}/stream{query}", headers={"Cookie": browser.cookie})
        self._response = self._connection.getresponse()
        self.status = self._response.status

    def next(self) -> Any:
        """The next message; None at the end."""
        while line := self._response.readline():
            if line.startswith(b"data: "):
                return json.loads(line[6:])
        return None

    def close(self) -> None:
        self._response.close()
        self._connection.close()


def test_what_came_while_nobody_listened_is_told_to_whoever_says_what_was_seen_last(
    browser: Browser, tmp_path: Path
) -> None:
    for name in ("seen", "missed"):
        (tmp_path / name).mkdir()
    browser.migrate(tmp_path / "seen", "seen")
    with contextlib.closing(Stream(browser)) as stream:
        last = stream.next()["data"]["last_event"]
    id_ = browser.migrate(tmp_path / "missed", "missed")
    with contextlib.closing(Stream(browser, f"?since={last}")) as again:
        hello = again.next()
        assert (hello["kind"], hello["gap"]) == ("hello", False)
        event = again.next()
        while event["data"]["type"] != "execution.created":
            event = again.next()
        assert event["data"]["execution"] == id_


def test_who_comes_later_sees_what_a_verification_found(browser: Browser, tmp_path: Path) -> None:
    """The event of it has no view, and the one that is kept for newcomers stayed as it was."""
    source = tmp_path / "looked at"
    source.mkdir()
    (source / "file").write_text("content")
    id_ = browser.migrate(source, "looked at")
    with contextlib.closing(Stream(browser)) as first:
        until(lambda: browser.ask("GET", f"/{id_}/view").json["state"] == "completed")
        assert browser.ask("POST", f"/{id_}/verify", {}).status == 200
        while (message := first.next())["kind"] != "event" or message["data"]["type"] != "execution.verified":
            pass
        with contextlib.closing(Stream(browser)) as second:
            [view] = [v for v in second.next()["data"]["executions"] if v["id"] == id_]
    assert view["verification"] == message["data"]["verification"]


@pytest.mark.parametrize("since", ["x", "-1", "1.5", "9" * 30, "%D9%A3"])
def test_what_is_no_event_is_refused(browser: Browser, since: str) -> None:
    answer = browser.ask("GET", f"/stream?since={since}")
    assert (answer.status, answer.json["error"]["field"]) == (422, "since")


def test_a_stream_ends_with_its_session(browser: Browser, gateway: RunningGateway) -> None:
    other = Browser(gateway)
    session = other.sign_in().json["session"]
    with contextlib.closing(Stream(other)) as stream:
        assert stream.next()["kind"] == "hello"
        closed_at = time.monotonic()
        assert browser.ask("DELETE", f"/sessions/{session}").status == 200
        message = stream.next()
        while message["kind"] != "over":
            message = stream.next()
        assert stream.next() is None
        assert time.monotonic() - closed_at < 5


def test_one_session_does_not_take_all_streams(browser: Browser, gateway: RunningGateway) -> None:
    with contextlib.ExitStack() as stack:
        for _ in range(MAX_STREAMS_OF_SESSION):
            stream = stack.enter_context(contextlib.closing(Stream(browser)))
            assert stream.status == 200
            assert stream.next()["kind"] == "hello"
        answer = browser.ask("GET", "/stream")
        assert (answer.status, answer.json["error"]["code"]) == (429, "limit_exceeded")
        other = Browser(gateway)
        other.sign_in()
        with contextlib.closing(Stream(other)) as stream:
            assert stream.next()["kind"] == "hello"


def test_who_comes_while_the_daemon_is_away_is_told_so_and_how_old_the_figures_are(tmp_path: Path) -> None:
    with EmbeddedDaemon(tmp_path / "home") as daemon, RunningGateway(daemon) as running:
        browser = Browser(running)
        browser.sign_in()
        with contextlib.closing(Stream(browser)) as first:
            assert "lost" not in first.next()["data"]
            daemon.kill(movers=True)
            while first.next()["kind"] != "lost":
                pass
            with contextlib.closing(Stream(browser)) as second:
                hello = second.next()
                assert hello["kind"] == "hello"
                assert hello["data"]["lost"]
                assert 0 <= hello["data"]["age_s"] < 20
                daemon.start()
                for stream in (first, second):
                    message = stream.next()
                    while message["kind"] != "hello":
                        assert message["kind"] in ("lost", "alive")
                        message = stream.next()
                    assert "lost" not in message["data"]
