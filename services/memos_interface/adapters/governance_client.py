"""Who is calling, what he may do, what was done and what came from what: over the channel of governance."""

from collections.abc import Sequence

from memos_api.internal.v1 import ledger_service_pb2, policy_service_pb2
from memos_api.internal.v1.ledger_service_pb2_grpc import LedgerServiceStub
from memos_api.internal.v1.policy_service_pb2_grpc import PolicyServiceStub
from memos_api.v1 import governance_service_pb2, vault_pb2
from memos_interface.domain.archives import VaultRecord
from memos_interface.domain.audit import AuditEvent
from memos_kernel.lineage import Graph
from memos_kernel.names import PrincipalName, VaultName
from memos_kernel.permission import Action, Grant, Principal, Role
from memos_wire.grants import GrantVerifier
from memos_wire.lineage import edge_from_proto, edge_to_proto, node_from_proto, node_to_proto
from memos_wire.times import optional_time, to_timestamp

_PAGE = 1_000


class PolicyClient:
    """The port Authority."""

    def __init__(self, stub: PolicyServiceStub, verifier: GrantVerifier) -> None:
        self._stub = stub
        self._verifier = verifier

    async def authenticate(self, api_key: str) -> Principal:
        """See the port."""
        answer = await self._stub.Authenticate(policy_service_pb2.AuthenticateRequest(api_key=api_key))
        return Principal(PrincipalName.parse(answer.principal, field="principal"), admin=answer.admin)

    async def issue_grant(self, principal: PrincipalName, actions: frozenset[Action], vaults: tuple[str, ...]) -> Grant:
        """See the port. The signature is checked here too, so that no other part has to trust the answer."""
        answer = await self._stub.IssueGrant(
            policy_service_pb2.IssueGrantRequest(principal=str(principal), actions=sorted(actions), vaults=vaults)
        )
        return self._verifier.verify(answer.grant.SerializeToString())


class VaultClient:
    """The port VaultDirectory."""

    def __init__(self, stub: PolicyServiceStub) -> None:
        self._stub = stub

    async def record(self, vault: VaultName) -> VaultRecord:
        """See the port."""
        asked = governance_service_pb2.GetVaultRequest(name=str(vault))
        found = (await self._stub.GetVault(policy_service_pb2.GetVaultRequest(request=asked))).response.vault
        roles: dict[PrincipalName, Role] = {}
        page = governance_service_pb2.ListVaultPermissionsRequest(vault=str(vault), page_size=_PAGE)
        while True:
            request = policy_service_pb2.ListVaultPermissionsRequest(request=page)
            answer = (await self._stub.ListVaultPermissions(request)).response
            roles |= {PrincipalName.parse(one.principal): Role(one.role) for one in answer.permissions}
            if not answer.next_page_token:
                break
            page.page_token = answer.next_page_token
        return VaultRecord(
            name=vault,
            display_name=found.display_name,
            create_time=optional_time(found, "create_time"),
            owner=found.owner,
            roles=roles,
        )

    async def give(self, vault: VaultName, principal: PrincipalName, role: Role) -> None:
        """See the port."""
        permission = vault_pb2.VaultPermission(
            vault=str(vault), principal=str(principal), role=vault_pb2.VaultRole.ValueType(role)
        )
        request = governance_service_pb2.SetVaultPermissionRequest(permission=permission)
        await self._stub.SetVaultPermission(policy_service_pb2.SetVaultPermissionRequest(request=request))


class LedgerClient:
    """The ports AuditLog and Lineage."""

    def __init__(self, stub: LedgerServiceStub, *, service: str) -> None:
        self._stub = stub
        self._service = service

    async def append(self, events: Sequence[AuditEvent]) -> None:
        """See the port."""
        await self._stub.AppendAudit(
            ledger_service_pb2.AppendAuditRequest(events=[self._event(event) for event in events])
        )

    async def record(self, graph: Graph) -> None:
        """See the port."""
        await self._stub.RecordLineage(
            ledger_service_pb2.RecordLineageRequest(
                nodes=[node_to_proto(node) for node in graph.nodes],
                edges=[edge_to_proto(edge) for edge in graph.edges],
            )
        )

    async def around(self, *names: str, depth: int) -> Graph:
        """See the port."""
        answer = await self._stub.GetLineage(ledger_service_pb2.GetLineageRequest(names=names, depth=depth))
        return Graph(
            nodes=tuple(node_from_proto(node) for node in answer.nodes),
            edges=tuple(edge_from_proto(edge) for edge in answer.edges),
            truncated=answer.truncated,
        )

    def _event(self, event: AuditEvent) -> ledger_service_pb2.TenantAuditEvent:
        return ledger_service_pb2.TenantAuditEvent(
            tenant=str(event.principal.parent),
            event=governance_service_pb2.AuditEvent(
                event_id=event.id,
                time=to_timestamp(event.time),
                principal=str(event.principal),
                service=self._service,
                action=event.action,
                resource=event.resource,
                outcome="ok",
                trace_id=event.trace_id,
            ),
        )
