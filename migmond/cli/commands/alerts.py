"""Commands about alerts: what fires, who sees to it, and what is silenced."""

from __future__ import annotations

import click

from migmond.cli.commands.deliveries import deliveries
from migmond.cli.connect import connect
from migmond.cli.meant import meant
from migmond.cli.parse import DURATION, global_options
from migmond.cli.render.alerts import alert_lines, silence_lines
from migmond.cli.render.deliveries import trouble_lines
from migmond.cli.render.text import clock
from migmond.cli.state import State
from migmond.client.errors import RemoteError
from migmond.client.sync import Client
from migmond.domain import alert_api as a
from migmond.domain import api
from migmond.domain.alert import Severity
from migmond.domain.delivery_api import DeliveriesParams, DeliveryList
from migmond.domain.units import show_duration

_SEVERITIES = [s.value for s in Severity]


@click.group(invoke_without_command=True)
@click.option("--history", "view", flag_value="history", help="Those of the past, newest first.")
@click.option("--silenced", "view", flag_value="silenced", help="Only those that are silenced.")
@click.option("--execution", "id_", metavar="ID", help="Only of this migration.")
@click.option("--rule", metavar="RULE", default="", help="Only of this rule.")
@click.option("--severity", type=click.Choice(_SEVERITIES), help="This severity or worse.")
@click.option("--limit", type=click.IntRange(1, 1000), default=100, show_default=True)
@global_options
@click.pass_context
def alerts(
    ctx: click.Context,
    view: str | None,
    id_: str | None,
    rule: str,
    severity: str | None,
    limit: int,
) -> None:
    """Show alerts, worst first; acknowledge and silence them."""
    if ctx.invoked_subcommand is not None:
        return
    state = ctx.ensure_object(State)
    with connect(state) as client:
        execution = meant(state, client, id_).id if id_ is not None else ""
        least = Severity(severity) if severity is not None else None
        params = a.AlertsParams(view or "active", execution, rule, least, limit=limit)
        page = client.call("alerts.list", params, a.AlertPage)
        calls = client.call("alerts.deliveries", DeliveriesParams(limit=1), DeliveryList)
    trouble, past = trouble_lines(calls.troubles), view == "history"
    state.put("alerts", page, lambda p: [*trouble, *alert_lines(p, past=past)], marks=True)


alerts.add_command(deliveries)


@alerts.command()
@click.argument("alert")
@click.option("--note", default="", help="For whoever looks next.")
@global_options
@click.pass_obj
def ack(state: State, alert: str, note: str) -> None:
    """Say that you see to an alert: nobody is told of it again until it ends."""
    with connect(state) as client:
        done = client.call("alerts.acknowledge", a.AckParams(alert, note), a.AlertView)
    state.put("alert", done, lambda d: [f"{d.id} ({d.rule_name}): acknowledged by {d.acknowledged_by}"])


@alerts.command()
@click.argument("rule", required=False, default="")
@click.option("--execution", "id_", metavar="ID", help="Only alerts of this migration.")
@click.option("--label", "labels", multiple=True, metavar="NAME=VALUE", help="Only alerts with this label.")
@click.option("--for", "for_s", type=DURATION, metavar="DURATION", required=True, help="For how long.")
@global_options
@click.pass_obj
def silence(state: State, rule: str, id_: str | None, labels: tuple[str, ...], for_s: float) -> None:
    """Call no actions for a while: for alerts of RULE, of a migration, with a label, or for all.

    Whoever was told of an alert before is still told when it ends.
    """
    with connect(state) as client:
        execution = meant(state, client, id_).id if id_ is not None else ""
        params = a.SilenceParams(for_s, rule, execution, dict(pair(text) for text in labels), state.reason)
        made = client.call("alerts.silence", params, a.SilenceView)
    if state.json:
        state.emit("silence", made)
        return
    state.show([f"{made.id}: silenced for {show_duration(for_s)}, until {clock(made.until)}"])
    state.say(f"Undo: migmon alerts unsilence {made.id}")


@alerts.command()
@click.argument("silence_id", metavar="SILENCE")
@global_options
@click.pass_obj
def unsilence(state: State, silence_id: str) -> None:
    """End a silence; what still fires calls its actions now."""
    with connect(state) as client:
        ended = client.call("alerts.unsilence", a.UnsilenceParams(silence_id), a.SilenceView)
    state.put("silence", ended, lambda e: [f"{e.id}: ended"])


@alerts.command()
@global_options
@click.pass_obj
def silences(state: State) -> None:
    """Show the silences in force."""
    with connect(state) as client:
        found = client.call("alerts.silences", api.Nothing(), a.SilenceList)
    state.put("silences", found, silence_lines)


def firing_alerts(client: Client, execution: str = "") -> tuple[a.AlertView, ...]:
    """Return what fires now, of one migration or of all; nothing of a daemon that knows no alerts."""
    try:
        page = client.call("alerts.list", a.AlertsParams(execution=execution), a.AlertPage)
    except RemoteError as e:
        if not e.unknown_method:
            raise
        return ()
    return tuple(alert for alert in page.alerts if alert.state == "firing")


def pair(text: str) -> tuple[str, str]:
    """Split NAME=VALUE."""
    name, equals, value = text.partition("=")
    if not (name and equals):
        raise click.BadParameter(f"{text!r} is not NAME=VALUE", param_hint="--label")
    return name, value
