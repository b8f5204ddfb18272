"""The clients against a real server: the same calls, asynchronous and blocking."""

import asyncio
import threading
from datetime import UTC, datetime, timedelta

import pytest

from interface_server import KEY, serving
from memos_api.v1.memory_service_pb2 import GetMemoryRequest
from memos_client import (
    AlreadyExists,
    AsyncClient,
    ChatDelta,
    ChatEnd,
    ChatPlan,
    Client,
    DuplicateContent,
    EtagMismatch,
    Filter,
    LimitExceeded,
    Message,
    NewMemory,
    NotFound,
    PreconditionFailed,
    RequestError,
    RequestIdReused,
    Unauthenticated,
)


@pytest.fixture
async def server():
    async with serving() as running:
        yield running


@pytest.fixture
async def memos(server):
    async with AsyncClient(server.address, api_key=KEY, tenant="t") as client:
        yield client


async def test_add_search_and_chat(memos):
    said = Message(
        text="the name of the cat is Biscuit", speaker="Nora", session="s1", time=datetime(2026, 3, 2, 12, tzinfo=UTC)
    )
    answer = await memos.add("notes", [said, "rain"], labels={"topic": "pets"})
    assert [item.created for item in answer.added] == [True, True]
    found = await memos.search("name of the cat", vaults=["notes"])
    cube = found.hits[0].cube
    assert (cube.text, cube.speaker, cube.session, cube.time) == (said.text, "Nora", "s1", said.time)
    assert (cube.state, cube.labels) == ("GENERATED", {"topic": "pets"})
    plan, *pieces, end = [event async for event in memos.chat("what is the name of the cat?", vaults=["notes"])]
    assert isinstance(plan, ChatPlan)
    assert plan.chosen[0].cube.text == said.text
    assert all(isinstance(piece, ChatDelta) for piece in pieces)
    assert isinstance(end, ChatEnd)
    assert "".join(map(str, pieces)) == end.text == "I do not know."
    graph = await memos.provenance(end.answer)
    assert graph.root == end.answer


@pytest.mark.parametrize("items", ["rain", Message(text="rain"), ["rain", {"text": "rain"}], [b"rain"]])
async def test_what_is_no_list_of_texts_and_messages_is_not_sent(memos, items):
    with pytest.raises(TypeError, match="items"):
        await memos.add("notes", items)
    assert [cube async for cube in memos.list("notes")] == []


async def test_an_item_of_an_import_that_no_message_carries_is_named(memos):
    items = [NewMemory(text="a"), NewMemory(text="b" * 5_000_000)]
    with pytest.raises(LimitExceeded, match="and a message at most 4194304; split it") as caught:
        [answer async for answer in memos.import_memories("notes", items)]
    assert caught.value.field == "items[1]"


async def test_a_cube_is_created_changed_and_deleted(memos):
    cube = await memos.create("notes", "The key is under the mat.", name="mine", priority=7)
    assert cube.name == "tenants/t/cubes/mine"
    changed = await memos.update("mine", text="The key is with Felix.", labels={"a": "b"}, etag=cube.etag)
    assert (changed.text, changed.revision, changed.message.priority) == ("The key is with Felix.", 2, 7)
    with pytest.raises(EtagMismatch):
        await memos.update("mine", priority=3, etag=cube.etag)
    await memos.delete("mine", etag=changed.etag)
    with pytest.raises(NotFound) as caught:
        await memos.get("mine")
    assert (caught.value.reason, caught.value.code) == ("CUBE_NOT_FOUND", "NOT_FOUND")
    assert caught.value.metadata["name"] == cube.name
    assert (await memos.undelete("mine")).name == cube.name
    with pytest.raises(AlreadyExists):
        await memos.undelete("mine")
    assert (await memos.get("mine")).text == "The key is with Felix."


async def test_a_cube_has_revisions_that_are_compared_and_brought_back(memos):
    cube = await memos.create("notes", "The key is under the mat.", name="mine")
    await memos.update("mine", text="The key is with Felix.")
    assert [one.revision async for one in memos.revisions("mine", page_size=1)] == [2, 1]
    found = await memos.diff("mine")
    assert (found.before.text, found.after.text) == ("The key is under the mat.", "The key is with Felix.")
    assert found.changed == ("plaintext.text",)
    assert (await memos.rollback("mine", 1)).text == "The key is under the mat."
    with pytest.raises(NotFound) as caught:
        await memos.rollback("mine", 9)
    assert caught.value.reason == "REVISION_NOT_FOUND"
    made = cube.message.create_time.ToDatetime(tzinfo=UTC)
    before = made - timedelta(seconds=1)
    with pytest.raises(NotFound):
        await memos.get("mine", as_of=before)
    assert [one async for one in memos.list("notes", as_of=before)] == []
    assert (await memos.search("key", as_of=before)).hits == ()
    (missing,) = await memos.batch_get(["mine"], as_of=before)
    assert isinstance(missing, NotFound)


async def test_what_a_memory_does_to_an_earlier_one_is_settled(memos):
    older = await memos.create("notes", "The key is under the mat.", name="old")
    newer = await memos.create("notes", "The key is with Felix.", name="new")
    assert await memos.links("new") == ()
    link = await memos.settle_link("new", "old", "SUPERSEDES")
    assert (link.newer, link.older, link.kind, link.evidence) == (newer.name, older.name, "SUPERSEDES", 1.0)
    assert link.decided_by
    assert await memos.links("old") == (link,)
    assert (await memos.settle_link("new", "old", "UNRELATED")).kind == "UNRELATED"
    with pytest.raises(ValueError, match="TWIN"):
        await memos.settle_link("new", "old", "TWIN")
    with pytest.raises(NotFound):
        await memos.links("nobody")


async def test_a_frozen_cube_is_changed_only_after_it_is_unfrozen(memos):
    cube = await memos.create("notes", "The key is under the mat.", name="mine")
    frozen = await memos.freeze("mine", etag=cube.etag)
    with pytest.raises(PreconditionFailed) as refused:
        await memos.update("mine", priority=3)
    assert (frozen.message.frozen, refused.value.reason) == (True, "CUBE_FROZEN")
    with pytest.raises(PreconditionFailed) as again:
        await memos.freeze("mine")
    assert again.value.reason == "ILLEGAL_TRANSITION"
    assert not (await memos.unfreeze("mine", etag=frozen.etag)).message.frozen
    assert (await memos.update("mine", priority=3)).message.priority == 3


async def test_a_batch_returns_errors_in_place(memos):
    cube = await memos.create("notes", "one")
    found, missing = await memos.batch_get([cube.name, "none"])
    assert found.text == "one"
    assert isinstance(missing, NotFound)


async def test_lists_go_on_over_pages(memos):
    await memos.add("notes", [f"shelf {number}" for number in range(7)])
    assert len([cube async for cube in memos.list("notes", page_size=3)]) == 7
    assert [vault.name[-2:] async for vault in memos.list_vaults(page_size=2)] == ["v0", "v1", "v2", "v3", "v4"]
    assert [cube async for cube in memos.list("notes", filter=Filter(states=["ARCHIVED"]))] == []


async def test_errors_are_typed_and_name_the_field(memos):
    with pytest.raises(RequestError) as caught:
        await memos.add("notes", [Message(text="a", time="2026-03-02T12:00:00")])
    assert (caught.value.reason, caught.value.field) == ("INVALID_FIELD", "messages[0].time")
    with pytest.raises(PreconditionFailed, match="MEMOS_MODEL"):
        await memos.add("notes", [Message(text="a")], extract=True)
    cube = await memos.create("notes", "same")
    with pytest.raises(DuplicateContent) as duplicate:
        await memos.create("notes", "same")
    assert duplicate.value.existing == cube.name
    await memos.add("notes", ["x"], request_id="r1")
    with pytest.raises(RequestIdReused):
        await memos.add("notes", ["y"], request_id="r1")


async def test_a_wrong_key_is_refused(server):
    async with AsyncClient(server.address, api_key="mk_wrong", tenant="t") as memos:
        with pytest.raises(Unauthenticated):
            await memos.get("x")


async def test_any_request_of_the_contract_can_be_sent(memos):
    cube = await memos.create("notes", "one")
    assert (await memos.call(GetMemoryRequest(name=cube.name))).cube.plaintext.text == "one"
    with pytest.raises(TypeError, match="not the request"):
        await memos.call(cube.message)


async def test_leaving_a_chat_early_stops_the_generation(server, memos):
    server.desk.models.answer = "word " * 20_000
    events = memos.chat("go on?")
    async for event in events:
        if isinstance(event, ChatDelta):
            break
    await events.aclose()
    async with asyncio.timeout(5):
        while not server.desk.models.stopped:  # the twin has no event to wait for
            await asyncio.sleep(0.01)


async def test_jobs_and_vaults(memos):
    assert (await memos.create_vault("new")).name == "tenants/t/vaults/new"
    assert (await memos.cancel_job("j1")).name == "tenants/t/jobs/j1"
    assert [job.progress async for job in memos.watch_job("j1")] == [0.0, 0.5, 1.0]
    with pytest.raises(NotFound):
        await memos.get_job("j1")


async def test_the_blocking_client_does_the_same(server):
    def work():
        with Client(server.address, api_key=KEY, tenant="t") as memos:
            memos.add("notes", ["the cat is called Biscuit"])
            hits = memos.search("cat", vaults=["notes"]).hits
            listed = list(memos.list("notes", page_size=1))
            events = [type(event) for event in memos.chat("what is the cat called?")]
            for _ in memos.chat("what is the cat called?"):
                break
            with pytest.raises(NotFound):
                memos.get("none")
            return [hit.cube.text for hit in hits], len(listed), events[0], events[-1]

    assert await asyncio.to_thread(work) == (["the cat is called Biscuit"], 1, ChatPlan, ChatEnd)


async def test_a_closed_client_says_so_and_leaves_no_thread(server):
    def work():
        client = Client(server.address, api_key=KEY, tenant="t")
        client.close()
        client.close()
        with pytest.raises(RuntimeError, match="closed"):
            client.get("x")

    before = {thread.ident for thread in threading.enumerate() if thread.name == "memos-client"}
    await asyncio.to_thread(work)
    assert {thread.ident for thread in threading.enumerate() if thread.name == "memos-client"} == before


async def test_a_vault_has_snapshots_and_goes_back_to_one_as_a_job(memos):
    moment = datetime(2026, 3, 1, tzinfo=UTC)
    made = await memos.create_snapshot("notes", name="before", as_of=moment, display_name="Before the move")
    assert (made.name, made.vault) == ("tenants/t/snapshots/before", "tenants/t/vaults/notes")
    assert made.as_of.ToDatetime(tzinfo=UTC) == moment
    assert await memos.get_snapshot("before") == made
    assert [one.name async for one in memos.list_snapshots("notes")] == [made.name]
    job = await memos.restore_snapshot("before")
    assert (job.kind, job.vaults, job.parameters["as_of"]) == ("restore_vault", [made.vault], "2026-03-01T00:00:00Z")
    assert await memos.delete_snapshot("before") is None
    with pytest.raises(NotFound):
        await memos.get_snapshot("before")


async def test_memories_are_erased_by_name_or_filter_as_a_job(memos):
    counted = await memos.purge("notes", filter=Filter(labels={"of": "nora"}), validate_only=True)
    assert (counted.count, counted.HasField("job")) == (3, False)
    asked = await memos.purge("notes", ["c1", "c2"], expected_count=2, reason="a mistake")
    assert (asked.purge.name, asked.purge.vault) == ("tenants/t/purges/p1", "tenants/t/vaults/notes")
    assert (asked.job.kind, dict(asked.job.parameters)) == ("purge", {"purge": "tenants/t/purges/p1"})
    assert await memos.get_purge("p1") == asked.purge
    assert [one.name async for one in memos.list_purges("notes")] == [asked.purge.name]
    assert await memos.lift_purge("p1") == asked.purge
    with pytest.raises(NotFound):
        await memos.get_purge("p2")


async def until_news(answers):
    async for answer in answers:
        yield answer
        if answer.changes:
            return


async def test_a_vault_is_followed(memos):
    answers = memos.watch("notes", full=True)
    begun = await anext(answers)
    assert begun.resume_token
    assert not begun.changes
    await memos.add("notes", ["The key is with Nora."])
    (change,) = [change async for answer in until_news(answers) for change in answer.changes]
    assert change.cube.plaintext.text == "The key is with Nora."
    await answers.aclose()
    again = memos.watch("notes", resume_token=begun.resume_token)
    (header,) = (await anext(again)).changes
    assert (header.name, header.cube.plaintext.text) == (change.name, "")
    await again.aclose()


@pytest.mark.parametrize(
    ("field", "call"),
    [
        ("vaults", lambda memos: memos.search("x", vaults="main")),
        ("vaults", lambda memos: anext(memos.chat("x", vaults="main"))),
        ("without", lambda memos: memos.search("x", without="dense")),
        ("names", lambda memos: memos.batch_get("mine")),
        ("names", lambda memos: memos.build_activation("notes", "mine")),
        ("names", lambda memos: memos.train_adapter("notes", "mine")),
        ("names", lambda memos: memos.purge("notes", "mine")),
        ("states", lambda memos: anext(memos.list_jobs(states="DEAD"))),
        ("speakers", lambda memos: memos.search("x", filter=Filter(speakers="Nora"))),
        ("semantic_types", lambda memos: memos.search("x", filter=Filter(semantic_types="FACT"))),
    ],
)
async def test_one_string_in_the_place_of_a_list_is_refused(memos, field, call):
    with pytest.raises(TypeError, match=f"{field} is one str; give a list"):
        await call(memos)


@pytest.mark.parametrize(
    ("field", "call"),
    [
        ("items[0]", lambda memos: memos.add("notes", ["\ud800"])),
        ("items[1].speaker", lambda memos: memos.add("notes", ["a", Message(text="a", speaker="\ud800")])),
        ("labels[a]", lambda memos: memos.add("notes", ["a"], labels={"a": "\ud800"})),
        ("text", lambda memos: memos.create("notes", "\ud800")),
        ("text", lambda memos: memos.update("mine", text="\ud800")),
        ("query", lambda memos: memos.search("\ud800")),
        ("messages[0]", lambda memos: anext(memos.chat("\ud800"))),
        ("a name of cubes", lambda memos: memos.get("\ud800")),
        ("vaults[0]", lambda memos: memos.search("x", vaults=["\ud800"])),
    ],
)
async def test_half_a_character_is_refused_with_its_field(memos, field, call):
    with pytest.raises(RequestError, match="half a character") as caught:
        await call(memos)
    assert (caught.value.field, caught.value.reason) == (field, "INVALID_FIELD")
