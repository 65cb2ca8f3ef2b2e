"""Fetches a receipt, page by page: memory does not grow with the execution."""

from __future__ import annotations

from collections.abc import Iterator

from migmond.client.sync import Client
from migmond.domain.errors import Conflict
from migmond.domain.receipt import ReceiptHeader, ReceiptPage, ReceiptParams, ReceiptWriter


class ReceiptStream:
    """The receipt of an execution, as the lines come.

    Attributes:
        header: of the receipt.
        entries: how many lines of entries were yielded.
    """

    def __init__(self, client: Client, execution: str) -> None:
        self._client = client
        self._page = self._get(execution, 0)
        self.header: ReceiptHeader = self._page.header
        self.entries = 0

    def lines(self) -> Iterator[bytes]:
        """Yield every line of the receipt, once.

        Raises:
            Conflict: the execution had ended and was set going again meanwhile.
            RemoteError: the daemon refused.
            Unreachable: the connection broke.
        """
        writer, page = ReceiptWriter(), self._page
        yield writer.header(self.header)
        while page.entries:
            for entry in page.entries:
                self.entries += 1
                yield writer.entry(entry)
            if page.next is None:
                break
            page = self._get(self.header.execution, page.next)
            if self.header.final and page.header != self.header:
                raise Conflict(
                    f"{self.header.name} was set going again while its receipt was made", hint="ask for it again"
                )
        yield writer.footer()

    def _get(self, execution: str, after: int) -> ReceiptPage:
        return self._client.call("execution.receipt", ReceiptParams(execution, after), ReceiptPage)
