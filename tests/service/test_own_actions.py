"""What rules may call, and what the daemon's own actions ask for."""

from __future__ import annotations

import importlib
import random
import re
from typing import Any

import msgspec
import pytest
from trio.testing import MockClock

from alerts_told import TrioClock, a_notice, an_alert
from migmond.daemon.action_page import action_page
from migmond.daemon.app import BUILTIN_PLUGINS
from migmond.daemon.deliveries import Acting, DeliveryDesk
from migmond.daemon.own_actions import OwnActions
from migmond.daemon.steerer import lowering
from migmond.domain.alert import ActionCall, Delivery, Tried
from migmond.domain.changes import (
    PutDelivery,
)
from migmond.domain.delivery_api import DeliveriesParams
from migmond.domain.errors import Conflict, InvalidInput, LimitExceeded, MigmondError, NotPermitted
from migmond.domain.hold import HoldReason
from migmond.domain.identity import Identity, Peer, Role
from migmond.domain.intervention import InterventionKind
from migmond.domain.limits import Limits
from migmond.domain.steering import Throttle
from migmond.monitor.emergency import Touching
from migmond.monitor.outbox import Outbox, OutboxLimits
from migmond.plugin_api.memory import MemoryJournal
from migmond.plugin_api.specs import AlertNotice
from migmond.plugin_host.discovery import installed
from migmond.plugin_host.host import PluginHost

ADMIN, OPERATOR = (Peer(Identity(n, n, ()), role) for n, role in ((0, Role.ADMIN), (1000, Role.OPERATOR)))


class Steerer:
    """Notes what it is asked for; implements `migmond.ports.Steerer`."""

    def __init__(self) -> None:
        self.asked: list[tuple[Any, ...]] = []
        self.error: MigmondError | None = None
        self.refusing = frozenset({"aa"})

    async def pause(
        self, execution: str, author: str, reason: str, why: HoldReason, for_s: float | None, request_id: str = ""
    ) -> None:
        if self.error is not None and execution in self.refusing:
            raise self.error
        self.asked.append(("pause", execution, author, reason, why, for_s, request_id))

    async def throttle(
        self, execution: str, author: str, reason: str, limits: Throttle, for_s: float | None, request_id: str = ""
    ) -> None:
        self.asked.append(("throttle", execution, author, reason, limits, for_s, request_id))

    async def take_back(self, execution: str, author: str, reason: str) -> int:
        raise AssertionError("an alert takes back what it has asked for itself, and nothing else")

    async def take_back_requested(self, author: str, kind: InterventionKind, requests: str, reason: str) -> int:
        self.asked.append(("take_back", kind, author, requests))
        return 1

    async def stop_all(self, author: str, reason: str) -> None:
        self.asked.append(("stop_all", author, reason))


def acting(steerer: Steerer) -> Acting:
    host = PluginHost(installed(BUILTIN_PLUGINS), {}, lambda: 0.0)
    devices = {"sda": ("aa", "bb"), "sdb": ()}

    def touching(device: str) -> Touching:
        return Touching(devices.get(device, ("bb",)), complete=device in devices)

    own = OwnActions(steerer, touching).specs()
    return Acting(host, own, lambda execution: f"name of {execution}", "box")


def call(
    action: str, execution: str = "aa", *, firing: bool = True, device: str = "", **parameters: object
) -> Delivery:
    return Delivery("d1", action, parameters, an_alert(execution=execution, device=device), firing, 1.0)


async def test_they_are_recorded_as_the_rule_and_only_once_for_each_call() -> None:
    steerer = Steerer()
    them = acting(steerer)
    for delivery in (
        call("pause", lasts="2h"),
        call("pause", "", device="sda"),
        call("pause", firing=False),
        call("pause", firing=False, resume=True),
        call("throttle", io_bytes_per_s=5, lasts="1m"),
        call("throttle", firing=False, io_bytes_per_s=5),
        call("throttle", firing=False, io_bytes_per_s=5, resume=False),
        call("throttle", io_bytes_per_s="20MiB/s", memory_bytes="1GiB", cpu_percent=50),
        call("stop-all", ""),
        call("stop-all", "", firing=False),
    ):
        assert await them.act(delivery) == Tried()
    rule, why = "alert hot disk", "sda is hot"
    sizes = Throttle(io_bytes_per_s=20 << 20, memory_bytes=1 << 30, cpu_percent=50)
    assert steerer.asked == [
        ("pause", "aa", rule, why, HoldReason.ALERT, 7200.0, "a-1-d1-aa"),
        ("pause", "aa", rule, why, HoldReason.ALERT, None, "a-1-d1-aa"),
        ("pause", "bb", rule, why, HoldReason.ALERT, None, "a-1-d1-bb"),
        ("take_back", InterventionKind.PAUSE, rule, "a-1-"),
        ("throttle", "aa", rule, why, Throttle(io_bytes_per_s=5), 60.0, "a-1-d1-aa"),
        ("take_back", InterventionKind.THROTTLE, rule, "a-1-"),
        ("throttle", "aa", rule, why, sizes, None, "a-1-d1-aa"),
        ("stop_all", rule, why),
    ]


async def test_what_cannot_be_done_now_is_tried_again_or_not() -> None:
    steerer = Steerer()
    them = acting(steerer)
    steerer.error = Conflict("it has ended")
    assert await them.act(call("pause")) == Tried("it has ended", final=True)
    steerer.error = LimitExceeded("too much is in force")
    assert await them.act(call("pause")) == Tried("too much is in force")
    assert await them.act(call("pause", "")) == Tried("the alert is about no migration and no device", final=True)
    assert (await them.act(call("pause", lasts=5))).final
    assert (await them.act(call("fly"))).error.startswith("no alert action 'fly'; there is: ")


def test_an_alert_makes_nothing_faster_that_somebody_wants_slower() -> None:
    now = Limits(io_bytes_per_s=5, io_ops_per_s=100.0)
    wanted = Throttle(io_bytes_per_s=20, io_ops_per_s=50.0, cpu_percent=80.0)
    assert lowering(wanted, now) == Throttle(io_ops_per_s=50.0, cpu_percent=80.0)
    assert lowering(Throttle(io_bytes_per_s=20), now) is None
    assert lowering(Throttle(io_bytes_per_s=None), now) is None
    assert lowering(Throttle(io_bytes_per_s=20), Limits()) == Throttle(io_bytes_per_s=20)


async def test_one_that_cannot_be_paused_saves_no_other() -> None:
    steerer = Steerer()
    them = acting(steerer)
    steerer.error = Conflict("it has ended")
    assert await them.act(call("pause", "", device="sda")) == Tried()
    steerer.error = LimitExceeded("too much is in force")
    assert await them.act(call("pause", "", device="sda")) == Tried("too much is in force")
    assert [asked[1] for asked in steerer.asked] == ["bb", "bb"]
    steerer.error, steerer.refusing = Conflict("it has ended"), frozenset({"aa", "bb"})
    assert await them.act(call("pause", "", device="sda")) == Tried("it has ended", final=True)
    assert await them.act(call("pause", "", device="sdb")) == Tried()


async def test_a_pause_waits_until_it_is_known_what_the_migrations_are_on() -> None:
    steerer = Steerer()
    tried = await acting(steerer).act(call("pause", "", device="sdc"))
    assert tried == Tried("it is not known yet which migrations use sdc")
    assert [asked[1] for asked in steerer.asked] == ["bb"]  # the others do not wait for that


async def test_plugins_are_told_what_the_alert_was() -> None:
    told: list[AlertNotice] = []
    them = acting(Steerer())

    async def act(action: str, notice: AlertNotice, parameters: Any) -> Tried:
        told.append(notice)
        return Tried()

    them._host.act = act  # type: ignore[method-assign]
    first = msgspec.structs.replace(call("webhook", device="sda"), attempts=2, created_at=1_795_773_600.0)
    await them.act(msgspec.structs.replace(first, also=("a-2", "a-3")))
    (notice,) = told
    assert notice == a_notice(
        execution="aa",
        execution_name="name of aa",
        attempt=3,
        at=notice.at,
        since=notice.since,
        labels={"device": "sda"},
        also=("a-2", "a-3"),
    )
    assert notice.at.startswith("2026-11-27T")


@pytest.mark.parametrize(
    ("action", "parameters", "why"),
    [
        ("fly", {}, "no alert action 'fly'"),
        ("pause", {"for": 5}, "no parameter 'for'"),
        ("pause", {"lasts": 5}, "Expected `str`"),
        ("pause", {"lasts": "2"}, "lasts"),
        ("pause", {"lasts": "0s"}, "lasts"),
        ("throttle", {}, "limits nothing"),
        ("throttle", {"io_bytes_per_s": 0}, 'use the action "pause"'),
        ("throttle", {"io_bytes_per_s": "fast"}, "fast"),
        ("throttle", {"io_bytes_per_s": 5, "lasts": "99999d"}, "makes no sense"),
        ("exec", {"argv": ["/bin/rm", "-rf", "/"]}, "/bin/rm is not in"),
        ("webhook", {"target": "http://169.254.169.254/"}, "there is no target"),
        ("email", {}, "no mail server is configured"),
        ("apprise", {"target": "phone"}, "there is no target"),
    ],
)
def test_a_rule_can_call_nothing_that_could_not_be_done(action: str, parameters: dict[str, object], why: str) -> None:
    with pytest.raises(InvalidInput, match=re.escape(why)) as caught:
        acting(Steerer()).check(ActionCall(action, parameters), ADMIN)
    assert caught.value.hint


def test_only_admins_stop_everybody() -> None:
    them = acting(Steerer())
    them.check(ActionCall("stop-all"), ADMIN)
    them.check(ActionCall("pause", {"lasts": "2h", "resume": True}), OPERATOR)
    with pytest.raises(NotPermitted, match="stops everybody's migrations"):
        them.check(ActionCall("stop-all"), OPERATOR)


async def test_people_see_what_is_about_their_own(autojump_clock: MockClock) -> None:
    journal, them = MemoryJournal(), acting(Steerer())
    made = [
        msgspec.structs.replace(call("pause", execution, device=device), id=f"d{n}", created_at=float(n), done_at=9.0)
        for n, (execution, device) in enumerate((("aa", ""), ("bb", ""), ("", "sda"), ("aa", "")))
    ]
    await journal.apply([PutDelivery(d) for d in made])
    desk = DeliveryDesk(_outbox(journal, them), them, journal)

    async def seen(who: frozenset[str] | None, **params: Any) -> list[str]:
        return [d.id for d in (await desk.page(DeliveriesParams(**params), who)).deliveries]

    assert await seen(None) == ["d0", "d1", "d2", "d3"]
    assert await seen(frozenset({"aa"})) == ["d0", "d3"]
    assert await seen(None, limit=1) == ["d3"]
    assert await seen(None, action="webhook") == await seen(None, open_only=True) == []
    for limit in (0, 1001):
        with pytest.raises(InvalidInput):
            await desk.page(DeliveriesParams(limit=limit), None)
    assert desk.check_of_actions().severity == "ok"


def _outbox(journal: MemoryJournal, them: Acting) -> Outbox:
    return Outbox(journal, them.act, TrioClock(), random.Random(1), lambda *_, **__: None, OutboxLimits())


def test_the_page_has_every_action_parameter_and_setting() -> None:
    page = action_page()
    for name, spec in acting(Steerer()).specs().items():
        assert f"## {name}\n\n{spec.help}" in page
        for parameter in spec.parameters.__struct_fields__:
            assert f"`{parameter}`" in page.partition(f"## {name}\n")[2].partition("\n## ")[0]
    for plugin in ("exec", "webhook", "email", "apprise"):
        kind = importlib.import_module(BUILTIN_PLUGINS[plugin]).SETTINGS
        section = page.partition(f"## Settings: plugins.{plugin}\n")[2].partition("\n## ")[0]
        assert all(f"- `{key}`: " in section for key in kind.__struct_fields__)
    for field in AlertNotice.__struct_fields__:
        assert f"`{field}`" in page or field == "firing"
