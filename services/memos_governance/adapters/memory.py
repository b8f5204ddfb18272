"""In-memory twins of governance's stores, with the same behaviour; nothing survives the process."""

import itertools
from collections.abc import Callable, Sequence
from copy import copy
from dataclasses import dataclass, field, fields, replace
from datetime import datetime
from typing import TypeVar

from memos_governance.domain.audit import AuditEntry, AuditEvent, AuditFilter, Head, TenantEvent, link
from memos_governance.domain.lineage import Direction, OwnedEdge, OwnedNode
from memos_governance.domain.records import ApiKey, Membership, Permission, PrincipalRecord, Standing, Vault
from memos_governance.ports import PolicyTransaction, StoredRequest
from memos_kernel.errors import ResourceNotFound
from memos_kernel.lineage import Edge, Node
from memos_kernel.names import KeyName, PrincipalName, TenantName, VaultName
from memos_kernel.permission import Role
from memos_kernel.requests import RequestKey

T = TypeVar("T")


@dataclass(slots=True)
class MemoryState:
    """Everything that is stored. Values are immutable, so a copy of the containers is a savepoint."""

    epochs: dict[TenantName, int] = field(default_factory=dict)
    principals: dict[PrincipalName, PrincipalRecord] = field(default_factory=dict)
    keys: dict[KeyName, ApiKey] = field(default_factory=dict)
    digests: dict[str, KeyName] = field(default_factory=dict)
    vaults: dict[VaultName, Vault] = field(default_factory=dict)
    roles: dict[tuple[VaultName, PrincipalName], Role] = field(default_factory=dict)
    requests: dict[tuple[PrincipalName, str, str], tuple[StoredRequest, datetime]] = field(default_factory=dict)
    chains: dict[TenantName, tuple[AuditEntry, ...]] = field(default_factory=dict)
    nodes: dict[tuple[TenantName, str], OwnedNode] = field(default_factory=dict)
    edges: dict[tuple[TenantName, str, str, int], OwnedEdge] = field(default_factory=dict)

    def run(self, change: Callable[[], T]) -> T:
        """Run a change; if it raises, nothing has changed."""
        saved = {item.name: copy(getattr(self, item.name)) for item in fields(self)}
        try:
            return change()
        except BaseException:
            for name, value in saved.items():
                setattr(self, name, value)
            raise

    def memberships(self, principal: PrincipalName) -> dict[VaultName, Membership]:
        """Return the vaults in which a principal has a role, its own or everybody's, by id."""
        own = {vault: role for (vault, who), role in self.roles.items() if who == principal}
        found = (
            Membership(vault, vault.role_of(own.get(name, Role.NONE)))
            for name, vault in sorted(self.vaults.items(), key=lambda item: item[0].id)
            if name.parent == principal.parent
        )
        return {one.vault.name: one for one in found if one.role is not Role.NONE}

    def live(self, key: ApiKey) -> ApiKey:
        """Return a key with the present standing of its principal."""
        return replace(key, admin=self.principals[key.principal].admin)

    def chain(self, tenant: TenantName, events: Sequence[AuditEvent]) -> int:
        """Append the events whose ids are new and return how many they were."""
        entries = self.chains.get(tenant, ())
        known = {entry.event.event_id for entry in entries}
        fresh: dict[str, AuditEvent] = {}
        for event in events:
            if event.event_id not in known:
                fresh.setdefault(event.event_id, event)
        head = Head(entries[-1].sequence, entries[-1].hash) if entries else Head()
        self.chains[tenant] = (*entries, *link(tenant, head, fresh.values()))
        return len(fresh)


class MemoryPolicyTransaction:
    """One tenant's policy inside one change of the state."""

    def __init__(self, state: MemoryState, tenant: TenantName) -> None:
        self._state = state
        self._tenant = tenant

    def tenant_exists(self) -> bool:
        """See the port."""
        return self._tenant in self._state.epochs

    def add_tenant(self, *, create_time: datetime) -> None:
        """See the port."""
        self._state.epochs[self._tenant] = 1

    def principal(self, name: PrincipalName) -> PrincipalRecord | None:
        """See the port."""
        return self._state.principals.get(name)

    def put_principal(self, principal: PrincipalRecord, *, create_time: datetime) -> None:
        """See the port."""
        self._state.principals[principal.name] = principal
        self._state.epochs[self._tenant] += 1

    def key(self, name: KeyName) -> ApiKey | None:
        """See the port."""
        key = self._state.keys.get(name)
        return None if key is None else self._state.live(key)

    def add_key(self, key: ApiKey, *, digest: str) -> None:
        """See the port."""
        self._state.keys[key.name] = key
        self._state.digests[digest] = key.name

    def revoke_key(self, name: KeyName, *, revoke_time: datetime) -> None:
        """See the port."""
        self._state.keys[name] = replace(self._state.keys[name], revoke_time=revoke_time)

    def another_admin_key(self, name: KeyName) -> bool:
        """See the port."""
        return any(
            key.revoke_time is None and key.name != name and self._state.live(key).admin
            for key in self._state.keys.values()
            if key.name.parent == self._tenant
        )

    def vault(self, name: VaultName) -> Vault | None:
        """See the port."""
        return self._state.vaults.get(name)

    def add_vault(self, vault: Vault) -> None:
        """See the port."""
        self._state.vaults[vault.name] = vault

    def replace_vault(self, vault: Vault) -> None:
        """See the port."""
        self._state.vaults[vault.name] = vault
        self._state.epochs[self._tenant] += 1

    def shared_vaults(self) -> int:
        """See the port."""
        return sum(
            vault.name.parent == self._tenant and vault.policy.member_role is not Role.NONE
            for vault in self._state.vaults.values()
        )

    def role(self, vault: VaultName, principal: PrincipalName) -> Role:
        """See the port."""
        return self._state.roles.get((vault, principal), Role.NONE)

    def set_role(self, permission: Permission) -> None:
        """See the port."""
        self._state.roles.pop((permission.vault, permission.principal), None)
        if permission.role is not Role.NONE:
            self._state.roles[permission.vault, permission.principal] = permission.role
        self._state.epochs[self._tenant] += 1

    def vaults_of(self, principal: PrincipalName) -> int:
        """See the port."""
        return sum(who == principal for _, who in self._state.roles)

    def another_owner(self, vault: VaultName, principal: PrincipalName) -> bool:
        """See the port."""
        return any(
            role is Role.OWNER and owned == vault and owner != principal
            for (owned, owner), role in self._state.roles.items()
        )

    def find_request(self, principal: PrincipalName, request: RequestKey, *, since: datetime) -> StoredRequest | None:
        """See the port."""
        found = self._state.requests.get((principal, request.method, request.request_id))
        return found[0] if found is not None and found[1] >= since else None

    def remember_request(
        self, principal: PrincipalName, request: RequestKey, *, result: str, create_time: datetime, forget: datetime
    ) -> None:
        """See the port."""
        old = [
            key for key, (_, time) in self._state.requests.items() if key[0].parent == self._tenant and time < forget
        ]
        for key in old:
            del self._state.requests[key]
        stored = StoredRequest(request.body_sha256, result)
        self._state.requests[principal, request.method, request.request_id] = (stored, create_time)

    def append_audit(self, event: AuditEvent) -> None:
        """See the port."""
        self._state.chain(self._tenant, [event])


class MemoryPolicyStore:
    """PolicyStore on a state."""

    def __init__(self, state: MemoryState) -> None:
        self._state = state

    async def write(self, tenant: TenantName, change: Callable[[PolicyTransaction], T]) -> T:
        """See the port."""
        return self._state.run(lambda: change(MemoryPolicyTransaction(self._state, tenant)))

    async def tenants(self) -> tuple[TenantName, ...]:
        """See the port."""
        return tuple(sorted(self._state.epochs, key=str))

    async def epoch(self, tenant: TenantName) -> int | None:
        """See the port."""
        return self._state.epochs.get(tenant)

    async def standing(self, principal: PrincipalName) -> Standing | None:
        """See the port."""
        record = self._state.principals.get(principal)
        if record is None:
            return None
        held = self._state.memberships(principal)
        return Standing(
            principal=principal,
            admin=record.admin,
            roles={name: one.role for name, one in held.items()},
            epoch=self._state.epochs[principal.parent],
            quotas={name: one.vault.policy.quota for name, one in held.items() if one.vault.policy.quota},
        )

    async def key_by_digest(self, digest: str) -> ApiKey | None:
        """See the port."""
        name = self._state.digests.get(digest)
        return None if name is None else self._state.live(self._state.keys[name])

    async def keys(self, tenant: TenantName, *, after: str, limit: int) -> tuple[ApiKey, ...]:
        """See the port."""
        found = [key for key in self._state.keys.values() if key.name.parent == tenant and key.name.id > after]
        return tuple(self._state.live(key) for key in sorted(found, key=lambda key: key.name.id)[:limit])

    async def membership(self, vault: VaultName, principal: PrincipalName) -> Membership | None:
        """See the port."""
        return self._state.memberships(principal).get(vault)

    async def memberships(self, principal: PrincipalName, *, after: str, limit: int) -> tuple[Membership, ...]:
        """See the port."""
        found = (one for name, one in self._state.memberships(principal).items() if name.id > after)
        return tuple(itertools.islice(found, limit))

    async def swept_vaults(self, tenant: TenantName, *, after: str, limit: int) -> tuple[Vault, ...]:
        """See the port."""
        found = [
            vault
            for name, vault in self._state.vaults.items()
            if name.parent == tenant and name.id > after and (vault.policy.cold_after or vault.policy.delete_after)
        ]
        return tuple(sorted(found, key=lambda vault: vault.name.id)[:limit])

    async def permissions(self, vault: VaultName, *, after: str, limit: int) -> tuple[Permission, ...]:
        """See the port."""
        found = [
            Permission(vault, who, role)
            for (owned, who), role in self._state.roles.items()
            if owned == vault and who.id > after
        ]
        return tuple(sorted(found, key=lambda permission: permission.principal.id)[:limit])


class MemoryLedgerStore:
    """LedgerStore on a state."""

    def __init__(self, state: MemoryState) -> None:
        self._state = state

    async def append(self, events: Sequence[TenantEvent]) -> int:
        """See the port."""
        return sum(self._state.chain(item.tenant, [item.event]) for item in events)

    async def query(
        self, tenant: TenantName, wanted: AuditFilter, *, before_sequence: int | None, limit: int
    ) -> tuple[AuditEntry, ...]:
        """See the port."""
        found = [
            entry
            for entry in reversed(self._state.chains.get(tenant, ()))
            if wanted.admits(entry.event) and (before_sequence is None or entry.sequence < before_sequence)
        ]
        return tuple(found[:limit])

    async def chains(self) -> tuple[TenantName, ...]:
        """See the port."""
        return tuple(sorted(self._state.chains, key=str))

    async def head(self, tenant: TenantName) -> Head:
        """See the port."""
        entries = self._state.chains.get(tenant, ())
        return Head(entries[-1].sequence, entries[-1].hash) if entries else Head()

    async def entries(self, tenant: TenantName, *, after_sequence: int, limit: int) -> tuple[AuditEntry, ...]:
        """See the port."""
        entries = self._state.chains.get(tenant, ())
        return tuple(entry for entry in entries if entry.sequence > after_sequence)[:limit]

    async def record(self, tenant: TenantName, nodes: Sequence[OwnedNode], edges: Sequence[OwnedEdge]) -> None:
        """See the port."""

        def change() -> None:
            for node in nodes:
                if self._state.nodes.setdefault((tenant, node.node.name), node).principal != node.principal:
                    raise ResourceNotFound(f"There is no {node.node.name}.", name=node.node.name)
            for item in edges:
                edge = item.edge
                self._state.edges.setdefault((tenant, edge.source, edge.target, edge.relation), item)

        self._state.run(change)

    async def nodes(self, names: Sequence[str], viewer: PrincipalName) -> tuple[Node, ...]:
        """See the port."""
        found = (self._state.nodes.get((viewer.parent, name)) for name in names)
        return tuple(owned.node for owned in found if owned is not None and owned.principal in (None, viewer))

    async def edges_at(
        self, names: Sequence[str], direction: Direction, viewer: PrincipalName, *, limit: int
    ) -> tuple[Edge, ...]:
        """See the port."""
        wanted = set(names)
        found = [
            item.edge
            for (owner, source, target, _), item in reversed(self._state.edges.items())
            if owner == viewer.parent
            and item.principal in (None, viewer)
            and (target if direction is Direction.SOURCES else source) in wanted
        ]
        return tuple(found[:limit])
