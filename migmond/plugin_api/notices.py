"""What is told of an alert, as JSON and as text. Receivers rely on the names."""

from __future__ import annotations

import msgspec

from migmond.plugin_api.specs import AlertNotice

NOTICE_VERSION = 1
"""Raised when a name in the JSON goes or changes its meaning; new ones may come at any time."""


class _Told(msgspec.Struct, frozen=True):
    version: int
    state: str
    delivery: str
    alert: str
    rule: str
    severity: str
    message: str
    value: float | None
    threshold: float
    at: str
    since: str
    execution: str
    execution_name: str
    device: str
    labels: dict[str, str]
    host: str
    attempt: int
    also: tuple[str, ...]


def notice_json(notice: AlertNotice) -> bytes:
    """Return a notice as a JSON object: the fields of `AlertNotice` by name, but for `firing`, which is `state`
    (`firing` or `resolved`), and `version`."""
    told = {name: value for name, value in msgspec.structs.asdict(notice).items() if name != "firing"}
    told["labels"] = dict(notice.labels)
    return msgspec.json.encode(_Told(version=NOTICE_VERSION, state="firing" if notice.firing else "resolved", **told))


def one_line(text: str, most: int = 200) -> str:
    """Return text without line breaks, control characters and what turns the direction of writing, for subjects and
    titles: it may hold the name of a file, and that may be anything.

    Args:
        most: characters.
    """
    plain = "".join(c if c.isprintable() else " " for c in text)
    shown = " ".join(plain.split())
    return shown if len(shown) <= most else f"{shown[: most - 1]}…"


def title(notice: AlertNotice) -> str:
    """Return a line that says what it is about."""
    state = notice.severity.upper() if notice.firing else "RESOLVED"
    about = notice.execution_name or notice.device
    return one_line(
        f"[{state}] {notice.rule}{f': {about}' if about else ''}{f' ({notice.host})' if notice.host else ''}"
    )


def text(notice: AlertNotice) -> str:
    """Return some lines for people."""
    value = "no readings" if notice.value is None else f"{notice.value:g}"
    rows = (
        ("Rule", notice.rule),
        ("Severity", notice.severity),
        ("State", "firing" if notice.firing else "resolved"),
        ("Value", f"{value} (threshold {notice.threshold:g})"),
        ("Since", notice.since),
        ("At", notice.at),
        ("Migration", f"{notice.execution_name} ({notice.execution})" if notice.execution else ""),
        ("Device", notice.device),
        ("Host", notice.host),
        ("Labels", ", ".join(f"{name}={value}" for name, value in sorted(notice.labels.items()))),
        ("Alert", f"{notice.alert}, delivery {notice.delivery}"),
    )
    lines = [f"{name}: {one_line(value, 1000)}" for name, value in rows if value]
    return "\n".join([one_line(notice.message, 2000), "", *lines, ""])
