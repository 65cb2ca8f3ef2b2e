"""Forgetting an execution, as clients ask for it."""

from __future__ import annotations

from migmond.domain.api import Params, Result


class ForgetParams(Params, frozen=True):
    """`reason`: for the log."""

    id: str
    reason: str = ""


class ForgetView(Result, frozen=True):
    """What is not there any more. `entries`: what was on record of; they are removed in pieces from now on."""

    id: str
    name: str
    entries: int
