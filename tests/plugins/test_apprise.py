"""The extra apprise: the real library, against a server on the loopback address."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from alerts_told import a_notice
from loopback import Loopback, free_port
from migmond.domain.errors import PluginError
from migmond.plugin_api import ActionFailed, AlertNotice
from migmond_apprise import SETTINGS, Parameters, Services, migmond_alert_actions


def address(tmp_path: Path, text: str) -> dict[str, str]:
    path = tmp_path / "address"
    path.write_text(text)
    path.chmod(0o600)
    return {"phone": f"file:{path}"}


async def tell(targets: dict[str, str], target: str = "phone") -> None:
    with trio.fail_after(30):
        await Services(SETTINGS(targets)).act(a_notice(), Parameters(target))


# Apprise looks for what the standard library no longer has, and keeps files and sockets for the collector.
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")
async def test_a_service_is_told(tmp_path: Path) -> None:
    with Loopback() as server:
        targets = address(tmp_path, f"json://localhost:{server.port}/in")
        await tell(targets)
        (seen,) = server.seen
        body = json.loads(seen.body)
        assert (body["title"], body["type"]) == ("[ERROR] hot disk: media (box)", "failure")
        assert body["message"].startswith("sda is hot")
        server.answers = [(500, {})]
        with pytest.raises(ActionFailed, match="phone: apprise could not deliver it") as caught:
            await tell(targets)
        assert not caught.value.final
    with pytest.raises(ActionFailed, match="could not deliver"):
        await tell(address(tmp_path, f"json://localhost:{free_port()}/in"))
    with pytest.raises(ActionFailed, match="does not understand") as caught:
        await tell(address(tmp_path, "nonsense"))
    assert caught.value.final
    with pytest.raises(ActionFailed, match="there is no target"):
        await tell({}, "else")


async def test_services_that_hang_take_four_threads_and_no_more(
    tmp_path: Path, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    autojump_clock.autojump_threshold = 0.05
    release, hung = threading.Event(), list[str]()

    def hang(target: str, source: str, notice: AlertNotice) -> None:
        hung.append(target)
        release.wait()

    monkeypatch.setattr("migmond_apprise._notify", hang)
    services = Services(SETTINGS(address(tmp_path, "json://localhost/in")))
    try:
        for _ in range(6):
            with pytest.raises(ActionFailed, match="phone was not told within 60 s"):
                await services.act(a_notice(), Parameters("phone"))
    finally:
        release.set()
    assert len(hung) == 4


def test_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(PluginError, match=r"pip install 'migmond\[apprise\]'"):
        list(migmond_alert_actions(SETTINGS({"phone": "credential:phone"})))
    assert [s.name for s in migmond_alert_actions(SETTINGS())] == ["apprise"]


def test_addresses_are_secrets() -> None:
    with pytest.raises(PluginError, match="not the secret itself"):
        list(migmond_alert_actions(SETTINGS({"phone": "json://me:sesame@host"})))
