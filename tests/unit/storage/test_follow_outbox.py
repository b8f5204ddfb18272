"""Bringing the vector index up to the catalogue."""

from dataclasses import replace

import pytest

from memos_kernel.cube import Plaintext
from memos_kernel.errors import DependencyUnavailable
from memos_storage.domain.values import Point
from storage_cubes import MAIN, scope, vector
from storage_world import mutation


async def indexed(world, seed=1):
    return {hit.uid: hit.revision for hit in await world.index.search(vector(seed), scope(MAIN), limit=99)}


async def retell(world, cube, text, seed):
    wanted = replace(cube, payload=Plaintext(text), etag="")
    return await world.update(wanted, mask=["plaintext.text"], vector=vector(seed), mutation=mutation())


async def test_only_the_newest_text_of_a_cube_is_sent(world):
    cube = await world.add("old", seed=1)
    await retell(world, cube, "new", 2)
    assert await world.follow() == 2
    assert await indexed(world) == {cube.uid: 2}
    assert await world.follow() == 0


async def test_what_the_index_refused_is_sent_again_after_a_pause(world):
    cube = await world.add("tea", seed=1)
    world.index.away = True
    with pytest.raises(DependencyUnavailable):
        await world.follow()
    world.index.away = False
    assert await world.follow() == 0, "not yet"
    world.clock.advance(seconds=1)
    assert await world.follow() == 1
    assert await indexed(world) == {cube.uid: 1}


async def test_a_stalled_worker_cannot_bring_an_old_text_back(world):
    cube = await world.add("old", seed=1)
    await retell(world, cube, "new", 2)
    put, world.index.put = world.index.put, None

    async def stalls(points):
        """While this worker stalls, another one takes over and finishes; then the old vector arrives."""
        world.index.put = put
        world.clock.advance(seconds=11)
        assert await world.follow() == 2
        await put([Point(cube.uid, MAIN, 1, vector(1))])

    world.index.put = stalls
    assert await world.follow() == 0
    assert await indexed(world) == {cube.uid: 1}, "the index is wrong for now, and the catalogue hides it"
    found = await world.search("?", vector=vector(2))
    assert found.hits[0].fused.legs == {"pending": pytest.approx(1.0, abs=1e-5)}
    assert await world.follow() == 1
    assert await indexed(world) == {cube.uid: 2}


async def test_an_index_that_lost_rows_or_has_too_many_is_mended(world):
    cube, other = await world.add("tea", seed=1), await world.add("coffee", seed=2)
    await world.follow()
    await world.index.remove("toy@1", [cube.uid])
    await world.index.put([Point("stranger", MAIN, 1, vector(3))])
    assert await world.follow.reconcile() == 1
    await world.follow()
    assert await indexed(world) == {cube.uid: 1, other.uid: 1}
    assert await world.follow.reconcile() == 0
