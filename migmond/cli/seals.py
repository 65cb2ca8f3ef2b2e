"""A receipt and the hashes that the journal keeps of receipts. Pure."""

from __future__ import annotations

import msgspec

from migmond.cli.render.text import clock
from migmond.domain.receipt import ReceiptFooter, ReceiptHeader, Seals


class Verdict(msgspec.Struct, frozen=True):
    """Whether the journal vouches for a receipt, and in words how it comes to that."""

    same: bool
    message: str


def compare(header: ReceiptHeader, footer: ReceiptFooter, seals: Seals) -> Verdict:
    """Compare an intact receipt with what the journal has of an execution's receipts."""
    if header.execution != seals.execution:
        return Verdict(same=False, message=f"it is the receipt of another migration, {header.execution[:6]}")
    for seal in seals.seals:
        if seal.sha256 == footer.sha256:
            return Verdict(
                same=True,
                message=f"the journal has had this hash since {clock(seal.at)}{_replaced(seals, seal.sha256)}",
            )
    if not header.final:
        return Verdict(same=False, message="it is not final: the journal keeps the hash of a final one only")
    alike = [s for s in seals.seals if s.format == header.receipt]
    if not alike:
        return Verdict(same=False, message="the journal has no hash of a receipt of its format")
    known = alike[-1]
    return Verdict(same=False, message=f"it is not what the journal recorded {clock(known.at)}: sha256 {known.sha256}")


def _replaced(seals: Seals, sha256: str) -> str:
    if seals.final and seals.seals[-1].sha256 == sha256:
        return ""
    return "; it was set going again after that, and has another receipt now" if seals.final else "; it goes on since"
