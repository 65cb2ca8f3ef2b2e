"""What changed between two values of a Struct, and how a reader puts that into what it has.

The form is RFC 7396's (JSON merge patch) with one difference that no reader has to know of: there null removes a
member, here it says that the value is unknown. As no member of a view is ever left out, both come to the same.
"""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec

from migmond.domain.decoding import converted

S = TypeVar("S", bound=msgspec.Struct)


def changes_between(before: S, after: S) -> dict[str, Any]:
    """Return the fields of `after` that are not as in `before`, by the names they travel under.

    Of a nested Struct only what changed in it; everything else, lists above all, is there as a whole. The values may be
    Structs: it is to be encoded, not read.
    """
    found: dict[str, Any] = {}
    for field, name in zip(after.__struct_fields__, after.__struct_encode_fields__, strict=True):
        old, new = getattr(before, field), getattr(after, field)
        if old == new:
            continue
        if isinstance(new, msgspec.Struct) and type(old) is type(new) and not new.__struct_config__.array_like:
            found[name] = changes_between(old, new)
        else:
            found[name] = new
    return found


def merge(target: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """Return `target` with `changes` in it; neither is changed itself.

    Args:
        target: an object as JSON or msgpack has it.
        changes: what `changes_between` returned, after its way.
    """
    merged = dict(target)
    for name, value in changes.items():
        old = merged.get(name)
        merged[name] = merge(old, value) if isinstance(value, dict) and isinstance(old, dict) else value
    return merged


def merged_struct(target: S, changes: dict[str, Any]) -> S:
    """Return `target` with `changes` in it.

    Raises:
        msgspec.ValidationError: they do not fit its type.
    """
    return converted(merge(msgspec.to_builtins(target), changes), type(target))
