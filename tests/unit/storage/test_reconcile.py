"""Comparing the vector index with the catalogue."""

import pytest

from memos_kernel.errors import DependencyUnavailable
from memos_kernel.ids import uuid7
from memos_storage.domain.values import Drift, Point, PointId
from storage_cubes import DIMENSIONS, EMBEDDER, MAIN, NOW, vector
from storage_world import mutation


async def ids(world):
    return set(await world.index.contents(EMBEDDER, DIMENSIONS, after="", until=None))


def stranger():
    return Point(uuid7(), MAIN, 1, vector(3), NOW)


async def test_an_index_that_lost_rows_or_has_too_many_is_mended(world):
    cubes = [await world.add(f"note {number}", seed=number) for number in range(5)]
    await world.follow()
    right = await ids(world)
    await world.index.remove(EMBEDDER, [PointId(cubes[0].uid, 1), PointId(cubes[3].uid, 1)])
    await world.index.put([stranger(), Point(cubes[1].uid, MAIN, 7, vector(3), NOW)])
    assert await world.reconcile() == Drift(missing=2, extra=2)
    assert await ids(world) == right
    assert not await world.reconcile()


async def test_an_empty_catalogue_leaves_nothing_and_an_empty_index_gets_everything(world):
    await world.add("tea", seed=1)
    await world.follow()
    await world.index.put([stranger(), stranger(), stranger()])
    assert await world.reconcile() == Drift(extra=3)
    await world.create_crowd(7)
    await world.follow()
    world.index._points.clear()
    assert await world.reconcile() == Drift(missing=8)
    assert await world.outbox.size() == 0, "it does not stand in the way of writers"


async def test_what_others_do_during_the_comparison_is_not_undone(world, monkeypatch):
    """One cube is written and indexed, and one is deleted, between the look at the catalogue and that at the index."""
    world.reconcile.window = 99
    kept, gone = await world.add("tea", seed=1), await world.add("coffee", seed=2)
    await world.follow()
    await world.index.remove(EMBEDDER, [PointId(gone.uid, 1)])
    expected, late = world.outbox.expected, []

    async def overtaken(*args, **options):
        found = await expected(*args, **options)
        if not late:
            late.append(await world.add("late", seed=3))
            await world.delete(gone.name, etag="", mutation=mutation())
            await world.follow()
        return found

    monkeypatch.setattr(world.outbox, "expected", overtaken)
    assert not await world.reconcile()
    assert await ids(world) == {(kept.uid, 1), (late[0].uid, 1)}


async def test_a_cube_that_is_deleted_while_its_point_is_put_back_leaves_none(world, monkeypatch):
    cube = await world.add("tea", seed=1)
    await world.follow()
    world.index._points.clear()
    put = world.index.put

    async def overtaken(points):
        monkeypatch.setattr(world.index, "put", put)
        await world.delete(cube.name, etag="", mutation=mutation())
        await world.follow()
        await put(points)

    monkeypatch.setattr(world.index, "put", overtaken)
    assert await world.reconcile() == Drift(missing=1)
    assert await ids(world) == set()


async def test_there_is_doubt_until_a_comparison_was_finished_and_again_after_each_loss(world):
    assert "compared" in world.reconcile.doubt
    await world.reconcile()
    assert not world.reconcile.doubt
    world.index.losses += 1
    assert world.reconcile.doubt
    world.index.away = True
    await world.add("tea", seed=1)
    with pytest.raises(DependencyUnavailable):
        await world.reconcile()
    assert world.reconcile.doubt
