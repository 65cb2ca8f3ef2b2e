"""The page of every alert action that plugins register, with its parameters and settings:
`python -m migmond.plugin_host.action_reference` prints it; `migmond.daemon.action_page` adds the daemon's own."""

from __future__ import annotations

import importlib
import inspect
import re
import signal
from collections.abc import Iterable
from typing import TypeAlias, get_args, get_type_hints

import msgspec

from migmond.plugin_api.notices import NOTICE_VERSION
from migmond.plugin_api.specs import AlertNotice
from migmond.plugin_host.checking import is_struct_type
from migmond.plugin_host.discovery import installed, load_all

Described: TypeAlias = tuple[str, str, type[msgspec.Struct]]
"""Name, help and parameters of an action."""

_INTRODUCTION = f"""What a rule can call when its alert fires and when it is resolved. A call is tried again until it
succeeds: after some seconds first, after ten minutes at most. A receiver may get one twice, with the same `delivery`.

Programs and servers are told the alert as a JSON object. Its `version` is {NOTICE_VERSION}; it is raised when a name
goes or changes its meaning, and there may be more names at any time. `state` is `firing` or `resolved`; the others:"""


def page(actions: Iterable[Described], settings: Iterable[tuple[str, type[msgspec.Struct]]]) -> str:
    """Return Markdown.

    Args:
        settings: of the plugins that have some, by name.
    """
    lines = ["# Alert actions of migmond", "", _INTRODUCTION, "", *_attributes(AlertNotice, leave_out="firing"), ""]
    for name, text, parameters in sorted(actions, key=lambda a: a[0]):
        lines += [f"## {name}", "", text, ""]
        if parameters.__struct_fields__:
            lines += ["Parameters:", "", *_attributes(parameters), ""]
    for name, kind in settings:
        lines += [f"## Settings: plugins.{name}", "", *_attributes(kind), ""]
        for key, inner in _tables(kind):
            lines += [f"### plugins.{name}.{key}.NAME", "", *_attributes(inner), ""]
    return "\n".join(lines)


def _tables(kind: type[msgspec.Struct]) -> Iterable[tuple[str, type[msgspec.Struct]]]:
    """Yield the settings that are tables of tables."""
    for key, hint in get_type_hints(kind).items():
        yield from ((key, inner) for inner in get_args(hint) if is_struct_type(inner))


def _attributes(kind: type[msgspec.Struct], leave_out: str = "") -> list[str]:
    """Return a line for each that the docstring of a Struct describes; `a, b: text` describes several."""
    text = inspect.cleandoc(kind.__doc__ or "").partition("Attributes:\n")[2]
    found: list[tuple[str, str]] = []
    for line in inspect.cleandoc(text).splitlines():
        begun = re.match(r"(\w+(?:, \w+)*): (.+)", line)
        if begun and not line.startswith(" "):
            found.append((begun[1], begun[2]))
        elif found and line.strip():
            found[-1] = (found[-1][0], f"{found[-1][1]} {line.strip()}")
    return [
        f"- {', '.join(f'`{name}`' for name in names.split(', '))}: {told}"
        for names, told in found
        if names != leave_out
    ]


def of_plugins() -> tuple[list[Described], list[tuple[str, type[msgspec.Struct]]]]:
    """Return the actions of all that is installed, and the settings of the plugins that have actions."""
    found = {p.name: p for p in installed({})}
    actions: list[Described] = []
    settings: list[tuple[str, type[msgspec.Struct]]] = []
    for loaded in load_all(list(found.values()), {}):
        actions += [(a.name, a.help, a.parameters) for a in loaded.alert_actions]
        target = found[loaded.name].target
        kind = getattr(importlib.import_module(target), "SETTINGS", None) if loaded.alert_actions else None
        if kind is not None:
            settings.append((loaded.name, kind))
    return actions, settings


if __name__ == "__main__":
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # a reader that has seen enough (`| head`) ends it
    print(page(*of_plugins()), end="")
