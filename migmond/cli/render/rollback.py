"""How a look at a rollback is shown."""

from __future__ import annotations

from migmond.cli.render.text import count
from migmond.domain.rollback_api import RollbackOutlook
from migmond.domain.units import show_size

_UNDONE = frozenset({"restore", "remove", "whole", "occupied"})


def undoes_nothing(found: RollbackOutlook) -> bool:
    """Whether all that there is stays as it is."""
    return not found.backups and not any(f.fate in _UNDONE for f in found.fates)


def outlook(found: RollbackOutlook) -> list[str]:
    """Return the lines of `rollback -n`."""
    lines = [f"rollback of {found.name} (a {found.operation}):"]
    for there, back in zip(found.from_paths, found.to_paths, strict=True):
        lines.append(f"  {there} → {back}" if found.operation == "move" else f"  {there}, copied from {back}")
    for fate in found.fates:
        size = f", {show_size(fate.entries.bytes)}" if fate.entries.bytes else ""
        mark = "✓" if fate.fate in _UNDONE - {"occupied"} else "!"
        lines.append(f"{mark} {count(fate.entries.entries, 'entry', 'entries')}{size}: {fate.meaning}")
        if mark == "!":
            shown = [e for e in found.examples if e.fate == fate.fate]
            lines += [f"    {e.path}{f': {e.message}' if e.message else ''}" for e in shown]
    if found.backups:
        lines.append(f"✓ {count(found.backups, 'backup')}: gets its name back, when that is free again")
    lines += [f"! {note}" for note in found.notes]
    if not found.fates:
        lines.append("  nothing: it brought nothing over, or the selection picks nothing")
    return lines
