"""What every BlobStore does."""

import errno
import hashlib
from dataclasses import replace

import pytest

from memos_kernel.errors import DataCorrupted, ResourceNotFound, StoreFull
from memos_storage.adapters import files
from memos_storage.adapters.files import FileBlobStore
from storage_cubes import FOREIGN, MAIN, NOTES

MEDIA_TYPE = "application/vnd.safetensors"


@pytest.fixture
async def store(tmp_path):
    made = FileBlobStore(tmp_path / "blobs")
    yield made
    await made.close()


async def chunks(*parts):
    for part in parts:
        yield part


async def put(store, data, vault=MAIN):
    return await store.put(vault, chunks(data), media_type=MEDIA_TYPE)


async def read(store, blob, vault=MAIN):
    return b"".join([chunk async for chunk in store.get(vault, blob)])


async def test_bytes_come_back_as_they_were(store):
    data = bytes(range(256)) * 9000
    blob = await store.put(MAIN, chunks(data[:5], b"", data[5:]), media_type=MEDIA_TYPE)
    assert blob.size_bytes == len(data)
    assert blob.sha256 == hashlib.sha256(data).hexdigest()
    assert blob.media_type == MEDIA_TYPE
    assert await read(store, blob) == data


async def test_an_empty_blob_is_a_blob(store):
    assert await read(store, await put(store, b"")) == b""


async def test_equal_bytes_of_a_vault_are_stored_once(store):
    assert await put(store, b"same") == await put(store, b"same")
    assert len(await store.names(MAIN)) == 1


async def test_blobs_are_never_shared_across_vaults(store):
    blob = await put(store, b"mine")
    for vault in (NOTES, FOREIGN):
        with pytest.raises(ResourceNotFound):
            await read(store, blob, vault)
        assert await store.names(vault) == []
    assert not await store.remove(NOTES, blob)
    assert await read(store, blob) == b"mine"


async def test_a_removed_blob_is_gone(store):
    blob = await put(store, b"once")
    assert await store.remove(MAIN, blob)
    assert not await store.remove(MAIN, blob)
    with pytest.raises(ResourceNotFound):
        await read(store, blob)


@pytest.mark.parametrize("name", ["../main/x", "/etc/passwd", "", ".part-1", "a" * 63, "A" * 64])
async def test_a_name_reaches_nothing_outside_of_the_vault(store, name):
    blob = replace(await put(store, b"x"), name=name)
    with pytest.raises(ResourceNotFound):
        await read(store, blob)
    with pytest.raises(ResourceNotFound):
        await store.remove(MAIN, blob)


async def test_a_flipped_byte_and_a_lost_byte_are_noticed(store, tmp_path):
    blob = await put(store, b"precious")
    (path,) = (path for path in tmp_path.rglob(blob.name))
    for damaged in (b"preciouS", b"preciou"):
        path.write_bytes(damaged)
        with pytest.raises(DataCorrupted):
            await read(store, blob)


async def test_a_source_that_fails_leaves_nothing(store, tmp_path):
    async def broken():
        yield b"half"
        raise RuntimeError("gone")

    with pytest.raises(RuntimeError):
        await store.put(MAIN, broken(), media_type=MEDIA_TYPE)
    assert await store.names(MAIN) == []
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


async def test_a_full_disk_stores_nothing(store, tmp_path, monkeypatch):
    def full(_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(files.os, "fsync", full)
    (tmp_path / "blobs" / "acme" / "main").mkdir(parents=True)
    with pytest.raises(StoreFull):
        await put(store, b"too much")
    assert await store.names(MAIN) == []
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]
