"""The rules of alerts: built in, edited, and made."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from migmond.alerting.builtin import builtin_rules
from migmond.alerting.checking import check_inhibition
from migmond.domain.alert import AlertRule
from migmond.domain.alert_changes import PutRule, RemoveRule
from migmond.domain.errors import Conflict, NotFound
from migmond.monitor.alert_record import AlertRecord


class RuleBook(Mapping[str, AlertRule]):
    """All rules by id. Each change is journaled before it holds; JournalError goes to whoever asked."""

    def __init__(self, record: AlertRecord) -> None:
        self._record = record
        self._rules: dict[str, AlertRule] = {rule.id: rule for rule in builtin_rules()}
        self._edited: set[str] = set()

    def take_over(self, kept: Sequence[AlertRule]) -> None:
        """Take over what is on record: rules that were made, and built-in ones that were changed."""
        for rule in kept:
            self._rules[rule.id] = rule
            self._edited.add(rule.id)

    def __getitem__(self, id_: str) -> AlertRule:
        return self._rules[id_]

    def __iter__(self) -> Iterator[str]:
        return iter(self._rules)

    def __len__(self) -> int:
        return len(self._rules)

    def by_name(self) -> list[AlertRule]:
        """Return all, sorted by name."""
        return sorted(self._rules.values(), key=lambda rule: (rule.name, rule.id))

    def is_edited(self, rule: AlertRule) -> bool:
        """Whether a rule is on record: made by somebody, or built in and changed."""
        return rule.id in self._edited

    def named(self, name: str) -> AlertRule:
        """Return a rule by id or name.

        Raises:
            NotFound: there is none.
        """
        found = self._rules.get(name) or next((r for r in self._rules.values() if r.name == name), None)
        if found is None:
            raise NotFound(f"there is no rule {name[:60]!r}", hint="migmon rules ls")
        return found

    async def put(self, rule: AlertRule) -> AlertRule | None:
        """Add a rule, or put it in place of the one with its id, which is returned.

        Raises:
            Conflict: another has its name.
            InvalidInput: it and others would keep one another quiet.
        """
        if any(r.name == rule.name and r.id != rule.id for r in self._rules.values()):
            raise Conflict(f"there is a rule {rule.name!r} already", hint=f"migmon rules edit {rule.name}")
        check_inhibition(rule, self._rules.values())
        await self._record.demand(PutRule(rule))
        before = self._rules.get(rule.id)
        self._rules[rule.id] = rule
        self._edited.add(rule.id)
        return before

    async def take_off_record(self, rule: AlertRule) -> None:
        """Forget what somebody made of a rule; `drop` it when its alerts are closed.

        Raises:
            Conflict: it is built in and was not edited.
        """
        if rule.builtin and rule.id not in self._edited:
            raise Conflict(f"{rule.name} comes with migmond", hint=f"migmon rules disable {rule.name}")
        await self._record.demand(RemoveRule(rule.id))
        self._edited.discard(rule.id)

    def drop(self, rule: AlertRule) -> None:
        """Take a rule out; one that is built in is as it was."""
        del self._rules[rule.id]
        self._rules |= {r.id: r for r in builtin_rules() if r.id == rule.id}
