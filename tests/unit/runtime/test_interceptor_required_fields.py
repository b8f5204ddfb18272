import pytest

from memos_api.internal.v1 import policy_service_pb2, storage_service_pb2
from memos_api.v1 import governance_service_pb2, memcube_pb2, memory_service_pb2
from memos_kernel.errors import InvalidField, LimitExceeded, MissingField
from memos_runtime.interceptors.required_fields import RequiredFields, plan_of

GET = "/memos.v1.MemoryService/GetMemory"
ADD = "/memos.v1.MemoryService/AddMemories"
pb = memory_service_pb2
UPDATE = {"update_mask": {"paths": ["labels"]}}


def good_transition():
    return storage_service_pb2.ApplyTransitionRequest(cube={"name": "n", "state": 2}, expected_revision=1)


@pytest.mark.parametrize(
    ("request_message", "field"),
    [
        (pb.GetMemoryRequest(), "name"),
        (pb.BatchGetMemoriesRequest(), "names"),
        (pb.CreateMemoryRequest(), "cube"),
        (pb.UpdateMemoryRequest(cube={"name": "n"}), "update_mask"),
        (pb.AddMemoriesRequest(vault="v", messages=[{"text": "a"}, {"id": "2"}]), "messages[1].text"),
        (storage_service_pb2.ApplyTransitionRequest(cube={"name": "n"}), "expected_revision"),
        (policy_service_pb2.CreateApiKeyRequest(request={}), "request.principal"),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
async def test_an_empty_required_field_is_named_by_its_full_path(run, request_message, field):
    with pytest.raises(MissingField) as caught:
        await run(RequiredFields(), GET, request_message)
    assert caught.value.field == field


@pytest.mark.parametrize(
    ("request_message", "field"),
    [
        (pb.GetMemoryRequest(name="n", view=99), "view"),
        (pb.AddMemoriesRequest(vault="v", semantic_type=-1), "semantic_type"),
        (pb.CreateMemoryRequest(cube={"state": 77}), "cube.state"),
        (pb.ListMemoriesRequest(vault="v", filter={"kinds": [1, 42]}), "filter.kinds[1]"),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
async def test_an_enum_value_that_the_contract_does_not_know_is_refused(run, request_message, field):
    with pytest.raises(InvalidField) as caught:
        await run(RequiredFields(), GET, request_message)
    assert caught.value.field == field
    assert "known values are 1 (" in caught.value.message


@pytest.mark.parametrize(
    "request_message",
    [
        pb.GetMemoryRequest(name="n", view=2),
        pb.AddMemoriesRequest(vault="v"),
        pb.UpdateMemoryRequest(cube={"name": "n"}, **UPDATE),
        good_transition(),
        policy_service_pb2.CreateApiKeyRequest(),
    ],
    ids=lambda value: type(value).__name__,
)
async def test_a_request_that_has_all_passes(run, request_message):
    call = await run(RequiredFields(), GET, request_message)
    assert call.request is request_message


@pytest.mark.parametrize(
    ("request_message", "field"),
    [
        (pb.ListMemoriesRequest(vault="v", filter={"states": [1] * 1_001}), "filter.states"),
        (pb.AddMemoriesRequest(vault="v", messages=[{"text": "a"}] * 1_001), "messages"),
        (pb.AddMemoriesRequest(vault="v", labels={str(number): "" for number in range(1_001)}), "labels"),
        (pb.BatchGetMemoriesRequest(names=["n"] * 1_001), "names"),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
async def test_a_list_without_end_is_refused_before_anything_else(run, request_message, field):
    with pytest.raises(LimitExceeded) as caught:
        await run(RequiredFields(), GET, request_message)
    assert caught.value.field == field
    assert caught.value.metadata["limit"] == "1000"


async def test_numbers_of_a_vector_are_not_entries(run):
    embedding = {"values": [0.0] * 4_096}
    await run(RequiredFields(), GET, storage_service_pb2.SearchMemCubesRequest(query="q", embedding=embedding))


def test_what_holds_nothing_to_check_is_not_looked_into():
    plan = plan_of(governance_service_pb2.ListApiKeysRequest)
    assert (plan.lists, plan.required, plan.enums, plan.nested) == ([], [], [], [])
    nested = {name for name, _, _ in plan_of(memcube_pb2.MemCube).nested}
    assert "create_time" not in nested
