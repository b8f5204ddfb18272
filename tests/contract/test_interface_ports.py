"""What the interface relies on, kept by the services behind it and by the twins alike."""

import dataclasses
from datetime import UTC, datetime, timedelta

import pytest

from interface_ports import clients, twins
from memos_interface.domain.audit import AuditEvent
from memos_interface.domain.cubes import CubeChange
from memos_interface.domain.search import CubeFilter, SearchQuery
from memos_interface.ports import Stored, StoredName, Vectors
from memos_kernel.cube import Kind, MemCube, Origin, Plaintext, RevisionRef, SemanticType, SourceSpan, State
from memos_kernel.embedding import Embedding
from memos_kernel.errors import (
    CredentialInvalid,
    CubeFrozen,
    CubeNotFound,
    DuplicateContent,
    EtagMismatch,
    IllegalTransition,
    InvalidField,
    RequestIdReused,
    ResourceExists,
    RevisionNotFound,
    VaultNotFound,
)
from memos_kernel.ids import uuid7
from memos_kernel.lineage import Edge, Graph, Node, NodeKind, Relation
from memos_kernel.memory_links import LinkKind
from memos_kernel.names import AnswerName, CubeName, PlanName, VaultName
from memos_kernel.permission import Action
from memos_kernel.requests import RequestKey

NO_KEY = RequestKey()
ALL = frozenset(
    {
        Action.CUBE_READ,
        Action.CUBE_WRITE,
        Action.CUBE_USE,
        Action.MODEL_USE,
        Action.LINEAGE_READ,
        Action.LINEAGE_WRITE,
    }
)
DIMENSIONS = 8


@pytest.fixture(params=["twin", "grpc"])
async def ports(request, tmp_path):
    if request.param == "twin":
        yield twins()
    else:
        async with clients(tmp_path) as made:
            yield made


def acting(ports):
    return ports.delegation.acting(ports.caller, ALL, (ports.vault,))


def cube(ports, text, **fields):
    name = CubeName(ports.vault.tenant, uuid7())
    return MemCube(**{"name": name, "vault": ports.vault, "kind": Kind.PLAINTEXT, "payload": Plaintext(text), **fields})


def vectors(count):
    units = ([1.0 if place == index % DIMENSIONS else 0.0 for place in range(DIMENSIONS)] for index in range(count))
    return Vectors(tuple(map(Embedding, units)), "unit-8")


async def create(ports, *cubes, return_existing=True, key=NO_KEY):
    return await ports.store.create(cubes, vectors(len(cubes)), return_existing=return_existing, request=key)


async def one(ports, text, **fields):
    (stored,) = (await create(ports, cube(ports, text, **fields))).results
    assert isinstance(stored, Stored)
    return stored.cube


async def test_a_cube_comes_back_as_it_went_in(ports):
    source = SourceSpan(
        message_id="m1",
        speaker="Nora",
        session="s1",
        event_time=datetime(2026, 3, 2, 12, tzinfo=UTC),
        utc_offset="+01:00",
        role="user",
    )
    wanted = cube(
        ports,
        "Nora's cat is called Biscuit.",
        labels={"topic": "pets"},
        semantic_type=SemanticType.FACT,
        origin=Origin.USER_INPUT,
        sources=(source,),
    )
    async with acting(ports):
        batch = await create(ports, wanted)
        (read,) = await ports.store.get([wanted.name], full=True)
        (header,) = await ports.store.get([wanted.name], full=False)
    assert batch.results[0].created
    assert batch.provenance_id == read.provenance_id
    assert (read.text, read.sources, read.labels) == (wanted.text, wanted.sources, {"topic": "pets"})
    assert (read.semantic_type, read.origin, read.state) == (SemanticType.FACT, Origin.USER_INPUT, State.GENERATED)
    assert (read.revision, read.access.owner) == (1, ports.caller.name)
    assert header.payload is None


async def test_of_many_the_names_are_answered_and_those_of_known_content(ports):
    known, new = cube(ports, "same"), cube(ports, "new")
    async with acting(ports):
        await create(ports, known)
        answer = await ports.store.create_many([cube(ports, "same"), new], vectors(2))
        (read,) = await ports.store.get([new.name], full=True)
    assert answer.results == (StoredName(known.name, False), StoredName(new.name, True))
    assert read.text == "new"


async def test_known_content_is_answered_or_refused(ports):
    async with acting(ports):
        known = await one(ports, "The gate code is 4711.")
        again = (await create(ports, cube(ports, "The gate code is 4711."))).results[0]
        refused = (await create(ports, cube(ports, "The gate code is 4711."), return_existing=False)).results[0]
    assert (again.created, again.cube.name) == (False, known.name)
    assert isinstance(refused, DuplicateContent)
    assert refused.metadata["existing"] == str(known.name)


async def test_a_batch_keeps_its_order(ports):
    texts = [f"shelf {number} holds jars" for number in range(20)]
    async with acting(ports):
        batch = await create(ports, *(cube(ports, text) for text in texts))
    assert [result.cube.text for result in batch.results] == texts


async def test_a_request_key_makes_a_write_one(ports):
    key = RequestKey(uuid7(), "/memos.v1.MemoryService/AddMemories", "a" * 64)
    async with acting(ports):
        first = await create(ports, cube(ports, "one"), key=key)
        again = await create(ports, cube(ports, "one"), key=key)
        with pytest.raises(RequestIdReused):
            await create(ports, cube(ports, "two"), key=RequestKey(key.request_id, key.method, "b" * 64))
    assert again.results[0].cube.name == first.results[0].cube.name
    assert again.provenance_id == first.provenance_id


async def test_an_unknown_cube_is_its_own_error(ports):
    async with acting(ports):
        known = await one(ports, "one")
        found, missing = await ports.store.get([known.name, CubeName(ports.vault.tenant, "none")], full=True)
    assert found.name == known.name
    assert isinstance(missing, CubeNotFound)


async def test_an_update_is_a_revision_and_a_stale_etag_is_refused(ports):
    async with acting(ports):
        old = await one(ports, "The key is under the mat.", labels={"a": "b"})
        change = CubeChange(name=old.name, paths=("plaintext.text",), etag=old.etag, text="The key is with Felix.")
        new = await ports.store.update(change, vectors(1), request=NO_KEY)
        with pytest.raises(EtagMismatch):
            await ports.store.update(change, vectors(1), request=NO_KEY)
        labelled = await ports.store.update(
            CubeChange(name=old.name, paths=("labels", "priority"), labels={"c": "d"}, priority=70),
            None,
            request=NO_KEY,
        )
    assert (new.text, new.revision, new.labels) == ("The key is with Felix.", 2, {"a": "b"})
    assert (labelled.revision, labelled.labels, labelled.priority) == (3, {"c": "d"}, 70)


async def test_a_cube_is_read_as_it_was_compared_and_taken_back(ports):
    async with acting(ports):
        old = await one(ports, "The key is under the mat.", labels={"a": "b"})
        await ports.later()
        change = CubeChange(name=old.name, paths=("plaintext.text", "labels"), text="It is with Felix.", labels={})
        await ports.store.update(change, vectors(1), request=NO_KEY)
        page = await ports.store.revisions(old.name, page_size=1, page_token="")
        rest = await ports.store.revisions(old.name, page_size=1, page_token=page.next_page_token)
        then = {"as_of": old.update_time}
        (read,) = await ports.store.get([old.name], full=True, **then)
        listed = await ports.store.list(ports.vault, filter=None, page_size=9, page_token="", **then)
        found = await ports.store.search(SearchQuery(query="key", vaults=(ports.vault,), **then), None, top_k=9)
        difference = await ports.store.diff(old.name, before=0, after=0)
        with pytest.raises(RevisionNotFound):
            await ports.store.diff(old.name, before=1, after=7)
        with pytest.raises(InvalidField):
            await ports.store.get([old.name], full=True, as_of=old.update_time + timedelta(days=9))
        back = await ports.store.roll_back(old.name, revision=1, etag="", vectors=vectors(1), request=NO_KEY)
        with pytest.raises(RevisionNotFound):
            await ports.store.roll_back(old.name, revision=7, etag="", vectors=None, request=NO_KEY)
    assert [cube.revision for cube in (*page.cubes, *rest.cubes)] == [2, 1]
    assert (page.cubes[0].payload, rest.next_page_token) == (None, "")
    assert (read.text, read.revision) == ("The key is under the mat.", 1)
    assert [cube.revision for cube in listed.cubes] == [1]
    assert [hit.cube.text for hit in found.hits] == ["The key is under the mat."]
    assert (difference.before.text, difference.after.text) == ("The key is under the mat.", "It is with Felix.")
    assert set(difference.paths) == {"plaintext.text", "labels"}
    assert (back.text, dict(back.labels), back.revision) == ("The key is under the mat.", {"a": "b"}, 3)


async def test_a_deleted_cube_comes_back_unless_its_content_is_there_again(ports):
    async with acting(ports):
        cube = await one(ports, "The safe is in the attic.")
        with pytest.raises(ResourceExists):
            await ports.store.undelete(cube.name, etag="", request=NO_KEY)
        await ports.store.delete(cube.name, etag="", request=NO_KEY)
        header = await ports.store.undelete(cube.name, etag="", request=NO_KEY)
        (back,) = await ports.store.get([cube.name], full=True)
        await ports.store.delete(cube.name, etag="", request=NO_KEY)
        await one(ports, "The safe is in the attic.")
        with pytest.raises(DuplicateContent):
            await ports.store.undelete(cube.name, etag="", request=NO_KEY)
        with pytest.raises(CubeNotFound):
            await ports.store.undelete(dataclasses.replace(cube.name, id="nobody"), etag="", request=NO_KEY)
    assert (header.payload, header.delete_time) == (None, None)
    assert back.text == "The safe is in the attic."


async def test_a_link_is_settled_and_read_from_both_ends(ports):
    async with acting(ports):
        older, newer = await one(ports, "The safe is in the attic."), await one(ports, "The safe is in the cellar.")
        link = await ports.store.settle_link(newer.name, older.name, kind=LinkKind.SUPERSEDES, request=NO_KEY)
        assert (link.newer, link.older, link.kind, link.evidence) == (newer.name, older.name, LinkKind.SUPERSEDES, 1.0)
        assert await ports.store.links(newer.name) == await ports.store.links(older.name) == (link,)
        with pytest.raises(InvalidField):
            await ports.store.settle_link(newer.name, newer.name, kind=LinkKind.SUPERSEDES, request=NO_KEY)
        nobody = dataclasses.replace(older.name, id="nobody")
        with pytest.raises(CubeNotFound):
            await ports.store.settle_link(newer.name, nobody, kind=LinkKind.SUPERSEDES, request=NO_KEY)
        with pytest.raises(CubeNotFound):
            await ports.store.links(nobody)


async def test_a_deleted_cube_is_nowhere(ports):
    async with acting(ports):
        gone = await one(ports, "The safe is in the attic.")
        header = await ports.store.delete(gone.name, etag="", request=NO_KEY)
        (missing,) = await ports.store.get([gone.name], full=True)
        listed = await ports.store.list(ports.vault, filter=None, page_size=10, page_token="")
        found = await ports.store.search(SearchQuery(query="safe attic"), None, top_k=5)
        with pytest.raises(CubeNotFound):
            await ports.store.delete(gone.name, etag="", request=NO_KEY)
    assert header.delete_time is not None
    assert isinstance(missing, CubeNotFound)
    assert listed.cubes == found.hits == ()


async def test_a_list_is_headers_in_pages_newest_first(ports):
    async with acting(ports):
        made = [await one(ports, text) for text in ("one", "two", "three")]
        first = await ports.store.list(ports.vault, filter=None, page_size=2, page_token="")
        rest = await ports.store.list(ports.vault, filter=None, page_size=2, page_token=first.next_page_token)
    assert [item.name for item in (*first.cubes, *rest.cubes)] == [item.name for item in reversed(made)]
    assert all(item.payload is None for item in first.cubes)
    assert rest.next_page_token == ""


async def test_a_search_without_vector_says_that_the_dense_leg_did_not_run(ports):
    async with acting(ports):
        await one(ports, "the cat sleeps")
        await one(ports, "the rain falls")
        without = await ports.store.search(SearchQuery(query="cat", vaults=(ports.vault,)), None, top_k=1)
    assert [hit.cube.text for hit in without.hits] == ["the cat sleeps"]
    dense = next(leg for leg in without.legs if leg.name == "dense")
    assert not dense.ran
    assert dense.reason
    assert without.degraded


async def test_archived_cubes_are_found_only_when_asked_for(ports):
    archived = CubeFilter(states=frozenset({State.ARCHIVED}))
    async with acting(ports):
        aside = await one(ports, "the cat sleeps", state=State.ARCHIVED)
        hidden = await ports.store.search(SearchQuery(query="cat"), None, top_k=5)
        shown = await ports.store.search(SearchQuery(query="cat", filter=archived), None, top_k=5)
        (refused,) = (await create(ports, cube(ports, "the dog sleeps", state=State.EXPIRED))).results
    assert aside.state is State.ARCHIVED
    assert isinstance(refused, InvalidField)
    assert hidden.hits == ()
    assert [hit.cube.name for hit in shown.hits] == [aside.name]


async def test_a_frozen_cube_refuses_changes_and_deletion_until_it_is_unfrozen(ports):
    async with acting(ports):
        kept = await one(ports, "The gate code is 4711.")
        change = CubeChange(name=kept.name, paths=("priority",), priority=70)
        frozen = await ports.lifecycle.freeze(kept.name, etag=kept.etag, request=NO_KEY)
        with pytest.raises(IllegalTransition):
            await ports.lifecycle.freeze(kept.name, etag="", request=NO_KEY)
        with pytest.raises(CubeFrozen):
            await ports.store.update(change, None, request=NO_KEY)
        with pytest.raises(CubeFrozen):
            await ports.store.delete(kept.name, etag="", request=NO_KEY)
        with pytest.raises(EtagMismatch):
            await ports.lifecycle.unfreeze(kept.name, etag=kept.etag, request=NO_KEY)
        (read,) = await ports.store.get([kept.name], full=True)
        thawed = await ports.lifecycle.unfreeze(kept.name, etag=frozen.etag, request=NO_KEY)
        changed = await ports.store.update(change, None, request=NO_KEY)
    assert (frozen.frozen, frozen.state, frozen.payload) == (True, State.GENERATED, None)
    assert (read.frozen, read.text) == (True, "The gate code is 4711.")
    assert (thawed.frozen, thawed.revision, changed.priority) == (False, 3, 70)


async def test_a_request_key_makes_a_freeze_one(ports):
    key = RequestKey(uuid7(), "/memos.v1.MemoryService/FreezeMemory", "a" * 64)
    async with acting(ports):
        kept = await one(ports, "one")
        first = await ports.lifecycle.freeze(kept.name, etag=kept.etag, request=key)
        again = await ports.lifecycle.freeze(kept.name, etag=kept.etag, request=key)
    assert (again.frozen, again.revision, again.etag) == (True, first.revision, first.etag)


async def test_a_use_can_be_recorded(ports):
    async with acting(ports):
        used = await one(ports, "the cat sleeps")
        plan = str(PlanName(ports.vault.tenant, uuid7()))
        await ports.lifecycle.record_use([RevisionRef(used.name, used.revision)], plan=plan)


async def test_lineage_leads_to_sources_and_not_to_what_else_was_made_of_them(ports):
    tenant = ports.vault.tenant
    cat, plan, answer = CubeName(tenant, uuid7()), PlanName(tenant, uuid7()), AnswerName(tenant, uuid7())
    graph = Graph(
        nodes=(
            Node(str(plan), NodeKind.PLAN, summary="1 memories chosen"),
            Node(str(answer), NodeKind.ANSWER, summary="3 tokens"),
            Node(str(cat), NodeKind.CUBE, revision=1),
        ),
        edges=(
            Edge(str(cat), str(plan), Relation.PLANNED, "rank 1"),
            Edge(str(plan), str(answer), Relation.GENERATED),
        ),
    )
    other = str(PlanName(tenant, uuid7()))
    another_use = Graph((Node(other, NodeKind.PLAN),), (Edge(str(cat), other, Relation.PLANNED),))
    async with acting(ports):
        await ports.lineage.record(graph)
        await ports.lineage.record(graph)
        await ports.lineage.record(another_use)
        whole = await ports.lineage.around(str(answer), depth=4)
        near = await ports.lineage.around(str(answer), depth=1)
        nothing = await ports.lineage.around(str(AnswerName(tenant, "none")), depth=4)
    assert {node.name for node in whole.nodes} == {str(cat), str(plan), str(answer)}
    assert set(whole.edges) == set(graph.edges)
    assert {node.name for node in near.nodes} == {str(plan), str(answer)}
    assert (whole.truncated, near.truncated) == (False, True)
    assert nothing.nodes == nothing.edges == ()


async def test_a_key_tells_who_calls_and_a_grant_covers_what_was_asked(ports):
    assert await ports.authority.authenticate(ports.api_key) == ports.caller
    with pytest.raises(CredentialInvalid):
        await ports.authority.authenticate("mk_" + "x" * 43)
    grant = await ports.authority.issue_grant(ports.caller.name, frozenset({Action.CUBE_READ}), (str(ports.vault),))
    assert grant.vaults == {ports.vault}
    assert grant.actions == {Action.CUBE_READ}
    everywhere = await ports.authority.issue_grant(ports.caller.name, frozenset({Action.CUBE_READ}), ())
    assert ports.vault in everywhere.vaults
    unknown = str(VaultName(ports.vault.tenant, "nowhere"))
    with pytest.raises(VaultNotFound):
        await ports.authority.issue_grant(ports.caller.name, frozenset({Action.CUBE_READ}), (unknown,))


async def test_audit_events_can_be_sent_twice(ports):
    event = AuditEvent(
        id=uuid7(),
        time=datetime.now(UTC),
        principal=ports.caller.name,
        action="cube.read",
        resource=str(CubeName(ports.vault.tenant, "x")),
    )
    await ports.audit_log.append([event])
    await ports.audit_log.append([event])
