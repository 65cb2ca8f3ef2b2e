"""What a storage promises about alerts; part of `migmond.plugin_api.conformance.JournalConformance`."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import msgspec

from migmond.domain.alert import (
    ActionCall,
    Alert,
    AlertFilter,
    AlertRule,
    AlertState,
    Condition,
    Operator,
    Severity,
    Silence,
)
from migmond.domain.alert_changes import (
    PruneAlerts,
    PutAlert,
    PutRule,
    PutSilence,
    RemoveAlerts,
    RemoveRule,
    RemoveSilence,
)
from migmond.ports import Journal


def a_rule(id_: str = "r-1", **fields: Any) -> AlertRule:
    """Return a rule to put into a journal."""
    condition = Condition("speed", Operator.BELOW, 5.5, labels={"disk": "sdü"}, for_s=2.5)
    actions = (ActionCall("webhook", {"url": "http://[::1]/", "tries": 3}),)
    made = AlertRule(id_, f"name of {id_}", "It is slow.", condition, Severity.ERROR, actions, cooldown_s=1.5)
    return msgspec.structs.replace(made, **fields)


def an_alert(number: int, **fields: Any) -> Alert:
    """Return an alert to put into a journal."""
    made = Alert(
        f"a-{number}", "r-1", "slow", Severity.WARNING, AlertState.FIRING, "it is slow", "aa", "sda", {"disk": "sda"},
        1.25, 5.5, 10.5, 12.5, 11.5, series=(("disk", "sda"),), metric="speed", met_s=1.0,
        told=(ActionCall("webhook", {"url": "http://[::1]/", "tries": 3}, on_resolve=False),),
    )  # fmt: skip
    return msgspec.structs.replace(made, **fields)


def resolved(number: int, at: float, **fields: Any) -> Alert:
    """Return one that was resolved."""
    return an_alert(number, state=AlertState.RESOLVED, resolved_at=at, **fields)


class AlertConformance:
    """One check per promise."""

    def open(self, directory: Path) -> AbstractAsyncContextManager[Journal]:
        """Open an empty journal. To be overridden."""
        raise TypeError("say how your storage is opened")

    async def test_rules_and_silences_come_back(self, tmp_path: Path) -> None:
        async with self.open(tmp_path) as journal:
            assert await journal.alert_rules() == []
            changed = a_rule("r-1", enabled=False, owner=1000, own=True)
            await journal.apply([PutRule(a_rule("r-2")), PutRule(a_rule("r-1")), PutRule(changed)])
            assert await journal.alert_rules() == [changed, a_rule("r-2")]
            await journal.apply([RemoveRule("r-1"), RemoveRule("no")])
            assert await journal.alert_rules() == [a_rule("r-2")]
            late, early = (Silence(f"s-{n}", "ana", "why", 1.0, until, "slow") for n, until in ((1, 9.5), (2, 3.5)))
            await journal.apply([PutSilence(late), PutSilence(early)])
            assert await journal.silences() == [early, late]
            await journal.apply([RemoveSilence("s-2")])
            assert await journal.silences() == [late]

    async def test_alerts_are_open_or_past(self, tmp_path: Path) -> None:
        async with self.open(tmp_path) as journal:
            pending = an_alert(2, state=AlertState.PENDING, fired_at=None, value=None)
            past = [resolved(n, 20.5 + n, execution="bb" if n % 2 else "aa") for n in range(3, 9)]
            await journal.apply([PutAlert(pending), PutAlert(an_alert(1)), *map(PutAlert, past)])
            assert await journal.open_alerts() == [an_alert(1), pending]
            assert await journal.past_alerts(AlertFilter(), 3) == [past[5], past[4], past[3]]
            assert await journal.past_alerts(AlertFilter(before=6), 9) == [past[2], past[1], past[0]]
            assert await journal.past_alerts(AlertFilter("bb"), 9) == [past[4], past[2], past[0]]
            assert await journal.past_alerts(AlertFilter(rule="r-2"), 9) == []
            assert await journal.past_alerts(AlertFilter(severity=Severity.CRITICAL), 9) == []
            assert len(await journal.past_alerts(AlertFilter("aa", "r-1", Severity.WARNING), 9)) == 3
            await journal.apply([RemoveAlerts(("a-2", "a-77")), PutAlert(resolved(1, 99.0))])
            assert await journal.open_alerts() == []
            assert (await journal.past_alerts(AlertFilter(before=2), 9)) == [resolved(1, 99.0)]

    async def test_alerts_of_the_past_are_pruned_by_age_and_number(self, tmp_path: Path) -> None:
        async with self.open(tmp_path) as journal:
            await journal.apply([PutAlert(resolved(n, 100.0 + n)) for n in range(1, 11)])
            await journal.apply([PutAlert(an_alert(11))])
            await journal.apply([PruneAlerts(104.0, 100)])
            assert [a.number for a in await journal.past_alerts(AlertFilter(), 99)] == [10, 9, 8, 7, 6, 5, 4]
            await journal.apply([PruneAlerts(0.0, 2)])
            assert [a.number for a in await journal.past_alerts(AlertFilter(), 99)] == [10, 9]
            assert [a.number for a in await journal.open_alerts()] == [11]

    async def test_ids_of_a_kind_never_repeat(self, tmp_path: Path) -> None:
        async with self.open(tmp_path) as journal:
            first = await journal.next_id("alert", 10)
            assert await journal.next_id("rule", 1) >= 1
            assert await journal.next_id("alert", 1) >= first + 10
