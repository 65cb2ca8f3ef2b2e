"""The command deliveries: what became of calls of alert actions."""

from __future__ import annotations

import click

from migmond.cli.connect import connect
from migmond.cli.parse import global_options
from migmond.cli.render.deliveries import delivery_lines
from migmond.cli.state import State
from migmond.domain.delivery_api import DeliveriesParams, DeliveryList


@click.command()
@click.argument("action", default="")
@click.option("--open", "open_only", is_flag=True, help="Only calls that still wait.")
@click.option("--limit", type=click.IntRange(1, 1000), default=100, show_default=True, help="The newest so many.")
@global_options
@click.pass_obj
def deliveries(state: State, action: str, open_only: bool, limit: int) -> None:  # noqa: FBT001
    """Show what became of calls of alert actions.

    With ACTION: of that one alone, such as `webhook`.
    """
    with connect(state) as client:
        found = client.call("alerts.deliveries", DeliveriesParams(action, open_only, limit), DeliveryList)
    state.put("deliveries", found, delivery_lines)
