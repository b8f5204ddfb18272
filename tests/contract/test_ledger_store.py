"""What every LedgerStore does."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from governance_databases import KINDS, opened
from memos_governance.adapters.memory import MemoryLedgerStore, MemoryState
from memos_governance.adapters.sql.ledger_store import SqlLedgerStore
from memos_governance.domain.audit import AuditEvent, AuditFilter, Head, TenantEvent
from memos_governance.domain.lineage import Direction, OwnedEdge, OwnedNode
from memos_governance.usecases.verify_chain import VerifyChain
from memos_kernel.errors import ResourceNotFound
from memos_kernel.lineage import Edge, Node, NodeKind, Relation
from memos_kernel.names import PrincipalName, TenantName

SOURCES, TARGETS = Direction.SOURCES, Direction.TARGETS

NOW = datetime(2026, 3, 2, 12, 0, 0, 123456, tzinfo=UTC)
ACME, GLOBEX = TenantName("acme"), TenantName("globex")
BEN, EVE = PrincipalName("acme", "ben"), PrincipalName("acme", "eve")


@pytest.fixture(params=KINDS)
async def store(request, tmp_path):
    if request.param == "memory":
        yield MemoryLedgerStore(MemoryState())
        return
    async with opened(request.param, tmp_path) as database:
        yield SqlLedgerStore(database)


def _event(id, tenant=ACME, **members):
    values = {"event_id": id, "time": NOW, "principal": f"{tenant}/principals/ben", "service": "storage"}
    return TenantEvent(tenant, AuditEvent(**{**values, "action": "cube.read", "resource": "r", **members}))


async def _ids(store, tenant=ACME, *, before_sequence=None, limit=99, **wanted):
    found = await store.query(tenant, AuditFilter(**wanted), before_sequence=before_sequence, limit=limit)
    return [entry.event.event_id for entry in found]


async def test_a_new_store_is_empty(store):
    assert await store.chains() == ()
    assert await store.head(ACME) == Head()
    assert await store.entries(ACME, after_sequence=0, limit=9) == ()


async def test_events_are_chained_in_the_order_of_arrival(store):
    assert await store.append([_event("b", reason="why", trace_id="ab" * 16), _event("a")]) == 2
    first, second = await store.entries(ACME, after_sequence=0, limit=9)
    assert (first.event.event_id, first.sequence, first.previous_hash) == ("b", 1, Head().hash)
    assert first.event == _event("b", reason="why", trace_id="ab" * 16).event
    assert (second.sequence, second.previous_hash) == (2, first.hash)
    assert await store.head(ACME) == Head(2, second.hash)
    assert await store.entries(ACME, after_sequence=1, limit=9) == (second,)


async def test_an_event_id_counts_once_in_its_tenant(store):
    assert await store.append([_event("a"), _event("a"), _event("a", GLOBEX)]) == 2
    assert await store.append([_event("a"), _event("b")]) == 1
    assert await _ids(store) == ["b", "a"]
    assert await _ids(store, GLOBEX) == ["a"]
    assert await store.chains() == (ACME, GLOBEX)


async def test_the_same_events_sent_at_the_same_time_count_once(store):
    sent = [_event(str(number)) for number in range(5)]
    counts = await asyncio.gather(*(store.append(sent) for _ in range(8)))
    assert sum(counts) == 5
    assert await VerifyChain(store)(ACME) is None


async def test_queries_filter_and_page_newest_first(store):
    await store.append(
        [
            _event("1", principal=str(EVE)),
            _event("2", action="cube.write", time=NOW + timedelta(seconds=2)),
            _event("3", resource="other", time=NOW + timedelta(seconds=1)),
            _event("4"),
        ]
    )
    assert await _ids(store) == ["4", "3", "2", "1"]
    assert await _ids(store, limit=2) == ["4", "3"]
    assert await _ids(store, before_sequence=3, limit=1) == ["2"]
    assert await _ids(store, principal=str(EVE)) == ["1"]
    assert await _ids(store, action="cube.write") == ["2"]
    assert await _ids(store, resource="other") == ["3"]
    assert await _ids(store, after=NOW + timedelta(seconds=1)) == ["3", "2"]
    assert await _ids(store, before=NOW + timedelta(seconds=2), action="cube.read") == ["4", "3", "1"]


def _node(id, kind=NodeKind.CUBE, principal=None, **members):
    return OwnedNode(Node(id, kind, **members), principal)


def _edge(source, target, principal=None, detail=""):
    return OwnedEdge(Edge(source, target, Relation.PLANNED, detail), principal)


async def test_nodes_and_edges_are_read_back_exactly(store):
    node = _node("c", revision=3, summary="A cube", time=NOW, trace_id="ab" * 16)
    await store.record(ACME, [node, _node("d")], [_edge("c", "d", detail="because")])
    assert await store.nodes(["c", "nope"], BEN) == (node.node,)
    edge = Edge("c", "d", Relation.PLANNED, "because")
    for end, direction in (("c", TARGETS), ("d", SOURCES)):
        assert await store.edges_at([end], direction, BEN, limit=9) == (edge,)
    for end, direction in (("c", SOURCES), ("d", TARGETS)):
        assert await store.edges_at([end], direction, BEN, limit=9) == ()


async def test_what_is_recorded_stays_as_it_is(store):
    for summary in ("first", "second"):
        await store.record(ACME, [_node("c", summary=summary), _node("d")], [_edge("c", "d", detail=summary)])
    (node,) = await store.nodes(["c"], BEN)
    (edge,) = await store.edges_at(["c"], TARGETS, BEN, limit=9)
    assert (node.summary, edge.detail) == ("first", "first")


async def test_private_nodes_and_edges_are_seen_by_their_principal_alone(store):
    await store.record(ACME, [_node("c"), _node("p", NodeKind.PLAN, BEN)], [_edge("c", "p", BEN)])
    for viewer, seen in ((BEN, 1), (EVE, 0)):
        assert len(await store.nodes(["p"], viewer)) == seen
        assert len(await store.edges_at(["c", "p"], TARGETS, viewer, limit=9)) == seen


async def test_a_node_of_somebody_else_undoes_the_whole_record(store):
    await store.record(ACME, [_node("p", NodeKind.PLAN, BEN)], [])
    with pytest.raises(ResourceNotFound):
        await store.record(ACME, [_node("c"), _node("p", NodeKind.PLAN, EVE)], [_edge("c", "p", EVE)])
    assert await store.nodes(["c"], EVE) == ()
    assert await store.edges_at(["p"], SOURCES, EVE, limit=9) == ()


async def test_the_newest_edges_are_returned_first_and_no_more_than_asked(store):
    nodes = [_node("c"), *(_node(str(number)) for number in range(5))]
    await store.record(ACME, nodes, [_edge("c", str(number)) for number in range(4)])
    await store.record(ACME, [], [_edge("c", "4")])
    edges = await store.edges_at(["c"], TARGETS, BEN, limit=2)
    assert [edge.target for edge in edges] == ["4", "3"]


async def test_a_tenant_sees_nothing_of_another(store):
    await store.record(ACME, [_node("c"), _node("d")], [_edge("c", "d")])
    theirs = PrincipalName("globex", "ben")
    assert await store.nodes(["c"], theirs) == ()
    assert await store.edges_at(["c"], TARGETS, theirs, limit=9) == ()
