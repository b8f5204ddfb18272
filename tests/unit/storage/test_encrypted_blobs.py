"""Blobs that the store cannot read."""

import base64
import hashlib
import random

import pytest

from memos_kernel.errors import DataCorrupted, DependencyUnavailable, InvalidField, StoreFull
from memos_storage.adapters.blob_cipher import SEALED_SEGMENT, SEGMENT, store_keys
from memos_storage.adapters.encrypted_blobs import EncryptedBlobStore
from memos_storage.adapters.memory import MemoryBlobKeys, MemoryBlobStore
from storage_cubes import MAIN

OLD, NEW = bytes(range(32)), bytes(range(1, 33))
DATA = random.Random(5).randbytes(2 * SEGMENT + 77)


@pytest.fixture
def bare():
    return MemoryBlobStore()


@pytest.fixture
def keys():
    return MemoryBlobKeys()


@pytest.fixture
def store(bare, keys):
    return EncryptedBlobStore(bare, keys, [OLD])


async def chunks(data, size=400_000):
    for start in range(0, len(data), size):
        yield data[start : start + size]


async def put(store, data=DATA):
    return await store.put(MAIN, chunks(data), media_type="application/vnd.safetensors")


async def read(store, blob, **part):
    return b"".join([chunk async for chunk in store.get(MAIN, blob, **part)])


async def test_the_store_holds_nothing_that_it_could_read(store, bare, keys):
    blob = await put(store, b"a planted secret" * 1_000)
    (stored,) = bare.bytes.values()
    assert b"planted" not in stored
    assert keys.keys[MAIN, blob.name].sealed_sha256 == hashlib.sha256(stored).hexdigest()
    assert len(keys.keys[MAIN, blob.name].wrapped) == 40
    assert (blob.size_bytes, blob.sha256) == (16_000, hashlib.sha256(b"a planted secret" * 1_000).hexdigest())


async def test_equal_bytes_are_stored_as_different_ones(store, bare):
    await put(store)
    await put(store)
    assert len(set(bare.bytes.values())) == 2


@pytest.mark.parametrize("place", [0, SEGMENT, SEALED_SEGMENT, 2 * SEALED_SEGMENT + 92])
@pytest.mark.parametrize("part", [{}, {"offset": 1}])
async def test_every_flipped_byte_of_what_is_read_is_noticed(store, bare, place, part):
    blob = await put(store)
    stored = bytearray(bare.bytes[MAIN, blob.name])
    stored[place] ^= 1
    bare.bytes[MAIN, blob.name] = bytes(stored)
    with pytest.raises(DataCorrupted):
        await read(store, blob, **part)


async def test_segments_that_changed_their_places_are_noticed(store, bare):
    blob = await put(store)
    stored = bare.bytes[MAIN, blob.name]
    one, two = stored[:SEALED_SEGMENT], stored[SEALED_SEGMENT : 2 * SEALED_SEGMENT]
    bare.bytes[MAIN, blob.name] = two + one + stored[2 * SEALED_SEGMENT :]
    with pytest.raises(DataCorrupted):
        await read(store, blob, offset=5, limit=10)


async def test_a_blob_whose_key_went_cannot_be_read_from_a_copy(store, bare, keys):
    blob = await put(store)
    copy = bare.bytes[MAIN, blob.name]
    await store.remove(MAIN, blob.name)
    assert not keys.keys
    bare.bytes[MAIN, blob.name] = copy
    with pytest.raises(DataCorrupted):
        await read(store, blob)


async def test_the_key_goes_also_if_the_bytes_went_before_a_crash(store, bare, keys):
    blob = await put(store)
    bare.bytes.clear()
    assert not await store.remove(MAIN, blob.name)
    assert not keys.keys


async def test_what_was_stored_before_stays_readable(bare, keys):
    plain = await put(EncryptedBlobStore(bare, keys, []))
    assert bare.bytes[MAIN, plain.name] == DATA
    assert await read(EncryptedBlobStore(bare, keys, [OLD]), plain) == DATA


async def test_a_new_key_of_the_store_reads_on_with_the_old_one_beside_it(bare, keys, store):
    blob = await put(store)
    assert await read(EncryptedBlobStore(bare, keys, [NEW, OLD]), blob) == DATA
    newer = await put(EncryptedBlobStore(bare, keys, [NEW, OLD]))
    assert await read(EncryptedBlobStore(bare, keys, [NEW]), newer) == DATA


@pytest.mark.parametrize("given", [[], [NEW]])
async def test_without_the_key_of_the_store_it_is_said_what_is_missing(bare, keys, store, given):
    blob = await put(store)
    with pytest.raises(DependencyUnavailable, match=r"storage\.blobs_key"):
        await read(EncryptedBlobStore(bare, keys, given), blob)


async def test_nobody_is_sent_to_the_store_for_what_is_encrypted(bare, keys, store, monkeypatch):
    async def address(vault, blob):
        return "http://store/blob"

    monkeypatch.setattr(bare, "address", address)
    plain, hidden = await put(EncryptedBlobStore(bare, keys, [])), await put(store)
    assert await store.address(MAIN, plain) == "http://store/blob"
    assert await store.address(MAIN, hidden) == ""


async def test_a_key_that_cannot_be_kept_leaves_no_blob(bare, keys, store, monkeypatch):
    async def add(vault, name, key):
        raise StoreFull("no room", store="catalogue")

    monkeypatch.setattr(keys, "add", add)
    with pytest.raises(StoreFull):
        await put(store)
    assert not bare.bytes


async def test_a_receipt_says_that_copies_cannot_be_read(store, bare, keys):
    assert "keys" in (await store.scrub()).done
    assert "keys" not in (await EncryptedBlobStore(bare, keys, []).scrub()).done


def test_keys_of_the_store_are_base64_of_32_bytes():
    one, two = (base64.b64encode(key).decode() for key in (OLD, NEW))
    assert store_keys("") == []
    assert store_keys(f"{two}, {one}") == [NEW, OLD]


@pytest.mark.parametrize("text", ["x", "c2hvcnQ=", "not base64!", base64.b64encode(bytes(33)).decode()])
def test_other_keys_of_the_store_are_refused_without_showing_them(text):
    with pytest.raises(InvalidField, match="32 bytes") as refused:
        store_keys(text)
    assert text == "x" or text not in str(refused.value)
