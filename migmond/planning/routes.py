"""Which root of an execution is which: its sources, each with its target at each destination. Pure.

Movers know roots by their numbers: first those of the plan, one for each source, then as many for each further
destination, in the order of `Execution.further`. So an entry's place and its destination are one number.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

from migmond.domain.execution import Execution
from migmond.domain.plan import Plan, Source
from migmond.domain.steering import Route, Standing
from migmond.domain.task import Directory


def root_at(source: int, destination: int, sources: int) -> int:
    """Return the number of a root.

    Args:
        source: index of its source.
        destination: 0 for the plan's, else the number of a further one.
        sources: how many the plan has.
    """
    return destination * sources + source


def destination_at(root: int, sources: int) -> int:
    """Return the destination of the root of that number; see `root_at`."""
    return root // sources


def place_at(place: Directory, destination: int, sources: int) -> Directory:
    """Return a directory's place by the root that it has at a destination; see `root_at`."""
    return Directory(place.number, root_at(place.root, destination, sources), place.path) if destination else place


def target_of(source: Source, destination: bytes) -> bytes:
    """Return the path of a source's target at a destination."""
    return os.path.join(destination, source.into) if source.into else destination


def pairs_of(plan: Plan, further: Sequence[bytes] = ()) -> list[tuple[bytes, bytes]]:
    """Return the two paths of all roots, in order.

    Args:
        further: paths of the further destinations. A rollback has none of its own: where the first execution sent
            something, it fetches that from, or a recovery sends it again.
    """
    own = [(s.path, target_of(s, plan.destination)) for s in plan.sources]
    pairs = [*own, *((s.path, target_of(s, path)) for path in further for s in plan.sources)]
    undoing = plan.undoes
    if undoing is not None:
        for targets in undoing.further:
            for (path, target), there in zip(own, targets, strict=True):
                pairs.append((path, there) if undoing.again else (there, target))
    return pairs


def destination_for(route: Route, execution: Execution) -> int:
    """Return the number of the destination that a route in force sends to.

    Raises:
        ValueError: the execution does not know it.
    """
    return [d.path for d in execution.further].index(route.destination) + 1


def rest_goes_to(standing: Sequence[Standing], execution: Execution) -> int:
    """Return the number of the destination for what nothing is known about but that it is a part of the execution:
    that of the latest route for everything, or the plan's."""
    found = 0
    for change in standing:
        if isinstance(change.action, Route) and change.action.selector.selects_all:
            found = destination_for(change.action, execution)
    return found
