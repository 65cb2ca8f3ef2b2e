"""Receipts for tests: made from a journal without the socket in between, and read apart."""

from __future__ import annotations

import io
import json
from typing import Any

from migmond.domain.execution import Execution
from migmond.domain.receipt import Checked, ReceiptWriter, check_receipt
from migmond.engine.receipt import receipt_header, receipt_page
from migmond.ports import (
    Journal,
)


async def receipt_of(journal: Journal, execution: Execution, limit: int = 500) -> bytes:
    """Return the whole receipt, put together from pages of at most `limit` entries."""
    writer, after = ReceiptWriter(), 0
    lines = [writer.header(receipt_header(execution))]
    while True:
        page = await receipt_page(journal, execution, after, limit)
        lines += [writer.entry(entry) for entry in page.entries]
        if page.next is None:
            return b"".join([*lines, writer.footer()])
        after = page.next


def check(receipt: bytes) -> Checked:
    """Check a receipt as a file is checked."""
    return check_receipt(io.BytesIO(receipt))


def entries(receipt: bytes) -> dict[str, dict[str, Any]]:
    """Return the entries by path."""
    lines = [json.loads(line) for line in receipt.splitlines()]
    return {line["path"]: line for line in lines[1:-1]}
