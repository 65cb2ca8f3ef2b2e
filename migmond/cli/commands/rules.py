"""Commands about alert rules: make, edit, and try them on what was measured."""

from __future__ import annotations

from typing import Any

import click
import msgspec

from migmond.cli.commands.alerts import pair
from migmond.cli.connect import connect
from migmond.cli.parse import DURATION, global_options, together
from migmond.cli.render.alerts import rule_detail_lines, rule_lines, test_lines
from migmond.cli.state import State
from migmond.client.sync import Client
from migmond.domain import alert_api as a
from migmond.domain import api
from migmond.domain.alert import ActionCall, Condition, Severity
from migmond.domain.alert_expression import parse_condition
from migmond.domain.errors import InvalidInput

_SEVERITIES = [s.value for s in Severity]


class _When(click.ParamType[Condition]):
    name = "condition"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Condition:
        if isinstance(value, Condition):
            return value
        try:
            return parse_condition(value)
        except InvalidInput as e:
            self.fail(f"{e.message} ({e.hint})", param, ctx)


class _Action(click.ParamType[ActionCall]):
    name = "action"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> ActionCall:
        if isinstance(value, ActionCall):
            return value
        try:
            return parse_action(value)
        except InvalidInput as e:
            self.fail(f"{e.message} ({e.hint})", param, ctx)


def parse_action(text: str) -> ActionCall:
    """Return what `pause:lasts=10m,resume=true` means: a name, and parameters separated by commas. A comma
    within a value is written `\\,`. Whole numbers, `true` and `false` are taken as such, all else as text. A list is
    written one by one, `exec:argv+=/hooks/tell,argv+=loudly`, and is of text only.

    Raises:
        InvalidInput: it is none.
    """
    name, _, rest = text.partition(":")
    if not name:
        raise InvalidInput(f"{text!r} names no action", hint="write e.g. pause:lasts=10m")
    found: dict[str, Any] = {}
    for part in rest.replace("\\,", "\0").split(",") if rest else ():
        key, equals, value = part.replace("\0", ",").partition("=")
        if not (key and equals):
            raise InvalidInput(f"{part!r} of {text!r} is not NAME=VALUE", hint="write e.g. pause:lasts=10m")
        if not key.endswith("+"):
            found[key] = _plain(value)
        elif not isinstance(there := found.setdefault(key[:-1], []), list):
            raise InvalidInput(f"{key[:-1]!r} is one value and a list", hint="write += for all that is in a list")
        else:
            there.append(value)
    on_resolve = found.pop("on_resolve", True)
    return ActionCall(name, found, on_resolve is not False)


def _plain(value: str) -> object:
    if value in ("true", "false"):
        return value == "true"
    return int(value) if value.isascii() and value.isdigit() and len(value) < 16 else value


def _options(command: Any) -> Any:
    return together(
        click.option("--description", help="What is wrong when it fires; begins every message."),
        click.option("--severity", type=click.Choice(_SEVERITIES), help="Of its alerts.  [default: warning]"),
        click.option("--action", "actions", type=_Action(), multiple=True, metavar="NAME[:KEY=VALUE,...]",
                     help="What to call; repeatable. A list: exec:argv+=/hooks/tell,argv+=loudly. "
                          "on_resolve=false: not when it ends."),
        click.option("--cooldown", "cooldown_s", type=DURATION, help="No second call so soon.  [default: 5m]"),
        click.option("--label", "labels", multiple=True, metavar="NAME=VALUE", help="Put on its alerts."),
        click.option("--inhibits", multiple=True, metavar="RULE", help="Keeps that rule's alerts quiet."),
    )(command)  # fmt: skip


_EMPTY: dict[str, Any] = {"actions": (), "labels": {}, "inhibits": ()}


@click.group()
@global_options
def rules() -> None:
    """Rules that raise alerts: list, make, edit and try them.

    \b
    migmon rules add slow --when 'avg(migmond_execution_bytes_per_second[5m]) < 20MiB for 5m'
    migmon rules edit disk-failing --action email --action pause:resume=true
    A condition: [avg|max|min|sum|rate|last](METRIC{LABEL="TEXT"}[WINDOW]) OPERATOR VALUE
        [resolve VALUE] [for DURATION] [keep DURATION] [missing fire|keep]
    resolve: it ends only past that value. for, keep: it has to be met, or not met, for so long.
    Without WINDOW 60 s. Values: 20MiB 5m 80% 50C 0.5. migmon metrics lists what is measured.
    Actions: pause, throttle:io_bytes_per_s=20MiB, stop-all; exec:argv+=/etc/migmond/hooks/tell,
        webhook:target=NAME, email, apprise:target=NAME, whose receivers are set in 90-plugins.toml.
    """


@rules.command()
@global_options
@click.pass_obj
def ls(state: State) -> None:
    """List all rules."""
    with connect(state) as client:
        found = client.call("rules.list", api.Nothing(), a.RuleList)
    state.put("rules", found, rule_lines)


@rules.command()
@click.argument("rule")
@global_options
@click.pass_obj
def show(state: State, rule: str) -> None:
    """Show one rule, and why it is as it is."""
    with connect(state) as client:
        _told(state, client.call("rules.get", a.RuleParams(rule), a.RuleView))


@rules.command()
@click.argument("name")
@click.option("--when", "condition", type=_When(), required=True, help="When it fires.")
@_options
@global_options
@click.pass_obj
def add(state: State, /, name: str, condition: Condition, **given: Any) -> None:
    """Make a rule. With --dry-run it is only tried on the last 7 days."""
    spec = _changed(a.RuleSpec(name, condition), given)
    with connect(state) as client:
        if state.dry_run:
            _test(state, client, a.RuleTestParams(spec=spec))
            return
        _told(state, client.call("rules.put", a.RulePutParams(spec), a.RuleView))
    state.say(f"Undo: migmon rules rm {name}")


@rules.command()
@click.argument("rule")
@click.option("--when", "condition", type=_When(), help="When it fires.")
@click.option("--name", help="Another name.")
@click.option("--without", multiple=True, type=click.Choice([*_EMPTY]), help="Take all of these away; repeatable.")
@_options
@global_options
@click.pass_obj
def edit(
    state: State, /, rule: str, condition: Condition | None, name: str | None, without: tuple[str, ...], **given: Any
) -> None:
    """Change what is given of a rule. --action and the like replace all there were."""
    with connect(state) as client:
        before = client.call("rules.get", a.RuleParams(rule), a.RuleView)
        there = msgspec.structs.replace(before.rule, **{what: _EMPTY[what] for what in without})
        spec = _changed(there, {**given, "condition": condition, "name": name})
        if state.dry_run:
            _test(state, client, a.RuleTestParams(spec=spec))
            return
        _told(state, client.call("rules.put", a.RulePutParams(spec, before.id), a.RuleView))


def _changed(spec: a.RuleSpec, given: dict[str, Any]) -> a.RuleSpec:
    """Return the spec with those options that were given."""
    fields = {name: value for name, value in given.items() if value not in (None, ())}
    if "severity" in fields:
        fields["severity"] = Severity(fields["severity"])
    if "labels" in fields:
        fields["labels"] = dict(pair(text) for text in fields["labels"])
    return msgspec.structs.replace(spec, **fields)


def _told(state: State, rule: a.RuleView) -> None:
    state.put("rule", rule, rule_detail_lines)


@rules.command()
@click.argument("rule")
@global_options
@click.pass_obj
def rm(state: State, rule: str) -> None:
    """Remove a rule; a built-in one that was edited is as it was before."""
    with connect(state) as client:
        client.call("rules.remove", a.RuleParams(rule), api.Acknowledged)
    state.show([f"{rule}: removed"])


@rules.command()
@click.argument("rule")
@global_options
@click.pass_obj
def enable(state: State, rule: str) -> None:
    """Enable a rule."""
    _enable(state, rule, enabled=True)


@rules.command()
@click.argument("rule")
@global_options
@click.pass_obj
def disable(state: State, rule: str) -> None:
    """Disable a rule; its alerts end."""
    _enable(state, rule, enabled=False)


def _enable(state: State, rule: str, *, enabled: bool) -> None:
    with connect(state) as client:
        view = client.call("rules.enable", a.RuleEnableParams(rule, enabled), a.RuleView)
    if state.json:
        state.emit("rule", view)
        return
    state.show([f"{view.rule.name}: {'enabled' if enabled else 'disabled'}"])
    state.say(f"Undo: migmon rules {'disable' if enabled else 'enable'} {view.rule.name}")


@rules.command("test")
@click.argument("rule", required=False, default="")
@click.option("--when", "condition", type=_When(), help="Try this condition instead of a rule.")
@click.option("--since", "span_s", type=DURATION, default="7d", show_default=True, help="How far back.")
@global_options
@click.pass_obj
def try_rule(state: State, rule: str, condition: Condition | None, span_s: float) -> None:
    """Replay a rule over what was measured: how often it would have fired."""
    spec = a.RuleSpec("test", condition) if condition is not None else None
    if (spec is None) == (not rule):
        raise click.UsageError("give either RULE or --when")
    with connect(state, timeout_s=None) as client:
        _test(state, client, a.RuleTestParams(rule, spec, span_s))


def _test(state: State, client: Client, params: a.RuleTestParams) -> None:
    found = client.call("rules.test", params, a.RuleTestView)
    state.put("rule_test", found, lambda f: test_lines(f, params.span_s))
