"""Bytes that come, cubes that take them, and what is swept."""

import asyncio
import hashlib
from dataclasses import replace

import pytest

from memos_kernel import limits
from memos_kernel.blobs import SAFETENSORS
from memos_kernel.errors import (
    CubeNotFound,
    DataCorrupted,
    DuplicateContent,
    InvalidField,
    LimitExceeded,
    StateConflict,
    VaultNotFound,
)
from memos_kernel.ids import uuid7
from memos_storage.domain.blobs import BlobChunk, BlobHeader, StoredBlob
from memos_storage.domain.values import NewCube
from memos_storage.usecases.verify_blobs import VerifyBlobs
from storage_cubes import DIMENSIONS, EMBEDDER, FOREIGN, MAIN, NOTES, adapter, grant, identity, vector
from storage_world import mutation
from tensors import tensors

DATA = tensors(elements=1_000)


def header(data=DATA, vault=MAIN, **fields):
    sha256 = hashlib.sha256(data).hexdigest()
    return replace(BlobHeader(vault, SAFETENSORS, len(data), sha256), **fields)


async def chunks(data, size=700):
    for offset in range(0, len(data), size):
        yield BlobChunk(offset, data[offset : offset + size])


async def upload(world, data=DATA, vault=MAIN):
    return (await world.upload(header(data, vault), chunks(data), grant=grant(vault))).blob


async def create(world, *cubes, vault=MAIN, **options):
    items = [NewCube(cube) for cube in cubes]
    made = await world.create(items, return_existing=False, mutation=mutation(grant(vault)), **options)
    return made.answer.outcomes


async def stored(world, data=DATA, vault=MAIN):
    (outcome,) = await create(world, adapter(await upload(world, data, vault), vault), vault=vault)
    return outcome.cube


async def downloaded(world, cube, *, by=None, **part):
    asked = {"offset": 0, "limit": 0, **part}
    blob, data, _ = await world.download(cube.name, grant=by or grant(cube.vault), **asked)
    return blob, b"".join([chunk async for chunk in data])


async def test_bytes_become_the_payload_of_a_cube_and_come_back(world):
    blob = await upload(world)
    (outcome,) = await create(world, adapter(replace(blob, size_bytes=0, sha256="", media_type="")))
    assert outcome.cube.payload.blob == blob
    assert await downloaded(world, outcome.cube) == (blob, DATA)
    assert (await downloaded(world, outcome.cube, offset=10, limit=5))[1] == DATA[10:15]


@pytest.mark.parametrize("size", [1, 7, 8, 9, 10_000])
async def test_chunks_of_every_size_are_taken(world, size):
    staged = await world.upload(header(), chunks(DATA, size), grant=grant(MAIN))
    assert staged.blob.sha256 == hashlib.sha256(DATA).hexdigest()


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"media_type": "application/x-pickle"}, "header.media_type"),
        ({"size_bytes": -1}, "header.size_bytes"),
        ({"size_bytes": limits.BLOB_BYTES + 1}, "header.size_bytes"),
        ({"size_bytes": len(DATA) - 1}, "chunk.data"),
        ({"sha256": "0" * 64}, "header.sha256"),
        ({"sha256": "xyz"}, "header.sha256"),
    ],
)
async def test_a_header_that_is_wrong_stores_nothing(world, wrong, field):
    with pytest.raises((InvalidField, LimitExceeded)) as refused:
        await world.upload(header(**wrong), chunks(DATA), grant=grant(MAIN))
    assert refused.value.field == field
    assert not world.blobs.bytes
    assert not world.catalog.tables.blobs


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"short",
        b"\x80\x04\x95 a pickle, as torch.save writes it",
        b"\xff" * 100,
        DATA[:-1],
        DATA + b"x",
        (8).to_bytes(8, "little") + b'{"a": 1}',
        (2).to_bytes(8, "little") + b"[]" + bytes(10),
    ],
    ids=["empty", "short", "pickle", "ones", "cut", "longer", "no tensor", "no object"],
)
async def test_what_is_no_whole_safetensors_file_is_refused(world, data):
    with pytest.raises(InvalidField):
        await world.upload(header(data), chunks(data), grant=grant(MAIN))
    assert not world.blobs.bytes


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ([BlobChunk(5, DATA)], "chunk.offset"),
        ([BlobChunk(0, DATA[:9]), BlobChunk(0, DATA[9:])], "chunk.offset"),
        ([BlobChunk(0, DATA[:9]), BlobChunk(9, b"")], "chunk.data"),
        ([BlobChunk(0, bytes(limits.BLOB_CHUNK_BYTES + 1))], "chunk.data"),
        ([BlobChunk(0, DATA[:9])], "header.size_bytes"),
        ([BlobChunk(0, DATA), BlobChunk(len(DATA), b"more")], "header.size_bytes"),
    ],
)
async def test_chunks_that_are_wrong_store_nothing(world, wrong, field):
    async def source():
        for chunk in wrong:
            yield chunk

    with pytest.raises((InvalidField, LimitExceeded)) as refused:
        await world.upload(header(), source(), grant=grant(MAIN))
    assert refused.value.field == field
    assert not world.blobs.bytes


async def test_bytes_go_only_where_the_grant_reaches(world):
    with pytest.raises(VaultNotFound):
        await world.upload(header(), chunks(DATA), grant=grant(NOTES))
    cube = await stored(world)
    for by in (grant(NOTES), grant(FOREIGN)):
        with pytest.raises(CubeNotFound):
            await downloaded(world, cube, by=by)


async def test_a_vault_keeps_a_bounded_number_of_blobs_waiting(world, monkeypatch):
    monkeypatch.setattr(limits, "STAGED_BLOBS", 2)
    await upload(world)
    first = await upload(world)
    with pytest.raises(LimitExceeded):
        await upload(world)
    await create(world, adapter(first))
    await upload(world)


async def test_a_blob_is_for_one_cube_of_its_vault(world):
    blob = await upload(world)
    foreign, absent = adapter(blob, NOTES), adapter(replace(blob, name=uuid7()))
    assert [outcome.error.field for outcome in await create(world, absent)] == ["items[0].cube.parametric.blob.name"]
    assert isinstance((await create(world, foreign, vault=NOTES))[0].error, InvalidField)
    first, second = await create(world, adapter(blob), adapter(blob))
    assert first.created
    assert isinstance(second.error, InvalidField)
    assert isinstance((await create(world, adapter(blob)))[0].error, InvalidField)


async def test_the_same_bytes_twice_are_one_memory(world):
    cube = await stored(world)
    (outcome,) = await create(world, adapter(await upload(world)))
    assert isinstance(outcome.error, DuplicateContent)
    assert outcome.error.metadata["existing"] == str(cube.name)
    assert await world.registry.staged(MAIN) == 0
    assert (await world.sweep_blobs()).removed == 1


async def test_uploads_side_by_side_keep_the_bound_too(world, monkeypatch):
    monkeypatch.setattr(limits, "STAGED_BLOBS", 2)
    results = await asyncio.gather(*(upload(world) for _ in range(6)), return_exceptions=True)
    assert sum(isinstance(result, LimitExceeded) for result in results) == 4
    assert len(world.blobs.bytes) == 2


@pytest.mark.parametrize(
    ("field", "wrong"),
    [
        ("blob.size_bytes", {"blob": {"size_bytes": 3}}),
        ("blob.sha256", {"blob": {"sha256": "0" * 64}}),
        ("blob.media_type", {"blob": {"media_type": "text/plain"}}),
        ("rank", {"rank": 0}),
        ("rank", {"rank": limits.ADAPTER_RANK + 1}),
        ("identity.model", {"identity": {"model": ""}}),
        ("identity.weights_sha256", {"identity": {"weights_sha256": "short"}}),
        ("identity.adapter", {"identity": {"adapter": ""}}),
        ("identity.token_ids_sha256", {"identity": {"token_ids_sha256": "a" * 64}}),
    ],
)
async def test_a_payload_that_could_not_be_used_is_refused_by_field(world, field, wrong):
    cube = adapter(await upload(world))
    payload = replace(cube.payload, **{"rank": wrong["rank"]} if "rank" in wrong else {})
    payload = replace(payload, blob=replace(payload.blob, **wrong.get("blob", {})))
    payload = replace(payload, identity=identity(**wrong.get("identity", {})))
    (outcome,) = await create(world, replace(cube, payload=payload))
    assert outcome.error.field == f"items[0].cube.parametric.{field}"
    assert await world.registry.staged(MAIN) == 1


async def test_only_a_text_has_a_vector(world):
    items = [NewCube(adapter(await upload(world)), vector(1))]
    made = await world.create(items, return_existing=False, mutation=mutation())
    assert made.answer.outcomes[0].error.field == "items[0].embedding"


async def test_a_cube_of_bytes_has_no_text_to_change(world):
    cube = await stored(world)
    with pytest.raises(StateConflict):
        await world.update(replace(cube, payload=None), mask=["plaintext.language"], vector=None, mutation=mutation())
    changed = await world.update(replace(cube, priority=70), mask=["priority"], vector=None, mutation=mutation())
    assert changed.payload == cube.payload


async def test_text_has_no_bytes(world):
    with pytest.raises(InvalidField):
        await downloaded(world, await world.add("a text"))


@pytest.mark.parametrize(
    ("part", "field"), [({"offset": -1}, "offset"), ({"offset": 10**9}, "offset"), ({"limit": -1}, "limit")]
)
async def test_a_part_outside_is_refused(world, part, field):
    with pytest.raises(InvalidField) as refused:
        await downloaded(world, await stored(world), **part)
    assert refused.value.field == field


async def test_damaged_bytes_are_not_handed_out_as_whole(world):
    cube = await stored(world)
    world.blobs.bytes[MAIN, cube.payload.blob.name] = DATA[:-1] + b"\0"
    with pytest.raises(DataCorrupted):
        await downloaded(world, cube)


async def test_lost_bytes_are_told_as_lost_and_a_lost_cube_as_gone(world):
    cube = await stored(world)
    _, data, _ = await world.download(cube.name, offset=0, limit=0, grant=grant(MAIN))
    world.blobs.bytes.clear()
    with pytest.raises(DataCorrupted):
        await anext(data)
    _, data, _ = await world.download(cube.name, offset=0, limit=0, grant=grant(MAIN))
    await world.delete(cube.name, etag="", mutation=mutation())
    with pytest.raises(CubeNotFound):
        await anext(data)


async def test_the_sweep_removes_what_nobody_took_in_time(world):
    cube, blob = await stored(world), await upload(world, tensors(1))
    world.clock.advance(hours=23)
    assert not (await world.sweep_blobs()).removed
    world.clock.advance(hours=2)
    assert (await world.sweep_blobs()).removed == 1
    assert (MAIN, blob.name) not in world.blobs.bytes
    assert (await downloaded(world, cube))[1] == DATA


async def test_the_sweep_removes_old_bytes_without_a_row_and_no_young_ones(world):
    world.clock.time = world.clock.time.replace(year=2027)
    world.blobs.bytes[NOTES, uuid7()] = b"left by a crash"
    assert (await world.sweep_blobs()).removed == 1
    assert not world.blobs.bytes
    young = f"{int(world.clock.time.timestamp() * 1000):012x}"
    name = f"{young[:8]}-{young[8:]}-7000-8000-000000000000"
    world.blobs.bytes[NOTES, name] = b"on its way"
    assert not (await world.sweep_blobs()).removed
    world.clock.advance(hours=3)
    assert (await world.sweep_blobs()).removed == 1


async def test_the_sweep_tells_what_was_lost(world):
    cube = await stored(world)
    world.blobs.bytes.clear()
    assert (await world.sweep_blobs()).lost == (StoredBlob(MAIN, cube.payload.blob.name),)


async def test_lost_and_damaged_blobs_are_named(world):
    sound = await stored(world, tensors(1))
    flipped, lost = await stored(world, tensors(2)), await upload(world, tensors(3), NOTES)
    verify = VerifyBlobs(blobs=world.blobs, registry=world.registry)
    assert await verify() == (3, ())
    name = flipped.payload.blob.name
    data = world.blobs.bytes[MAIN, name]
    world.blobs.bytes[MAIN, name] = data[:-1] + bytes([data[-1] ^ 1])
    del world.blobs.bytes[NOTES, lost.name]
    read, bad = await verify()
    assert read == 3
    assert set(bad) == {StoredBlob(MAIN, name), StoredBlob(NOTES, lost.name)}
    assert sound.payload.blob.name not in {blob.name for blob in bad}


async def test_a_comparison_without_repair_changes_nothing(world):
    await world.add("a text")
    await world.follow()
    world.clock.advance(days=365)
    world.blobs.bytes[MAIN, uuid7()] = b"left by a crash"
    (id,) = await world.index.contents(EMBEDDER, DIMENSIONS, after="", until=None)
    await world.index.remove(EMBEDDER, [id])
    assert (await world.reconcile(repair=False)).missing == 1
    assert (await world.sweep_blobs(repair=False)).removed == 1
    assert len(world.blobs.bytes) == 1
    assert (await world.reconcile()).missing == 1
    assert (await world.reconcile(repair=False)).missing == 0
    assert (await world.sweep_blobs()).removed == 1
    assert not world.blobs.bytes
