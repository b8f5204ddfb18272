"""The provenance graph: from a message to an answer, and only through what the caller may read."""

from dataclasses import replace

import pytest

from memos_interface.domain.chat import ChatQuestion
from memos_interface.domain.graph import GONE
from memos_interface.domain.reader import Message
from memos_interface.usecases.add_memories import AddRequest
from memos_kernel.cube import Kind, MemCube, Plaintext, RevisionRef
from memos_kernel.errors import CubeNotFound, InvalidField, LimitExceeded, MalformedName, MissingField, ResourceNotFound
from memos_kernel.lineage import NodeKind, Relation
from memos_kernel.names import CubeName
from memos_kernel.requests import RequestKey

NO_KEY = RequestKey()


async def talk(desk):
    """Remember one message, ask about it, and return the cube, the plan and the end."""
    said = Message(id="m1", session="s1", speaker="Nora", text="the name of the cat is Biscuit")
    added = await desk.do.add(AddRequest(vault=desk.vault, messages=[said]), caller=desk.caller, key=NO_KEY)
    asked = ChatQuestion(messages=[Message(text="what is the name of the cat?", id="q1")], remember_in=desk.other)
    plan, *_, end = [event async for event in desk.do.chat(asked, caller=desk.caller, key=NO_KEY)]
    return added.added[0].cube, plan, end


async def graph(desk, name, depth=0):
    return await desk.do.provenance(name, depth=depth, caller=desk.caller)


async def test_an_answer_leads_back_to_the_message(desk):
    cat, plan, end = await talk(desk)
    found = await graph(desk, end.answer)
    kinds = {node.name: node.kind for node in found.nodes}
    relations = {(edge.source, edge.target): edge.relation for edge in found.edges}
    assert kinds["messages/s1/m1"] is NodeKind.MESSAGE
    assert relations["messages/s1/m1", str(cat.name)] is Relation.READ_FROM
    assert relations[str(cat.name), plan.name] is Relation.PLANNED
    assert relations[plan.name, end.answer] is Relation.GENERATED
    assert relations[end.answer, end.recorded[0]] is Relation.RECORDED
    assert relations["messages/-/q1", end.recorded[0]] is Relation.READ_FROM
    assert not found.truncated


async def test_a_cube_leads_to_the_answers_it_was_used_in(desk):
    cat, plan, end = await talk(desk)
    names = [node.name for node in (await graph(desk, str(cat.name))).nodes]
    assert names[0] == str(cat.name)
    assert {plan.name, end.answer} <= set(names)


async def test_another_answer_of_the_same_memory_is_left_out(desk):
    cat, _, first = await talk(desk)
    _, _, second = await talk(desk)
    found = {node.name for node in (await graph(desk, first.answer)).nodes}
    assert str(cat.name) in found
    assert second.answer not in found


async def test_a_plan_is_a_root_too(desk):
    cat, plan, _ = await talk(desk)
    assert str(cat.name) in {node.name for node in (await graph(desk, plan.name)).nodes}


async def test_readable_cubes_show_their_content_and_the_reading_is_audited(desk):
    cat, _, end = await talk(desk)
    desk.audit.notes.clear()
    found = await graph(desk, end.answer)
    node = next(node for node in found.nodes if node.name == str(cat.name))
    assert (node.summary, node.revision) == ("the name of the cat is Biscuit", 1)
    assert ("cube.read", str(cat.name)) in desk.audit.notes


async def test_a_deleted_cube_stays_as_a_bare_node_in_the_callers_own_answer(desk):
    cat, _, end = await talk(desk)
    await desk.do.delete(cat.name, etag="", key=NO_KEY)
    desk.audit.notes.clear()
    found = await graph(desk, end.answer)
    node = next(node for node in found.nodes if node.name == str(cat.name))
    assert (node.summary, node.time) == (GONE, None)
    assert "messages/s1/m1" not in {node.name for node in found.nodes}
    assert "Biscuit" not in str(found)
    assert ("cube.read", str(cat.name)) not in desk.audit.notes


async def test_a_deleted_cube_is_no_root(desk):
    cat, _, _ = await talk(desk)
    await desk.do.delete(cat.name, etag="", key=NO_KEY)
    with pytest.raises(CubeNotFound):
        await graph(desk, str(cat.name))


async def test_what_is_derived_from_an_unreadable_cube_does_not_show_it(desk):
    (secret, shared) = (CubeName("t", "secret"), CubeName("t", "shared"))
    for name, vault, derived in [
        (secret, desk.other, ()),
        (shared, desk.vault, (RevisionRef(secret, 1),)),
    ]:
        cube = MemCube(
            name=name, vault=vault, kind=Kind.PLAINTEXT, payload=Plaintext(f"{name.id} text"), derived_from=derived
        )
        await desk.do.create(cube, caller=desk.caller, key=NO_KEY)
    both = await graph(desk, str(shared))
    assert [(edge.source, edge.target) for edge in both.edges] == [(str(secret), str(shared))]
    desk.storage.vaults.discard(desk.other)
    alone = await graph(desk, str(shared))
    assert [node.name for node in alone.nodes] == [str(shared)]
    assert alone.edges == ()


async def test_the_graph_ends_at_the_depth_and_says_so(desk):
    cat, plan, end = await talk(desk)
    found = await graph(desk, end.answer, depth=1)
    names = {node.name for node in found.nodes}
    assert plan.name in names
    assert str(cat.name) not in names
    assert found.truncated


@pytest.mark.parametrize(
    ("name", "depth", "error"),
    [
        ("", 0, MissingField),
        ("0190-some-id", 0, MalformedName),
        ("tenants/t/vaults/notes", 0, MalformedName),
        ("tenants/t/cubes/none", 0, CubeNotFound),
        ("tenants/t/answers/none", 0, ResourceNotFound),
        ("tenants/elsewhere/cubes/none", 0, CubeNotFound),
        ("tenants/elsewhere/answers/none", 0, ResourceNotFound),
        ("tenants/t/cubes/none", -1, InvalidField),
        ("tenants/t/cubes/none", 11, LimitExceeded),
    ],
)
async def test_what_cannot_be_traced_is_refused(desk, name, depth, error):
    with pytest.raises(error):
        await graph(desk, name, depth)


async def test_long_texts_are_cut_in_the_summary(desk):
    cat, _, _ = await talk(desk)
    desk.storage.cubes[cat.name] = replace(cat, payload=Plaintext("very  long\n" * 50))
    summary = (await graph(desk, str(cat.name))).nodes[0].summary
    assert summary.startswith("very long very long")
    assert len(summary) == 120
