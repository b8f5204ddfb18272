"""What governance's use cases need from the outside."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol, TypeVar

from memos_governance.domain.audit import AuditEntry, AuditEvent, AuditFilter, Head, TenantEvent
from memos_governance.domain.lineage import Direction, OwnedEdge, OwnedNode
from memos_governance.domain.records import ApiKey, Membership, Permission, PrincipalRecord, Standing, Vault
from memos_kernel.lineage import Edge, Node
from memos_kernel.names import KeyName, PrincipalName, TenantName, VaultName
from memos_kernel.permission import Grant, Role
from memos_kernel.requests import RequestKey

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class StoredRequest:
    """A mutation that was done: the hash of its body and the name of what it made or changed."""

    body_sha256: str
    result: str


class PolicyTransaction(Protocol):
    """One tenant's policy inside one transaction; nobody else changes the tenant's policy meanwhile.

    The methods block, so a change runs in the store's own thread. It may be run twice, hence it must
    have no effect but through its transaction. Names given to it are of the transaction's tenant.
    """

    def tenant_exists(self) -> bool:
        """Return whether the tenant is known."""
        ...

    def add_tenant(self, *, create_time: datetime) -> None:
        """Add the tenant at policy epoch 1."""
        ...

    def principal(self, name: PrincipalName) -> PrincipalRecord | None:
        """Return a principal."""
        ...

    def put_principal(self, principal: PrincipalRecord, *, create_time: datetime) -> None:
        """Add a principal or change whether it is an admin; advances the policy epoch."""
        ...

    def key(self, name: KeyName) -> ApiKey | None:
        """Return a key."""
        ...

    def add_key(self, key: ApiKey, *, digest: str) -> None:
        """Add a key under the digest of its secret."""
        ...

    def revoke_key(self, name: KeyName, *, revoke_time: datetime) -> None:
        """End a key."""
        ...

    def another_admin_key(self, name: KeyName) -> bool:
        """Return whether some admin has a live key other than this one."""
        ...

    def vault(self, name: VaultName) -> Vault | None:
        """Return a vault."""
        ...

    def add_vault(self, vault: Vault) -> None:
        """Add a vault, without any role in it."""
        ...

    def replace_vault(self, vault: Vault) -> None:
        """Store title and policy of a vault; advances the policy epoch."""
        ...

    def shared_vaults(self) -> int:
        """Return how many vaults have a role for everybody."""
        ...

    def role(self, vault: VaultName, principal: PrincipalName) -> Role:
        """Return a principal's own role in a vault; NONE if there is none."""
        ...

    def set_role(self, permission: Permission) -> None:
        """Set a role, or take it with NONE; advances the policy epoch."""
        ...

    def vaults_of(self, principal: PrincipalName) -> int:
        """Return in how many vaults a principal has a role of its own."""
        ...

    def another_owner(self, vault: VaultName, principal: PrincipalName) -> bool:
        """Return whether somebody else owns the vault."""
        ...

    def find_request(self, principal: PrincipalName, request: RequestKey, *, since: datetime) -> StoredRequest | None:
        """Return the mutation that used the same request id of the same method at or after `since`."""
        ...

    def remember_request(
        self, principal: PrincipalName, request: RequestKey, *, result: str, create_time: datetime, forget: datetime
    ) -> None:
        """Store a mutation under its request id, and drop this tenant's that are older than `forget`."""
        ...

    def append_audit(self, event: AuditEvent) -> None:
        """Append an event to the tenant's chain."""
        ...


class Standings(Protocol):
    """The part of policy that grants are decided by."""

    async def standing(self, principal: PrincipalName) -> Standing | None:
        """Return a principal's standing as of now; None if it is not known."""
        ...


class PolicyStore(Standings, Protocol):
    """Tenants, principals, keys, vaults and roles. Every method raises StoreFull, Overloaded or
    DependencyUnavailable when the database cannot serve it; then nothing was changed."""

    async def write(self, tenant: TenantName, change: Callable[[PolicyTransaction], T]) -> T:
        """Run a change in one transaction and return its result once it is durable.

        An error of the change undoes it and rises.
        """
        ...

    async def tenants(self) -> tuple[TenantName, ...]:
        """Return all tenants by name."""
        ...

    async def epoch(self, tenant: TenantName) -> int | None:
        """Return the version of the tenant's policy; it grows with every change of a principal or role."""
        ...

    async def key_by_digest(self, digest: str) -> ApiKey | None:
        """Return the key whose secret has this digest, revoked or not."""
        ...

    async def keys(self, tenant: TenantName, *, after: str, limit: int) -> tuple[ApiKey, ...]:
        """Return keys by id, those behind `after`, the oldest first."""
        ...

    async def membership(self, vault: VaultName, principal: PrincipalName) -> Membership | None:
        """Return a vault with the principal's role in it, its own or everybody's; None without a role."""
        ...

    async def memberships(self, principal: PrincipalName, *, after: str, limit: int) -> tuple[Membership, ...]:
        """Return the vaults in which the principal has a role, by id, those behind `after`."""
        ...

    async def swept_vaults(self, tenant: TenantName, *, after: str, limit: int) -> tuple[Vault, ...]:
        """Return the vaults whose cubes go cold or are deleted by their age, by id, those behind `after`."""
        ...

    async def permissions(self, vault: VaultName, *, after: str, limit: int) -> tuple[Permission, ...]:
        """Return the roles that principals have of their own in a vault, by principal id, those behind `after`."""
        ...


class LedgerStore(Protocol):
    """Audit chains and lineage graphs; they only grow. Errors as of PolicyStore."""

    async def append(self, events: Sequence[TenantEvent]) -> int:
        """Append events to their tenants' chains, all or none, and return how many were new.

        An event whose id its tenant's chain holds already is left out.
        """
        ...

    async def query(
        self, tenant: TenantName, wanted: AuditFilter, *, before_sequence: int | None, limit: int
    ) -> tuple[AuditEntry, ...]:
        """Return the wanted entries, newest first, those before a sequence."""
        ...

    async def chains(self) -> tuple[TenantName, ...]:
        """Return the tenants that have a chain, by name."""
        ...

    async def head(self, tenant: TenantName) -> Head:
        """Return the recorded end of a chain; Head() if it is empty."""
        ...

    async def entries(self, tenant: TenantName, *, after_sequence: int, limit: int) -> tuple[AuditEntry, ...]:
        """Return entries in the order of the chain, those behind a sequence."""
        ...

    async def record(self, tenant: TenantName, nodes: Sequence[OwnedNode], edges: Sequence[OwnedEdge]) -> None:
        """Record nodes and edges, all or none; what is there already stays as it is.

        Raises:
            ResourceNotFound: a node is recorded as another principal's.
        """
        ...

    async def nodes(self, names: Sequence[str], viewer: PrincipalName) -> tuple[Node, ...]:
        """Return the nodes of these names that are the viewer's own, or its tenant's as a whole; in no order."""
        ...

    async def edges_at(
        self, names: Sequence[str], direction: Direction, viewer: PrincipalName, *, limit: int
    ) -> tuple[Edge, ...]:
        """Return edges, seen as nodes are, that lead from the names to their sources or targets, newest first."""
        ...


class GrantSeal(Protocol):
    """Governance's signature."""

    def seal(self, grant: Grant) -> Grant:
        """Return the grant with its signed token."""
        ...
