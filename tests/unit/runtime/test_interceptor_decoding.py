import pytest

from memos_api.internal.v1 import storage_service_pb2
from memos_api.v1 import memory_service_pb2
from memos_kernel.errors import InvalidField
from memos_runtime.interceptors.decoding import Decoding

GET = "/memos.v1.MemoryService/GetMemory"


@pytest.mark.parametrize(
    ("method", "message"),
    [
        (GET, memory_service_pb2.GetMemoryRequest(name="n", view=2)),
        (GET, memory_service_pb2.GetMemoryRequest()),
        ("/memos.internal.v1.StorageService/DeleteMemCube", storage_service_pb2.DeleteMemCubeRequest(name="n")),
    ],
    ids=["full", "empty", "internal"],
)
async def test_the_body_becomes_the_request_of_the_method(run, method, message):
    call = await run(Decoding(), method, body=message.SerializeToString())
    assert call.request == message


@pytest.mark.parametrize(
    "body",
    [b"\xff\xff\xff", b"\x0a\x05ab", b"\x0a\x02\xff\xfe"],
    ids=["no tag", "cut off", "not UTF-8"],
)
async def test_bytes_that_are_no_request_are_refused_by_name(run, body):
    with pytest.raises(InvalidField, match=r"not a memos\.v1\.GetMemoryRequest"):
        await run(Decoding(), GET, body=body)
