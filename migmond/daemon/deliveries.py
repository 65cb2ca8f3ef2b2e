"""Calls of alert actions: checked when a rule is made, carried out, and shown."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping

import msgspec
import trio

from migmond.daemon.pages import check_limit
from migmond.domain import daemon_api
from migmond.domain.alert import ActionCall, Delivery, Tried
from migmond.domain.decoding import converted, field_of
from migmond.domain.delivery_api import ActionTrouble, DeliveriesParams, DeliveryList, DeliveryView
from migmond.domain.errors import InvalidInput, MigmondError, NotPermitted, PluginError, inside
from migmond.domain.identity import Peer, Role
from migmond.engine.views import time_text
from migmond.monitor.outbox import Outbox, Trouble
from migmond.plugin_api.specs import ActionFailed, AlertActionSpec, AlertNotice
from migmond.plugin_host.host import PluginHost
from migmond.ports import Journal

MAX_PAGE = 1000
FOR_ADMINS = frozenset({"stop-all"})
"""It stops everybody's migrations."""


class Acting:
    """All alert actions: those of plugins, and the daemon's own.

    Args:
        own: the daemon's own.
        name_of: returns the name of an execution, "" when there is none.
        machine: name of this one.
    """

    def __init__(
        self, host: PluginHost, own: Iterable[AlertActionSpec], name_of: Callable[[str], str], machine: str
    ) -> None:
        self._host = host
        self._own = {spec.name: spec for spec in own}
        self._name_of = name_of
        self._machine = machine

    def is_own(self, action: str) -> bool:
        """Whether the daemon does it itself."""
        return action in self._own

    def specs(self) -> Mapping[str, AlertActionSpec]:
        """Return every action by name; of two with one name, the daemon's own."""
        return {**self._host.alert_actions(), **self._own}

    def check(self, call: ActionCall, peer: Peer) -> None:
        """Check that a rule of `peer` may call an action like that.

        Raises:
            InvalidInput: there is no such action, or the parameters do not fit it.
            NotPermitted: only admins may.
        """
        spec = self.specs().get(call.name)
        if spec is None:
            known = ", ".join(sorted(self.specs()))
            raise InvalidInput(f"there is no alert action {call.name[:40]!r}", hint=f"there is: {known}", field="name")
        if call.name in FOR_ADMINS and peer.role < Role.ADMIN:
            raise NotPermitted(f"{call.name} stops everybody's migrations", hint="ask an admin, or use pause")
        if unknown := sorted(set(call.parameters) - set(spec.parameters.__struct_fields__)):
            known = ", ".join(spec.parameters.__struct_fields__) or "none"
            message = f"{call.name} has no parameter {unknown[0][:40]!r}"
            raise InvalidInput(message, hint=f"there is: {known}", field="parameters")
        try:
            decoded = converted(call.parameters, spec.parameters)
        except msgspec.ValidationError as e:
            where = inside("parameters", field_of(e))
            raise InvalidInput(f"alert action {call.name}: {e}", hint=spec.help, field=where) from e
        if why := spec.check(decoded):
            raise InvalidInput(f"alert action {call.name}: {why}", hint=spec.help, field="parameters")

    async def act(self, delivery: Delivery) -> Tried:
        """Try a call once."""
        notice, own = self._notice(delivery), self._own.get(delivery.action)
        if own is None:
            try:
                return await self._host.act(delivery.action, notice, delivery.parameters)
            except PluginError as e:  # it may be back after a restart
                return Tried(e.message)
        try:
            parameters = converted(delivery.parameters, own.parameters)
            with trio.fail_after(own.deadline_s):
                await own.run(notice, parameters)
        except ActionFailed as e:
            return Tried(e.why, e.final, e.after_s)
        except msgspec.ValidationError as e:
            return Tried(str(e), final=True)
        except MigmondError as e:  # such as: it has ended meanwhile
            return Tried(e.message, final=not e.retryable)
        except trio.TooSlowError:
            return Tried(f"it took longer than {own.deadline_s:g} s")
        return Tried()

    def _notice(self, delivery: Delivery) -> AlertNotice:
        told = delivery.told
        began = told.fired_at if told.fired_at is not None else told.pending_at
        at = told.resolved_at if not delivery.firing and told.resolved_at is not None else delivery.created_at
        return AlertNotice(
            delivery=delivery.id,
            alert=told.id,
            also=delivery.also,
            rule=told.rule_name,
            severity=told.severity.value,
            message=told.message,
            firing=delivery.firing,
            at=time_text(at),
            since=time_text(began),
            value=told.value,
            threshold=told.threshold,
            execution=told.execution,
            execution_name=self._name_of(told.execution) if told.execution else "",
            device=told.device,
            labels=told.labels,
            host=self._machine,
            attempt=delivery.attempts + 1,
        )


class DeliveryDesk:
    """What rules put their calls into, and what clients see of them. Implements `migmond.ports.Deliveries`."""

    def __init__(self, outbox: Outbox, acting: Acting, journal: Journal) -> None:
        self._outbox = outbox
        self._acting = acting
        self._journal = journal

    def send(self, calls: Iterable[Delivery]) -> None:
        self._outbox.send(calls)

    def check(self, call: ActionCall, peer: Peer) -> None:
        """See `Acting.check`."""
        self._acting.check(call, peer)

    async def page(self, params: DeliveriesParams, seen: frozenset[str] | None) -> DeliveryList:
        """Return the newest calls.

        Args:
            seen: executions that may be told of; None for all, and for what is about none.

        Raises:
            InvalidInput: the limit is out of range.
        """
        check_limit(params.limit, MAX_PAGE)
        settled = [] if params.open_only else await self._journal.deliveries(settled=True, limit=MAX_PAGE)
        waiting = self._outbox.waiting()
        there = {d.id for d in waiting}
        found = sorted([*(d for d in settled if d.id not in there), *waiting], key=lambda d: d.created_at)
        shown = [d for d in found if params.action in ("", d.action) and (seen is None or d.told.execution in seen)]
        troubles = tuple(self.troubles()) if seen is None else ()
        return DeliveryList(tuple(_view(d) for d in shown[-params.limit :]), troubles)

    def troubles(self) -> list[ActionTrouble]:
        """Return the newest failure of each action that has failed of late."""
        waiting = Counter(d.action for d in self._outbox.waiting())
        return [_trouble(t, waiting[t.action]) for t in self._outbox.troubles()]

    def check_of_actions(self) -> daemon_api.Check:
        """Return whether actions do what they are to do."""
        failing = [t for t in self.troubles() if t.failing]
        if not failing:
            return daemon_api.Check("alert actions", "ok", "none has failed since it last succeeded")
        said = "; ".join(f"{t.action}: {t.error}" for t in failing)
        return daemon_api.Check("alert actions", "warning", said, "migmon alerts deliveries shows what waits")


def _trouble(trouble: Trouble, waiting: int) -> ActionTrouble:
    return ActionTrouble(trouble.action, time_text(trouble.at), trouble.error, trouble.failing, waiting)


def _view(d: Delivery) -> DeliveryView:
    state = "given_up" if d.given_up else "waiting" if d.done_at is None else "done"
    return DeliveryView(
        d.id, d.alert, d.told.rule_name, d.told.severity.value, d.told.message, d.told.execution, d.told.device,
        d.action, d.firing, state, time_text(d.created_at), d.attempts,
        None if d.tried_at is None else time_text(d.tried_at),
        time_text(d.next_at) if state == "waiting" else None, d.error,
    )  # fmt: skip
