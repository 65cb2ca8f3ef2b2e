"""By which address tries to sign in are counted, behind a proxy and without one."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon import EmbeddedDaemon
from gateway import BASE, Answer, RunningGateway
from migmond_web.security import source_of

HOSTILE = ["", ",", "unknown", "_hidden", "1.2.3.4:80", "[2001:db8::1]:80", "1.2.3", "1.2.3.4,", "10.0.0.1/8",
           "999.1.1.1", "010.0.0.1", "evil.example", "1.2.3.4 5.6.7.8", "\u00b9.1.1.1", "::" + "1" * 5000]  # fmt: skip


@pytest.mark.parametrize(
    ("told", "found"),
    [
        ([], "192.0.2.7"),
        (["198.51.100.1"], "198.51.100.1"),
        (["  198.51.100.1 "], "198.51.100.1"),
        (["203.0.113.9, 10.1.1.1,198.51.100.1"], "198.51.100.1"),
        (["203.0.113.9", "198.51.100.1"], "198.51.100.1"),
        (["evil, 198.51.100.1"], "198.51.100.1"),
        (["::ffff:198.51.100.1"], "198.51.100.1"),
        (["2001:db8:1:2:3:4:5:6"], "2001:db8:1:2::/64"),
        (["2001:db8:1:2::9"], "2001:db8:1:2::/64"),
        (["fe80::1%eth0"], "fe80::/64"),
    ],
)
def test_the_last_entry_is_the_proxys(told: Sequence[str], found: str) -> None:
    assert source_of(told, "192.0.2.7") == found


@pytest.mark.parametrize("value", HOSTILE)
def test_what_is_no_address_is_refused(value: str) -> None:
    with pytest.raises(ValueError, match=r".*"):
        source_of([value], "192.0.2.7")


@given(st.lists(st.text(max_size=40), max_size=4), st.ip_addresses(v=4).map(str))
def test_nothing_that_a_client_sends_is_another_source(sent: list[str], proxys: str) -> None:
    assert source_of([*sent, proxys], "") == source_of([", ".join([*sent, proxys])], "") == proxys


# --- the served gateway ----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedDaemon]:
    with EmbeddedDaemon(tmp_path_factory.mktemp("sources") / "home") as running:
        yield running


def tries(gateway: RunningGateway, *headers: tuple[str, str], amount: int = 1) -> list[Answer]:
    """Return the answers to wrong passwords."""
    found = []
    for _ in range(amount):
        connection = http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=20)
        connection.putrequest("POST", f"{BASE}/session", skip_host=True)
        body = json.dumps({"user": "nobody-here", "password": "guessed"}).encode()
        sent = [("Host", f"127.0.0.1:{gateway.port}"), ("X-Migmond", "1"), ("Content-Length", str(len(body)))]
        for name, value in (*sent, *headers):
            connection.putheader(name, value.encode("latin-1"))
        connection.endheaders(body)
        found.append(Answer(connection.getresponse()))
        connection.close()
    return found


def statuses(*of: Any, **more: Any) -> list[int]:
    return [answer.status for answer in tries(*of, **more)]


def test_each_client_of_a_proxy_has_its_own_tries(daemon: EmbeddedDaemon) -> None:
    with RunningGateway(daemon, "--address-header", "X-Forwarded-For") as gateway:
        one, other = ("X-Forwarded-For", "198.51.100.1"), ("X-Forwarded-For", "198.51.100.2")
        assert statuses(gateway, one, amount=11) == [403] * 10 + [429]
        assert statuses(gateway, other) == [403]
        assert statuses(gateway, ("X-Forwarded-For", "198.51.100.3, 198.51.100.1")) == [429]
        assert statuses(gateway, ("X-Forwarded-For", "198.51.100.3"), one) == [429]
        assert statuses(gateway, ("x-forwarded-for", "198.51.100.1")) == [429]
        assert statuses(gateway) == [403]  # past the proxy


def test_hostile_values_sign_nobody_in(daemon: EmbeddedDaemon) -> None:
    with RunningGateway(daemon, "--address-header", "X-Forwarded-For") as gateway:
        for value in HOSTILE:
            (answer,) = tries(gateway, ("X-Forwarded-For", value))
            assert answer.status == 400, value
            assert "x-forwarded-for" in answer.json["error"]["message"]


def test_what_a_client_says_of_its_address_counts_only_where_a_proxy_is_configured(daemon: EmbeddedDaemon) -> None:
    with RunningGateway(daemon) as gateway:
        found = [statuses(gateway, ("X-Forwarded-For", f"198.51.100.{n}"), ("X-Real-IP", "1.1.1.1")) for n in range(11)]
    assert found == [[403]] * 10 + [[429]]
