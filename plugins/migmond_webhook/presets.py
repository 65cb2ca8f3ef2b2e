"""What receivers of different kinds want: one function each, from a notice to a request."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable, Mapping

import msgspec

from migmond.plugin_api import AlertNotice
from migmond.plugin_api.notices import notice_json, text, title

_NTFY_PRIORITY = {"info": 2, "warning": 3, "error": 4, "critical": 5}
"""1 to 5 (https://docs.ntfy.sh/publish/#message-priority)."""
_GOTIFY_PRIORITY = {"info": 2, "warning": 5, "error": 7, "critical": 10}
"""0 to 10 (https://gotify.net/docs/pushmsg); most apps make a sound from 4 on and vibrate from 8 on."""


class Message(msgspec.Struct, frozen=True):
    """What goes out."""

    url: str
    body: bytes
    headers: Mapping[str, str]


def generic(url: str, token: str, notice: AlertNotice, now: float) -> Message:
    """The notice as JSON. With a token, signed: `X-Migmond-Signature` is `sha256=` and, in hexadecimal, HMAC-SHA256
    with the token as the key over the value of `X-Migmond-Timestamp` (seconds since the epoch), a full stop and the
    body. A receiver refuses what is older than a few minutes, or has another signature."""
    body = notice_json(notice)
    return Message(url, body, signature(token, body, now) if token else {})


def signature(token: str, body: bytes, now: float) -> dict[str, str]:
    """Return the headers that prove who has sent a body, and when."""
    at = str(int(now))
    mac = hmac.new(token.encode(), f"{at}.".encode() + body, hashlib.sha256).hexdigest()
    return {"X-Migmond-Timestamp": at, "X-Migmond-Signature": f"sha256={mac}"}


def slack(url: str, token: str, notice: AlertNotice, now: float) -> Message:
    """An incoming webhook of Slack, Mattermost, Rocket.Chat or Discord (its `/slack` address)."""
    said = f"*{_slack_text(title(notice))}*\n{_slack_text(text(notice))}"
    return Message(url, msgspec.json.encode({"text": said}), _bearer(token))


def _slack_text(plain: str) -> str:
    """https://docs.slack.dev/messaging/formatting-message-text/#escaping: then nothing in it is a link or a mention."""
    return plain.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def ntfy(url: str, token: str, notice: AlertNotice, now: float) -> Message:
    """A topic of ntfy; the address is the topic's."""
    base, _, topic = url.rstrip("/").rpartition("/")
    body = {
        "topic": topic,
        "title": title(notice),
        "message": text(notice),
        "priority": _NTFY_PRIORITY.get(notice.severity, 3) if notice.firing else 2,
        "tags": ["warning" if notice.firing else "white_check_mark"],
    }
    return Message(base, msgspec.json.encode(body), _bearer(token))


def gotify(url: str, token: str, notice: AlertNotice, now: float) -> Message:
    """A Gotify server; the token is the application's."""
    body = {
        "title": title(notice),
        "message": text(notice),
        "priority": _GOTIFY_PRIORITY.get(notice.severity, 5) if notice.firing else 2,
    }
    return Message(f"{url.rstrip('/')}/message", msgspec.json.encode(body), {"X-Gotify-Key": token} if token else {})


def _bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"} if token else {}


PRESETS: Mapping[str, Callable[[str, str, AlertNotice, float], Message]] = {
    "json": generic,
    "slack": slack,
    "ntfy": ntfy,
    "gotify": gotify,
}
"""By name: (address, token or "", notice, wall clock seconds)."""
