"""Commands about the daemon: status, doctor, config, plugins, rpc, completion."""

from __future__ import annotations

import json
import sys
from typing import Any

import click

from migmond.cli.connect import connect
from migmond.cli.exits import Exit
from migmond.cli.parse import global_options
from migmond.cli.render.other import check_lines, config_lines, plugin_lines, status_lines
from migmond.cli.render.text import printable_json
from migmond.cli.state import State
from migmond.domain import api, daemon_api
from migmond.domain.units import show_size


@click.command()
@global_options
@click.pass_obj
def status(state: State) -> None:
    """Show how the daemon is."""
    with connect(state, start=False) as client:
        found = client.call("system.status", api.Nothing(), daemon_api.Status)
    state.put("status", found, status_lines)


@click.command()
@global_options
@click.pass_obj
def doctor(state: State) -> None:
    """Check journal, configuration, plugins and event loop. Ends with 1 when something is wrong."""
    with connect(state) as client:
        found = client.call("system.doctor", api.Nothing(), daemon_api.Checks)
    state.put("checks", found, check_lines, marks=True)
    sys.exit(Exit.FAILED if any(c.severity == "error" for c in found.checks) else Exit.DONE)


@click.command()
@global_options
@click.pass_obj
def backup(state: State) -> None:
    """Back the journal up now. The daemon does so by itself, too; `migmond --restore PATH` puts one back."""
    with connect(state) as client:
        made = client.call("system.backup", api.Nothing(), daemon_api.Backup)
    state.put("backup", made, lambda m: [f"{m.path} ({show_size(m.size_bytes)})"])


@click.command()
@click.argument("key", default="")
@global_options
@click.pass_obj
def config(state: State, key: str) -> None:
    """Show the settings in force and where each comes from. KEY is a setting or a section."""
    with connect(state) as client:
        found = client.call("config.get", daemon_api.ConfigParams(key), daemon_api.ConfigValues)
    state.put("config", found, config_lines)


@click.command()
@global_options
@click.pass_obj
def plugins(state: State) -> None:
    """List plugins with their state."""
    with connect(state) as client:
        found = client.call("plugin.list", api.Nothing(), daemon_api.PluginList)
    state.put("plugins", found, lambda f: plugin_lines(f.plugins))


@click.command()
@click.argument("method")
@click.argument("params", metavar="[JSON]", default="{}")
@global_options
@click.pass_obj
def rpc(state: State, method: str, params: str) -> None:
    """Call any method of the API. JSON is an object of named parameters; `migmon rpc system.methods` lists all."""
    try:
        parsed = json.loads(params)
    except (ValueError, RecursionError) as e:
        raise click.UsageError(f"the parameters are not JSON: {e}") from e
    if not isinstance(parsed, dict):
        raise click.UsageError('the parameters must be a JSON object, e.g. \'{"id": "8f3a1c"}\'')
    with connect(state) as client:
        result: Any = client.call(method, parsed, dict)
    if state.json:
        state.emit("result", result)
    else:
        print(printable_json(json.dumps(result, indent=2, ensure_ascii=False)))


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@global_options
@click.pass_obj
def completion(state: State, shell: str) -> None:
    """Print the completion script of a shell. Put `source <(migmon completion bash)` into ~/.bashrc."""
    from click.shell_completion import get_completion_class

    from migmond.cli.main import cli

    kind = get_completion_class(shell)
    assert kind is not None
    script = kind(cli, {}, "migmon", "_MIGMON_COMPLETE").source()
    if state.json:
        state.emit("completion", {"shell": shell, "script": script})
    else:
        print(script)
