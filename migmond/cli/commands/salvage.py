"""`migmon salvage`: what can be read of a damaged file."""

from __future__ import annotations

import sys

import click

from migmond.cli.connect import connect
from migmond.cli.exits import Exit, complain
from migmond.cli.meant import meant
from migmond.cli.parse import DURATION, execution_argument, global_options
from migmond.cli.render.text import count
from migmond.cli.state import State
from migmond.domain.error_api import SalvageParams, SalvageView
from migmond.domain.units import show_size

_SHOWN = 10


@click.command()
@execution_argument()
@click.argument("path")
@click.option("--limit", "limit_s", type=DURATION, default="10m", show_default=True, help="Read no longer than that.")
@global_options
@click.pass_obj
def salvage(state: State, id_: str, path: str, limit_s: float) -> None:
    """Save what can be read of a damaged file that has failed.

    It is written beside the target as NAME.migmond-salvage, never under its own name, with a map of what is missing
    that GNU ddrescue reads. PATH is below the source, as `migmon errors` shows it. Typed again, it goes on from there,
    and tries what was bad once more.

    Exit: 0 all of it was saved, 6 some is missing.
    """
    if state.dry_run:
        complain("salvage has no dry run: it only writes two new files", "run it without -n")
        sys.exit(Exit.USAGE)
    with connect(state, timeout_s=None) as client:
        view = meant(state, client, id_)
        found = client.call("execution.salvage", SalvageParams(view.id, path, limit_s), SalvageView)
    state.put("salvage", found, salvage_lines)
    if found.missing_bytes:
        sys.exit(Exit.SOME_FILES_FAILED)


def salvage_lines(found: SalvageView) -> list[str]:
    """Return what was saved and what is missing."""
    lines = [
        f"{found.path}: {show_size(found.saved_bytes)} of {show_size(found.size_bytes)} saved",
        f"  in    {found.saved_as}",
        f"  map   {found.map}",
    ]
    if found.missing_ranges:
        ranges = count(found.missing_ranges, "range is", "ranges are")
        lines.append(f"  {show_size(found.missing_bytes)} in {ranges} missing, and zeros there:")
    for r in found.missing[:_SHOWN]:
        why = "" if r.tried else ", no time was left for it: the same command goes on"
        lines.append(f"    {r.start:,} to {r.start + r.size:,}{why}")
    if found.missing_ranges > _SHOWN:
        lines.append(f"    and {found.missing_ranges - _SHOWN:,} more: see the map")
    return lines
