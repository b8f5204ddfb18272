import pytest

from memos_governance.domain.lineage import GRAPH_NODES
from memos_kernel.errors import InvalidField, LimitExceeded, MalformedName, ResourceNotFound
from memos_kernel.lineage import Edge, Node, NodeKind, Relation
from memos_kernel.permission import Action


def _name(kind, id, tenant="acme"):
    return f"tenants/{tenant}/{kind}s/{id}"


CUBE, PLAN, ANSWER, TURN = _name("cube", "c"), _name("plan", "p"), _name("answer", "a"), _name("cube", "t")
NODES = [
    Node(CUBE, NodeKind.CUBE, revision=3),
    Node(PLAN, NodeKind.PLAN, trace_id="ab" * 16),
    Node(ANSWER, NodeKind.ANSWER),
]
EDGES = [
    Edge(CUBE, PLAN, Relation.PLANNED, "most similar"),
    Edge(PLAN, ANSWER, Relation.GENERATED),
    Edge(ANSWER, TURN, Relation.RECORDED),
]


async def _writer(world, principal):
    return await world.grant(principal, Action.LINEAGE_WRITE)


async def _read(world, principal, *names, depth=4, actions=()):
    grant = await world.grant(principal, Action.LINEAGE_READ, *actions)
    return await world.records.get_lineage(names, depth=depth, grant=grant)


async def test_an_answer_leads_to_its_plan_and_cubes_and_back(world, admin):
    await world.records.record_lineage(NODES, EDGES, grant=await _writer(world, admin))
    for start in (CUBE, ANSWER):
        graph = await _read(world, admin, start)
        assert {node.name for node in graph.nodes} == {CUBE, PLAN, ANSWER, TURN}
        assert set(graph.edges) == set(EDGES)
        assert not graph.truncated
    assert graph.nodes[0].name == ANSWER


async def test_what_else_was_made_of_a_source_is_not_dragged_in(world, admin):
    others = [Edge(CUBE, _name("plan", str(n)), Relation.PLANNED) for n in range(3)]
    sibling = Edge(_name("cube", "s"), _name("plan", "0"), Relation.PLANNED)
    await world.records.record_lineage(NODES, [*EDGES, *others, sibling], grant=await _writer(world, admin))
    answer = await _read(world, admin, ANSWER)
    assert [node.name for node in answer.nodes] == [ANSWER, PLAN, CUBE, TURN]
    assert (set(answer.edges), answer.truncated) == (set(EDGES), False)
    cube = await _read(world, admin, CUBE)
    assert set(cube.edges) == {*EDGES, *others}


async def test_a_node_on_the_way_of_two_walks_is_followed_in_both(world, admin):
    middle, low, side = (_name("cube", part) for part in ("m", "low", "side"))
    edges = [Edge(CUBE, middle, Relation.DERIVED_FROM), Edge(middle, low, Relation.DERIVED_FROM)]
    edges.append(Edge(middle, side, Relation.DERIVED_FROM))
    await world.records.record_lineage([], edges, grant=await _writer(world, admin))
    graph = await _read(world, admin, low, CUBE)
    assert set(graph.edges) == set(edges)


async def test_an_edge_brings_its_missing_ends_along(world, admin):
    await world.records.record_lineage([], EDGES, grant=await _writer(world, admin))
    graph = await _read(world, admin, TURN)
    assert {node.name: node.kind for node in graph.nodes}[PLAN] is NodeKind.PLAN


async def test_recording_again_changes_nothing(world, admin):
    grant = await _writer(world, admin)
    await world.records.record_lineage(NODES, EDGES, grant=grant)
    await world.records.record_lineage([Node(CUBE, NodeKind.CUBE, revision=9)], EDGES, grant=grant)
    graph = await _read(world, admin, CUBE)
    assert graph.nodes[0].revision == 3
    assert len(graph.edges) == 3


async def test_plans_and_answers_are_their_makers_alone(world, admin):
    ben = await world.person(admin, "ben")
    await world.records.record_lineage(NODES, EDGES, grant=await _writer(world, admin))
    mine = await _read(world, ben, CUBE)
    assert [node.name for node in mine.nodes] == [CUBE]
    assert (mine.edges, mine.truncated) == ((), False)
    assert (await _read(world, ben, ANSWER)).nodes == ()
    theirs = Edge(CUBE, _name("plan", "bens"), Relation.PLANNED)
    await world.records.record_lineage([], [theirs], grant=await _writer(world, ben))
    for actions in ((), (Action.TENANT_ADMIN,)):
        graph = await _read(world, admin, CUBE, actions=actions)
        assert _name("plan", "bens") not in {node.name for node in graph.nodes}


async def test_nobody_adds_to_another_principals_answer(world, admin):
    ben = await world.person(admin, "ben")
    await world.records.record_lineage(NODES, EDGES, grant=await _writer(world, admin))
    forged = Edge(_name("cube", "lie"), PLAN, Relation.PLANNED)
    with pytest.raises(ResourceNotFound):
        await world.records.record_lineage([], [forged], grant=await _writer(world, ben))
    assert _name("cube", "lie") not in {node.name for node in (await _read(world, admin, PLAN)).nodes}


async def test_another_tenants_names_can_neither_be_recorded_nor_read(world, admin):
    other = await world.tenant("globex")
    await world.records.record_lineage(NODES, EDGES, grant=await _writer(world, admin))
    for node in (Node(CUBE, NodeKind.CUBE), Node(_name("cube", "nope"), NodeKind.CUBE)):
        with pytest.raises(ResourceNotFound):
            await world.records.record_lineage([node], [], grant=await _writer(world, other))
    crossing = Edge(_name("cube", "x", "globex"), CUBE, Relation.DERIVED_FROM)
    with pytest.raises(ResourceNotFound):
        await world.records.record_lineage([], [crossing], grant=await _writer(world, other))
    assert (await _read(world, other, CUBE, ANSWER)).nodes == ()


async def test_the_walk_ends_at_its_depth_and_says_so(world, admin):
    chain = [Edge(_name("cube", str(n)), _name("cube", str(n + 1)), Relation.DERIVED_FROM) for n in range(4)]
    await world.records.record_lineage([], chain, grant=await _writer(world, admin))
    near = await _read(world, admin, _name("cube", "0"), depth=2)
    assert [node.name for node in near.nodes] == [_name("cube", str(n)) for n in range(3)]
    assert near.truncated
    far = await _read(world, admin, _name("cube", "0"), depth=4)
    assert (len(far.nodes), far.truncated) == (5, False)


async def test_edges_among_the_last_nodes_are_shown(world, admin):
    ends = [
        Edge(CUBE, _name("cube", "x"), Relation.DERIVED_FROM),
        Edge(CUBE, _name("cube", "y"), Relation.DERIVED_FROM),
        Edge(_name("cube", "x"), _name("cube", "y"), Relation.DERIVED_FROM),
    ]
    await world.records.record_lineage([], ends, grant=await _writer(world, admin))
    graph = await _read(world, admin, CUBE, depth=1)
    assert (set(graph.edges), graph.truncated) == (set(ends), False)


async def test_a_graph_has_a_limit(world, admin):
    grant = await _writer(world, admin)
    for part in range(2):
        edges = [Edge(CUBE, _name("cube", f"{part}-{n}"), Relation.DERIVED_FROM) for n in range(GRAPH_NODES)]
        await world.records.record_lineage([], edges, grant=grant)
    graph = await _read(world, admin, CUBE)
    assert (len(graph.nodes), graph.truncated) == (GRAPH_NODES, True)


@pytest.mark.parametrize(
    ("nodes", "edges", "error"),
    [
        ([Node(CUBE, NodeKind.ANSWER)], [], InvalidField),
        ([Node(CUBE, NodeKind.CUBE, revision=-1)], [], InvalidField),
        ([Node(CUBE, NodeKind.CUBE, trace_id="xyz")], [], InvalidField),
        ([Node(CUBE, NodeKind.CUBE, summary="x" * 513)], [], LimitExceeded),
        ([Node("messages/-/m1", NodeKind.MESSAGE)], [], MalformedName),
        ([], [Edge(CUBE, CUBE, Relation.DERIVED_FROM)], InvalidField),
        ([], [Edge(CUBE, "tenants/acme/vaults/main", Relation.DERIVED_FROM)], MalformedName),
        ([Node(CUBE, NodeKind.CUBE)] * 1_001, [], LimitExceeded),
    ],
)
async def test_what_breaks_a_rule_is_not_recorded(world, admin, nodes, edges, error):
    with pytest.raises(error):
        await world.records.record_lineage(nodes, edges, grant=await _writer(world, admin))


async def test_a_question_has_limits(world, admin):
    with pytest.raises(InvalidField):
        await _read(world, admin, CUBE, depth=11)
    with pytest.raises(LimitExceeded):
        await _read(world, admin, *[CUBE] * 101)
    with pytest.raises(MalformedName):
        await _read(world, admin, "cubes/c")
