"""What every catalogue counts of a vault, and which of its cubes the vector index has."""

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest

from memos_kernel.cube import BlobRef, State, Usage
from memos_kernel.errors import DuplicateContent, QuotaExceeded
from memos_kernel.ids import uuid7
from memos_kernel.quotas import VaultQuota, VaultUsage
from memos_kernel.states import COLD
from memos_storage.domain import revisions
from memos_storage.domain.filters import CubeFilter
from storage_cubes import EMBEDDER, MAIN, NOTES, NOW, put, retold, scope, selected, stored, vector

LATER = NOW + timedelta(minutes=1)
UNLIMITED = VaultQuota()


def blob(size):
    return BlobRef(uuid7(), size, "ab" * 32, "application/vnd.safetensors")


def moved(cube, state):
    return revisions.moved(cube, state=state, frozen=cube.frozen, now=LATER)


async def replaced(store, cube, **options):
    await store.catalog.write(lambda tx: tx.replace(cube, **options))
    return cube


async def drained(store):
    """Return the points that the outbox tells of, those that go, and empty it."""
    claim = await store.outbox.claim(limit=100, lease_seconds=10, now=NOW + timedelta(hours=1))
    assert await store.outbox.settle(claim)
    return (
        {(entry.point.uid, entry.point.revision) for entry in claim.entries if entry.point is not None},
        {tuple(entry.gone) for entry in claim.entries if entry.gone is not None},
    )


async def held(store, *cubes):
    points = await store.outbox.points(EMBEDDER, [cube.uid for cube in cubes])
    return {(point.uid, point.revision) for point in points}


async def test_a_vault_of_which_nothing_is_stored_holds_nothing(store):
    assert await store.catalog.usage(MAIN) == VaultUsage()


async def test_texts_and_cubes_are_counted_until_they_are_erased(store):
    short, long = stored("ä"), stored("Nora moved to Oslo.")
    await put(store, short, long, stored("elsewhere", NOTES))
    assert await store.catalog.usage(MAIN) == VaultUsage(cubes=2, bytes=2 + 19)
    grown = await replaced(store, retold(short, "äö"), vector=vector(7), content=True)
    assert (await store.catalog.usage(MAIN)).bytes == 4 + 19
    await replaced(store, revisions.deleted(grown, now=LATER))
    await replaced(store, moved(long, State.ARCHIVED))
    assert await store.catalog.usage(MAIN) == VaultUsage(cubes=2, bytes=4 + 19, cold_cubes=1, deleted_cubes=1)
    inside = await store.catalog.write(lambda tx: tx.usage(MAIN))
    assert (inside.cubes, inside.bytes) == (2, 4 + 19)


async def test_a_transaction_sees_its_own_growth(store):
    def work(tx):
        before = tx.usage(MAIN)
        tx.insert(stored("abc"), vector=vector(1))
        return before, tx.usage(MAIN)

    before, after = await store.catalog.write(work)
    assert (before.cubes, before.bytes) == (0, 0)
    assert (after.cubes, after.bytes) == (1, 3)


async def test_what_is_refused_is_not_counted(store):
    first, second = stored("same"), stored("other text")
    await put(store, first, second)

    def work(tx):
        with pytest.raises(DuplicateContent):
            tx.insert(stored("same"), vector=vector(3))
        with pytest.raises(DuplicateContent):
            tx.replace(retold(second, "same"), vector=vector(4), content=True)

    await store.catalog.write(work)
    assert await store.catalog.usage(MAIN) == VaultUsage(cubes=2, bytes=14)


async def test_blobs_count_from_when_they_come(store):
    one = blob(100)
    assert await store.blobs.stage(MAIN, one, most=9, quota=UNLIMITED, now=NOW)
    assert (await store.catalog.usage(MAIN)).bytes == 100
    with pytest.raises(QuotaExceeded) as caught:
        await store.blobs.stage(MAIN, blob(51), most=9, quota=VaultQuota(0, 150), now=NOW)
    assert caught.value.metadata["limit"] == "150"
    assert await store.blobs.stage(MAIN, blob(50), most=9, quota=VaultQuota(0, 150), now=NOW)
    await store.catalog.write(lambda tx: tx.blobs.drop(one.name))
    assert (await store.catalog.usage(MAIN)).bytes == 50


@pytest.mark.parametrize("state", sorted(COLD))
async def test_a_cube_that_goes_cold_leaves_the_index_and_comes_back_as_another_point(store, state):
    cube = stored("Nora moved to Oslo.")
    await put(store, cube, seed=1)
    await drained(store)
    cold = await replaced(store, moved(cube, state))
    assert await held(store, cube) == set()
    assert await store.outbox.expected(EMBEDDER, after="", limit=9) == []
    assert await drained(store) == (set(), {(cube.uid, 1)})
    assert [batch async for batch in store.outbox.indexed() if batch] == []
    if state is State.EXPIRED:
        cold = await replaced(store, moved(cold, State.ARCHIVED))
        await drained(store)
    warm = await replaced(store, moved(cold, State.ACTIVATED))
    assert await held(store, cube) == {(cube.uid, warm.revision)}
    assert (await drained(store))[0] == {(cube.uid, warm.revision)}
    (row,) = (await store.catalog.get([cube.name], scope(MAIN))).values()
    assert (row.cube.text, row.content_revision) == (cube.text, warm.revision)


async def test_a_record_is_not_in_the_index_and_neither_is_its_new_text(store):
    record = stored("Nora moved to Oslo.", state=State.ARCHIVED)
    await put(store, record, seed=1)
    assert await drained(store) == (set(), set())
    await replaced(store, retold(record, "Nora moved to Bergen."), vector=vector(2), content=True)
    assert (await drained(store))[0] == set()
    assert await held(store, record) == set()


async def test_a_cold_cube_is_found_in_the_catalogue_with_its_vector(store):
    cube = stored("Nora moved to Oslo.")
    await put(store, cube, seed=1)
    await replaced(store, moved(cube, State.ARCHIVED))
    archive = selected(scope(MAIN), CubeFilter(states=frozenset({State.ARCHIVED})))
    (hit,) = await store.catalog.nearest(vector(1), archive, bound=9, limit=9)
    assert (hit.uid, hit.score) == (cube.uid, pytest.approx(1.0, abs=1e-5))


async def test_old_and_idle_cubes_are_listed_the_oldest_first(store):
    ages = (9, 6, 3)
    cubes = [stored(f"{age} days", now=NOW - timedelta(days=age)) for age in ages]
    frozen = replace(stored("frozen", now=NOW - timedelta(days=20)), frozen=True)
    record = stored("record", now=NOW - timedelta(days=20), state=State.ARCHIVED)
    await put(store, *reversed(cubes), frozen, record, stored("other", NOTES, now=NOW - timedelta(days=9)))

    async def listed(**rule):
        rule = {"made_before": None, "idle_since": None, "limit": 9, **rule}
        return [row.cube.text for row in await store.catalog.aged(MAIN, **rule)]

    assert await listed(made_before=NOW - timedelta(days=5)) == ["record", "9 days", "6 days"]
    assert await listed(made_before=NOW - timedelta(days=5), limit=2) == ["record", "9 days"]
    assert await listed(idle_since=NOW - timedelta(days=5)) == ["9 days", "6 days"]
    await store.catalog.write(lambda tx: tx.set_usage(cubes[0].uid, Usage(1, NOW - timedelta(days=1), 1.0)))
    assert await listed(idle_since=NOW - timedelta(days=5)) == ["6 days"]
    await replaced(store, revisions.deleted(cubes[1], now=NOW))
    assert await listed(idle_since=NOW - timedelta(days=5)) == []
    assert await listed(made_before=NOW - timedelta(days=5)) == ["record", "9 days"]


async def test_of_writers_that_each_would_fit_only_so_many_get_in_and_none_waits_for_long(store):
    async def write(number):
        def work(tx):
            tx.limit(MAIN, VaultQuota(max_cubes=5))
            tx.insert(stored(f"note {number}"), vector=vector(number))
            tx.insert(stored(f"note {number} elsewhere", NOTES), vector=vector(number))

        await store.catalog.write(work)

    results = await asyncio.gather(*map(write, range(20)), return_exceptions=True)
    refused = [result for result in results if result is not None]
    assert (len(refused), {type(error) for error in refused}) == (15, {QuotaExceeded})
    assert (await store.catalog.usage(MAIN)).cubes == (await store.catalog.usage(NOTES)).cubes == 5
