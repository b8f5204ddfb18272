"""Puts governance together, for its host and for the commands that work on its database."""

import asyncio
import hashlib
import hmac
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import grpc
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from memos_api.internal.v1 import ledger_service_pb2_grpc, policy_service_pb2_grpc
from memos_governance import migrations
from memos_governance.adapters.grant_seal import Ed25519GrantSeal
from memos_governance.adapters.sql.database import Database
from memos_governance.adapters.sql.ledger_store import SqlLedgerStore
from memos_governance.adapters.sql.policy_store import SqlPolicyStore
from memos_governance.adapters.standing_cache import CachedStandings
from memos_governance.config import GovernanceConfig
from memos_governance.domain.audit import ChainProblem
from memos_governance.domain.credentials import new_secret
from memos_governance.servicer.ledger import LedgerServicer, LedgerUseCases
from memos_governance.servicer.pages import Pages
from memos_governance.servicer.policy import PolicyServicer, PolicyUseCases
from memos_governance.usecases.append_audit import AppendAudit
from memos_governance.usecases.authenticate import Authenticate
from memos_governance.usecases.authority import Scribe
from memos_governance.usecases.bootstrap import Bootstrap
from memos_governance.usecases.create_api_key import CreateApiKey
from memos_governance.usecases.create_vault import CreateVault
from memos_governance.usecases.denials import Denials
from memos_governance.usecases.get_lineage import GetLineage
from memos_governance.usecases.get_vault import GetVault
from memos_governance.usecases.issue_grant import IssueGrant
from memos_governance.usecases.list_api_keys import ListApiKeys
from memos_governance.usecases.list_tenants import ListTenants
from memos_governance.usecases.list_vault_permissions import ListVaultPermissions
from memos_governance.usecases.list_vaults import ListVaults
from memos_governance.usecases.query_audit import QueryAudit
from memos_governance.usecases.record_lineage import RecordLineage
from memos_governance.usecases.revoke_api_key import RevokeApiKey
from memos_governance.usecases.set_vault_permission import SetVaultPermission
from memos_governance.usecases.verify_chain import VerifyChain
from memos_kernel.ids import Clock, uuid7
from memos_kernel.names import PrincipalName, TenantName
from memos_runtime.paging import PageTokens
from memos_runtime.service import Service, ServiceContext
from memos_wire.grants import GrantSigner, load_private_key

LOCAL_TENANT, LOCAL_ADMIN, LOCAL_VAULT = "local", "admin", "main"
"""What `bootstrap_local` makes: tenants/local with the principal admin and the vault main."""


def build(config: GovernanceConfig, context: ServiceContext) -> Service:
    """Return the service; it opens its database at `start`.

    Raises:
        OSError, ValueError: the signing key cannot be read.
    """
    key = load_private_key(config.signing_key(context.state_dir))
    url = config.url(context.state_dir)
    database = Database(url, readers=config.readers)
    policies, ledger = SqlPolicyStore(database), SqlLedgerStore(database)
    lost = context.telemetry.counter("governance_audit_lost_total", "Denials that could not be recorded.")
    pages = Pages(PageTokens(_page_key(key)))
    policy = PolicyServicer(_policy_use_cases(config, context, key, policies, ledger, lost=lost.inc), pages=pages)
    ledger_servicer = LedgerServicer(
        LedgerUseCases(
            append_audit=AppendAudit(ledger),
            query_audit=QueryAudit(ledger),
            record_lineage=RecordLineage(ledger),
            get_lineage=GetLineage(ledger),
        ),
        pages=pages,
    )

    def register(server: grpc.aio.Server) -> None:
        policy_service_pb2_grpc.add_PolicyServiceServicer_to_server(policy, server)
        ledger_service_pb2_grpc.add_LedgerServiceServicer_to_server(ledger_servicer, server)

    async def start() -> None:
        await asyncio.to_thread(_prepare, url)
        await asyncio.to_thread(database.open)

    return Service(
        name=context.name, register=register, start=start, close=database.close, ready=lambda: database.is_open
    )


def migrate(config: GovernanceConfig, state_dir: Path) -> None:
    """Bring the schema to the newest version. Blocks."""
    migrations.migrate(config.url(state_dir))


async def bootstrap_local(config: GovernanceConfig, state_dir: Path, clock: Clock) -> str | None:
    """Make the tenant of a machine with its admin, vault and key.

    Returns:
        The secret of the key, or None if the tenant was there already.
    """
    async with _bootstrap(config, state_dir, clock) as bootstrap:
        return await bootstrap(TenantName(LOCAL_TENANT), admin=LOCAL_ADMIN, vault=LOCAL_VAULT)


async def recover_local_key(config: GovernanceConfig, state_dir: Path, clock: Clock) -> str:
    """Return the secret of a new key of the local admin, for when the key file was lost.

    Whoever can write the database needs no key to be trusted.

    Raises:
        LookupError: there is no local tenant.
    """
    async with _bootstrap(config, state_dir, clock) as bootstrap:
        return await bootstrap.recover(PrincipalName(LOCAL_TENANT, LOCAL_ADMIN))


async def verify_audit(config: GovernanceConfig, state_dir: Path) -> list[ChainProblem]:
    """Check every tenant's audit chain; return the first problem of each that has one."""
    async with _opened(config, state_dir) as database:
        ledger = SqlLedgerStore(database)
        verify = VerifyChain(ledger)
        found = [await verify(tenant) for tenant in await ledger.chains()]
    return [problem for problem in found if problem is not None]


def _policy_use_cases(
    config: GovernanceConfig,
    context: ServiceContext,
    key: Ed25519PrivateKey,
    store: SqlPolicyStore,
    ledger: SqlLedgerStore,
    *,
    lost: Callable[[], None],
) -> PolicyUseCases:
    clock = context.clock
    scribe = Scribe(clock, uuid7)
    denials = Denials(ledger=ledger, scribe=scribe, lost=lost)
    return PolicyUseCases(
        authenticate=Authenticate(store=store, denials=denials),
        issue_grant=IssueGrant(
            standings=CachedStandings(store, capacity=config.standings),
            store=store,
            denials=denials,
            seal=Ed25519GrantSeal(GrantSigner(key), clock=clock),
            clock=clock,
            new_id=uuid7,
        ),
        list_tenants=ListTenants(store),
        create_api_key=CreateApiKey(store=store, scribe=scribe, clock=clock, new_id=uuid7, new_secret=new_secret),
        list_api_keys=ListApiKeys(store),
        revoke_api_key=RevokeApiKey(store=store, scribe=scribe, clock=clock),
        create_vault=CreateVault(store=store, scribe=scribe, clock=clock),
        get_vault=GetVault(store),
        list_vaults=ListVaults(store),
        set_vault_permission=SetVaultPermission(store=store, scribe=scribe, clock=clock),
        list_vault_permissions=ListVaultPermissions(store),
    )


@asynccontextmanager
async def _bootstrap(config: GovernanceConfig, state_dir: Path, clock: Clock) -> AsyncIterator[Bootstrap]:
    async with _opened(config, state_dir) as database:
        yield Bootstrap(
            store=SqlPolicyStore(database),
            scribe=Scribe(clock, uuid7),
            clock=clock,
            new_id=uuid7,
            new_secret=new_secret,
        )


@asynccontextmanager
async def _opened(config: GovernanceConfig, state_dir: Path) -> AsyncIterator[Database]:
    url = config.url(state_dir)
    await asyncio.to_thread(_prepare, url)
    database = Database(url, readers=1)
    await asyncio.to_thread(database.open)
    try:
        yield database
    finally:
        await database.close()


def _prepare(url: str) -> None:
    """Migrate a database of this machine; refuse a shared one that is behind, which `memosctl migrate` mends."""
    if url.startswith("sqlite"):
        migrations.migrate(url)
    elif not migrations.is_current(url):
        raise RuntimeError("Governance's database has an older schema; run `memosctl migrate` first.")


def _page_key(key: Ed25519PrivateKey) -> bytes:
    """Return a key for page tokens that all replicas share, because they share the signing key."""
    return hmac.digest(key.private_bytes_raw(), b"memos governance page tokens", hashlib.sha256)
