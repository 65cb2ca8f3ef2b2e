"""The alert action `webhook`: tell a server of an alert by HTTP."""

from __future__ import annotations

import time
import urllib.parse
from collections.abc import Iterable

import msgspec
import trio

from migmond.domain.errors import PluginError
from migmond.domain.units import parse_duration
from migmond.plugin_api import ActionFailed, AlertActionSpec, AlertNotice, hookimpl
from migmond.plugin_api.secrets import check_secret, is_secret, read_secret
from migmond_webhook.presets import PRESETS

_GRACE_S = 10.0


class Target(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A server that may be told.

    Attributes:
        url: its address, or where that is: credential:NAME or file:/PATH (for Slack it is a secret).
        preset: `json` (the alert as it is), `slack` (also Mattermost, Rocket.Chat and Discord), `ntfy` (the address is
            the topic's) or `gotify`.
        token: where its secret is, credential:NAME or file:/PATH. For `json` it is the key of a signature:
            X-Migmond-Signature is `sha256=` and, in hexadecimal, HMAC-SHA256 over the value of X-Migmond-Timestamp
            (seconds since the epoch), a full stop, and the body. Others get it as they want it.
        headers: further ones.
        ca_file: certificates that may vouch for it; empty for those of the system.
    """

    url: str
    preset: str = "json"
    token: str = ""
    headers: dict[str, str] = {}
    ca_file: str = ""


class SETTINGS(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What conf.d may set. The service may not use the network as it comes: see contrib/systemd/network.conf.

    Attributes:
        timeout: from the first look-up to the answer.
        targets: servers by name: [plugins.webhook.targets.NAME]. Rules can name these and no others.
    """

    timeout: str = "10s"
    targets: dict[str, Target] = {}


class Parameters(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Attributes:
    target: name of a server in the configuration (plugins.webhook.targets).
    """

    target: str


class Webhook:
    """Tells servers."""

    def __init__(self, settings: SETTINGS) -> None:
        self._targets = settings.targets
        self.timeout_s = parse_duration(settings.timeout)
        if not 0.1 <= self.timeout_s <= 300:
            raise PluginError(f"timeout is {settings.timeout}: write 100ms to 5m")
        for name, target in self._targets.items():
            _check(f"targets.{name}", target)
        if self._targets:  # httpx is not loaded for who has nobody to tell: 60 ms, 12 MiB
            from migmond_webhook.sending import Sender

            self._sender = Sender(self.timeout_s)

    def check(self, parameters: Parameters) -> str:
        """Return why a target will never do, "" when it may."""
        if parameters.target in self._targets:
            return ""
        known = ", ".join(sorted(self._targets)) or "none"
        return f"there is no target {parameters.target!r} (plugins.webhook.targets has: {known})"

    async def act(self, notice: AlertNotice, parameters: Parameters) -> None:
        """Tell one server."""
        if why := self.check(parameters):
            raise ActionFailed(why)
        target, now = self._targets[parameters.target], time.time()
        url = await trio.to_thread.run_sync(read_secret, target.url)
        token = await trio.to_thread.run_sync(read_secret, target.token)
        if not token.isascii():
            raise ActionFailed(f"the token of {parameters.target} has letters that HTTP cannot send: use plain ASCII")
        message = PRESETS[target.preset](url, token, notice, now)
        headers = {**target.headers, "Idempotency-Key": notice.delivery}
        await self._sender.send(parameters.target, message, headers, target.ca_file, now)


def _check(setting: str, target: Target) -> None:
    if target.preset not in PRESETS:
        raise PluginError(f"{setting}.preset is {target.preset!r}: there is {', '.join(PRESETS)}")
    if is_secret(target.url):
        wrong = check_secret(f"{setting}.url", target.url)
    else:
        wrong = "" if _is_url(target.url) else f"{setting}.url is no address that begins with http:// or https://"
    if target.token:
        wrong = wrong or check_secret(f"{setting}.token", target.token)
    for name, value in target.headers.items():
        if not name.isascii() or not name.replace("-", "").isalnum() or not value.isascii() or not value.isprintable():
            wrong = wrong or f"{setting}.headers: {name!r} is no header"
    if wrong:
        raise PluginError(wrong)


def _is_url(text: str) -> bool:
    try:
        url = urllib.parse.urlsplit(text)
    except ValueError:
        return False
    return url.scheme in ("http", "https") and bool(url.hostname) and text.isprintable() and " " not in text


@hookimpl
def migmond_alert_actions(settings: SETTINGS) -> Iterable[AlertActionSpec]:
    """Register the action `webhook`."""
    webhook = Webhook(settings)
    text = "Tell a server by HTTP: as JSON with a signature, or as Slack, ntfy and Gotify take it."
    deadline_s = webhook.timeout_s + _GRACE_S
    return [AlertActionSpec("webhook", text, Parameters, webhook.act, deadline_s, webhook.check)]
