"""What a caller of the public API sees, through a real server with the runtime's interceptors."""

import asyncio

import grpc
import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.timestamp_pb2 import Timestamp
from google.rpc import error_details_pb2, status_pb2

from interface_server import KEY, serving
from memos_api.v1 import (
    chat_service_pb2,
    conversion_service_pb2,
    governance_service_pb2,
    job_service_pb2,
    memcube_pb2,
    provenance_pb2,
    vault_pb2,
)
from memos_api.v1 import memory_service_pb2 as pb
from memos_api.v1.chat_service_pb2_grpc import ChatServiceStub
from memos_api.v1.conversion_service_pb2_grpc import ConversionServiceStub
from memos_api.v1.governance_service_pb2_grpc import GovernanceServiceStub
from memos_api.v1.job_service_pb2_grpc import JobServiceStub
from memos_api.v1.memory_service_pb2_grpc import MemoryServiceStub

VAULT = "tenants/t/vaults/notes"
FUTURE = Timestamp(seconds=1 << 36)
AUTHORIZED = (("authorization", f"Bearer {KEY}"),)


class Caller:
    def __init__(self, channel):
        self.memory, self.chat = MemoryServiceStub(channel), ChatServiceStub(channel)
        self.jobs, self.governance = JobServiceStub(channel), GovernanceServiceStub(channel)
        self.conversions = ConversionServiceStub(channel)

    async def __call__(self, method, request):
        return await method(request, metadata=AUTHORIZED, timeout=5)

    async def refused(self, method, request, metadata=AUTHORIZED):
        """Return code, reason and field of the error."""
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await method(request, metadata=metadata, timeout=5)
        details = dict(caught.value.trailing_metadata())["grpc-status-details-bin"]
        info = error_details_pb2.ErrorInfo()
        for detail in status_pb2.Status.FromString(details).details:
            if detail.Is(info.DESCRIPTOR):
                detail.Unpack(info)
        return caught.value.code().name, info.reason, info.metadata.get("field", "")


@pytest.fixture
async def server():
    async with serving() as running:
        yield running


@pytest.fixture
async def caller(server):
    async with grpc.aio.insecure_channel(server.address) as channel:
        yield Caller(channel)


async def add(caller, *texts, **fields):
    return await caller(caller.memory.AddMemories, pb.AddMemoriesRequest(vault=VAULT, texts=texts, **fields))


async def test_messages_go_in_and_come_back_by_search_with_speaker_time_and_source(caller):
    said = pb.Message(
        id="m1", session="s1", speaker="Nora", time="2026-03-02T12:00:00+01:00", text="the cat is called Biscuit"
    )
    request = pb.AddMemoriesRequest(vault=VAULT, messages=[said, pb.Message(text="ping")], labels={"topic": "pets"})
    answer = await caller(caller.memory.AddMemories, request)
    assert [(item.index, item.reason) for item in answer.skipped] == [(1, "heartbeat")]
    assert answer.added[0].created
    found = await caller(caller.memory.SearchMemories, pb.SearchMemoriesRequest(vaults=[VAULT], query="cat called"))
    source = found.hits[0].cube.sources[0]
    assert (source.message_id, source.session, source.speaker, source.utc_offset) == ("m1", "s1", "Nora", "+01:00")
    assert source.event_time.ToJsonString() == "2026-03-02T11:00:00Z"
    assert found.hits[0].cube.plaintext.text == said.text
    assert found.hits[0].cube.labels == {"topic": "pets"}
    assert {leg.name for leg in found.legs} == {"dense", "lexical"}


async def test_a_cube_is_created_read_changed_and_deleted(caller):
    wanted = memcube_pb2.MemCube(
        name="tenants/t/cubes/mine",
        vault=VAULT,
        plaintext=memcube_pb2.PlaintextPayload(text="The key is under the mat."),
    )
    made = (await caller(caller.memory.CreateMemory, pb.CreateMemoryRequest(cube=wanted))).cube
    assert (made.name, made.revision) == ("tenants/t/cubes/mine", 1)
    header = await caller(
        caller.memory.GetMemory, pb.GetMemoryRequest(name=made.name, view=memcube_pb2.CUBE_VIEW_BASIC)
    )
    assert header.cube.WhichOneof("payload") is None
    made.plaintext.text = "The key is with Felix."  # as read, output-only fields included: the mask decides
    mask = FieldMask(paths=["plaintext.text"])
    changed = await caller(caller.memory.UpdateMemory, pb.UpdateMemoryRequest(cube=made, update_mask=mask))
    assert (changed.cube.plaintext.text, changed.cube.revision) == ("The key is with Felix.", 2)
    stale = await caller.refused(caller.memory.UpdateMemory, pb.UpdateMemoryRequest(cube=made, update_mask=mask))
    assert stale == ("ABORTED", "ETAG_MISMATCH", "")
    gone = await caller(caller.memory.DeleteMemory, pb.DeleteMemoryRequest(name=made.name))
    assert gone.cube.HasField("delete_time")
    assert await caller.refused(caller.memory.GetMemory, pb.GetMemoryRequest(name=made.name)) == (
        "NOT_FOUND",
        "CUBE_NOT_FOUND",
        "",
    )
    undelete = pb.UndeleteMemoryRequest(name=made.name)
    back = await caller(caller.memory.UndeleteMemory, undelete)
    assert (back.cube.HasField("delete_time"), back.cube.WhichOneof("payload")) == (False, None)
    assert await caller.refused(caller.memory.UndeleteMemory, undelete) == (
        "ALREADY_EXISTS",
        "RESOURCE_EXISTS",
        "",
    )


async def test_links_are_settled_and_listed(caller):
    texts = ["The key is under the mat.", "The key is with Felix."]
    added = await caller(caller.memory.AddMemories, pb.AddMemoriesRequest(vault=VAULT, texts=texts))
    older, newer = (one.cube.name for one in added.added)
    request = pb.SettleMemoryLinkRequest(newer=newer, older=older, kind=pb.LINK_KIND_SUPERSEDES)
    settled = (await caller(caller.memory.SettleMemoryLink, request)).link
    assert (settled.newer, settled.older, settled.kind) == (newer, older, pb.LINK_KIND_SUPERSEDES)
    listed = await caller(caller.memory.ListMemoryLinks, pb.ListMemoryLinksRequest(name=older))
    assert list(listed.links) == [settled]
    strange = pb.SettleMemoryLinkRequest(newer=newer, older=older, kind=9)
    assert await caller.refused(caller.memory.SettleMemoryLink, strange) == (
        "INVALID_ARGUMENT",
        "INVALID_FIELD",
        "kind",
    )
    malformed = pb.ListMemoryLinksRequest(name="notes")
    assert (await caller.refused(caller.memory.ListMemoryLinks, malformed))[1] == "MALFORMED_NAME"


async def test_what_is_to_be_kept_is_not_judged(server, caller):
    for text, keep in (("The key is here.", False), ("The key is there.", True)):
        request = pb.AddMemoriesRequest(vault=VAULT, texts=[text], keep_earlier=keep)
        (added,) = (await caller(caller.memory.AddMemories, request)).added
        assert (added.cube.name not in {str(name) for name in server.desk.storage.judged}) is keep


async def test_a_cube_has_a_past_that_is_read_compared_and_brought_back(server, caller):
    added = pb.AddMemoriesRequest(vault=VAULT, texts=["The key is under the mat."])
    old = (await caller(caller.memory.AddMemories, added)).added[0].cube
    server.desk.clock.pass_(3600)
    new = memcube_pb2.MemCube(name=old.name, plaintext=memcube_pb2.PlaintextPayload(text="It is with Felix."))
    mask = FieldMask(paths=["plaintext.text"])
    await caller(caller.memory.UpdateMemory, pb.UpdateMemoryRequest(cube=new, update_mask=mask))
    then = await caller(caller.memory.GetMemory, pb.GetMemoryRequest(name=old.name, as_of=old.update_time))
    assert then.cube.plaintext.text == "The key is under the mat."
    listed = await caller(caller.memory.ListMemoryRevisions, pb.ListMemoryRevisionsRequest(name=old.name, page_size=1))
    assert [(cube.revision, cube.WhichOneof("payload")) for cube in listed.revisions] == [(2, None)]
    assert listed.next_page_token
    found = await caller(caller.memory.DiffMemoryRevisions, pb.DiffMemoryRevisionsRequest(name=old.name))
    assert (found.before.revision, found.after.revision, found.changed.paths) == (1, 2, ["plaintext.text"])
    request = pb.RollbackMemoryRequest(name=old.name, revision=1, request_id="r")
    back = (await caller(caller.memory.RollbackMemory, request)).cube
    assert (back.plaintext.text, back.revision) == ("The key is under the mat.", 3)
    missing = pb.RollbackMemoryRequest(name=old.name, revision=9)
    assert await caller.refused(caller.memory.RollbackMemory, missing) == ("NOT_FOUND", "REVISION_NOT_FOUND", "")


async def test_a_frozen_cube_refuses_update_and_deletion_until_it_is_unfrozen(caller):
    (added,) = (await add(caller, "The gate code is 4711.")).added
    name = added.cube.name
    freeze = pb.FreezeMemoryRequest(name=name, etag=added.cube.etag, request_id="f1")
    frozen = (await caller(caller.memory.FreezeMemory, freeze)).cube
    assert (frozen.frozen, frozen.revision, frozen.WhichOneof("payload")) == (True, 2, None)
    assert (await caller(caller.memory.FreezeMemory, freeze)).cube == frozen
    update = pb.UpdateMemoryRequest(
        cube=memcube_pb2.MemCube(name=name, priority=3), update_mask=FieldMask(paths=["priority"])
    )
    refused = await caller.refused(caller.memory.UpdateMemory, update)
    assert refused == ("FAILED_PRECONDITION", "CUBE_FROZEN", "")
    delete = pb.DeleteMemoryRequest(name=name)
    assert await caller.refused(caller.memory.DeleteMemory, delete) == refused
    again = await caller.refused(caller.memory.FreezeMemory, pb.FreezeMemoryRequest(name=name))
    assert again == ("FAILED_PRECONDITION", "ILLEGAL_TRANSITION", "")
    stale = pb.UnfreezeMemoryRequest(name=name, etag=added.cube.etag)
    assert await caller.refused(caller.memory.UnfreezeMemory, stale) == ("ABORTED", "ETAG_MISMATCH", "")
    thawed = await caller(caller.memory.UnfreezeMemory, pb.UnfreezeMemoryRequest(name=name, etag=frozen.etag))
    assert not thawed.cube.frozen
    assert (await caller(caller.memory.UpdateMemory, update)).cube.priority == 3
    assert (await caller(caller.memory.DeleteMemory, delete)).cube.HasField("delete_time")


async def test_a_batch_answers_per_name(caller):
    (added,) = (await add(caller, "one")).added
    names = [added.cube.name, "tenants/t/cubes/none", "nonsense"]
    answer = await caller(caller.memory.BatchGetMemories, pb.BatchGetMemoriesRequest(names=names))
    assert [result.name for result in answer.results] == names
    assert answer.results[0].cube.plaintext.text == "one"
    codes = [grpc.StatusCode.NOT_FOUND.value[0], grpc.StatusCode.INVALID_ARGUMENT.value[0]]
    assert [result.error.code for result in answer.results[1:]] == codes
    assert "names[2]" in answer.results[2].error.message


async def test_a_list_is_headers_in_pages(caller):
    await add(caller, "one", "two", "three")
    first = await caller(caller.memory.ListMemories, pb.ListMemoriesRequest(vault=VAULT, page_size=2))
    rest = await caller(
        caller.memory.ListMemories,
        pb.ListMemoriesRequest(vault=VAULT, page_size=2, page_token=first.next_page_token),
    )
    assert [len(first.cubes), len(rest.cubes), rest.next_page_token] == [2, 1, ""]
    assert first.cubes[0].WhichOneof("payload") is None


async def test_a_request_id_makes_an_add_idempotent(caller):
    first = await add(caller, "The anchor weighs nine kilos.", request_id="r1")
    again = await add(caller, "The anchor weighs nine kilos.", request_id="r1")
    assert again == first
    other = pb.AddMemoriesRequest(vault=VAULT, texts=["Something else."], request_id="r1")
    assert (await caller.refused(caller.memory.AddMemories, other))[:2] == ("ALREADY_EXISTS", "REQUEST_ID_REUSED")


async def ask(caller, text, **fields):
    request = chat_service_pb2.ChatRequest(vaults=[VAULT], messages=[pb.Message(text=text)], **fields)
    return [event async for event in caller.chat.Chat(request, metadata=AUTHORIZED, timeout=5)]


async def test_a_chat_streams_plan_text_and_end_and_leaves_its_provenance(caller):
    said = pb.Message(id="m1", session="s1", speaker="Nora", text="the name of the cat is Biscuit")
    added = await caller(caller.memory.AddMemories, pb.AddMemoriesRequest(vault=VAULT, messages=[said]))
    cat = added.added[0].cube.name
    plan, *deltas, end = await ask(
        caller, "what is the name of the cat?", remember_in=VAULT, session="s2", time_zone="Europe/Oslo"
    )
    assert plan.plan.call.time_zone == "Europe/Oslo"
    assert [memory.cube.name for memory in plan.plan.chosen] == [cat]
    assert plan.plan.chosen[0].cube.plaintext.text == said.text
    assert plan.plan.call.intent == "recall"
    assert "".join(event.delta.text for event in deltas) == end.end.text == "I do not know."
    assert len(end.end.recorded) == 2
    assert end.end.timings_ms["total"] > 0
    graph = (await caller(caller.memory.GetProvenance, pb.GetProvenanceRequest(name=end.end.answer))).provenance
    edges = {(edge.source, edge.target, edge.relation) for edge in graph.edges}
    assert ("messages/s1/m1", cat, provenance_pb2.PROVENANCE_RELATION_READ_FROM) in edges
    assert (cat, plan.plan.name, provenance_pb2.PROVENANCE_RELATION_PLANNED) in edges
    assert (plan.plan.name, end.end.answer, provenance_pb2.PROVENANCE_RELATION_GENERATED) in edges


async def test_a_cancelled_chat_stops_the_model_and_stores_nothing(server, caller):
    server.desk.models.answer = "word " * 20_000
    request = chat_service_pb2.ChatRequest(messages=[pb.Message(text="go on?")], remember_in=VAULT)
    call = caller.chat.Chat(request, metadata=AUTHORIZED)
    await call.read()
    await call.read()
    call.cancel()
    async with asyncio.timeout(5):
        while not server.desk.models.stopped:  # the twin has no event to wait for
            await asyncio.sleep(0.01)
    assert not server.desk.storage.cubes
    assert not server.desk.lineage.edges


BAD = [
    (pb.AddMemoriesRequest(texts=["a"]), "INVALID_ARGUMENT", "MISSING_FIELD", "vault"),
    (pb.AddMemoriesRequest(vault="main", texts=["a"]), "INVALID_ARGUMENT", "MALFORMED_NAME", None),
    (pb.AddMemoriesRequest(vault=VAULT), "INVALID_ARGUMENT", "MISSING_FIELD", "messages"),
    (pb.AddMemoriesRequest(vault="tenants/t/vaults/nowhere", texts=["a"]), "NOT_FOUND", "VAULT_NOT_FOUND", ""),
    (
        pb.AddMemoriesRequest(vault=VAULT, messages=[pb.Message(text="a", time="2026-03-02T12:00:00")]),
        "INVALID_ARGUMENT",
        "INVALID_FIELD",
        "messages[0].time",
    ),
    (
        pb.AddMemoriesRequest(vault=VAULT, texts=["a"], semantic_type=99),
        "INVALID_ARGUMENT",
        "INVALID_FIELD",
        "semantic_type",
    ),
    (
        pb.AddMemoriesRequest(vault=VAULT, messages=[pb.Message(text="a")], extract=True),
        "FAILED_PRECONDITION",
        "STATE_CONFLICT",
        "",
    ),
    (
        pb.CreateMemoryRequest(cube=memcube_pb2.MemCube(vault=VAULT, uid="x")),
        "INVALID_ARGUMENT",
        "INVALID_FIELD",
        "cube.uid",
    ),
    (
        pb.CreateMemoryRequest(cube=memcube_pb2.MemCube(vault=VAULT, usage=memcube_pb2.CubeUsage(hits=1))),
        "INVALID_ARGUMENT",
        "INVALID_FIELD",
        "cube.usage",
    ),
    (
        pb.CreateMemoryRequest(cube=memcube_pb2.MemCube(vault=VAULT, state=memcube_pb2.CUBE_STATE_ARCHIVED)),
        "INVALID_ARGUMENT",
        "INVALID_FIELD",
        "cube.state",
    ),
    (
        pb.CreateMemoryRequest(cube=memcube_pb2.MemCube(vault=VAULT, parametric=memcube_pb2.ParametricPayload(rank=8))),
        "INVALID_ARGUMENT",
        "MISSING_FIELD",
        "cube.parametric.blob.name",
    ),
    (
        pb.CreateMemoryRequest(
            cube=memcube_pb2.MemCube(
                name="tenants/u/cubes/x", vault=VAULT, plaintext=memcube_pb2.PlaintextPayload(text="a")
            )
        ),
        "NOT_FOUND",
        "CUBE_NOT_FOUND",
        "",
    ),
    (pb.GetMemoryRequest(name="x"), "INVALID_ARGUMENT", "MALFORMED_NAME", "name"),
    (pb.GetMemoryRequest(name="tenants/t/cubes/x", view=7), "INVALID_ARGUMENT", "INVALID_FIELD", "view"),
    (pb.GetMemoryRequest(name="tenants/u/cubes/x"), "NOT_FOUND", "CUBE_NOT_FOUND", ""),
    (
        pb.ListMemoriesRequest(vault=VAULT, view=memcube_pb2.CUBE_VIEW_FULL),
        "INVALID_ARGUMENT",
        "INVALID_FIELD",
        "view",
    ),
    (
        pb.ListMemoriesRequest(vault=VAULT, filter=pb.CubeFilter(states=[1, 77])),
        "INVALID_ARGUMENT",
        "INVALID_FIELD",
        "filter.states[1]",
    ),
    (
        pb.UpdateMemoryRequest(
            cube=memcube_pb2.MemCube(name="tenants/t/cubes/x"), update_mask=FieldMask(paths=["uid"])
        ),
        "INVALID_ARGUMENT",
        "IMMUTABLE_FIELD",
        "update_mask",
    ),
    (
        pb.GetMemoryRequest(name="tenants/t/cubes/x", as_of=FUTURE),
        "INVALID_ARGUMENT",
        "INVALID_FIELD",
        "as_of",
    ),
    (pb.ListMemoriesRequest(vault=VAULT, as_of=FUTURE), "INVALID_ARGUMENT", "INVALID_FIELD", "as_of"),
    (pb.SearchMemoriesRequest(query="a", as_of=FUTURE), "INVALID_ARGUMENT", "INVALID_FIELD", "as_of"),
    (pb.ListMemoryRevisionsRequest(name="tenants/t/cubes/x"), "NOT_FOUND", "CUBE_NOT_FOUND", ""),
    (
        pb.DiffMemoryRevisionsRequest(name="tenants/t/cubes/x", from_revision=-1),
        "INVALID_ARGUMENT",
        "INVALID_FIELD",
        "from_revision",
    ),
    (pb.RollbackMemoryRequest(name="tenants/t/cubes/x"), "INVALID_ARGUMENT", "MISSING_FIELD", "revision"),
    (pb.RollbackMemoryRequest(name="tenants/t/cubes/x", revision=-2), "INVALID_ARGUMENT", "INVALID_FIELD", "revision"),
    (pb.FreezeMemoryRequest(), "INVALID_ARGUMENT", "MISSING_FIELD", "name"),
    (pb.FreezeMemoryRequest(name="x"), "INVALID_ARGUMENT", "MALFORMED_NAME", "name"),
    (pb.FreezeMemoryRequest(name="tenants/u/cubes/x"), "NOT_FOUND", "CUBE_NOT_FOUND", ""),
    (pb.UnfreezeMemoryRequest(name="tenants/t/cubes/x"), "NOT_FOUND", "CUBE_NOT_FOUND", ""),
    (pb.SearchMemoriesRequest(query="a", time_zone="Oslo"), "INVALID_ARGUMENT", "INVALID_FIELD", "time_zone"),
    (pb.SearchMemoriesRequest(query="a", top_k=101), "INVALID_ARGUMENT", "LIMIT_EXCEEDED", "top_k"),
    (pb.SearchMemoriesRequest(query="a", vaults=["v"]), "INVALID_ARGUMENT", "MALFORMED_NAME", None),
    (pb.GetProvenanceRequest(name="tenants/t/answers/x"), "NOT_FOUND", "RESOURCE_NOT_FOUND", ""),
]


@pytest.mark.parametrize(("request_", "code", "reason", "field"), BAD, ids=lambda value: type(value).__name__)
async def test_bad_input_gets_a_typed_error_that_names_the_field(caller, request_, code, reason, field):
    method = getattr(caller.memory, type(request_).__name__.removesuffix("Request"))
    found = await caller.refused(method, request_)
    assert found[:2] == (code, reason)
    assert field is None or found[2] == field


@pytest.mark.parametrize("metadata", [(), (("authorization", "Bearer mk_wrong"),), (("authorization", "Basic x"),)])
async def test_without_a_key_nothing_is_told(caller, metadata):
    request = pb.GetMemoryRequest(name="tenants/t/cubes/x")
    code, reason, _ = await caller.refused(caller.memory.GetMemory, request, metadata)
    assert (code, reason) == ("UNAUTHENTICATED", "CREDENTIAL_INVALID")


async def test_governance_is_handed_on_with_the_identity_of_the_mutation(server, caller):
    vault = vault_pb2.Vault(name="tenants/t/vaults/new")
    made = await caller(
        caller.governance.CreateVault, governance_service_pb2.CreateVaultRequest(vault=vault, request_id="r9")
    )
    assert made.vault == vault
    (sent,) = server.behind.sent
    assert sent.request_key.request_id == "r9"
    assert sent.request_key.method == "/memos.v1.GovernanceService/CreateVault"
    assert len(sent.request_key.body_sha256) == 64


async def test_a_vault_that_was_just_made_is_searched_by_the_next_call(server, caller):
    from memos_kernel.names import VaultName

    await caller(caller.memory.SearchMemories, pb.SearchMemoriesRequest(query="a"))
    own = server.desk.authority.vaults[server.desk.caller.name]
    own.add(VaultName("t", "new"))
    vault = vault_pb2.Vault(name="tenants/t/vaults/new")
    await caller(caller.governance.CreateVault, governance_service_pb2.CreateVaultRequest(vault=vault))
    server.desk.authority.calls.clear()
    await caller(caller.memory.SearchMemories, pb.SearchMemoriesRequest(query="a"))
    assert server.desk.authority.calls == ["authenticate", "issue_grant"]


async def test_jobs_are_handed_on(server, caller):
    name = "tenants/t/jobs/j1"
    cancelled = await caller(caller.jobs.CancelJob, job_service_pb2.CancelJobRequest(name=name, request_id="r1"))
    assert cancelled.job.name == name
    assert server.behind.sent[0].request_key.request_id == "r1"
    watch = caller.jobs.WatchJob(job_service_pb2.WatchJobRequest(name=name), metadata=AUTHORIZED)
    assert [change.job.progress async for change in watch] == [0.0, 0.5, 1.0]
    missing = await caller.refused(caller.jobs.GetJob, job_service_pb2.GetJobRequest(name=name))
    assert missing[:2] == ("NOT_FOUND", "RESOURCE_NOT_FOUND")


CONVERSIONS = [("BuildActivation", "build_activation"), ("TrainAdapter", "train_adapter")]


@pytest.mark.parametrize(("method", "kind"), CONVERSIONS)
async def test_a_conversion_is_a_job_of_the_scheduler(server, caller, method, kind):
    request = getattr(conversion_service_pb2, f"{method}Request")(
        vault=VAULT, names=["tenants/t/cubes/b", "tenants/t/cubes/a"], request_id="r"
    )
    assert (await caller(getattr(caller.conversions, method), request)).job.name == "tenants/t/jobs/j1"
    (sent,) = server.behind.sent
    assert (sent.job.kind, list(sent.job.vaults)) == (kind, [VAULT])
    assert (dict(sent.job.parameters), sent.request_key.request_id) == ({"cubes": "b,a"}, "r")


@pytest.mark.parametrize("method", [method for method, _ in CONVERSIONS])
@pytest.mark.parametrize(
    ("names", "reason", "field"),
    [
        ([], "MISSING_FIELD", "names"),
        (["x"], "MALFORMED_NAME", None),
        (["tenants/other/cubes/a"], "INVALID_FIELD", "names[0]"),
        ([f"tenants/t/cubes/c{number}" for number in range(101)], "LIMIT_EXCEEDED", "names"),
    ],
)
async def test_a_conversion_of_what_cannot_be_converted_is_refused(server, caller, method, names, reason, field):
    request = getattr(conversion_service_pb2, f"{method}Request")(vault=VAULT, names=names)
    refused = await caller.refused(getattr(caller.conversions, method), request)
    assert refused[:2] == ("INVALID_ARGUMENT", reason)
    assert field is None or refused[2] == field
    assert not server.behind.sent
