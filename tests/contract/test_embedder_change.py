"""What every catalogue knows of embedders: which one searches go by, and which texts have no vector of another."""

from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest

from memos_kernel.cube import BlobRef
from memos_kernel.errors import InvalidField, LimitExceeded, MissingField, Overloaded
from memos_kernel.ids import uuid7
from memos_kernel.names import PurgeName
from memos_storage.domain import revisions
from memos_storage.domain.purges import Purge
from memos_storage.domain.revisions import first_revision
from memos_storage.domain.values import PointId
from memos_storage.usecases import create_cubes
from memos_storage.usecases.embed_texts import AdoptEmbedder, ListTexts, PutVectors
from storage_cubes import (
    BEN,
    EMBEDDER,
    FOREIGN,
    MAIN,
    NOW,
    Clock,
    adapter,
    change,
    grant,
    put,
    retold,
    stored,
    vector,
)

NEW = "new@2"
OWN = grant(MAIN, all_vaults=True)


async def texts(store, embedder=NEW, *, past=False, limit=99, by=OWN):
    """Return the texts without a vector, over all pages."""
    listed, after = [], None
    while True:
        cubes, after = await ListTexts(texts=store.bare)(embedder, past=past, after=after, limit=limit, grant=by)
        listed += [(cube.text, cube.revision) for cube in cubes]
        if after is None:
            return listed


async def give(store, *cubes, seed=50, embedder=NEW, by=OWN):
    """Give texts a vector of the new embedder; return how many are new."""
    vectors = [(PointId(cube.uid, cube.revision), vector(seed + index, embedder)) for index, cube in enumerate(cubes)]
    return await PutVectors(catalog=store.catalog, clock=Clock())(vectors, grant=by)


async def adopt(store, embedder=NEW):
    return await AdoptEmbedder(texts=store.bare, catalog=store.catalog)(embedder)


async def test_the_first_vector_decides_what_searches_go_by(store):
    assert await store.catalog.embedder() == ""
    await put(store, stored("no vector"))
    assert await store.catalog.embedder() == ""
    await put(store, stored("tea"), seed=1)
    assert await store.catalog.embedder() == EMBEDDER


async def test_texts_of_now_and_of_before_are_listed_once_and_page_by_page(store):
    first = stored("in Oslo")
    await put(store, first, *(stored(f"note {number}") for number in range(5)), seed=1)
    second = retold(first, "in Rome", now=NOW + timedelta(hours=1))
    await change(store, second, content=True, seed=9)
    await change(store, replace(revisions.next_revision(second, now=NOW + timedelta(hours=2)), priority=3))
    await put(store, stored("foreign", FOREIGN), seed=20)
    now = [("in Rome", 2), *((f"note {number}", 1) for number in range(5))]
    assert sorted(await texts(store, limit=2)) == sorted(now)
    assert sorted(await texts(store, past=True, limit=3)) == sorted([("in Oslo", 1), *now])
    assert await texts(store, EMBEDDER, past=True) == []


async def test_what_is_deleted_is_embedded_too_and_what_is_erased_or_no_text_is_not(store):
    gone, erased = stored("tea"), stored("piano")
    await put(store, gone, erased, seed=1)
    await change(store, revisions.deleted(gone, now=NOW + timedelta(hours=1)))
    blob = BlobRef(uuid7(), 3, "d" * 64, "application/vnd.safetensors")
    made = first_revision(adapter(blob), uid=uuid7(), owner=BEN, now=NOW, provenance_id="p", trace=None)
    await put(store, made)
    purge = Purge(name=PurgeName(MAIN.tenant, "p"), vault=MAIN, principal=BEN, reason="", cubes=1, create_time=NOW)
    await store.catalog.write(lambda tx: tx.purges.add(purge, [erased.uid]))
    assert await texts(store) == [("tea", 1)]
    assert await give(store, erased) == 0
    assert not await store.bare.any(NEW)


async def test_vectors_are_stored_once_and_go_to_the_index_if_the_text_is_that_of_now(store):
    first = stored("in Oslo")
    await put(store, first, seed=1)
    second = retold(first, "in Rome", now=NOW + timedelta(hours=1))
    await change(store, second, content=True, seed=2)
    await store.outbox.settle(await store.outbox.claim(limit=9, lease_seconds=9, now=NOW + timedelta(hours=2)))
    assert await give(store, first, second) == 2
    assert await give(store, first, second) == 0
    claim = await store.outbox.claim(limit=9, lease_seconds=9, now=NOW + timedelta(hours=3))
    assert [(entry.embedder, entry.point.id, entry.gone) for entry in claim.entries] == [
        (NEW, PointId(first.uid, 2), None)
    ]
    assert np.array_equal(claim.entries[0].point.vector.values, vector(51, NEW).values)
    assert await texts(store, past=True) == []


@pytest.mark.parametrize("change_of", ["no cube", "no such revision", "no text came with it", "another tenant"])
async def test_a_vector_of_a_text_that_is_not_there_is_left_out(store, change_of):
    cube = stored("tea")
    await put(store, cube, seed=1)
    later = replace(revisions.next_revision(cube, now=NOW + timedelta(hours=1)), priority=3)
    await change(store, later)
    asked = {
        "no cube": replace(cube, uid=uuid7()),
        "no such revision": replace(cube, revision=7),
        "no text came with it": later,
        "another tenant": cube,
    }[change_of]
    by = grant(FOREIGN, all_vaults=True) if change_of == "another tenant" else OWN
    assert await give(store, asked, by=by) == 0
    assert await texts(store) == [("tea", 1)]


async def test_an_embedder_is_adopted_once_every_text_that_can_be_found_has_its_vector(store):
    here, there, gone = stored("tea"), stored("piano", FOREIGN), stored("deleted")
    await put(store, here, there, gone, seed=1)
    await change(store, revisions.deleted(gone, now=NOW + timedelta(hours=1)))
    assert not await adopt(store)
    await give(store, here)
    assert not await adopt(store)  # another tenant's text has none
    assert await store.catalog.embedder() == EMBEDDER
    await give(store, there, by=grant(FOREIGN, all_vaults=True))
    assert await adopt(store)
    assert await adopt(store)
    assert await store.catalog.embedder() == NEW
    await put(store, stored("later"), seed=9)
    assert await store.catalog.embedder() == NEW
    assert await texts(store) == [("deleted", 1), ("later", 1)]


async def test_an_empty_installation_adopts_nothing(store):
    assert not await adopt(store)
    assert await store.catalog.embedder() == ""


async def test_of_several_vectors_of_a_text_that_of_the_current_embedder_comes_back(store):
    cube = stored("tea")
    await put(store, cube, seed=1)
    await give(store, cube)

    def chosen(tx):
        return tx.vector(cube.uid, 1).embedder

    assert await store.catalog.write(chosen) == EMBEDDER
    assert await adopt(store)
    assert await store.catalog.write(chosen) == NEW


async def test_a_text_with_two_vectors_leaves_both_collections_when_it_changes(store):
    cube = stored("tea")
    await put(store, cube, seed=1)
    await give(store, cube)
    await store.outbox.settle(await store.outbox.claim(limit=9, lease_seconds=9, now=NOW + timedelta(hours=1)))
    await change(store, retold(cube, "coffee", now=NOW + timedelta(hours=2)), content=True, seed=3)
    claim = await store.outbox.claim(limit=9, lease_seconds=9, now=NOW + timedelta(hours=3))
    assert {(entry.embedder, entry.gone, entry.point is not None) for entry in claim.entries} == {
        (EMBEDDER, PointId(cube.uid, 1), True),
        (NEW, PointId(cube.uid, 1), False),
    }


async def test_what_cannot_be_done_is_said(store, monkeypatch):
    cube = stored("tea")
    await put(store, cube, seed=1)
    place = PointId(cube.uid, 1)
    put_vectors = PutVectors(catalog=store.catalog, clock=Clock())
    listing = ListTexts(texts=store.bare)
    with pytest.raises(MissingField):
        await put_vectors([], grant=OWN)
    with pytest.raises(LimitExceeded):
        await put_vectors([(place, vector(1, NEW))] * 257, grant=OWN)
    with pytest.raises(InvalidField, match="normalise"):
        await put_vectors([(place, replace(vector(1, NEW), values=vector(1).values * 2))], grant=OWN)
    await give(store, cube)
    with pytest.raises(InvalidField, match="elements"):
        await put_vectors([(place, vector(1, NEW, 4))], grant=OWN)
    for limit, error in ((0, InvalidField), (257, LimitExceeded)):
        with pytest.raises(error):
            await listing(NEW, past=False, after=None, limit=limit, grant=OWN)
    with pytest.raises(MissingField):
        await listing("", past=False, after=None, limit=1, grant=OWN)
    with pytest.raises(MissingField):
        await adopt(store, "")
    monkeypatch.setattr(create_cubes.limits, "PENDING_ROWS", 1)
    with pytest.raises(Overloaded):
        await give(store, stored("x"), stored("y"))
