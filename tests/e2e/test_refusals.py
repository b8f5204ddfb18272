"""What a user must not do, and what he is told, in one process and in six."""

import uuid

import grpc
import pytest
from google.protobuf.field_mask_pb2 import FieldMask

from memos_api.v1 import governance_service_pb2 as governance
from memos_api.v1 import memcube_pb2 as cubes
from memos_api.v1 import memory_service_pb2 as memory
from memos_wire.methods import METHODS


def said_at(vault: str, time: str) -> memory.AddMemoriesRequest:
    return memory.AddMemoriesRequest(vault=vault, messages=[memory.Message(id="m", text="a", time=time)])


UNKNOWN_CUBE = "tenants/local/cubes/none"


@pytest.mark.parametrize(
    ("build", "code", "reason", "field"),
    [
        (lambda v: memory.AddMemoriesRequest(texts=["a"]), "INVALID_ARGUMENT", "MISSING_FIELD", "vault"),
        (lambda v: memory.AddMemoriesRequest(vault="main", texts=["a"]), "INVALID_ARGUMENT", "MALFORMED_NAME", "vault"),
        (
            lambda v: memory.AddMemoriesRequest(vault="tenants/local/vaults/none", texts=["a"]),
            "NOT_FOUND",
            "VAULT_NOT_FOUND",
            None,
        ),
        (
            lambda v: memory.AddMemoriesRequest(vault="tenants/other/vaults/main", texts=["a"]),
            "NOT_FOUND",
            "VAULT_NOT_FOUND",
            None,
        ),
        (lambda v: memory.AddMemoriesRequest(vault=v), "INVALID_ARGUMENT", "MISSING_FIELD", None),
        (lambda v: memory.AddMemoriesRequest(vault=v, texts=[" "]), "INVALID_ARGUMENT", "MISSING_FIELD", "texts[0]"),
        (
            lambda v: memory.AddMemoriesRequest(vault=v, texts=["ok", "x" * 16_385]),
            "INVALID_ARGUMENT",
            "LIMIT_EXCEEDED",
            "texts[1]",
        ),
        (lambda v: memory.AddMemoriesRequest(vault=v, texts=["a\0b"]), "INVALID_ARGUMENT", "INVALID_FIELD", "texts[0]"),
        (lambda v: memory.AddMemoriesRequest(vault=v, texts=["a"] * 257), "INVALID_ARGUMENT", "LIMIT_EXCEEDED", None),
        (
            lambda v: memory.AddMemoriesRequest(
                vault=v, messages=[memory.Message(id="m", text="a", time="2026-03-02T19:12:00")]
            ),
            "INVALID_ARGUMENT",
            "INVALID_FIELD",
            "messages[0].time",
        ),
        (
            lambda v: memory.AddMemoriesRequest(
                vault=v, messages=[memory.Message(id="m", text="a", time="1812-01-01T00:00:00Z")]
            ),
            "INVALID_ARGUMENT",
            "INVALID_FIELD",
            "messages[0].time",
        ),
        (
            lambda v: memory.AddMemoriesRequest(
                vault=v, messages=[memory.Message(id="m", text="a", time="2999-01-01T00:00:00Z")]
            ),
            "INVALID_ARGUMENT",
            "INVALID_FIELD",
            "messages[0].time",
        ),
        (
            lambda v: memory.AddMemoriesRequest(vault=v, texts=["a"], labels={"Bad Key": "x"}),
            "INVALID_ARGUMENT",
            "INVALID_FIELD",
            None,
        ),
        (
            lambda v: memory.AddMemoriesRequest(vault=v, texts=["a"], semantic_type=99),
            "INVALID_ARGUMENT",
            "INVALID_FIELD",
            "semantic_type",
        ),
        (
            lambda v: memory.CreateMemoryRequest(
                cube=cubes.MemCube(vault=v, uid="mine", plaintext=cubes.PlaintextPayload(text="a"))
            ),
            "INVALID_ARGUMENT",
            None,
            "cube.uid",
        ),
        (lambda v: memory.GetMemoryRequest(name=UNKNOWN_CUBE), "NOT_FOUND", "CUBE_NOT_FOUND", None),
        (lambda v: memory.GetMemoryRequest(name="tenants/other/cubes/x"), "NOT_FOUND", "CUBE_NOT_FOUND", None),
        (lambda v: memory.DeleteMemoryRequest(name=UNKNOWN_CUBE), "NOT_FOUND", "CUBE_NOT_FOUND", None),
        (
            lambda v: memory.UpdateMemoryRequest(
                cube=cubes.MemCube(name=UNKNOWN_CUBE), update_mask=FieldMask(paths=["uid"])
            ),
            "INVALID_ARGUMENT",
            "IMMUTABLE_FIELD",
            None,
        ),
        (
            lambda v: memory.UpdateMemoryRequest(
                cube=cubes.MemCube(name=UNKNOWN_CUBE), update_mask=FieldMask(paths=["labels"])
            ),
            "NOT_FOUND",
            "CUBE_NOT_FOUND",
            None,
        ),
        (lambda v: memory.SearchMemoriesRequest(vaults=[v]), "INVALID_ARGUMENT", "MISSING_FIELD", "query"),
        (
            lambda v: memory.SearchMemoriesRequest(vaults=[v], query="a", top_k=101),
            "INVALID_ARGUMENT",
            "LIMIT_EXCEEDED",
            "top_k",
        ),
        (
            lambda v: memory.SearchMemoriesRequest(vaults=[v], query="a", top_k=-1),
            "INVALID_ARGUMENT",
            "INVALID_FIELD",
            "top_k",
        ),
        (
            lambda v: memory.ListMemoriesRequest(vault=v, page_size=-1),
            "INVALID_ARGUMENT",
            "INVALID_FIELD",
            "page_size",
        ),
        (
            lambda v: memory.ListMemoriesRequest(vault=v, page_token="rubbish"),
            "INVALID_ARGUMENT",
            "PAGE_TOKEN_MISMATCH",
            "page_token",
        ),
    ],
)
async def test_bad_input_gets_a_typed_error_that_names_the_field(caller, vault, build, code, reason, field):
    request = build(vault)
    method = getattr(caller.memory, type(request).__name__.removesuffix("Request"))
    await caller.refused(method(request), grpc.StatusCode[code], reason, field)


async def test_nothing_of_a_refused_batch_is_stored(caller, vault):
    request = memory.AddMemoriesRequest(vault=vault, texts=["fine", "also fine", "not\0fine"])
    await caller.refused(caller.memory.AddMemories(request), grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD")
    assert not (await caller.memory.ListMemories(memory.ListMemoriesRequest(vault=vault))).cubes


@pytest.mark.parametrize("header", [None, "Bearer mk_wrong", "Basic abc", "Bearer "])
async def test_without_a_valid_key_nothing_is_told(system, header):
    caller = system.caller(header=header)
    async with caller:
        await caller.refused(
            caller.memory.GetMemory(memory.GetMemoryRequest(name=UNKNOWN_CUBE)),
            grpc.StatusCode.UNAUTHENTICATED,
            "CREDENTIAL_INVALID",
        )


@pytest.mark.parametrize("name", sorted(row.name for row in METHODS.values() if not row.public))
async def test_no_internal_method_is_served_on_the_public_port(caller, name):
    call = caller.channel.unary_unary(name)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call(b"")
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED


async def test_a_reader_may_read_and_not_write(system, caller, vault):
    name = f"tenants/local/principals/r{uuid.uuid4().hex[:8]}"
    made = await caller.governance.CreateApiKey(governance.CreateApiKeyRequest(principal=name))
    async with system.caller(header=f"Bearer {made.secret}") as reader:
        texts = memory.AddMemoriesRequest(vault=vault, texts=["a fact"])
        await reader.refused(reader.memory.AddMemories(texts), grpc.StatusCode.NOT_FOUND, "VAULT_NOT_FOUND")
        await caller.allow(vault, name, "READER")
        await caller.memory.AddMemories(texts)
        found = await reader.memory.SearchMemories(memory.SearchMemoriesRequest(vaults=[vault], query="fact"))
        assert [hit.cube.plaintext.text for hit in found.hits] == ["a fact"]
        assert "cube.write" not in found.hits[0].cube.access.permitted_actions
        await reader.refused(reader.memory.AddMemories(texts), grpc.StatusCode.PERMISSION_DENIED, "PERMISSION_DENIED")
        delete = memory.DeleteMemoryRequest(name=found.hits[0].cube.name)
        await reader.refused(reader.memory.DeleteMemory(delete), grpc.StatusCode.NOT_FOUND, None)
