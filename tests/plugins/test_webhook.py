"""Webhooks, against a real server on the loopback address."""

from __future__ import annotations

import hashlib
import hmac
import json
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trio

from alerts_told import a_notice
from loopback import Loopback, certificate, free_port
from migmond.domain.errors import PluginError
from migmond.plugin_api import ActionFailed
from migmond_webhook import SETTINGS, Parameters, Target, Webhook, migmond_alert_actions
from migmond_webhook.sending import judge, seconds_of

HOSTILE = 'a <!channel> & <https://evil|click> "\n\u202e\x00'


@pytest.fixture
def server() -> Iterator[Loopback]:
    with Loopback() as running:
        yield running


@pytest.fixture
def token(tmp_path: Path) -> str:
    path = tmp_path / "token"
    path.write_text("sesame\n")
    path.chmod(0o400)
    return f"file:{path}"


async def tell(target: Target, message: str = "hot", within: str = "5s", **changes: Any) -> None:
    with trio.fail_after(20):
        await Webhook(SETTINGS(within, {"ops": target})).act(a_notice(message, **changes), Parameters("ops"))


async def failing(target: Target, within: str = "5s") -> ActionFailed:
    with pytest.raises(ActionFailed) as caught:
        await tell(target, within=within)
    return caught.value


async def test_the_notice_goes_out_signed(server: Loopback, token: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")  # the environment is not trusted
    await tell(Target(f"{server.url}/in?a=b", token=token, headers={"X-Team": "disks"}), HOSTILE, also=("a-2",))
    (seen,) = server.seen
    assert seen.path == "/in?a=b"
    body = json.loads(seen.body)
    assert (body["message"], body["state"], body["delivery"]) == (HOSTILE, "firing", "d1")
    assert (body["alert"], body["also"]) == ("a-1", ["a-2"])
    assert seen.headers["idempotency-key"] == "d1"
    assert seen.headers["x-team"] == "disks"
    assert seen.headers["content-type"] == "application/json"
    assert seen.headers["user-agent"].startswith("migmond/")
    at = seen.headers["x-migmond-timestamp"]
    assert abs(int(at) - time.time()) < 30
    mac = hmac.new(b"sesame", at.encode() + b"." + seen.body, hashlib.sha256).hexdigest()
    assert seen.headers["x-migmond-signature"] == f"sha256={mac}"


async def test_slack(server: Loopback, tmp_path: Path) -> None:
    address = tmp_path / "address"
    address.write_text(f"{server.url}/services/T/B/x\n")
    address.chmod(0o600)
    await tell(Target(f"file:{address}", "slack"), HOSTILE)
    (seen,) = server.seen
    text = json.loads(seen.body)["text"]
    assert seen.path == "/services/T/B/x"
    assert "a &lt;!channel&gt; &amp; &lt;https://evil|click&gt;" in text
    assert "<" not in text
    assert "\u202e" not in text


async def test_ntfy_and_gotify(server: Loopback, token: str) -> None:
    await tell(Target(f"{server.url}/alerts", "ntfy", token))
    await tell(Target(f"{server.url}/", "gotify", token), firing=False, execution_name="")
    ntfy, gotify = server.seen
    assert ntfy.path == "/"
    assert ntfy.headers["authorization"] == "Bearer sesame"
    body = json.loads(ntfy.body)
    assert (body["topic"], body["priority"], body["tags"]) == ("alerts", 4, ["warning"])
    assert body["title"] == "[ERROR] hot disk: media (box)"
    assert gotify.path == "/message"
    assert gotify.headers["x-gotify-key"] == "sesame"
    assert json.loads(gotify.body)["priority"] == 2
    assert json.loads(gotify.body)["title"] == "[RESOLVED] hot disk: sda (box)"


@pytest.mark.parametrize(
    ("status", "headers", "final", "after_s"),
    [
        (500, {}, False, None), (503, {"Retry-After": "120"}, False, 120.0),
        (429, {"Retry-After": "nonsense"}, False, None),
        (404, {}, True, None), (401, {}, True, None), (408, {}, False, None), (301, {"Location": "/else"}, False, None),
    ],
)  # fmt: skip
async def test_what_answers_mean(
    server: Loopback, status: int, headers: dict[str, str], final: bool, after_s: float | None
) -> None:
    server.answers = [(status, headers)]
    failed = await failing(Target(f"{server.url}/secret-path"))
    assert (failed.final, failed.after_s) == (final, after_s)
    assert f"ops answers {status}" in failed.why
    assert "secret-path" not in failed.why
    assert len(server.seen) == 1  # a redirection is not followed


def test_retry_after_is_seconds_or_a_date() -> None:
    assert seconds_of("Fri, 27 Nov 2026 10:02:00 GMT", 1_795_773_600.0) == 120.0
    assert seconds_of("Fri, 27 Nov 2020 10:02:00 GMT", 1_795_773_600.0) == 0.0
    assert [seconds_of(text, 0.0) for text in (None, "", "-5", "1.5", "²", "\0", "9" * 400)][:6] == [None] * 6
    judge("ops", 204, None, 0.0)


async def test_a_server_that_is_down_or_silent(server: Loopback) -> None:
    down = await failing(Target(f"http://localhost:{free_port()}/secret-path"))
    assert down.why == "ops cannot be connected to: Connection refused"
    nowhere = await failing(Target("http://no-such-host.invalid/secret-path"))
    assert nowhere.why.startswith("ops cannot be connected to")
    assert "its url is none" in (await failing(Target(f"http://{'x' * 64}.invalid/"))).why
    server.hang.clear()
    assert (await failing(Target(server.url), "300ms")).why == "ops did not answer within 0.3 s"


async def test_a_server_that_sends_its_answer_a_byte_at_a_time() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def drip() -> None:
            connection, _ = listening.accept()
            with connection:
                connection.recv(4096)
                try:
                    for byte in b"HTTP/1.1 200 " + b"x" * 1000:
                        connection.sendall(bytes([byte]))
                        time.sleep(0.05)
                except OSError:
                    return

        thread = threading.Thread(target=drip)
        thread.start()
        failed = await failing(Target(f"http://127.0.0.1:{listening.getsockname()[1]}"), "500ms")
        assert failed.why == "ops did not answer within 0.5 s"
        thread.join()


async def test_certificates_are_checked(tmp_path: Path) -> None:
    made = certificate(tmp_path)
    with Loopback(made) as server:
        refused = await failing(Target(server.url))
        assert "its certificate is not accepted" in refused.why
        assert not refused.final
        await tell(Target(server.url, ca_file=str(made)))
        assert len(server.seen) == 1
        assert "missing.pem cannot be used" in (await failing(Target(server.url, ca_file="/missing.pem"))).why


async def test_secrets_are_kept(tmp_path: Path, server: Loopback, monkeypatch: pytest.MonkeyPatch) -> None:
    token = tmp_path / "key"
    token.write_text("sesame")
    token.chmod(0o644)
    assert "others may read" in (await failing(Target(server.url, token=f"file:{token}"))).why
    token.chmod(0o400)
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    assert "LoadCredential=key:" in (await failing(Target(server.url, token="credential:key"))).why
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    await tell(Target(server.url, "gotify", "credential:key"))
    assert server.seen[-1].headers["x-gotify-key"] == "sesame"
    token.chmod(0o600)
    for text, why in (("", "is empty"), ("a\nb", "no single line"), ("sésame", "use plain ASCII")):
        token.write_text(text)
        assert why in (await failing(Target(server.url, token="credential:key"))).why


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        (SETTINGS("1h"), "timeout"),
        (SETTINGS(targets={"a": Target("ftp://x")}), "no address"),
        (SETTINGS(targets={"a": Target("http://")}), "no address"),
        (SETTINGS(targets={"a": Target("http://x", "telegram")}), "there is json, slack, ntfy, gotify"),
        (SETTINGS(targets={"a": Target("http://x", token="sesame")}), "not the secret itself"),
        (SETTINGS(targets={"a": Target("http://x", token="credential:../x")}), "no name of a credential"),
        (SETTINGS(targets={"a": Target("http://x", headers={"A": "b\r\nC: d"})}), "no header"),
    ],
)
def test_settings_are_checked_at_load_time(settings: SETTINGS, why: str) -> None:
    with pytest.raises(PluginError, match=why):
        list(migmond_alert_actions(settings))


async def test_rules_can_name_what_is_configured_and_nothing_else() -> None:
    (spec,) = migmond_alert_actions(SETTINGS(targets={"ops": Target("http://x")}))
    assert spec.check(Parameters("ops")) == ""
    assert spec.check(Parameters("http://evil")) == (
        "there is no target 'http://evil' (plugins.webhook.targets has: ops)"
    )
    with pytest.raises(ActionFailed, match="there is no target"):
        await spec.run(a_notice(), Parameters("else"))
