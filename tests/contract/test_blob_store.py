"""What every BlobStore does."""

import asyncio
import errno
import hashlib
import random
import shutil
import threading
import time
import urllib.error
import urllib.request
from dataclasses import replace
from functools import partial

import pytest

from memos_kernel.errors import (
    DataCorrupted,
    DependencyUnavailable,
    InvalidField,
    Overloaded,
    ResourceNotFound,
    StoreFull,
)
from memos_storage.adapters import blobs, files
from memos_storage.adapters.encrypted_blobs import EncryptedBlobStore
from memos_storage.adapters.files import FileBlobStore
from memos_storage.adapters.memory import MemoryBlobKeys, MemoryBlobStore
from memos_storage.adapters.s3 import S3BlobStore
from s3 import ACCESS_KEY, SECRET_KEY, S3Server, shared_server
from storage_cubes import FOREIGN, MAIN, NOTES

MEDIA_TYPE = "application/vnd.safetensors"


@pytest.fixture(params=["memory", "directory", "s3", "encrypted directory", "encrypted s3"])
async def place(request, tmp_path):
    """Yield a store, and the directory where its bytes end up."""
    encrypted, _, kind = request.param.rpartition(" ")
    if kind == "memory":
        made, folder = MemoryBlobStore(), tmp_path
    elif kind == "directory":
        made, folder = FileBlobStore(lambda: tmp_path / "blobs"), tmp_path / "blobs"
    else:
        url, folder = (await asyncio.to_thread(shared_server)).bucket()
        made = S3BlobStore(url, access_key=ACCESS_KEY, secret_key=SECRET_KEY, installation=lambda: "one")
    if encrypted:
        made = EncryptedBlobStore(made, MemoryBlobKeys(), [bytes(32)])
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


@pytest.mark.parametrize("place", ["directory", "s3", "encrypted directory"], indirect=True)
async def test_a_part_of_cut_bytes_is_noticed(store, folder):
    blob = await put(store, b"precious")
    (path,) = folder.rglob(blob.name)
    path.write_bytes(b"prec")
    for offset in (1, 6):
        with pytest.raises((DataCorrupted, DependencyUnavailable)):
            await read(store, blob, offset=offset)


async def test_names_that_are_none_of_ours_are_left_alone(place):
    store, folder = place
    await put(store, b"x")
    stranger = "6f1d2a3b-1c2d-4e3f-8a9b-0c1d2e3f4a5b"
    (directory,) = {path.parent for path in leftovers(folder)} or {folder}
    (directory / stranger).write_bytes(b"not a UUIDv7")
    assert stranger not in await store.names(MAIN)


@pytest.mark.parametrize("name", ["../main/x", "/etc/passwd", "", ".part-1", "a" * 63, "A" * 64])
async def test_a_name_reaches_nothing_outside_of_the_vault(store, name):
    blob = replace(await put(store, b"x"), name=name)
    with pytest.raises(ResourceNotFound):
        await read(store, blob)
    with pytest.raises(ResourceNotFound):
        await store.remove(MAIN, name)


@pytest.mark.parametrize("place", ["directory", "s3", "encrypted directory"], indirect=True)
async def test_a_flipped_byte_and_a_lost_byte_are_noticed(store, folder):
    blob = await put(store, b"precious")
    (path,) = folder.rglob(blob.name)
    path.write_bytes(b"preciouS")
    with pytest.raises(DataCorrupted):
        await read(store, blob)
    path.write_bytes(b"preciou")
    with pytest.raises((DataCorrupted, DependencyUnavailable)):  # a server may break off when it notices itself
        await read(store, blob)


@pytest.mark.parametrize("place", ["directory", "encrypted directory"], indirect=True)
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
    store = FileBlobStore(lambda: tmp_path)
    with pytest.raises(StoreFull):
        await put(store, b"too much")
    assert await store.names(MAIN) == []
    assert not leftovers(tmp_path)
    await store.close()


async def test_what_a_killed_process_was_writing_is_removed_at_the_next_start(tmp_path):
    store = FileBlobStore(lambda: tmp_path)
    kept = await put(store, b"kept")
    (tmp_path / "acme" / "main" / ".part-half").write_bytes(b"a planted sec")
    await store.tidy()
    assert [path.name for path in leftovers(tmp_path)] == [kept.name]
    await store.close()


async def test_an_s3_server_that_is_away_says_so_and_comes_back_with_everything():
    server = S3Server()
    await asyncio.to_thread(server.start)
    store = S3BlobStore(server.bucket()[0], access_key=ACCESS_KEY, secret_key=SECRET_KEY, installation=lambda: "one")
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


async def test_installations_that_share_a_bucket_do_not_see_each_other():
    url, _ = (await asyncio.to_thread(shared_server)).bucket()
    keys = {"access_key": ACCESS_KEY, "secret_key": SECRET_KEY}
    one, other = (S3BlobStore(url, installation=lambda name=name: name, **keys) for name in ("one", "other"))
    blob = await put(one, b"mine")
    assert (await other.vaults(), await other.names(MAIN)) == ([], [])
    assert not await other.remove(MAIN, blob.name)
    assert await read(one, blob) == b"mine"
    await one.close()
    await other.close()


async def test_a_store_answers_while_large_uploads_are_on_their_way(monkeypatch):
    url, _ = (await asyncio.to_thread(shared_server)).bucket()
    store = S3BlobStore(url, access_key=ACCESS_KEY, secret_key=SECRET_KEY, installation=lambda: "one")
    kept, upload, free = await put(store, b"small"), store._upload, threading.Event()

    def slow(*args):
        free.wait(20)
        upload(*args)

    monkeypatch.setattr(store, "_upload", slow)
    large = [asyncio.create_task(put(store, b"large")) for _ in range(8)]
    await asyncio.sleep(0.1)
    assert await asyncio.wait_for(read(store, kept), 5) == b"small"
    free.set()
    assert len({blob.name for blob in await asyncio.gather(*large)}) == 8
    await store.close()


async def test_an_upload_whose_caller_leaves_ends_and_stores_nothing(monkeypatch):
    url, _ = (await asyncio.to_thread(shared_server)).bucket()
    store = S3BlobStore(url, access_key=ACCESS_KEY, secret_key=SECRET_KEY, installation=lambda: "one")
    upload, begun = store._upload, threading.Event()

    def late(*args):
        begun.set()
        time.sleep(0.2)
        upload(*args)

    monkeypatch.setattr(store, "_upload", late)
    call = asyncio.create_task(put(store, bytes(1_000)))
    await asyncio.to_thread(begun.wait)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert await store.names(MAIN) == []
    await store.close()


async def test_more_transfers_than_may_be_are_refused_before_their_first_byte(tmp_path, monkeypatch):
    monkeypatch.setattr(blobs, "TRANSFERS", 3)
    store, go_on = FileBlobStore(lambda: tmp_path), asyncio.Event()

    async def slow():
        yield b"first"
        await go_on.wait()
        yield b"second"

    running = [asyncio.create_task(store.put(MAIN, slow(), media_type=MEDIA_TYPE)) for _ in range(3)]
    await asyncio.sleep(0.1)
    with pytest.raises(Overloaded):
        await put(store, b"one too many")
    go_on.set()
    assert len(await asyncio.gather(*running)) == 3
    await put(store, b"room again")
    assert len(leftovers(tmp_path)) == 4
    await store.close()


async def test_a_caller_that_leaves_at_once_leaves_no_file(tmp_path):
    store = FileBlobStore(lambda: tmp_path)
    for delay in (0, 0.0005, 0.001, 0.002, 0.005):
        call = asyncio.create_task(put(store, bytes(100_000)))
        await asyncio.sleep(delay)
        call.cancel()
        await asyncio.gather(call, return_exceptions=True)
    await store.close()
    assert [path for path in leftovers(tmp_path) if path.name.startswith(".part-")] == []


async def test_a_directory_that_cannot_be_used_is_no_internal_error(tmp_path):
    (tmp_path / "acme").write_text("a file where a directory should be")
    store = FileBlobStore(lambda: tmp_path)
    with pytest.raises(DependencyUnavailable):
        await put(store, b"x")
    assert not store.healthy
    (tmp_path / "acme").unlink()
    await put(store, b"x")
    assert store.healthy
    await store.close()


async def test_wrong_keys_are_no_missing_blob():
    url, _ = (await asyncio.to_thread(shared_server)).bucket()
    store = S3BlobStore(url, access_key=ACCESS_KEY, secret_key="wrong-secret", installation=lambda: "one")
    with pytest.raises(DependencyUnavailable):
        await put(store, b"x")
    await store.close()


@pytest.mark.parametrize("url", ["minio:9000/memos", "http://minio:9000", "http://me:pw@minio/b", "http://minio/a/b"])
def test_an_address_without_a_bucket_is_refused(url):
    with pytest.raises(InvalidField):
        S3BlobStore(url, access_key="a", secret_key="b", installation=lambda: "one")


async def test_an_address_gives_the_bytes_to_whoever_has_it_and_only_of_this_blob(store):
    """Where the store has no addresses, it says so by an empty one."""
    blob, other = [await store.put(MAIN, chunks(data), media_type=MEDIA_TYPE) for data in (b"one", b"other")]
    address = await store.address(MAIN, blob)
    assert bool(address) is isinstance(store, S3BlobStore)
    if not address:
        return
    read = partial(asyncio.to_thread, fetched)
    assert await read(address) == b"one"
    for changed in (address.replace(blob.name, other.name), address.split("?")[0]):
        with pytest.raises(urllib.error.HTTPError):
            await read(changed)
    await store.remove(MAIN, blob.name)
    with pytest.raises(urllib.error.HTTPError):
        await read(address)


async def test_no_address_is_given_where_the_setting_forbids_it():
    url, _ = (await asyncio.to_thread(shared_server)).bucket()
    store = S3BlobStore(url, access_key=ACCESS_KEY, secret_key=SECRET_KEY, installation=lambda: "one", direct=False)
    blob = await store.put(MAIN, chunks(b"one"), media_type=MEDIA_TYPE)
    assert await store.address(MAIN, blob) == ""
    await store.close()


def fetched(address):
    with urllib.request.urlopen(address, timeout=10) as answer:
        return answer.read()
