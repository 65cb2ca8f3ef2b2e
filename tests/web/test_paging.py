"""Paging by cursor, and the history by GET, before a real daemon."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from daemon import EmbeddedDaemon
from gateway import Browser, RunningGateway

HISTORY = '[history]\nflush_every = "1s"\n'


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    home = tmp_path_factory.mktemp("paging") / "home"
    with EmbeddedDaemon(home, HISTORY) as daemon, RunningGateway(daemon) as running:
        signed_in = Browser(running)
        assert signed_in.sign_in().status == 201
        yield signed_in


def start(browser: Browser, directory: Path, name: str) -> str:
    (directory / name).mkdir()
    return browser.migrate(directory / name, name)


def page(browser: Browser, cursor: str | None) -> Any:
    answer = browser.ask("GET", f"/migrations?limit=2&cursor={cursor or ''}")
    assert answer.status == 200, answer.body
    return answer.json


def test_what_is_started_meanwhile_shifts_no_page(browser: Browser, tmp_path: Path) -> None:
    ids = [start(browser, tmp_path, f"m{i}") for i in range(5)]
    first = page(browser, None)
    start(browser, tmp_path, "meanwhile")
    seen, cursor = [v["id"] for v in first["executions"]], first["next"]
    while cursor is not None:
        found = page(browser, cursor)
        seen += [v["id"] for v in found["executions"]]
        cursor = found["next"]
    assert seen == ids[::-1]
    found = browser.ask("GET", "/migrations?limit=2&search=nobody").json
    assert (found["total"], found["next"]) == (0, None)
    found = browser.ask("GET", "/migrations?limit=1&search=/M4").json
    assert [v["id"] for v in found["executions"]] == ids[4:]
    first = browser.ask("GET", "/migrations?limit=4&search=m").json
    rest = browser.ask("GET", f"/migrations?limit=4&search=m&cursor={first['next']}").json
    assert [len(f["executions"]) for f in (first, rest)] == [4, 2]
    by_offset = browser.ask("GET", "/migrations?limit=2&offset=1").json
    assert [v["id"] for v in by_offset["executions"]] == ids[:2:-1]


@pytest.mark.parametrize("cursor", ["x", "a b", "W10", "WyIiLC0xXQ", "%C3%A4", "eyJhIjoxfQ", "." * 3000])
def test_a_made_up_cursor_is_refused(browser: Browser, cursor: str) -> None:
    answer = browser.ask("GET", f"/migrations?cursor={cursor.replace(' ', '%20')}")
    assert (answer.status, answer.json["error"]["field"]) == (422, "cursor")


def test_the_history_is_had_by_a_plain_get(browser: Browser) -> None:
    """What the gateway was asked for, in the form that a person can type."""
    deadline = time.monotonic() + 30
    while True:
        answer = browser.ask("GET", "/history?metric=migmond_memory_used_bytes&span=15m&points=60")
        assert answer.status == 200, answer.body
        if answer.json["series"]:
            break
        assert time.monotonic() < deadline
        time.sleep(0.2)
    assert [s["metric"] for s in answer.json["series"]] == ["migmond_memory_used_bytes"]
    assert len(answer.json["series"][0]["mean"]) <= 60
    nothing = browser.ask("GET", "/history?metric=migmond_memory_used_bytes&labels={%22of%22:%22none%22}")
    assert nothing.json["series"] == []
    refused = browser.ask("GET", "/history?metric=migmond_memory_used_bytes&span=long")
    assert (refused.status, refused.json["error"]["field"]) == (422, "span")
    assert browser.ask("GET", "/history").status == 422
