"""Puts governance together."""

import asyncio
import hashlib
import hmac
from collections.abc import Callable

import grpc
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from memos_api.internal.v1 import ledger_service_pb2_grpc, policy_service_pb2_grpc
from memos_governance.adapters.grant_seal import Ed25519GrantSeal
from memos_governance.adapters.standing_cache import CachedStandings
from memos_governance.config import GovernanceConfig
from memos_governance.domain.credentials import new_secret
from memos_governance.local import bootstrap_local, migrate, prepare, recover_local_key, verify_audit
from memos_governance.ports import GrantSeal, LedgerStore, PolicyStore
from memos_governance.servicer.ledger import LedgerServicer, LedgerUseCases
from memos_governance.servicer.pages import Pages
from memos_governance.servicer.policy import PolicyServicer, PolicyUseCases
from memos_governance.usecases.append_audit import AppendAudit
from memos_governance.usecases.authenticate import Authenticate
from memos_governance.usecases.authority import Scribe
from memos_governance.usecases.create_api_key import CreateApiKey
from memos_governance.usecases.create_vault import CreateVault
from memos_governance.usecases.denials import Denials
from memos_governance.usecases.get_lineage import GetLineage
from memos_governance.usecases.get_vault import GetVault
from memos_governance.usecases.issue_grant import IssueGrant
from memos_governance.usecases.list_api_keys import ListApiKeys
from memos_governance.usecases.list_swept_vaults import ListSweptVaults
from memos_governance.usecases.list_tenants import ListTenants
from memos_governance.usecases.list_vault_permissions import ListVaultPermissions
from memos_governance.usecases.list_vaults import ListVaults
from memos_governance.usecases.query_audit import QueryAudit
from memos_governance.usecases.record_lineage import RecordLineage
from memos_governance.usecases.revoke_api_key import RevokeApiKey
from memos_governance.usecases.set_vault_permission import SetVaultPermission
from memos_governance.usecases.update_vault import UpdateVault
from memos_kernel.ids import Clock, uuid7
from memos_runtime.paging import PageTokens
from memos_runtime.service import Service, ServiceContext
from memos_wire.grants import GrantSigner, load_private_key

__all__ = ["bootstrap_local", "build", "migrate", "recover_local_key", "verify_audit"]


def build(config: GovernanceConfig, context: ServiceContext) -> Service:
    """Return the service; it opens its database at `start`.

    Raises:
        OSError, ValueError: the signing key cannot be read.
    """
    from memos_governance.adapters.sql.database import Database
    from memos_governance.adapters.sql.ledger_store import SqlLedgerStore
    from memos_governance.adapters.sql.policy_store import SqlPolicyStore

    key = load_private_key(config.signing_key(context.state_dir))
    url = config.url(context.state_dir)
    database = Database(url, readers=config.readers)
    store, ledger = SqlPolicyStore(database), SqlLedgerStore(database)
    lost = context.telemetry.counter("governance_denials_lost", "Denials that the audit log could not take.")
    use_policy = policy_use_cases(
        store=store,
        ledger=ledger,
        seal=Ed25519GrantSeal(GrantSigner(key), clock=context.clock),
        clock=context.clock,
        standings=config.standings,
        lost=lost.inc,
    )
    pages = Pages(PageTokens(_page_key(key)))
    policy = PolicyServicer(use_policy, pages=pages)
    ledger_servicer = LedgerServicer(ledger_use_cases(ledger), pages=pages)

    def register(server: grpc.aio.Server) -> None:
        policy_service_pb2_grpc.add_PolicyServiceServicer_to_server(policy, server)
        ledger_service_pb2_grpc.add_LedgerServiceServicer_to_server(ledger_servicer, server)

    async def start() -> None:
        await asyncio.to_thread(prepare, url)
        await asyncio.to_thread(database.open)

    return Service(
        name=context.name, register=register, start=start, close=database.close, ready=lambda: database.is_open
    )


def policy_use_cases(
    *,
    store: PolicyStore,
    ledger: LedgerStore,
    seal: GrantSeal,
    clock: Clock,
    standings: int,
    lost: Callable[[], None],
) -> PolicyUseCases:
    """Return the use cases of PolicyService; `standings` principals are kept in memory."""
    scribe = Scribe(clock, uuid7)
    denials = Denials(store=store, ledger=ledger, scribe=scribe, lost=lost)
    return PolicyUseCases(
        authenticate=Authenticate(store=store, denials=denials),
        issue_grant=IssueGrant(
            standings=CachedStandings(store, capacity=standings),
            store=store,
            denials=denials,
            seal=seal,
            clock=clock,
            new_id=uuid7,
        ),
        list_tenants=ListTenants(store),
        create_api_key=CreateApiKey(store=store, scribe=scribe, clock=clock, new_id=uuid7, new_secret=new_secret),
        list_api_keys=ListApiKeys(store),
        revoke_api_key=RevokeApiKey(store=store, scribe=scribe, clock=clock),
        create_vault=CreateVault(store=store, scribe=scribe, clock=clock),
        get_vault=GetVault(store),
        update_vault=UpdateVault(store=store, scribe=scribe, clock=clock),
        list_swept_vaults=ListSweptVaults(store),
        list_vaults=ListVaults(store),
        set_vault_permission=SetVaultPermission(store=store, scribe=scribe, clock=clock),
        list_vault_permissions=ListVaultPermissions(store),
    )


def ledger_use_cases(ledger: LedgerStore) -> LedgerUseCases:
    """Return the use cases of LedgerService."""
    return LedgerUseCases(
        append_audit=AppendAudit(ledger),
        query_audit=QueryAudit(ledger),
        record_lineage=RecordLineage(ledger),
        get_lineage=GetLineage(ledger),
    )


def _page_key(key: Ed25519PrivateKey) -> bytes:
    """Return a key for page tokens that all replicas share, because they share the signing key."""
    return hmac.digest(key.private_bytes_raw(), b"memos governance page tokens", hashlib.sha256)
