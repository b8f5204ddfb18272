"""What every BlobStore does."""

import asyncio
import errno
import hashlib
import random
import shutil
from dataclasses import replace

import pytest

from memos_kernel.errors import DataCorrupted, DependencyUnavailable, InvalidField, ResourceNotFound, StoreFull
from memos_storage.adapters import files
from memos_storage.adapters.files import FileBlobStore
from memos_storage.adapters.memory import MemoryBlobStore
from memos_storage.adapters.s3 import S3BlobStore
from s3 import ACCESS_KEY, SECRET_KEY, S3Server, shared_server
from storage_cubes import FOREIGN, MAIN, NOTES

MEDIA_TYPE = "application/vnd.safetensors"


@pytest.fixture(params=["memory", "directory", "s3"])
async def place(request, tmp_path):
    """Yield a store, and the directory where its bytes end up."""
    if request.param == "memory":
        made, folder = MemoryBlobStore(), tmp_path
    elif request.param == "directory":
        made, folder = FileBlobStore(tmp_path / "blobs"), tmp_path / "blobs"
    else:
        url, folder = (await asyncio.to_thread(shared_server)).bucket()
        made = S3BlobStore(url, access_key=ACCESS_KEY, secret_key=SECRET_KEY)
    yield made, folder
    await made.close()


@pytest.fixture
def store(place):
    return place[0]


@pytest.fixture
def folder(place):
    return place[1]


def leftovers(folder):
    """Return every file that holds bytes of blobs."""
    return [path for path in folder.rglob("*") if path.is_file() and ".nanio-meta" not in path.parts]


async def chunks(*parts):
    for part in parts:
        yield part


async def put(store, data, vault=MAIN):
    return await store.put(vault, chunks(data), media_type=MEDIA_TYPE)


async def read(store, blob, vault=MAIN, **part):
    return b"".join([chunk async for chunk in store.get(vault, blob, **part)])


async def test_bytes_come_back_as_they_were(store):
    data = bytes(range(256)) * 9000
    blob = await store.put(MAIN, chunks(data[:5], b"", data[5:]), media_type=MEDIA_TYPE)
    assert blob.size_bytes == len(data)
    assert blob.sha256 == hashlib.sha256(data).hexdigest()
    assert blob.media_type == MEDIA_TYPE
    assert await read(store, blob) == data


async def test_an_empty_blob_is_a_blob(store):
    assert await read(store, await put(store, b"")) == b""


async def test_equal_bytes_get_two_names_so_that_one_can_go_without_the_other(store):
    first, second = await put(store, b"same"), await put(store, b"same")
    assert (first.sha256, first.size_bytes) == (second.sha256, second.size_bytes)
    assert await store.names(MAIN) == sorted([first.name, second.name])
    await store.remove(MAIN, first.name)
    assert await read(store, second) == b"same"


@pytest.mark.parametrize(
    ("offset", "limit"), [(0, 0), (0, 1), (3, 0), (3, 5), (2_000_000, 1_500_000), (2_999_999, 9), (3_000_000, 0)]
)
async def test_a_part_is_that_part(store, offset, limit):
    data = random.Random(2).randbytes(3_000_000)
    blob = await put(store, data)
    expected = data[offset : offset + limit] if limit else data[offset:]
    assert await read(store, blob, offset=offset, limit=limit) == expected


async def test_the_vaults_with_blobs_are_known(store):
    assert await store.vaults() == []
    for vault in (MAIN, NOTES, FOREIGN):
        await put(store, b"x", vault)
    assert set(await store.vaults()) == {MAIN, NOTES, FOREIGN}


async def test_what_was_removed_leaves_nothing_or_the_store_says_what(store, folder):
    blob = await put(store, b"a planted secret")
    await store.remove(MAIN, blob.name)
    reach = await store.scrub()
    assert reach.tier == "blobs"
    assert reach.done
    assert not [path for path in folder.rglob("*") if path.is_file() and b"planted" in path.read_bytes()]


async def test_blobs_are_never_shared_across_vaults(store):
    blob = await put(store, b"mine")
    for vault in (NOTES, FOREIGN):
        with pytest.raises(ResourceNotFound):
            await read(store, blob, vault)
        assert await store.names(vault) == []
    assert not await store.remove(NOTES, blob.name)
    assert await read(store, blob) == b"mine"


async def test_a_removed_blob_is_gone(store):
    blob = await put(store, b"once")
    assert await store.remove(MAIN, blob.name)
    assert not await store.remove(MAIN, blob.name)
    with pytest.raises(ResourceNotFound):
        await read(store, blob)


@pytest.mark.parametrize("name", ["../main/x", "/etc/passwd", "", ".part-1", "a" * 63, "A" * 64])
async def test_a_name_reaches_nothing_outside_of_the_vault(store, name):
    blob = replace(await put(store, b"x"), name=name)
    with pytest.raises(ResourceNotFound):
        await read(store, blob)
    with pytest.raises(ResourceNotFound):
        await store.remove(MAIN, name)


@pytest.mark.parametrize("place", ["directory", "s3"], indirect=True)
async def test_a_flipped_byte_and_a_lost_byte_are_noticed(store, folder):
    blob = await put(store, b"precious")
    (path,) = folder.rglob(blob.name)
    path.write_bytes(b"preciouS")
    with pytest.raises(DataCorrupted):
        await read(store, blob)
    path.write_bytes(b"preciou")
    with pytest.raises((DataCorrupted, DependencyUnavailable)):  # a server may break off when it notices itself
        await read(store, blob)


@pytest.mark.parametrize("place", ["directory"], indirect=True)
async def test_bytes_too_many_are_noticed(store, folder):
    blob = await put(store, b"precious")
    (path,) = folder.rglob(blob.name)
    path.write_bytes(b"precious!")
    with pytest.raises(DataCorrupted):
        await read(store, blob)


async def test_a_source_that_fails_leaves_nothing(store, folder):
    async def broken():
        yield b"half"
        raise RuntimeError("gone")

    with pytest.raises(RuntimeError):
        await store.put(MAIN, broken(), media_type=MEDIA_TYPE)
    assert await store.names(MAIN) == []
    assert not leftovers(folder)


async def test_a_blob_of_many_parts_is_one_blob(store):
    data = random.Random(1).randbytes(35 * 1024 * 1024 + 17)
    parts = [data[at : at + 999_999] for at in range(0, len(data), 999_999)]
    blob = await store.put(MAIN, chunks(*parts), media_type=MEDIA_TYPE)
    assert await read(store, blob) == data
    assert await store.names(MAIN) == [blob.name]


async def test_a_full_disk_stores_nothing(tmp_path, monkeypatch):
    def full(_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(files.os, "fsync", full)
    (tmp_path / "acme" / "main").mkdir(parents=True)
    store = FileBlobStore(tmp_path)
    with pytest.raises(StoreFull):
        await put(store, b"too much")
    assert await store.names(MAIN) == []
    assert not leftovers(tmp_path)
    await store.close()


async def test_what_a_killed_process_was_writing_is_removed_at_the_next_start(tmp_path):
    store = FileBlobStore(tmp_path)
    kept = await put(store, b"kept")
    (tmp_path / "acme" / "main" / ".part-half").write_bytes(b"a planted sec")
    await store.tidy()
    assert [path.name for path in leftovers(tmp_path)] == [kept.name]
    await store.close()


async def test_an_s3_server_that_is_away_says_so_and_comes_back_with_everything():
    server = S3Server()
    await asyncio.to_thread(server.start)
    store = S3BlobStore(server.bucket()[0], access_key=ACCESS_KEY, secret_key=SECRET_KEY)
    try:
        blob = await put(store, b"kept")
        await asyncio.to_thread(server.kill)
        assert store.healthy
        for call in (put(store, b"new"), read(store, blob), store.remove(MAIN, blob.name), store.names(MAIN)):
            with pytest.raises(DependencyUnavailable):
                await call
        assert not store.healthy
        await asyncio.to_thread(server.start)
        assert await read(store, blob) == b"kept"
        assert store.healthy
    finally:
        await store.close()
        await asyncio.to_thread(server.kill)
        shutil.rmtree(server.folder)


async def test_wrong_keys_are_no_missing_blob():
    url, _ = (await asyncio.to_thread(shared_server)).bucket()
    store = S3BlobStore(url, access_key=ACCESS_KEY, secret_key="wrong-secret")
    with pytest.raises(DependencyUnavailable):
        await put(store, b"x")
    await store.close()


@pytest.mark.parametrize("url", ["minio:9000/memos", "http://minio:9000", "http://me:pw@minio/b", "http://minio/a/b"])
def test_an_address_without_a_bucket_is_refused(url):
    with pytest.raises(InvalidField):
        S3BlobStore(url, access_key="a", secret_key="b")
