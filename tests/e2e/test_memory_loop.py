"""What a user can rely on, through the public API, in one process and in six."""

import asyncio
import uuid
from datetime import UTC, datetime, timedelta

import grpc
import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.timestamp_pb2 import Timestamp

from memos_api.v1 import chat_service_pb2 as chat
from memos_api.v1 import governance_service_pb2 as governance
from memos_api.v1 import job_pb2
from memos_api.v1 import job_service_pb2 as jobs
from memos_api.v1 import memcube_pb2 as cubes
from memos_api.v1 import memory_service_pb2 as memory
from memos_api.v1 import provenance_pb2 as provenance
from memos_api.v1 import snapshot_service_pb2 as snapshots


def message(text: str, **fields: str) -> memory.Message:
    return memory.Message(
        **{"id": uuid.uuid4().hex, "speaker": "Rosa", "session": "s1", "time": "2026-03-02T19:12:00+01:00", **fields},
        text=text,
    )


async def search(caller, vault: str, query: str, **options) -> memory.SearchMemoriesResponse:
    return await caller.memory.SearchMemories(memory.SearchMemoriesRequest(vaults=[vault], query=query, **options))


async def ask(caller, vault: str, question: str, **options):
    plan, end, text = None, None, ""
    request = chat.ChatRequest(vaults=[vault], messages=[memory.Message(role="user", text=question)], **options)
    async for event in caller.chat.Chat(request):
        match event.WhichOneof("event"):
            case "plan":
                plan = event.plan
            case "delta":
                text += event.delta.text
            case "end":
                end = event.end
    assert end is not None
    assert end.text == text
    return plan, end


async def test_an_added_memory_is_found_by_the_very_next_search(caller, vault):
    for number, place in enumerate(("boiler", "clock", "piano", "fridge", "mirror")):
        text = f"The spare key number {number} hangs behind the {place}."
        await caller.memory.AddMemories(memory.AddMemoriesRequest(vault=vault, texts=[text]))
        answer = await search(caller, vault, text.split("behind ")[1])
        assert answer.hits[0].cube.plaintext.text == text
        assert not answer.degraded
        assert {leg.name for leg in answer.legs} >= {"dense", "lexical"}
        assert all(leg.ran for leg in answer.legs)


async def test_a_message_keeps_its_speaker_time_zone_and_place(caller, vault):
    said = message("I keep bees on the roof now.", id="m17")
    added = await caller.memory.AddMemories(memory.AddMemoriesRequest(vault=vault, messages=[said]))
    cube = (await caller.memory.GetMemory(memory.GetMemoryRequest(name=added.added[0].cube.name))).cube
    source = cube.sources[0]
    assert (source.message_id, source.speaker, source.session, source.utc_offset) == ("m17", "Rosa", "s1", "+01:00")
    assert source.event_time.ToDatetime(tzinfo=UTC) == datetime(2026, 3, 2, 18, 12, tzinfo=UTC)
    assert cube.revision == 1
    assert cube.uid
    assert cube.etag
    assert cube.state == cubes.CUBE_STATE_GENERATED
    assert cube.origin == cubes.CUBE_ORIGIN_USER_INPUT


async def test_a_chat_uses_the_memory_and_its_provenance_leads_back_to_the_message(caller, vault):
    said = message("My cat is called Biscuit.", id="m1")
    added = await caller.memory.AddMemories(
        memory.AddMemoriesRequest(vault=vault, messages=[said, message("I painted the fence green.", id="m2")])
    )
    cat = added.added[0].cube.name
    plan, end = await ask(caller, vault, "What is the name of Rosa's cat?", remember_in=vault, session="talk")
    assert cat in [chosen.cube.name for chosen in plan.chosen]
    assert all(chosen.reason and chosen.form == "text" for chosen in plan.chosen)
    assert "biscuit" in end.text.lower()
    assert len(end.recorded) == 2
    graph = (await caller.memory.GetProvenance(memory.GetProvenanceRequest(name=end.answer))).provenance
    edges = {(edge.source, edge.target, edge.relation) for edge in graph.edges}
    assert ("messages/s1/m1", cat, provenance.PROVENANCE_RELATION_READ_FROM) in edges
    assert (cat, plan.name, provenance.PROVENANCE_RELATION_PLANNED) in edges
    assert (plan.name, end.answer, provenance.PROVENANCE_RELATION_GENERATED) in edges
    used = (await caller.memory.GetMemory(memory.GetMemoryRequest(name=cat))).cube
    assert used.state == cubes.CUBE_STATE_ACTIVATED
    assert used.usage.hits == 1


async def test_what_is_not_remembered_is_not_known(caller, vault):
    await caller.memory.AddMemories(memory.AddMemoriesRequest(vault=vault, messages=[message("I painted the fence.")]))
    _, end = await ask(caller, vault, "What is the name of Rosa's boat?")
    assert end.text == "I do not know."


async def test_the_same_conversation_twice_is_stored_once(caller, vault):
    said = [message(f"Episode {number} is about lighthouses.", id=f"e{number}") for number in range(3)]
    request = memory.AddMemoriesRequest(vault=vault, messages=said)
    first = await caller.memory.AddMemories(request)
    again = await caller.memory.AddMemories(request)
    assert [item.created for item in first.added] == [True] * 3
    assert [item.created for item in again.added] == [False] * 3
    assert [item.cube.name for item in again.added] == [item.cube.name for item in first.added]


async def test_system_prompts_are_left_out_and_said_so(caller, vault):
    request = memory.AddMemoriesRequest(
        vault=vault, messages=[message("You are a helpful bot.", role="system"), message("I sold the van.")]
    )
    answer = await caller.memory.AddMemories(request)
    assert len(answer.added) == 1
    assert [(item.index, item.reason) for item in answer.skipped] == [(0, "system_prompt")]


async def test_an_update_is_a_revision_and_guards_against_a_lost_update(caller, vault):
    added = await caller.memory.AddMemories(memory.AddMemoriesRequest(vault=vault, texts=["The gate code is 4711."]))
    old = added.added[0].cube
    new = cubes.MemCube(
        name=old.name, vault=vault, etag=old.etag, plaintext=cubes.PlaintextPayload(text="The gate code is 9032.")
    )
    request = memory.UpdateMemoryRequest(cube=new, update_mask=FieldMask(paths=["plaintext.text"]))
    updated = (await caller.memory.UpdateMemory(request)).cube
    assert (updated.revision, updated.plaintext.text) == (2, "The gate code is 9032.")
    hits = (await search(caller, vault, "gate code")).hits
    assert [hit.cube.plaintext.text for hit in hits] == ["The gate code is 9032."]
    await caller.refused(caller.memory.UpdateMemory(request), grpc.StatusCode.ABORTED, "ETAG_MISMATCH")


async def test_every_past_is_readable_and_can_be_brought_back(caller, vault):
    added = await caller.memory.AddMemories(memory.AddMemoriesRequest(vault=vault, texts=["Nora lives in Oslo."]))
    old = added.added[0].cube
    new = cubes.MemCube(name=old.name, plaintext=cubes.PlaintextPayload(text="Nora lives in Bergen."))
    mask = FieldMask(paths=["plaintext.text"])
    await caller.memory.UpdateMemory(memory.UpdateMemoryRequest(cube=new, update_mask=mask))
    await caller.memory.DeleteMemory(memory.DeleteMemoryRequest(name=old.name))
    then = {"as_of": old.update_time}
    read = await caller.memory.GetMemory(memory.GetMemoryRequest(name=old.name, **then))
    assert read.cube.plaintext.text == "Nora lives in Oslo."
    found = await search(caller, vault, "where does Nora live?", **then)
    assert [hit.cube.plaintext.text for hit in found.hits] == ["Nora lives in Oslo."]
    assert not (await search(caller, vault, "where does Nora live?")).hits
    listed = await caller.memory.ListMemories(memory.ListMemoriesRequest(vault=vault, **then))
    assert [cube.revision for cube in listed.cubes] == [1]
    history = await caller.memory.ListMemoryRevisions(memory.ListMemoryRevisionsRequest(name=old.name))
    assert [cube.revision for cube in history.revisions] == [3, 2, 1]
    await caller.memory.UndeleteMemory(memory.UndeleteMemoryRequest(name=old.name))
    back = (await caller.memory.RollbackMemory(memory.RollbackMemoryRequest(name=old.name, revision=1))).cube
    assert (back.revision, back.plaintext.text) == (5, "Nora lives in Oslo.")
    (hit,) = (await search(caller, vault, "where does Nora live?")).hits
    assert hit.cube.plaintext.text == "Nora lives in Oslo."


async def test_a_vault_goes_back_to_a_snapshot(caller, vault):
    added = await caller.memory.AddMemories(memory.AddMemoriesRequest(vault=vault, texts=["Nora has a cat.", "Tea."]))
    cat, tea = (item.cube for item in added.added)
    wanted = snapshots.Snapshot(vault=vault, display_name="before")
    made = (await caller.snapshots.CreateSnapshot(snapshots.CreateSnapshotRequest(snapshot=wanted))).snapshot
    new = cubes.MemCube(name=cat.name, plaintext=cubes.PlaintextPayload(text="Nora has a dog."))
    mask = FieldMask(paths=["plaintext.text"])
    await caller.memory.UpdateMemory(memory.UpdateMemoryRequest(cube=new, update_mask=mask))
    await caller.memory.DeleteMemory(memory.DeleteMemoryRequest(name=tea.name))
    await caller.memory.AddMemories(memory.AddMemoriesRequest(vault=vault, texts=["Coffee."]))
    read = await caller.memory.ListMemories(memory.ListMemoriesRequest(vault=vault, as_of=made.as_of))
    assert {cube.name for cube in read.cubes} == {cat.name, tea.name}
    restored = await caller.snapshots.RestoreSnapshot(snapshots.RestoreSnapshotRequest(name=made.name))
    job = restored.job
    async for change in caller.jobs.WatchJob(jobs.WatchJobRequest(name=job.name)):
        job = change.job
    assert job.state == job_pb2.JOB_STATE_SUCCEEDED
    assert dict(job.result) == {"changed": "3", "skipped": "0"}
    listed = await caller.memory.ListMemories(memory.ListMemoriesRequest(vault=vault))
    assert {cube.name for cube in listed.cubes} == {cat.name, tea.name}
    hit = (await search(caller, vault, "which animal does Nora have?")).hits[0]
    assert hit.cube.plaintext.text == "Nora has a cat."
    listing = await caller.snapshots.ListSnapshots(snapshots.ListSnapshotsRequest(vault=vault))
    assert [one.name for one in listing.snapshots] == [made.name]
    await caller.snapshots.DeleteSnapshot(snapshots.DeleteSnapshotRequest(name=made.name))
    gone = caller.snapshots.GetSnapshot(snapshots.GetSnapshotRequest(name=made.name))
    await caller.refused(gone, grpc.StatusCode.NOT_FOUND, "RESOURCE_NOT_FOUND")


async def test_a_deleted_memory_is_nowhere(caller, vault):
    added = await caller.memory.AddMemories(memory.AddMemoriesRequest(vault=vault, texts=["The safe is in the attic."]))
    name = added.added[0].cube.name
    header = (await caller.memory.DeleteMemory(memory.DeleteMemoryRequest(name=name))).cube
    assert header.purge_time.ToDatetime(tzinfo=UTC) > header.delete_time.ToDatetime(tzinfo=UTC)
    assert not (await search(caller, vault, "safe in the attic")).hits
    assert not (await caller.memory.ListMemories(memory.ListMemoriesRequest(vault=vault))).cubes
    for call in (
        caller.memory.GetMemory(memory.GetMemoryRequest(name=name)),
        caller.memory.DeleteMemory(memory.DeleteMemoryRequest(name=name)),
        caller.memory.GetProvenance(memory.GetProvenanceRequest(name=name)),
    ):
        await caller.refused(call, grpc.StatusCode.NOT_FOUND, "CUBE_NOT_FOUND")
    await caller.memory.UndeleteMemory(memory.UndeleteMemoryRequest(name=name, etag=header.etag))
    (hit,) = (await search(caller, vault, "safe in the attic")).hits
    assert hit.cube.plaintext.text == "The safe is in the attic."


async def test_an_expired_memory_disappears_and_a_job_says_so(caller, vault):
    expire = Timestamp()
    expire.FromDatetime(datetime.now(UTC) + timedelta(seconds=1))
    request = memory.AddMemoriesRequest(
        vault=vault, texts=["The parking ticket is on level three."], expire_time=expire
    )
    name = (await caller.memory.AddMemories(request)).added[0].cube.name
    await asyncio.sleep(1.2)
    assert not (await search(caller, vault, "parking ticket level")).hits
    for _ in range(150):
        cube = (await caller.memory.GetMemory(memory.GetMemoryRequest(name=name))).cube
        if cube.state == cubes.CUBE_STATE_EXPIRED:
            break
        await asyncio.sleep(0.2)
    else:
        pytest.fail("the sweep did not expire the cube")
    listed = await caller.jobs.ListJobs(jobs.ListJobsRequest())
    assert any(job.kind == "expire_sweep" and job.result.get("expired") for job in listed.jobs)


async def test_lists_are_paged_and_a_token_belongs_to_its_call(caller, vault):
    texts = [f"Shelf {number} holds jars." for number in range(7)]
    await caller.memory.AddMemories(memory.AddMemoriesRequest(vault=vault, texts=texts))
    seen, token = [], ""
    while True:
        request = memory.ListMemoriesRequest(vault=vault, page_size=3, page_token=token)
        page = await caller.memory.ListMemories(request)
        seen += [cube.name for cube in page.cubes]
        first_token = token or page.next_page_token
        token = page.next_page_token
        if not token:
            break
    assert len(set(seen)) == len(seen) == 7
    other = memory.ListMemoriesRequest(
        vault=vault, page_size=3, page_token=first_token, filter=memory.CubeFilter(speakers=["Rosa"])
    )
    await caller.refused(
        caller.memory.ListMemories(other), grpc.StatusCode.INVALID_ARGUMENT, "PAGE_TOKEN_MISMATCH", "page_token"
    )


async def test_filters_narrow_a_search(caller, vault):
    def said(text: str, speaker: str, day: int) -> memory.Message:
        return message(text, speaker=speaker, time=f"2026-03-{day:02}T10:00:00+00:00")

    talk = [said("The picnic was lovely.", "Rosa", 1), said("The picnic was cold.", "Emil", 20)]
    await caller.memory.AddMemories(memory.AddMemoriesRequest(vault=vault, messages=talk, labels={"topic": "picnic"}))
    after = Timestamp()
    after.FromDatetime(datetime(2026, 3, 10, tzinfo=UTC))
    for condition, expected in [
        (memory.CubeFilter(speakers=["emil"]), {"The picnic was cold."}),
        (memory.CubeFilter(after=after), {"The picnic was cold."}),
        (memory.CubeFilter(before=after), {"The picnic was lovely."}),
        (memory.CubeFilter(labels={"topic": "picnic"}), {"The picnic was lovely.", "The picnic was cold."}),
        (memory.CubeFilter(labels={"topic": "work"}), set()),
        (memory.CubeFilter(kinds=[cubes.CUBE_KIND_ACTIVATION]), set()),
        (memory.CubeFilter(states=[cubes.CUBE_STATE_ARCHIVED]), set()),
        (memory.CubeFilter(sessions=["s1"]), {"The picnic was lovely.", "The picnic was cold."}),
    ]:
        found = await search(caller, vault, "picnic", filter=condition)
        assert {hit.cube.plaintext.text for hit in found.hits} == expected, condition


async def test_a_request_id_makes_a_mutation_idempotent(caller, vault):
    request = memory.AddMemoriesRequest(
        vault=vault, texts=["The anchor weighs nine kilos."], request_id=uuid.uuid4().hex
    )
    first = await caller.memory.AddMemories(request)
    again = await caller.memory.AddMemories(request)
    assert [item.cube.name for item in first.added] == [item.cube.name for item in again.added]
    assert again.provenance_id == first.provenance_id
    request.texts.append("Something else.")
    await caller.refused(
        caller.memory.AddMemories(request), grpc.StatusCode.ALREADY_EXISTS, "REQUEST_ID_REUSED", "request_id"
    )


async def test_a_cancelled_chat_stores_nothing(caller, vault):
    await caller.memory.AddMemories(memory.AddMemoriesRequest(vault=vault, messages=[message("My cat is called Rum.")]))
    request = chat.ChatRequest(
        vaults=[vault],
        messages=[memory.Message(text="What is the name of Rosa's cat?")],
        remember_in=vault,
        max_tokens=2048,
    )
    call = caller.chat.Chat(request)
    await call.read()
    call.cancel()
    await asyncio.sleep(1)
    listed = await caller.memory.ListMemories(memory.ListMemoriesRequest(vault=vault))
    assert len(listed.cubes) == 1


async def test_what_a_user_did_is_in_the_audit_log_without_content(caller, vault):
    added = await caller.memory.AddMemories(memory.AddMemoriesRequest(vault=vault, texts=["The vixen has five cubs."]))
    name = added.added[0].cube.name
    await caller.memory.GetMemory(memory.GetMemoryRequest(name=name))
    for _ in range(100):
        answer = await caller.governance.QueryAudit(governance.QueryAuditRequest(resource=name))
        if {event.action for event in answer.events} >= {"cube.create", "cube.read"}:
            break
        await asyncio.sleep(0.1)
    else:
        pytest.fail(f"the audit log has only {[event.action for event in answer.events]}")
    assert "vixen" not in str(answer)
    assert all(event.hash for event in answer.events)


async def test_a_frozen_memory_is_found_and_not_changed_until_it_is_unfrozen(caller, vault):
    added = await caller.memory.AddMemories(memory.AddMemoriesRequest(vault=vault, texts=["The vault code is 8812."]))
    cube = added.added[0].cube
    frozen = (await caller.memory.FreezeMemory(memory.FreezeMemoryRequest(name=cube.name, etag=cube.etag))).cube
    assert (frozen.frozen, frozen.state) == (True, cube.state)
    update = memory.UpdateMemoryRequest(
        cube=cubes.MemCube(name=cube.name, plaintext=cubes.PlaintextPayload(text="The vault code is 1133.")),
        update_mask=FieldMask(paths=["plaintext.text"]),
    )
    await caller.refused(caller.memory.UpdateMemory(update), grpc.StatusCode.FAILED_PRECONDITION, "CUBE_FROZEN")
    again = memory.FreezeMemoryRequest(name=cube.name)
    await caller.refused(caller.memory.FreezeMemory(again), grpc.StatusCode.FAILED_PRECONDITION, "ILLEGAL_TRANSITION")
    (hit,) = (await search(caller, vault, "vault code")).hits
    assert (hit.cube.name, hit.cube.frozen, hit.cube.plaintext.text) == (cube.name, True, "The vault code is 8812.")
    thawed = await caller.memory.UnfreezeMemory(memory.UnfreezeMemoryRequest(name=cube.name, etag=frozen.etag))
    assert not thawed.cube.frozen
    updated = (await caller.memory.UpdateMemory(update)).cube
    assert (updated.plaintext.text, updated.frozen) == ("The vault code is 1133.", False)


async def test_a_vault_is_followed_over_a_break(caller, vault):
    async def follow(token, count):
        seen = []
        stream = caller.memory.WatchMemories(
            memory.WatchMemoriesRequest(vault=vault, resume_token=token, view=cubes.CUBE_VIEW_FULL)
        )
        async for answer in stream:
            seen += answer.changes
            token = answer.resume_token
            if len(seen) >= count:
                stream.cancel()
                return seen, token
        raise AssertionError(seen)

    _, token = await follow("", 0)
    added = await caller.memory.AddMemories(memory.AddMemoriesRequest(vault=vault, texts=["Nora has a cat."]))
    (made,), token = await follow(token, 1)
    assert (made.kind, made.cube.plaintext.text) == (memory.CHANGE_KIND_CREATED, "Nora has a cat.")
    name = added.added[0].cube.name
    await caller.memory.DeleteMemory(memory.DeleteMemoryRequest(name=name))
    await caller.memory.UndeleteMemory(memory.UndeleteMemoryRequest(name=name))
    seen, token = await follow(token, 2)
    assert [change.kind for change in seen] == [memory.CHANGE_KIND_DELETED, memory.CHANGE_KIND_UNDELETED]
    seen, _ = await follow(token, 0)
    assert seen == []
