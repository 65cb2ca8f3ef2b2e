"""Reasons why tasks may not start or go on."""

from __future__ import annotations

import enum

import msgspec

from migmond.domain.selector import Selector


class HoldReason(enum.StrEnum):
    """Who or what set the hold."""

    USER = "user"
    ALERT = "alert"
    SCHEDULE = "schedule"
    POWER = "power"
    THERMAL = "thermal"
    SPACE = "space"
    DEVICE = "device"
    """The device or its file system stopped taking part (EROFS, ENODEV, ESTALE, one EIO after the other)."""
    MAINTENANCE = "maintenance"
    EMERGENCY = "emergency"


class Hold(msgspec.Struct, frozen=True):
    """One reason. An execution is paused while a hold covers it; lifting one leaves the others.

    Attributes:
        id: unique within the execution, `h1`, `h2`, ...
        author: user name or uid of who set it, or the component ("engine").
        since: wall clock seconds, for people.
        until: wall clock seconds at which it lifts itself, or None.
        note: one sentence for people.
        selector: what it covers; the default covers all.
        intervention: id of the one that set it, "" when a component of migmond did without one.
    """

    id: str
    reason: HoldReason
    author: str
    since: float
    until: float | None = None
    note: str = ""
    selector: Selector = Selector()
    intervention: str = ""
