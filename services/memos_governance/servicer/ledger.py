"""LedgerService: what happened, and what came from what."""

from dataclasses import dataclass
from typing import Any

from memos_api.internal.v1 import ledger_service_pb2 as pb
from memos_api.internal.v1 import ledger_service_pb2_grpc
from memos_api.v1 import governance_service_pb2 as public
from memos_governance.servicer import convert
from memos_governance.servicer.pages import Pages
from memos_governance.usecases.append_audit import AppendAudit
from memos_governance.usecases.get_lineage import GetLineage
from memos_governance.usecases.query_audit import QueryAudit
from memos_governance.usecases.record_lineage import RecordLineage
from memos_runtime.context import current_grant
from memos_wire.lineage import edge_from_proto, edge_to_proto, node_from_proto, node_to_proto


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerUseCases:
    """Everything that LedgerService can do."""

    append_audit: AppendAudit
    query_audit: QueryAudit
    record_lineage: RecordLineage
    get_lineage: GetLineage


class LedgerServicer(ledger_service_pb2_grpc.LedgerServiceServicer):
    """Serves LedgerService."""

    def __init__(self, use: LedgerUseCases, *, pages: Pages) -> None:
        self._use = use
        self._pages = pages

    async def AppendAudit(self, request: pb.AppendAuditRequest, context: Any) -> pb.AppendAuditResponse:
        """Append events."""
        events = [
            convert.tenant_event_from_proto(message, field=f"events[{index}]")
            for index, message in enumerate(request.events)
        ]
        return pb.AppendAuditResponse(appended=await self._use.append_audit(events))

    async def QueryAudit(self, request: pb.QueryAuditRequest, context: Any) -> pb.QueryAuditResponse:
        """Return a page of the log."""
        grant = current_grant()
        page = self._pages.of(request.request, principal=grant.principal)
        rows = await self._use.query_audit(
            convert.filter_from_proto(request.request),
            grant=grant,
            before_sequence=int(page.after) if page.after else None,
            limit=page.limit,
        )
        entries, token = page.cut(rows, lambda entry: str(entry.sequence))
        return pb.QueryAuditResponse(
            response=public.QueryAuditResponse(events=map(convert.entry_to_proto, entries), next_page_token=token)
        )

    async def RecordLineage(self, request: pb.RecordLineageRequest, context: Any) -> pb.RecordLineageResponse:
        """Record nodes and edges."""
        nodes = [node_from_proto(message) for message in request.nodes]
        edges = [edge_from_proto(message) for message in request.edges]
        await self._use.record_lineage(nodes, edges, grant=current_grant())
        return pb.RecordLineageResponse()

    async def GetLineage(self, request: pb.GetLineageRequest, context: Any) -> pb.GetLineageResponse:
        """Walk the graph."""
        graph = await self._use.get_lineage(list(request.names), depth=request.depth, grant=current_grant())
        return pb.GetLineageResponse(
            nodes=map(node_to_proto, graph.nodes),
            edges=map(edge_to_proto, graph.edges),
            truncated=graph.truncated,
        )
