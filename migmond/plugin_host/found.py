"""A plugin before it is loaded, and whether root may run it."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Iterator
from typing import Any

import msgspec

from migmond.domain.errors import PluginError
from migmond.fsys.ownership import weak_spot, weak_spot_below
from migmond.plugin_api import PROJECT


class Found(msgspec.Struct, frozen=True):
    """A plugin before it is loaded: `target` is a module's name or the plugin itself."""

    name: str
    target: Any
    package: str = ""
    version: str = ""


def refuse_weak(plugin: Found) -> None:
    """Refuse a plugin with code that others than root could change: it would run with all of root's rights.

    migmond's own are left out: whoever can change these can change what would look.

    Raises:
        PluginError: which path, and what to do.
        OSError: its files cannot be looked at.
    """
    if plugin.package == PROJECT or not isinstance(plugin.target, str):
        return
    for weak in _weak_spots(plugin.target.partition(".")[0]):
        if weak:
            raise PluginError(f"others than root could change its code: {weak} (chown root, chmod go-w, then restart)")


def _weak_spots(module: str) -> Iterator[str | None]:
    """Look at everything that the import of a top-level module would read; nothing of it runs meanwhile."""
    spec = importlib.util.find_spec(module)
    if spec is None:
        return  # importing it will say so
    for directory in spec.submodule_search_locations or ():
        yield weak_spot_below(directory)
    for file in (spec.origin, spec.cached):
        if spec.has_location and file is not None:
            yield weak_spot(os.path.abspath(file))
