import pytest

from memos_api.v1 import memory_service_pb2 as pb
from memos_kernel.errors import InvalidField, LimitExceeded
from memos_runtime.context import current_request_key
from memos_runtime.interceptors.request_id import RequestId

ADD = "/memos.v1.MemoryService/AddMemories"
GET = "/memos.v1.MemoryService/GetMemory"


async def key_of(run, **fields):
    async def endpoint(call):
        return current_request_key()

    return await run(RequestId(), ADD, pb.AddMemoriesRequest(vault="v", **fields), endpoint=endpoint)


async def test_the_same_id_and_body_give_the_same_key_and_another_body_another(run):
    first = await key_of(run, request_id="r1", texts=["a"])
    assert first == await key_of(run, request_id="r1", texts=["a"])
    assert first.body_sha256 != (await key_of(run, request_id="r1", texts=["b"])).body_sha256
    assert (first.request_id, first.method) == ("r1", ADD)


async def test_without_an_id_there_is_no_key(run):
    assert not await key_of(run, texts=["a"])


@pytest.mark.parametrize(("request_id", "error"), [("x" * 65, LimitExceeded), ("a\x00", InvalidField)])
async def test_a_bad_id_is_refused(run, request_id, error):
    with pytest.raises(error):
        await key_of(run, request_id=request_id)


async def test_a_method_that_changes_nothing_pays_nothing():
    async def proceed(call):
        return None

    from memos_wire.methods import METHODS

    assert RequestId().wrap(METHODS[GET], proceed) is proceed
