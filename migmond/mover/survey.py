"""Walks the sources and looks at the targets beside them, for the preflight. Nothing is written.

What is seen is summed up on the spot, so that memory holds unread directories, the names of one directory and the
inodes with further names still to come.
"""

from __future__ import annotations

from migmond.domain.preflight import Sight
from migmond.domain.preflight import Survey as Report
from migmond.mover.context import Context
from migmond.mover.control import Abandoned
from migmond.mover.survey_counts import Counted
from migmond.mover.survey_root import RootWalk
from migmond.wire.from_mover import Surveyed
from migmond.wire.to_mover import Survey


def survey(context: Context, message: Survey) -> None:
    """Walk to the end and send Surveyed; on ABANDON just stop."""
    counted = Counted(message.selector, message.now)
    try:
        found = [RootWalk(counted, context, root) for root in context.roots]
        for walk in found:
            walk.run()
    except Abandoned:
        return
    if counted.takes_all and context.moving and counted.links and not any(w.has_blind_spots for w in found):
        found[0].saw(Sight.LINK_OUTSIDE, b"", len(counted.links))
    report = tuple(walk.report() for walk in found)
    context.send(Surveyed(Report(counted.entries, counted.files, counted.directories, counted.bytes, report)))
