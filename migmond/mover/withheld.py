"""What is not to be copied when it is opened and turns out to be of some kind."""

from __future__ import annotations

from migmond.domain.fault import Fault, Phase
from migmond.domain.file_kinds import FileKind
from migmond.mover.job import Failed
from migmond.wire.items import WITHHELD, WorkItem


def refuse(kind: FileKind | None, item: WorkItem) -> None:
    """Raise Failed when an item whose content is of `kind` is to be withheld; None: nobody knows."""
    if kind is not None and kind in item.withhold:
        raise Failed(Fault(Phase.COPY, WITHHELD, 0, f"its content is {kind.name.lower()}"))
