"""What every BlobRegistry and BlobLedger does."""

from datetime import timedelta

import pytest

from memos_kernel.cube import BlobRef
from memos_kernel.ids import uuid7
from memos_kernel.names import PurgeName
from memos_storage.domain.blobs import StoredBlob
from memos_storage.domain.purges import Purge
from memos_storage.domain.quotas import NONE as UNLIMITED
from memos_storage.domain.revisions import first_revision
from storage_cubes import BEN, FOREIGN, MAIN, NOTES, NOW, adapter


def blob(**fields):
    values = {"name": uuid7(), "size_bytes": 16, "sha256": "ab" * 32, "media_type": "application/vnd.safetensors"}
    return BlobRef(**{**values, **fields})


async def staged(store, vault=MAIN, *, now=NOW):
    made = blob()
    assert await store.blobs.stage(vault, made, most=10, quota=UNLIMITED, now=now)
    return made


async def taken(store, made):
    cube = first_revision(adapter(made), uid=uuid7(), owner=BEN, now=NOW, provenance_id="p", trace=None)

    def command(tx):
        assert tx.blobs.free(MAIN, made.name)
        tx.insert(cube, vector=None)
        tx.blobs.take(made.name, cube.uid)

    await store.catalog.write(command)
    return cube


async def test_a_blob_waits_for_a_cube_of_its_vault_with_every_field(store):
    made = blob(size_bytes=2**40)
    assert await store.blobs.stage(MAIN, made, most=1, quota=UNLIMITED, now=NOW)
    assert not await store.blobs.stage(MAIN, blob(), most=1, quota=UNLIMITED, now=NOW)
    assert await store.blobs.stage(NOTES, blob(), most=1, quota=UNLIMITED, now=NOW)
    assert await store.blobs.find(MAIN, made.name) == made
    assert await store.blobs.find(NOTES, made.name) is None
    assert await store.blobs.find(FOREIGN, made.name) is None
    assert await store.blobs.find(MAIN, uuid7()) is None
    assert [await store.blobs.staged(vault) for vault in (MAIN, NOTES)] == [1, 1]
    assert set(await store.blobs.vaults()) == {MAIN, NOTES}


async def test_a_blob_is_taken_once_and_by_its_vault(store):
    made = await staged(store)
    assert not await store.catalog.write(lambda tx: tx.blobs.free(NOTES, made.name))
    await taken(store, made)
    assert not await store.catalog.write(lambda tx: tx.blobs.free(MAIN, made.name))
    assert await store.blobs.find(MAIN, made.name) is None
    assert await store.blobs.staged(MAIN) == 0
    assert {one.name for one in await store.blobs.held(MAIN)} == {made.name}


async def test_what_no_cube_takes_has_to_leave_and_is_forgotten_only_then(store):
    old, young, used = await staged(store), await staged(store, now=NOW + timedelta(hours=2)), await staged(store)
    await taken(store, used)
    await store.blobs.expire(before=NOW + timedelta(hours=1))
    assert await store.blobs.gone(purge=None, limit=10) == [StoredBlob(MAIN, old.name)]
    assert await store.blobs.find(MAIN, old.name) is None
    assert not await store.catalog.write(lambda tx: tx.blobs.free(MAIN, old.name))
    assert await store.blobs.known(MAIN) == {old.name, young.name, used.name}
    assert {one.name for one in await store.blobs.held(MAIN)} == {young.name, used.name}
    await store.blobs.forget([StoredBlob(MAIN, name) for name in (old.name, young.name, used.name)])
    assert await store.blobs.known(MAIN) == {young.name, used.name}
    assert await store.blobs.gone(purge=None, limit=10) == []


async def test_the_blobs_of_a_purge_have_to_leave_before_it_ends(store):
    made, copy = await staged(store), await staged(store)
    other = blob(sha256="cd" * 32)
    await store.blobs.stage(MAIN, other, most=10, quota=UNLIMITED, now=NOW)
    elsewhere = await staged(store, NOTES)
    cube = await taken(store, made)
    name = PurgeName("acme", "p1")
    purge = Purge(name=name, vault=MAIN, principal=BEN, reason="", cubes=1, create_time=NOW)
    await store.catalog.write(lambda tx: tx.purges.add(purge, [cube.uid]))
    assert await store.blobs.gone(purge=name, limit=10) == []
    await store.catalog.write(lambda tx: tx.purges.erase(name, limit=10, now=NOW))
    equal = sorted([made.name, copy.name])  # nothing with these bytes may stay in the vault
    assert await store.blobs.gone(purge=name, limit=10) == [StoredBlob(MAIN, blob) for blob in equal]
    assert await store.blobs.gone(purge=None, limit=10) == []  # the sweep leaves it to the purge
    assert {one.name for one in await store.blobs.held(MAIN)} == {other.name}
    assert {one.name for one in await store.blobs.held(NOTES)} == {elsewhere.name}


async def test_a_blob_that_nobody_will_take_is_let_go(store):
    made, used = await staged(store), await staged(store)
    await taken(store, used)
    for one in (made, used):
        await store.catalog.write(lambda tx, name=one.name: tx.blobs.drop(name))
    assert await store.blobs.gone(purge=None, limit=10) == [StoredBlob(MAIN, made.name)]
    assert {one.name for one in await store.blobs.held(MAIN)} == {used.name}


async def test_a_command_that_fails_takes_nothing(store):
    made = await staged(store)

    def command(tx):
        tx.blobs.take(made.name, uuid7())
        raise RuntimeError

    with pytest.raises(RuntimeError):
        await store.catalog.write(command)
    assert await store.blobs.find(MAIN, made.name) == made
