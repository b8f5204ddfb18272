"""Audit log and lineage as other services reach them, through the runtime's server."""

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from sqlalchemy import text

from governance_server import ADMIN, BEN, LOCAL, MAIN, governing
from memos_api.internal.v1 import ledger_service_pb2 as ledger_pb
from memos_api.internal.v1 import policy_service_pb2 as policy_pb
from memos_api.v1 import governance_service_pb2 as public
from memos_api.v1 import provenance_pb2
from memos_governance import migrations
from memos_governance.config import GovernanceConfig
from memos_governance.wiring import bootstrap_local, recover_local_key, verify_audit
from memos_kernel.errors import (
    GrantInvalid,
    PermissionDenied,
    ResourceNotFound,
)
from memos_kernel.ids import SystemClock
from memos_runtime.sql.engine import open_engine


@pytest.fixture
async def served(tmp_path):
    async with governing(tmp_path) as made:
        yield made


@pytest.fixture
def interface(served):
    return served.interface


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
