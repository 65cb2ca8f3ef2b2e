"""The alert action `apprise`: tell a hundred kinds of services through the library apprise, an extra."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable

import msgspec
import trio

from migmond.domain.errors import PluginError
from migmond.plugin_api import ActionFailed, AlertActionSpec, AlertNotice, hookimpl
from migmond.plugin_api.notices import text, title
from migmond.plugin_api.secrets import check_secret, read_secret

MISSING = "the library apprise is not installed: pip install 'migmond[apprise]', where migmond is installed"
_DEADLINE_S = 60.0
_GRACE_S = 10.0
_AT_A_TIME = 4
"""Services that are told side by side: a thread that hangs stays until its service lets it go."""
_KINDS = {"info": "info", "warning": "warning", "error": "failure", "critical": "failure"}


class SETTINGS(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What conf.d may set. The service may not use the network as it comes: see contrib/systemd/network.conf.

    Attributes:
        targets: services by name. Their addresses (https://github.com/caronc/apprise/wiki) hold secrets, so the setting
            says where each is: NAME = "credential:NAME" or "file:/PATH". Rules can name these and no others.
    """

    targets: dict[str, str] = {}


class Parameters(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Attributes:
    target: name of a service in the configuration (plugins.apprise.targets).
    """

    target: str


class Services:
    """Tells services."""

    def __init__(self, settings: SETTINGS) -> None:
        self._targets = settings.targets
        self._threads = trio.CapacityLimiter(_AT_A_TIME)
        for name, source in self._targets.items():
            if wrong := check_secret(f"targets.{name}", source):
                raise PluginError(wrong)
        if self._targets and importlib.util.find_spec("apprise") is None:
            raise PluginError(MISSING)

    def check(self, parameters: Parameters) -> str:
        """Return why a target will never do, "" when it may."""
        if parameters.target in self._targets:
            return ""
        known = ", ".join(sorted(self._targets)) or "none"
        return f"there is no target {parameters.target!r} (plugins.apprise.targets has: {known})"

    async def act(self, notice: AlertNotice, parameters: Parameters) -> None:
        """Tell one service."""
        if why := self.check(parameters):
            raise ActionFailed(why)
        target = parameters.target
        with trio.move_on_after(_DEADLINE_S):
            await trio.to_thread.run_sync(
                _notify, target, self._targets[target], notice, abandon_on_cancel=True, limiter=self._threads
            )
            return
        raise ActionFailed(f"{target} was not told within {_DEADLINE_S:g} s")


def _notify(target: str, source: str, notice: AlertNotice) -> None:
    url = read_secret(source)
    import apprise  # 80 ms, and more memory than the rest of a small daemon: only for who wants it

    services = apprise.Apprise()
    if not services.add(url):
        raise ActionFailed(f"{target}: apprise does not understand its address", final=True)
    kind = _KINDS.get(notice.severity, "warning") if notice.firing else "success"
    if not services.notify(title=title(notice), body=text(notice), notify_type=kind, body_format="text"):
        raise ActionFailed(f"{target}: apprise could not deliver it")


@hookimpl
def migmond_alert_actions(settings: SETTINGS) -> Iterable[AlertActionSpec]:
    """Register the action `apprise`."""
    services = Services(settings)
    help_ = "Tell one of a hundred kinds of services (with the extra migmond[apprise])."
    return [AlertActionSpec("apprise", help_, Parameters, services.act, _DEADLINE_S + _GRACE_S, services.check)]
