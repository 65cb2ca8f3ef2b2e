"""The alert actions that the daemon has itself: pause, throttle, stop-all."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
from msgspec import UNSET

from migmond.domain.errors import InvalidInput, MigmondError
from migmond.domain.hold import HoldReason
from migmond.domain.intervention import InterventionKind
from migmond.domain.steering import Throttle
from migmond.domain.units import parse_duration, parse_size
from migmond.monitor.emergency import Touching
from migmond.plugin_api.notices import one_line
from migmond.plugin_api.specs import ActionFailed, AlertActionSpec, AlertNotice
from migmond.ports import Steerer

DEADLINE_S = 60.0
_MOST_S = 10 * 366 * 86_400.0


class PauseParameters(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Attributes:
    lasts: a duration after which it goes on by itself, such as `2h`; empty until somebody resumes it.
    resume: it goes on when the alert is resolved.
    """

    lasts: str = ""
    resume: bool = False


class ThrottleParameters(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Attributes:
    io_bytes_per_s, memory_bytes, network_bytes_per_s: limits, bytes or a size such as `20MiB`.
    io_ops_per_s, cpu_percent: limits; of all of them at least one is needed.
    lasts: a duration after which the limits are taken back, such as `2h`; empty until somebody does.
    resume: they are taken back when the alert is resolved.
    """

    io_bytes_per_s: int | str | None = None
    io_ops_per_s: float | None = None
    cpu_percent: float | None = None
    memory_bytes: int | str | None = None
    network_bytes_per_s: int | str | None = None
    lasts: str = ""
    resume: bool = True


class NoParameters(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """None."""


OWN_ACTIONS: tuple[tuple[str, str, type[msgspec.Struct]], ...] = (
    ("pause", "Pause the migration, or all that use the device.", PauseParameters),
    ("throttle", "Limit the migration, or all that use the device; lower limits stay.", ThrottleParameters),
    ("stop-all", "Stop all migrations at once, until they are resumed; for rules of admins.", NoParameters),
)
"""Name, help and parameters."""


class OwnActions:
    """Args:
    touching: returns which executions at work use a device.
    """

    def __init__(self, steerer: Steerer, touching: Callable[[str], Touching]) -> None:
        self._steerer = steerer
        self._touching = touching

    def specs(self) -> tuple[AlertActionSpec, ...]:
        """Return them as plugins register theirs."""
        calls: dict[str, Callable[[AlertNotice, Any], Awaitable[None]]]
        calls = {"pause": self._pause, "throttle": self._throttle, "stop-all": self._stop_all}
        checks: dict[str, Callable[[Any], str]] = {"pause": _check_lasts, "throttle": _check_throttle}
        return tuple(
            AlertActionSpec(name, text, kind, calls[name], DEADLINE_S, checks.get(name, _nothing_to_check))
            for name, text, kind in OWN_ACTIONS
        )

    async def _pause(self, notice: AlertNotice, wanted: PauseParameters) -> None:
        async def pause(execution: str) -> None:
            await self._steerer.pause(
                execution, author(notice), one_line(notice.message), HoldReason.ALERT, _seconds(wanted.lasts),
                _request(notice, execution),
            )  # fmt: skip

        if notice.firing:
            await self._each_concerned(notice, pause)
        elif wanted.resume:
            await self._take_back(notice, InterventionKind.PAUSE)

    async def _throttle(self, notice: AlertNotice, wanted: ThrottleParameters) -> None:
        async def throttle(execution: str) -> None:
            await self._steerer.throttle(
                execution, author(notice), one_line(notice.message), _limits(wanted), _seconds(wanted.lasts),
                _request(notice, execution),
            )  # fmt: skip

        if notice.firing:
            await self._each_concerned(notice, throttle)
        elif wanted.resume:
            await self._take_back(notice, InterventionKind.THROTTLE)

    async def _take_back(self, notice: AlertNotice, kind: InterventionKind) -> None:
        """What this alert has done, wherever that was: not what another one of the same rule has, nor other actions."""
        await self._steerer.take_back_requested(author(notice), kind, _requests(notice.alert), "the alert is resolved")

    async def _stop_all(self, notice: AlertNotice, wanted: NoParameters) -> None:
        if notice.firing:
            await self._steerer.stop_all(author(notice), one_line(notice.message))

    async def _each_concerned(self, notice: AlertNotice, act: Callable[[str], Awaitable[None]]) -> None:
        """Do something about all migrations that an alert concerns: one that cannot be changed saves no other."""
        touching = self._concerned(notice)
        refused: list[MigmondError] = []
        for execution in touching.executions:
            try:
                await act(execution)
            except MigmondError as e:  # such as: it has ended meanwhile
                refused.append(e)
        if later := [e for e in refused if e.retryable]:
            raise later[0]
        if not touching.complete:
            raise ActionFailed(f"it is not known yet which migrations use {notice.device}")
        if refused and len(refused) == len(touching.executions):
            raise refused[0]

    def _concerned(self, notice: AlertNotice) -> Touching:
        if notice.execution:
            return Touching((notice.execution,), complete=True)
        if notice.device:
            return self._touching(notice.device)
        raise ActionFailed("the alert is about no migration and no device", final=True)


def author(notice: AlertNotice) -> str:
    """Return who the record names."""
    return f"alert {one_line(notice.rule, 60)}"


def _request(notice: AlertNotice, execution: str) -> str:
    """An action that is called twice, as after a crash, must not pause what somebody has resumed meanwhile."""
    return f"{_requests(notice.alert)}{notice.delivery}-{execution}"


def _requests(alert: str) -> str:
    """How all requests of an alert begin."""
    return f"{alert}-"


def _limits(wanted: ThrottleParameters) -> Throttle:
    told = {name: getattr(wanted, name) for name in wanted.__struct_fields__ if name not in ("lasts", "resume")}
    return Throttle(**{name: UNSET if value is None else _bytes(value) for name, value in told.items()})


def _bytes(value: Any) -> Any:
    return parse_size(value.removesuffix("/s")) if isinstance(value, str) else value


def _seconds(lasts: str) -> float | None:
    return parse_duration(lasts) if lasts else None


def _nothing_to_check(wanted: NoParameters) -> str:
    return ""


def _check_lasts(wanted: PauseParameters | ThrottleParameters) -> str:
    try:
        seconds = _seconds(wanted.lasts)
    except InvalidInput as e:
        return f"lasts: {e.message} ({e.hint})"
    return "" if seconds is None or 0 < seconds < _MOST_S else f"lasts: {wanted.lasts} makes no sense"


def _check_throttle(wanted: ThrottleParameters) -> str:
    try:
        told = [v for v in msgspec.structs.asdict(_limits(wanted)).values() if v is not UNSET]
    except InvalidInput as e:
        return f"{e.message} ({e.hint})"
    if not told:
        return "it limits nothing: give io_bytes_per_s or another limit"
    if any(value <= 0 for value in told):
        return 'a limit must be above 0: use the action "pause"'
    return _check_lasts(wanted)
