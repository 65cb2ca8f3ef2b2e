"""Changes of a journal transaction that are about alerts."""

from __future__ import annotations

from typing import TypeAlias

import msgspec

from migmond.domain.alert import Alert, AlertRule, Silence


class PutRule(msgspec.Struct, frozen=True):
    """Insert or replace a rule; one of a built-in rule's id is kept in place of that."""

    rule: AlertRule


class RemoveRule(msgspec.Struct, frozen=True):
    """Its alerts stay on record."""

    id: str


class PutAlert(msgspec.Struct, frozen=True):
    """Insert or replace an alert."""

    alert: Alert


class RemoveAlerts(msgspec.Struct, frozen=True):
    """Those of these ids that there are."""

    ids: tuple[str, ...]


class PruneAlerts(msgspec.Struct, frozen=True):
    """Remove alerts that were resolved before wall clock `before`, and of all resolved ones all but the newest
    `keep`."""

    before: float
    keep: int


class PutSilence(msgspec.Struct, frozen=True):
    silence: Silence


class RemoveSilence(msgspec.Struct, frozen=True):
    id: str


AlertChange: TypeAlias = PutRule | RemoveRule | PutAlert | RemoveAlerts | PruneAlerts | PutSilence | RemoveSilence
