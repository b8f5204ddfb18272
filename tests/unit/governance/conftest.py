"""Governance's use cases over the in-memory twins, with a clock that tests set."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from memos_governance.adapters.grant_seal import Ed25519GrantSeal
from memos_governance.adapters.memory import MemoryLedgerStore, MemoryPolicyStore, MemoryState
from memos_governance.domain.audit import AuditEntry, AuditFilter
from memos_governance.domain.credentials import new_secret
from memos_governance.domain.records import Permission, Vault
from memos_governance.ports import PolicyTransaction
from memos_governance.usecases.authority import Caller, Scribe
from memos_governance.usecases.bootstrap import Bootstrap
from memos_governance.usecases.create_api_key import KeyRequest
from memos_governance.usecases.issue_grant import GrantRequest
from memos_governance.wiring import ledger_use_cases, policy_use_cases
from memos_kernel.ids import uuid7
from memos_kernel.names import PrincipalName, TenantName, VaultName
from memos_kernel.permission import Action, Grant, Role
from memos_kernel.requests import RequestKey
from memos_wire.grants import GrantSigner, GrantVerifier

NO_REQUEST = RequestKey()


@dataclass
class SetClock:
    time: datetime = field(default_factory=lambda: datetime(2026, 3, 2, 12, tzinfo=UTC))

    def now(self) -> datetime:
        return self.time

    def advance(self, **duration: float) -> None:
        self.time += timedelta(**duration)


class World:
    """Two tenants' worth of governance, without a database."""

    def __init__(self) -> None:
        self.clock = SetClock()
        self.state = MemoryState()
        self.store = MemoryPolicyStore(self.state)
        self.ledger = MemoryLedgerStore(self.state)
        self.lost = 0
        key = Ed25519PrivateKey.generate()
        self.verifier = GrantVerifier([key.public_key()], clock=self.clock)
        self.policy = policy_use_cases(
            store=self.store,
            ledger=self.ledger,
            seal=Ed25519GrantSeal(GrantSigner(key), clock=self.clock),
            clock=self.clock,
            standings=100,
            lost=self._lose,
        )
        self.records = ledger_use_cases(self.ledger)
        self.bootstrap = Bootstrap(
            store=self.store,
            scribe=Scribe(self.clock, uuid7),
            clock=self.clock,
            new_id=uuid7,
            new_secret=new_secret,
        )

    def _lose(self) -> None:
        self.lost += 1

    async def tenant(self, name: str) -> PrincipalName:
        """Make a tenant with the admin `admin`, who owns the vault `main`."""
        await self.bootstrap(TenantName(name), admin="admin", vault="main")
        return PrincipalName(name, "admin")

    async def grant(
        self, principal: PrincipalName, *actions: Action, vaults: tuple[VaultName, ...] = (), peer: str = "interface"
    ) -> Grant:
        request = GrantRequest(principal=principal, actions=frozenset(actions), vaults=vaults)
        return await self.policy.issue_grant(request, peer=peer)

    async def admin(self, principal: PrincipalName) -> Caller:
        return Caller(await self.grant(principal, Action.TENANT_ADMIN))

    async def owner(self, principal: PrincipalName, vault: VaultName) -> Caller:
        return Caller(await self.grant(principal, Action.VAULT_ADMIN, vaults=(vault,)))

    async def person(self, by: PrincipalName, id: str, *, admin: bool = False) -> PrincipalName:
        """Make a principal with a key."""
        name = PrincipalName(by.tenant, id)
        wanted = KeyRequest(principal=name, admin=admin)
        await self.policy.create_api_key(wanted, caller=await self.admin(by), request=NO_REQUEST)
        return name

    async def share(self, by: PrincipalName, vault: VaultName, who: PrincipalName, role: Role) -> Permission:
        return await self.policy.set_vault_permission(
            Permission(vault, who, role), caller=await self.owner(by, vault), request=NO_REQUEST
        )

    async def fill(self, who: PrincipalName, count: int) -> set[VaultName]:
        """Make somebody a reader of `v0`, `v1` and so on."""
        vaults = {VaultName(who.tenant, f"v{number}") for number in range(count)}

        def change(tx: PolicyTransaction) -> None:
            for vault in vaults:
                tx.add_vault(Vault(name=vault, display_name="", create_time=self.clock.now(), owner=who))
                tx.set_role(Permission(vault, who, Role.READER))

        await self.store.write(who.parent, change)
        return vaults

    async def log(self, tenant: str, **wanted: str) -> tuple[AuditEntry, ...]:
        return await self.ledger.query(TenantName(tenant), AuditFilter(**wanted), before_sequence=None, limit=1_000)


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
async def admin(world: World) -> PrincipalName:
    """The admin of the tenant acme."""
    return await world.tenant("acme")


@pytest.fixture
def main() -> VaultName:
    """The vault that the admin of acme owns."""
    return VaultName("acme", "main")
