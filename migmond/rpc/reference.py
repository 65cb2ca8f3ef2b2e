"""The API's reference documentation, from the records it is made of: `python -m migmond.rpc.reference` prints it."""

from __future__ import annotations

import inspect
import re
import signal
import typing

import msgspec

from migmond.domain import events
from migmond.rpc.faults import CODES
from migmond.rpc.methods import standard_registry
from migmond.rpc.registry import Registry

_DATA = (
    "The `data` of an error has `kind`, `retryable`, `path`, `errno`, `hint` (what to do) and `field` (which parameter "
    "it is about, such as `plan.sources[0].path`); what is not known is null."
)


def reference(registry: Registry) -> str:
    """Return Markdown: every method with its parameters and result, every event, every error code."""
    lines = ["# migmond's socket API", "", _INTRODUCTION, "", "## Methods", ""]
    for method in registry.all():
        lines += [f"### `{method.name}`", "", f"{method.help} Role: {method.role.name.lower()}.", ""]
        lines += _fields("Parameters", method.params) + _fields("Result", method.result)
    lines += ["## Events", ""]
    for kind in typing.get_args(events.Event):
        text = " ".join((inspect.getdoc(kind) or "").split()) if kind.__doc__ != events._Event.__doc__ else ""
        fields = ", ".join(f for f in kind.__struct_fields__ if f not in ("id", "at"))
        lines += [f"- `{kind.__struct_config__.tag}` ({fields}){': ' + text if text else ''}"]
    lines += ["", "## Error codes", "", _DATA, "", "| code | kind | meaning |", "| --- | --- | --- |"]
    for error, code in sorted(CODES.items(), key=lambda item: -item[1]):
        lines.append(f"| {code} | `{error.kind}` | {inspect.getdoc(error) or ''} |".replace("\n", " "))
    return "\n".join(lines) + "\n"


_INTRODUCTION = """JSON-RPC 2.0 on a Unix socket: a 4-byte big-endian length, then msgpack; or, when the first byte is
`{` or `[`, JSON lines. Named parameters only. Paths are text in a lossless form: valid UTF-8 as it is, a backslash
doubled, every other byte as `\\xHH`. Sizes are bytes, durations seconds, times RFC 3339. Unknown is null."""


def _fields(title: str, kind: type[msgspec.Struct]) -> list[str]:
    fields = msgspec.structs.fields(kind)
    if not fields:
        return []
    doc = inspect.getdoc(kind) or ""
    lines = [f"{title}: {' '.join(doc.split())}" if doc and "Base of all" not in doc else f"{title}:", ""]
    for field in fields:
        optional = "" if field.required else " (optional)"
        lines.append(f"- `{field.encode_name}`: {_type(field.type)}{optional}")
    return [*lines, ""]


def _type(kind: object) -> str:
    text = getattr(kind, "__name__", None) if not typing.get_args(kind) else None
    return re.sub(r"migmond\.domain\.(\w+_)?api\.|migmond\.domain\.", "", text or str(kind))


if __name__ == "__main__":
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # a reader that has seen enough (`| head`) ends it
    print(reference(standard_registry()))
