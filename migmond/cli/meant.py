"""Which migration is meant by a name that several have."""

from __future__ import annotations

from migmond.cli.render.text import clock
from migmond.cli.state import State
from migmond.client.errors import RemoteError
from migmond.client.sync import Client
from migmond.domain import api


def named(client: Client, name: str) -> api.ExecutionView:
    """Return the one migration that has that name or id: for what steers, which must not take another one.

    Raises:
        RemoteError: none has it, or several have.
    """
    return client.call("execution.get", api.ExecutionParams(name), api.ExecutionView)


def meant(state: State, client: Client, name: str) -> api.ExecutionView:
    """Return the migration of that name or id, of several the newest, and say that it is: for what only looks.

    Raises:
        RemoteError: none has it.
    """
    try:
        return named(client, name)
    except RemoteError as e:
        if e.kind != "ambiguous":
            raise
    view = client.call("execution.get", api.GetParams(name, newest=True), api.ExecutionView)
    state.say(
        f"several are called {view.name}; this is the newest, {view.id[:6]} of {clock(view.created_at)}"
        f" to {view.destination} (the others: migmon ls)"
    )
    return view
