import asyncio
from datetime import timedelta

import pytest

from memos_api.internal.v1 import storage_service_pb2
from memos_api.v1 import blob_service_pb2, memory_service_pb2
from memos_kernel import limits
from memos_kernel.errors import DeadlineExceeded, InvalidField, MissingField
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


UPLOAD = "/memos.v1.BlobService/UploadBlob"
HEADER = blob_service_pb2.UploadBlobRequest(header=blob_service_pb2.BlobHeader(vault="v"))
CHUNK = blob_service_pb2.UploadBlobRequest(chunk=blob_service_pb2.BlobChunk(data=b"x"))


async def bodies(*parts):
    for part in parts:
        yield part if isinstance(part, bytes) else part.SerializeToString()


async def test_the_first_message_of_a_stream_is_known_before_the_others_come(run):
    async def stream():
        yield HEADER.SerializeToString()
        raise AssertionError("nobody asked for more")

    call = await run(Decoding(), UPLOAD, body=stream())
    assert call.request == HEADER


async def test_the_handler_gets_every_message_of_a_stream_in_order(run):
    call = await run(Decoding(), UPLOAD, body=bodies(HEADER, CHUNK, CHUNK))
    assert [message async for message in call.requests] == [HEADER, CHUNK, CHUNK]


async def test_a_stream_without_a_message_is_refused(run):
    with pytest.raises(MissingField, match="no message"):
        await run(Decoding(), UPLOAD, body=bodies())


async def test_a_message_in_the_middle_that_is_none_is_refused_there(run):
    call = await run(Decoding(), UPLOAD, body=bodies(HEADER, b"\xff\xff\xff"))
    with pytest.raises(InvalidField, match="UploadBlobRequest"):
        [message async for message in call.requests]


async def test_a_stream_that_is_silent_for_long_is_ended(run, monkeypatch):
    monkeypatch.setattr(limits, "STREAM_SILENCE", timedelta(milliseconds=20))

    async def stream():
        yield HEADER.SerializeToString()
        await asyncio.sleep(5)

    call = await run(Decoding(), UPLOAD, body=stream())
    with pytest.raises(DeadlineExceeded, match="silent"):
        [message async for message in call.requests]
