"""Limits of vaults: a call fits, or nothing of it is stored."""

import hashlib
from dataclasses import replace
from datetime import timedelta

import pytest

from memos_kernel.blobs import SAFETENSORS
from memos_kernel.cube import Plaintext
from memos_kernel.errors import DuplicateContent, QuotaExceeded, VaultNotFound
from memos_kernel.quotas import VaultQuota
from memos_storage.domain.blobs import BlobChunk, BlobHeader
from memos_storage.usecases.restore_cubes import Restoration
from storage_cubes import FOREIGN, MAIN, NOTES, grant, item, vector
from storage_world import mutation
from tensors import tensors

DATA = tensors(elements=1_000)


def limited(*, cubes=0, size=0, vault=MAIN):
    return replace(grant(MAIN, NOTES), quotas={vault: VaultQuota(cubes, size)})


async def create(world, *texts, by, vault=MAIN, existing=False, **fields):
    items = [item(text, number, vault, **fields) for number, text in enumerate(texts)]
    made = await world.create(items, return_existing=existing, mutation=mutation(by))
    return made.answer.outcomes


async def retell(world, cube, text, by):
    wanted = replace(cube, payload=Plaintext(text), etag="")
    return await world.update(wanted, mask=["plaintext.text"], vector=vector(9), mutation=mutation(by))


async def upload(world, by, vault=MAIN):
    async def chunks():
        yield BlobChunk(0, DATA)

    header = BlobHeader(vault, SAFETENSORS, len(DATA), hashlib.sha256(DATA).hexdigest())
    return await world.upload(header, chunks(), grant=by)


async def test_a_call_fits_or_nothing_of_it_is_stored(world):
    await create(world, "zero", by=limited(cubes=3))
    with pytest.raises(QuotaExceeded) as caught:
        await create(world, "one", "two", "three", by=limited(cubes=3))
    assert caught.value.metadata == {"vault": str(MAIN), "unit": "cubes", "limit": "3", "used": "1"}
    assert caught.value.retry_after is None
    assert (await world.usage(MAIN, grant=grant(MAIN))).cubes == 1
    assert len(await create(world, "one", "two", by=limited(cubes=3))) == 2


async def test_what_comes_twice_in_a_call_or_is_there_takes_no_room(world):
    by = limited(cubes=2)
    await create(world, "zero", by=by)
    outcomes = await create(world, "zero", "one", "one", by=by, existing=True)
    assert [outcome.created for outcome in outcomes].count(True) == 1
    assert (await world.usage(MAIN, grant=grant(MAIN))).cubes == 2


async def test_content_whose_time_is_over_takes_room_when_it_comes_again(world):
    by = limited(cubes=1)
    await create(world, "zero", by=by, expire_time=world.clock.now() + timedelta(minutes=1))
    world.clock.advance(minutes=2)
    with pytest.raises(QuotaExceeded):
        await create(world, "zero", by=by)


async def test_bytes_are_those_of_utf_8_up_to_the_last(world):
    assert [outcome.created for outcome in await create(world, "äöü", by=limited(size=6))] == [True]
    with pytest.raises(QuotaExceeded) as caught:
        await create(world, "a", by=limited(size=6))
    assert caught.value.metadata["unit"] == "bytes"


async def test_a_limit_of_one_vault_is_none_of_another(world):
    by = limited(cubes=1)
    await create(world, "one", by=by)
    assert [outcome.created for outcome in await create(world, "one", "two", by=by, vault=NOTES)] == [True, True]


async def test_what_a_full_vault_holds_already_is_still_named(world):
    by = limited(cubes=1)
    (first,) = await create(world, "one", by=by)
    (again,) = await create(world, "one", by=by)
    assert isinstance(again.error, DuplicateContent)
    (known,) = await create(world, "one", by=by, existing=True)
    assert (known.cube.uid, known.created) == (first.cube.uid, False)


async def test_what_is_deleted_counts_until_it_is_erased(world):
    by = limited(cubes=1)
    (first,) = await create(world, "one", by=by)
    await world.delete(first.cube.name, etag="", mutation=mutation(by))
    with pytest.raises(QuotaExceeded):
        await create(world, "two", by=by)
    back = await world.undelete(first.cube.name, etag="", mutation=mutation(by))
    assert back.delete_time is None


async def test_a_text_may_shrink_and_not_grow_beyond_the_limit(world):
    cube = await world.add("seven b")
    tight = limited(size=3)
    with pytest.raises(QuotaExceeded):
        await retell(world, cube, "eight by", tight)
    assert (await world.find(cube)).text == "seven b"
    assert (await retell(world, cube, "short", tight)).text == "short"
    with pytest.raises(QuotaExceeded):
        await world.roll_back(cube.name, revision=1, etag="", vector=None, mutation=mutation(tight))
    assert (await world.find(cube)).revision == 2


async def test_a_change_of_labels_needs_no_room(world):
    cube = await world.add("seven b")
    wanted = replace(cube, labels={"topic": "home"}, etag="")
    changed = await world.update(wanted, mask=["labels"], vector=None, mutation=mutation(limited(cubes=1, size=1)))
    assert changed.labels == {"topic": "home"}


async def test_bytes_of_a_blob_are_refused_before_they_come(world):
    with pytest.raises(QuotaExceeded):
        await upload(world, limited(size=len(DATA) - 1))
    assert await world.blobs.vaults() == []
    await upload(world, limited(size=len(DATA)))
    assert (await world.usage(MAIN, grant=grant(MAIN))).bytes == len(DATA)


async def test_bytes_for_which_others_were_faster_leave_the_store(world, monkeypatch):
    by, stage = limited(size=len(DATA)), world.registry.stage

    async def overtaken(*args, **options):
        await create(world, "faster", by=grant(MAIN))
        return await stage(*args, **options)

    monkeypatch.setattr(world.registry, "stage", overtaken)
    with pytest.raises(QuotaExceeded):
        await upload(world, by)
    assert await world.blobs.names(MAIN) == []


async def test_a_way_back_to_longer_texts_leaves_those_that_do_not_fit(world):
    cube = await world.add("a long text")
    world.clock.advance(minutes=1)
    then = world.clock.now()
    world.clock.advance(minutes=1)
    await retell(world, cube, "short", grant(MAIN))
    world.clock.advance(minutes=1)
    wanted = Restoration(vault=MAIN, as_of=then, begun=world.clock.now() + timedelta(seconds=1))
    page = await world.restore.bring_back(wanted, after="", limit=9, mutation=mutation(limited(size=6)))
    assert (page.changed, page.skipped) == (0, (cube.name,))
    page = await world.restore.bring_back(wanted, after="", limit=9, mutation=mutation(limited(size=60)))
    assert (page.changed, page.skipped) == (1, ())


async def test_what_a_vault_holds_is_told_to_those_who_may_see_it(world):
    with pytest.raises(VaultNotFound):
        await world.usage(FOREIGN, grant=grant(MAIN))
