"""Bringing the vector index up to the catalogue."""

from dataclasses import replace

import pytest

from memos_kernel.cube import Plaintext
from memos_kernel.errors import DependencyUnavailable
from storage_cubes import DIMENSIONS, EMBEDDER, MAIN, scope, vector
from storage_world import mutation


async def indexed(world, seed=1):
    return {hit.uid: hit.revision for hit in await world.index.search(vector(seed), scope(MAIN), limit=99)}


async def ids(world, embedder=EMBEDDER):
    return set(await world.index.contents(embedder, DIMENSIONS, after="", until=None))


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
    put = world.index.put

    async def stalls(points):
        """While this worker stalls, the text changes and another worker finishes; then the old vector arrives."""
        world.index.put = put
        world.clock.advance(seconds=11)
        await retell(world, cube, "new", 2)
        assert await world.follow() == 2
        await put(points)
        assert await indexed(world, seed=2) == {cube.uid: 1}, "both are there, and the new one can be found"
        found = await world.search("?", vector=vector(2))
        assert found.hits[0].fused.legs == {"dense": pytest.approx(1.0, abs=1e-5)}

    world.index.put = stalls
    assert await world.follow() == 0
    assert await ids(world) == {(cube.uid, 2)}, "it has tidied up behind itself"


async def test_a_text_that_changed_and_a_cube_that_was_deleted_leave_no_vector(world):
    cube, other = await world.add("old", seed=1), await world.add("tea", seed=3)
    await world.follow()
    await retell(world, cube, "new", 2)
    await world.delete(other.name, etag="", mutation=mutation())
    await world.follow()
    assert await ids(world) == {(cube.uid, 2)}


async def test_a_vector_of_another_embedder_takes_the_place_of_the_old_one(world):
    cube = await world.add("old", seed=1)
    await world.follow()
    wanted = replace(cube, payload=Plaintext("new"), etag="")
    await world.update(wanted, mask=["plaintext.text"], vector=vector(2, "other@1"), mutation=mutation())
    await world.follow()
    assert await ids(world) == set()
    assert await ids(world, "other@1") == {(cube.uid, 2)}
