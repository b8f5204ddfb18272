"""What other services see of governance, through the runtime's server."""

from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from google.protobuf.timestamp_pb2 import Timestamp
from sqlalchemy import text

from memos_api.internal.v1 import grant_pb2, ledger_service_pb2_grpc, policy_service_pb2_grpc
from memos_api.internal.v1 import ledger_service_pb2 as ledger_pb
from memos_api.internal.v1 import policy_service_pb2 as policy_pb
from memos_api.v1 import governance_service_pb2 as public
from memos_api.v1 import provenance_pb2, vault_pb2
from memos_governance import migrations
from memos_governance.adapters.sql.database import open_engine
from memos_governance.config import GovernanceConfig
from memos_governance.wiring import bootstrap_local, build, recover_local_key, verify_audit
from memos_kernel.errors import (
    CredentialInvalid,
    GrantInvalid,
    InvalidField,
    LimitExceeded,
    MalformedName,
    MissingField,
    PageTokenMismatch,
    PeerForbidden,
    PermissionDenied,
    RequestIdReused,
    ResourceExists,
    ResourceNotFound,
    StateConflict,
    VaultNotFound,
)
from memos_kernel.ids import SystemClock
from memos_runtime.channels import ChannelPool, Channels
from memos_runtime.config import ServerConfig
from memos_runtime.context import use_grant
from memos_runtime.server import Host, Listener, Trust
from memos_runtime.service import ServiceContext
from memos_runtime.telemetry import Telemetry
from memos_wire.grants import GrantVerifier

TOKEN = "a shared secret"
LOCAL = "tenants/local"
ADMIN, BEN, SYSTEM = (f"{LOCAL}/principals/{id}" for id in ("admin", "ben", "system"))
MAIN, NOTES = f"{LOCAL}/vaults/main", f"{LOCAL}/vaults/notes"


@dataclass
class Peer:
    """Governance as one other service reaches it."""

    policy: policy_service_pb2_grpc.PolicyServiceStub
    ledger: ledger_service_pb2_grpc.LedgerServiceStub
    verifier: GrantVerifier

    async def grant(self, principal, *actions, vaults=()):
        answer = await self.policy.IssueGrant(
            policy_pb.IssueGrantRequest(principal=principal, actions=actions, vaults=vaults)
        )
        return self.verifier.verify(answer.grant.SerializeToString())

    @asynccontextmanager
    async def acting(self, principal, *actions, vaults=()):
        """Make the calls inside with a fresh grant."""
        with use_grant(await self.grant(principal, *actions, vaults=vaults)):
            yield

    async def create_key(self, principal, *, request_id="", body="aa", **fields):
        async with self.acting(ADMIN, "tenant.admin"):
            answer = await self.policy.CreateApiKey(
                policy_pb.CreateApiKeyRequest(
                    request=public.CreateApiKeyRequest(principal=principal, **fields),
                    request_key=_request_key("CreateApiKey", request_id, body),
                )
            )
        return answer.response

    async def create_vault(self, *, request_id="", body="aa", **fields):
        async with self.acting(ADMIN, "tenant.admin"):
            answer = await self.policy.CreateVault(
                policy_pb.CreateVaultRequest(
                    request=public.CreateVaultRequest(vault=vault_pb2.Vault(**fields)),
                    request_key=_request_key("CreateVault", request_id, body),
                )
            )
        return answer.response.vault

    async def set_role(self, vault, principal, role, *, by=ADMIN):
        permission = vault_pb2.VaultPermission(vault=vault, principal=principal, role=role)
        async with self.acting(by, "vault.admin", vaults=[vault]):
            answer = await self.policy.SetVaultPermission(
                policy_pb.SetVaultPermissionRequest(request=public.SetVaultPermissionRequest(permission=permission))
            )
        return answer.response.permission

    async def audit(self, **wanted):
        async with self.acting(ADMIN, "tenant.admin"):
            answer = await self.ledger.QueryAudit(
                ledger_pb.QueryAuditRequest(request=public.QueryAuditRequest(**wanted))
            )
        return answer.response


def _request_key(method, request_id, body):
    if not request_id:
        return None
    name = f"/memos.v1.GovernanceService/{method}"
    return grant_pb2.RequestKey(request_id=request_id, method=name, body_sha256=body)


@dataclass
class Served:
    """A running governance and what it stands on."""

    state_dir: Path
    secret: str
    interface: Peer
    scheduler: Peer
    storage: Peer
    inference: Peer


@pytest.fixture
async def served(tmp_path):
    state_dir, clock = tmp_path / "governance", SystemClock()
    (tmp_path / "keys").mkdir()
    state_dir.mkdir()
    key = Ed25519PrivateKey.generate()
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (tmp_path / "keys" / "grant_ed25519.pem").write_bytes(pem)
    secret = await bootstrap_local(GovernanceConfig(), state_dir, clock)
    verifier, telemetry = GrantVerifier([key.public_key()], clock=clock), Telemetry()
    channels = Channels(service="governance", pool=ChannelPool({}), telemetry=telemetry, peer_token=TOKEN)
    service = build(
        GovernanceConfig(),
        ServiceContext(
            name="governance",
            state_dir=state_dir,
            channels=channels,
            clock=clock,
            telemetry=telemetry,
            verifier=verifier,
        ),
    )
    host = Host(
        [service],
        config=ServerConfig(health_address=""),
        telemetry=telemetry,
        trust=Trust(verifier=verifier, clock=clock, peer_token=TOKEN),
        internal=Listener(address="127.0.0.1:0"),
    )
    await host.start()
    pool = ChannelPool({"governance": f"127.0.0.1:{host.ports['internal']}"})

    def peer(name):
        calls = Channels(service=name, pool=pool, telemetry=telemetry, peer_token=TOKEN)
        return Peer(
            calls.stub(policy_service_pb2_grpc.PolicyServiceStub, "governance"),
            calls.stub(ledger_service_pb2_grpc.LedgerServiceStub, "governance"),
            verifier,
        )

    names = ("interface", "scheduler", "storage", "inference")
    yield Served(state_dir, secret, **{name: peer(name) for name in names})
    await pool.close()
    await host.stop(grace=0)


@pytest.fixture
def interface(served):
    return served.interface


async def test_a_key_tells_who_calls(served, interface):
    answer = await interface.policy.Authenticate(policy_pb.AuthenticateRequest(api_key=served.secret))
    assert (answer.principal, answer.admin) == (ADMIN, True)
    with pytest.raises(CredentialInvalid):
        await interface.policy.Authenticate(policy_pb.AuthenticateRequest(api_key="mk_" + "a" * 43))
    with pytest.raises(PeerForbidden):
        await served.storage.policy.Authenticate(policy_pb.AuthenticateRequest(api_key=served.secret))


async def test_a_grant_is_signed_for_the_service_that_asked(interface):
    answer = await interface.policy.IssueGrant(
        policy_pb.IssueGrantRequest(principal=ADMIN, actions=["cube.read", "model.use"])
    )
    grant = interface.verifier.verify(answer.grant.SerializeToString())
    assert grant.issued_to == "interface"
    assert list(answer.vaults) == [MAIN] == [str(vault) for vault in grant.vaults]
    assert answer.expire_time.ToMicroseconds() == round(grant.expire_time.timestamp() * 1e6)


@pytest.mark.parametrize(
    ("fields", "error", "field"),
    [
        ({"principal": "ben", "actions": ["cube.read"]}, MalformedName, "principal"),
        ({"principal": ADMIN, "actions": ["cube.fly"]}, InvalidField, "actions[0]"),
        ({"principal": ADMIN}, MissingField, "actions"),
        ({"principal": ADMIN, "actions": ["cube.read"], "vaults": ["main"]}, MalformedName, "vaults[0]"),
    ],
)
async def test_a_bad_request_names_its_field(interface, fields, error, field):
    with pytest.raises(error) as refused:
        await interface.policy.IssueGrant(policy_pb.IssueGrantRequest(**fields))
    assert refused.value.field == field


async def test_a_refused_grant_says_what_is_missing(interface):
    await interface.create_key(BEN)
    with pytest.raises(VaultNotFound):
        await interface.grant(BEN, "cube.read", vaults=[MAIN])
    await interface.set_role(MAIN, BEN, vault_pb2.VAULT_ROLE_READER)
    with pytest.raises(PermissionDenied) as denied:
        await interface.grant(BEN, "cube.write", vaults=[MAIN])
    assert denied.value.metadata == {"action": "cube.write", "resource": MAIN}


async def test_only_the_scheduler_acts_for_the_system(served, interface):
    assert (await served.scheduler.grant(SYSTEM, "cube.expire")).all_vaults
    with pytest.raises(PermissionDenied):
        await interface.grant(SYSTEM, "cube.expire")
    answer = await served.scheduler.policy.ListTenants(policy_pb.ListTenantsRequest())
    assert list(answer.tenants) == [LOCAL]
    with pytest.raises(PeerForbidden):
        await interface.policy.ListTenants(policy_pb.ListTenantsRequest())


async def test_a_change_of_policy_needs_the_right_grant(interface):
    request = policy_pb.CreateApiKeyRequest(request=public.CreateApiKeyRequest(principal=BEN))
    with pytest.raises(GrantInvalid):
        await interface.policy.CreateApiKey(request)
    async with interface.acting(ADMIN, "cube.read"):
        with pytest.raises(GrantInvalid):
            await interface.policy.CreateApiKey(request)


async def test_a_key_is_made_once_and_its_secret_told_once(interface):
    made = await interface.create_key(BEN, request_id="r1", display_name="Ben")
    again = await interface.create_key(BEN, request_id="r1", display_name="Ben")
    assert (again.key, again.secret) == (made.key, "")
    with pytest.raises(RequestIdReused) as refused:
        await interface.create_key(BEN, request_id="r1", body="bb")
    assert refused.value.metadata["request_id"] == "r1"
    answer = await interface.policy.Authenticate(policy_pb.AuthenticateRequest(api_key=made.secret))
    assert (answer.principal, answer.admin) == (BEN, False)


async def test_a_revoked_key_is_refused_and_listed(interface):
    made = await interface.create_key(BEN)
    async with interface.acting(ADMIN, "tenant.admin"):
        answer = await interface.policy.RevokeApiKey(
            policy_pb.RevokeApiKeyRequest(request=public.RevokeApiKeyRequest(name=made.key.name))
        )
        listed = await interface.policy.ListApiKeys(policy_pb.ListApiKeysRequest())
    assert answer.response.key.HasField("revoke_time")
    assert answer.response.key in listed.response.keys
    with pytest.raises(CredentialInvalid):
        await interface.policy.Authenticate(policy_pb.AuthenticateRequest(api_key=made.secret))


async def test_nobody_can_lock_himself_out(interface):
    async with interface.acting(ADMIN, "tenant.admin"):
        listed = await interface.policy.ListApiKeys(policy_pb.ListApiKeysRequest())
        (only,) = listed.response.keys
        with pytest.raises(StateConflict):
            await interface.policy.RevokeApiKey(
                policy_pb.RevokeApiKeyRequest(request=public.RevokeApiKeyRequest(name=only.name))
            )
    with pytest.raises(StateConflict):
        await interface.set_role(MAIN, ADMIN, vault_pb2.VAULT_ROLE_UNSPECIFIED)


async def test_keys_for_the_system_and_for_other_tenants_are_refused(interface):
    with pytest.raises(InvalidField):
        await interface.create_key(SYSTEM)
    with pytest.raises(ResourceNotFound):
        await interface.create_key("tenants/globex/principals/ben")


async def test_a_vault_is_made_read_and_shared(interface):
    made = await interface.create_vault(name=NOTES, display_name="Notes", request_id="r1")
    assert (made.owner, made.caller_role) == (ADMIN, vault_pb2.VAULT_ROLE_OWNER)
    assert await interface.create_vault(name=NOTES, display_name="Notes", request_id="r1") == made
    with pytest.raises(ResourceExists):
        await interface.create_vault(name=NOTES)
    await interface.create_key(BEN)
    await interface.set_role(NOTES, BEN, vault_pb2.VAULT_ROLE_WRITER)
    async with interface.acting(BEN, "vault.read", vaults=[NOTES]):
        seen = await interface.policy.GetVault(policy_pb.GetVaultRequest(request=public.GetVaultRequest(name=NOTES)))
    assert seen.response.vault.caller_role == vault_pb2.VAULT_ROLE_WRITER


@pytest.mark.parametrize(
    ("fields", "error", "field"),
    [
        ({"name": NOTES, "create_time": Timestamp(seconds=1)}, InvalidField, "vault.create_time"),
        ({"name": NOTES, "owner": ADMIN}, InvalidField, "vault.owner"),
        ({"name": NOTES, "caller_role": vault_pb2.VAULT_ROLE_OWNER}, InvalidField, "vault.caller_role"),
        ({"name": NOTES, "display_name": "x" * 129}, LimitExceeded, "vault.display_name"),
        ({"name": "notes"}, MalformedName, "vault.name"),
        ({}, MissingField, "vault.name"),
    ],
)
async def test_a_vault_that_breaks_a_rule_is_refused_with_its_field(interface, fields, error, field):
    with pytest.raises(error) as refused:
        await interface.create_vault(**fields)
    assert refused.value.field == field


async def test_a_role_that_the_contract_does_not_have_is_refused(interface):
    with pytest.raises(InvalidField) as refused:
        await interface.set_role(MAIN, ADMIN, 9)
    assert refused.value.field.endswith("permission.role")


async def test_vaults_are_paged_and_a_token_fits_its_call_alone(interface):
    await interface.create_vault(name=NOTES)
    await interface.create_key(BEN)
    async with interface.acting(ADMIN, "tenant.read", "tenant.admin", "vault.admin"):
        first = await _vaults(interface, page_size=1)
        rest = await _vaults(interface, page_size=1, page_token=first.next_page_token)
        assert [vault.name for vault in (*first.vaults, *rest.vaults)] == [MAIN, NOTES]
        assert not rest.next_page_token
        foreign = public.ListApiKeysRequest(page_token=first.next_page_token)
        with pytest.raises(PageTokenMismatch):
            await interface.policy.ListApiKeys(policy_pb.ListApiKeysRequest(request=foreign))
        with pytest.raises(LimitExceeded):
            await _vaults(interface, page_size=1_001)
    async with interface.acting(BEN, "tenant.read"):
        with pytest.raises(PageTokenMismatch):
            await _vaults(interface, page_token=first.next_page_token)


async def _vaults(peer, **fields):
    request = policy_pb.ListVaultsRequest(request=public.ListVaultsRequest(**fields))
    return (await peer.policy.ListVaults(request)).response


async def test_the_roles_in_a_vault_are_listed_for_its_owner(interface):
    await interface.create_key(BEN)
    await interface.set_role(MAIN, BEN, vault_pb2.VAULT_ROLE_READER)
    request = policy_pb.ListVaultPermissionsRequest(request=public.ListVaultPermissionsRequest(vault=MAIN))
    async with interface.acting(ADMIN, "vault.admin", vaults=[MAIN]):
        answer = await interface.policy.ListVaultPermissions(request)
    assert [(found.principal, found.role) for found in answer.response.permissions] == [(ADMIN, 3), (BEN, 1)]


def _event(id, **fields):
    values = {"principal": ADMIN, "service": "storage", "action": "cube.create", "resource": "r", "outcome": "ok"}
    event = public.AuditEvent(event_id=id, time=Timestamp(seconds=1_780_000_000), **{**values, **fields})
    return ledger_pb.TenantAuditEvent(tenant=LOCAL, event=event)


async def test_events_of_a_service_enter_the_log_once(served, interface):
    request = ledger_pb.AppendAuditRequest(events=[_event("e1"), _event("e2")])
    assert (await served.storage.ledger.AppendAudit(request)).appended == 2
    assert (await served.storage.ledger.AppendAudit(request)).appended == 0
    found = (await interface.audit(action="cube.create")).events
    assert [event.event_id for event in found] == ["e2", "e1"]
    assert found[0].sequence == found[1].sequence + 1
    assert len(found[0].hash) == 64


async def test_the_log_is_paged(served, interface):
    events = [_event(f"e{number}") for number in range(5)]
    await served.storage.ledger.AppendAudit(ledger_pb.AppendAuditRequest(events=events))
    seen, token = [], ""
    while True:
        page = await interface.audit(action="cube.create", page_size=2, page_token=token)
        seen += [event.event_id for event in page.events]
        token = page.next_page_token
        if not token:
            break
    assert seen == ["e4", "e3", "e2", "e1", "e0"]


async def test_denials_and_changes_of_policy_are_in_the_log(interface):
    await interface.create_key(BEN)
    with pytest.raises(PermissionDenied):
        await interface.grant(BEN, "tenant.admin")
    newest, made, *_ = (await interface.audit()).events
    assert (newest.outcome, newest.reason, newest.action) == ("denied", "PERMISSION_DENIED", "tenant.admin")
    assert (made.outcome, made.action, made.reason) == ("ok", "key.create", BEN)


async def test_the_log_is_the_admins(interface):
    await interface.create_key(BEN)
    async with interface.acting(BEN, "tenant.read"):
        with pytest.raises(GrantInvalid):
            await interface.ledger.QueryAudit(ledger_pb.QueryAuditRequest())


async def test_lineage_is_recorded_and_walked(interface):
    cube, plan, answer = f"{LOCAL}/cubes/c", f"{LOCAL}/plans/p", f"{LOCAL}/answers/a"
    nodes = [
        provenance_pb2.ProvenanceNode(name=cube, kind=provenance_pb2.PROVENANCE_NODE_KIND_CUBE, revision=2),
        provenance_pb2.ProvenanceNode(name=plan, kind=provenance_pb2.PROVENANCE_NODE_KIND_PLAN),
        provenance_pb2.ProvenanceNode(name=answer, kind=provenance_pb2.PROVENANCE_NODE_KIND_ANSWER),
    ]
    edges = [
        provenance_pb2.ProvenanceEdge(
            source=cube, target=plan, relation=provenance_pb2.PROVENANCE_RELATION_PLANNED, detail="similar"
        ),
        provenance_pb2.ProvenanceEdge(
            source=plan, target=answer, relation=provenance_pb2.PROVENANCE_RELATION_GENERATED
        ),
    ]
    async with interface.acting(ADMIN, "lineage.write", "lineage.read"):
        await interface.ledger.RecordLineage(ledger_pb.RecordLineageRequest(nodes=nodes, edges=edges))
        graph = await interface.ledger.GetLineage(ledger_pb.GetLineageRequest(names=[answer], depth=10))
        assert {node.name: node for node in graph.nodes} == {node.name: node for node in nodes}
        assert sorted(graph.edges, key=str) == sorted(edges, key=str)
        nodes[0].name = "tenants/globex/cubes/c"
        with pytest.raises(ResourceNotFound):
            await interface.ledger.RecordLineage(ledger_pb.RecordLineageRequest(nodes=nodes))


async def test_a_tampered_log_is_found_by_the_doctor(served):
    config = GovernanceConfig()
    assert await verify_audit(config, served.state_dir) == []
    engine = open_engine(config.url(served.state_dir))
    with engine.begin() as connection:
        connection.execute(text("UPDATE governance_audit_entries SET action = 'vault.read' WHERE sequence = 2"))
    engine.dispose()
    (problem,) = await verify_audit(config, served.state_dir)
    assert (str(problem.tenant), problem.sequence) == (LOCAL, 2)


async def test_the_first_start_is_made_once_and_a_lost_key_can_be_replaced(served, interface):
    config, clock = GovernanceConfig(), SystemClock()
    assert await bootstrap_local(config, served.state_dir, clock) is None
    secret = await recover_local_key(config, served.state_dir, clock)
    answer = await interface.policy.Authenticate(policy_pb.AuthenticateRequest(api_key=secret))
    assert answer.principal == ADMIN


async def test_a_change_by_another_process_counts_at_once(served, interface):
    """Another replica is another writer of the same database."""
    await interface.grant(ADMIN, "cube.write", vaults=[MAIN])
    engine = open_engine(GovernanceConfig().url(served.state_dir))
    with engine.begin() as connection:
        connection.execute(text("UPDATE governance_permissions SET role = 1"))
        connection.execute(text("UPDATE governance_tenants SET policy_epoch = policy_epoch + 1"))
    engine.dispose()
    with pytest.raises(PermissionDenied):
        await interface.grant(ADMIN, "cube.write", vaults=[MAIN])


def test_the_schema_is_what_the_migrations_make(tmp_path):
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext

    from memos_governance.adapters.sql.schema import metadata

    url = f"sqlite:///{tmp_path / 'governance.db'}"
    assert not migrations.is_current(url)
    migrations.migrate(url)
    migrations.migrate(url)
    assert migrations.is_current(url)
    engine = open_engine(url)
    with engine.connect() as connection:
        options = {"version_table": migrations.VERSION_TABLE}
        assert compare_metadata(MigrationContext.configure(connection, opts=options), metadata) == []
    engine.dispose()
