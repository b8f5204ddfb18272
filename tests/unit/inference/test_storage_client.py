"""Where inference reads the bytes of a cube: from the store if it is told an address, from storage otherwise."""

import asyncio
import hashlib
import logging

import pytest

from memos_api.internal.v1 import blob_service_pb2 as pb
from memos_api.v1 import blob_service_pb2 as public
from memos_api.v1.memcube_pb2 import BlobRef
from memos_inference.adapters.storage_client import StorageBlobs
from memos_kernel.errors import CubeNotFound
from memos_kernel.names import CubeName, VaultName
from memos_storage.adapters.s3 import S3BlobStore
from s3 import ACCESS_KEY, SECRET_KEY, shared_server

DATA = b"some bytes" * 100_000
HASH = hashlib.sha256(DATA).hexdigest()
NAME = CubeName("t", "c")


class Stub:
    """Storage, which knows an address or does not."""

    def __init__(self, address="", error=None):
        self.address = address
        self.error = error
        self.asked = []

    async def DownloadBlob(self, request):
        self.asked.append(request.direct)
        if self.error is not None:
            raise self.error
        yield pb.DownloadBlobResponse(
            response=public.DownloadBlobResponse(blob=BlobRef(size_bytes=len(DATA), sha256=HASH))
        )
        if request.direct and self.address:
            yield pb.DownloadBlobResponse(address=self.address)
            return
        for start in range(0, len(DATA), 300_000):
            chunk = public.BlobChunk(offset=start, data=DATA[start : start + 300_000])
            yield pb.DownloadBlobResponse(response=public.DownloadBlobResponse(chunk=chunk))


@pytest.fixture
async def address():
    url, _ = (await asyncio.to_thread(shared_server)).bucket()
    store = S3BlobStore(url, access_key=ACCESS_KEY, secret_key=SECRET_KEY, installation=lambda: "one")
    vault = VaultName("t", "v")

    async def once():
        yield DATA

    yield await store.address(vault, await store.put(vault, once(), media_type="x/y"))
    await store.close()


async def test_bytes_come_from_the_store_where_storage_says_so(address, tmp_path):
    stub = Stub(address)
    assert await StorageBlobs(stub).fetch(NAME, tmp_path / "x") == HASH
    assert ((tmp_path / "x").read_bytes(), stub.asked) == (DATA, [True])


async def test_without_an_address_they_come_from_storage(tmp_path):
    stub = Stub()
    assert await StorageBlobs(stub).fetch(NAME, tmp_path / "x") == HASH
    assert ((tmp_path / "x").read_bytes(), stub.asked) == (DATA, [True])


async def test_where_the_store_cannot_be_reached_they_come_from_storage_and_the_address_is_not_told(tmp_path, caplog):
    stub = Stub("http://127.0.0.1:9/object?X-Amz-Signature=secret")
    with caplog.at_level(logging.DEBUG):
        assert await StorageBlobs(stub).fetch(NAME, tmp_path / "x") == HASH
    assert ((tmp_path / "x").read_bytes(), stub.asked) == (DATA, [True, False])
    assert "reading from storage" in caplog.text
    assert "secret" not in caplog.text


async def test_a_store_that_could_not_be_reached_is_left_alone_for_a_while(tmp_path):
    stub = Stub("http://127.0.0.1:9/object?X-Amz-Signature=secret")
    blobs = StorageBlobs(stub)
    for _ in range(2):
        assert await blobs.fetch(NAME, tmp_path / "x") == HASH
    assert stub.asked == [True, False, False]
    await blobs.close()


async def test_what_storage_refuses_is_refused(tmp_path):
    with pytest.raises(CubeNotFound):
        await StorageBlobs(Stub(error=CubeNotFound("no", name="c"))).fetch(NAME, tmp_path / "x")


async def test_who_leaves_does_not_leave_a_thread_at_the_file(address, tmp_path):
    reading = asyncio.create_task(StorageBlobs(Stub(address)).fetch(NAME, tmp_path / "x"))
    await asyncio.sleep(0.005)
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
