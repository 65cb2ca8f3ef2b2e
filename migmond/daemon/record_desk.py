"""What clients ask about what was measured and done. Implements `rpc.record_backend.RecordBackend`."""

from __future__ import annotations

from migmond.daemon.deliveries import DeliveryDesk
from migmond.daemon.exports import Exports
from migmond.daemon.history import Telemetry
from migmond.daemon.monitoring import Monitoring
from migmond.daemon.reports import Reports
from migmond.daemon.rights import Rights, sees
from migmond.domain.analysis import ComparisonView, SessionView, WhyParams, WhyView
from migmond.domain.delivery_api import DeliveriesParams, DeliveryList
from migmond.domain.errors import InvalidInput
from migmond.domain.history import HistoryParams, HistorySeriesParams, HistoryView, SeriesPage
from migmond.domain.identity import Peer
from migmond.domain.report import (
    MOST_COMPARED,
    CompareParams,
    ExportPage,
    ExportParams,
    PeriodReport,
    ReportSinceParams,
    ReportView,
)


class RecordDesk:
    """Args:
    rights: whose executions a peer may see, and how many of its requests read at a time.
    """

    def __init__(
        self,
        rights: Rights,
        monitoring: Monitoring,
        telemetry: Telemetry,
        reports: Reports,
        exports: Exports,
        deliveries: DeliveryDesk,
    ) -> None:
        self._rights = rights
        self._monitoring = monitoring
        self._telemetry = telemetry
        self._reports = reports
        self._exports = exports
        self._deliveries = deliveries

    async def session(self, peer: Peer, execution_id: str) -> SessionView:
        execution = self._rights.find(peer, execution_id, newest=True)
        async with self._rights.reads[peer.identity.uid]:
            return await self._monitoring.session(execution)

    async def why(self, peer: Peer, params: WhyParams) -> WhyView:
        execution = self._rights.find(peer, params.id, newest=True)
        async with self._rights.reads[peer.identity.uid]:
            return await self._monitoring.why(execution, params.path)

    async def query_history(self, peer: Peer, params: HistoryParams) -> HistoryView:
        async with self._rights.reads[peer.identity.uid]:
            return await self._telemetry.query(params, self._rights.ids_seen_by(peer))

    async def list_series(self, peer: Peer, params: HistorySeriesParams) -> SeriesPage:
        async with self._rights.reads[peer.identity.uid]:
            return await self._telemetry.series(params, self._rights.ids_seen_by(peer))

    async def report(self, peer: Peer, execution_id: str) -> ReportView:
        execution = self._rights.find(peer, execution_id)
        async with self._rights.reads[peer.identity.uid]:
            return await self._reports.report(execution, lambda e: sees(peer, e))

    async def report_since(self, peer: Peer, params: ReportSinceParams) -> PeriodReport:
        async with self._rights.reads[peer.identity.uid]:
            return await self._reports.since(params, lambda e: sees(peer, e))

    async def compare(self, peer: Peer, params: CompareParams) -> ComparisonView:
        if not 2 <= len(params.ids) <= MOST_COMPARED:
            raise InvalidInput(
                f"{len(params.ids)} of 2 to {MOST_COMPARED} executions to compare",
                hint="name each, or give its id",
                field="ids",
            )
        found = [self._rights.find(peer, name) for name in params.ids]
        if len({e.key for e in found}) < len(found):
            raise InvalidInput("an execution is compared with itself", hint="give different ones", field="ids")
        async with self._rights.reads[peer.identity.uid]:
            return await self._reports.compare(found, lambda e: sees(peer, e))

    async def export(self, peer: Peer, params: ExportParams) -> ExportPage:
        execution = self._rights.find(peer, params.execution) if params.execution else None
        async with self._rights.reads[peer.identity.uid]:
            return await self._exports.page(params, execution, lambda e: sees(peer, e), self._rights.ids_seen_by(peer))

    async def deliveries(self, peer: Peer, params: DeliveriesParams) -> DeliveryList:
        async with self._rights.reads[peer.identity.uid]:
            return await self._deliveries.page(params, self._rights.ids_seen_by(peer))
