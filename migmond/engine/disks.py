"""Which disks an execution uses."""

from __future__ import annotations

import os
from collections.abc import Iterable

import trio

from migmond.domain.device import Chain
from migmond.engine.scope import Scope
from migmond.fsys.device_graph import number_of, read_graph


def names_of(device: int, chain: Chain) -> Iterable[str]:
    """Return what is to be told apart below a device number: its disks; the file system itself where nobody knows of
    any, or it is on none."""
    return [disk.name for disk in chain.disks] or [f"{os.major(device)}:{os.minor(device)}"]


async def find_disks(scope: Scope) -> None:
    """Let `scope.disks` be those of its roots. Reads /proc and /sys, in a thread; where they are not to be read each
    device number stands for itself."""
    devices = {d for r in scope.roots for d in (r.source_device, r.target_device)}

    def look() -> frozenset[str]:
        try:
            graph = read_graph(device_of=number_of)
        except OSError:
            return frozenset(f"{os.major(d)}:{os.minor(d)}" for d in devices)
        return frozenset(name for d in devices for name in names_of(d, graph.chain(d)))

    scope.disks = await trio.to_thread.run_sync(look, abandon_on_cancel=True)
