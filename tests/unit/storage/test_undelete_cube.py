"""Taking a deletion back."""

import pytest

from memos_kernel import limits
from memos_kernel.errors import CubeNotFound, DuplicateContent, EtagMismatch, Overloaded, ResourceExists
from storage_cubes import DIMENSIONS, EMBEDDER, FOREIGN, NOTES, grant, vector, wanted
from storage_world import mutation


async def undelete(world, cube, *, etag="", by=None, request_id=""):
    return await world.undelete(cube.name, etag=etag, mutation=mutation(by, request_id=request_id))


async def delete(world, cube):
    return await world.delete(cube.name, etag="", mutation=mutation())


async def test_a_cube_comes_back_with_its_text_and_is_found_by_words_and_meaning(world):
    cube = await world.add("tea in Oslo", seed=1)
    await world.follow()
    await delete(world, cube)
    await world.follow()
    back = await undelete(world, cube)
    assert (back.text, back.revision, back.delete_time, back.purge_time) == ("tea in Oslo", 3, None, None)
    assert await world.find(cube) == back
    (hit,) = (await world.search("oslo", vector=vector(1))).hits
    assert set(hit.fused.legs) == {"pending", "lexical"}
    await world.follow()
    (hit,) = (await world.search("oslo", vector=vector(1))).hits
    assert set(hit.fused.legs) == {"dense", "lexical"}
    assert await world.index.contents(EMBEDDER, DIMENSIONS, after="", until=None) == [(cube.uid, 3)]
    assert [event.action for event in world.catalog.tables.audit] == ["cube.create", "cube.delete", "cube.undelete"]


async def test_a_worker_that_removes_late_does_not_take_what_came_back(world, monkeypatch):
    cube = await world.add("tea", seed=1)
    await world.follow()
    await delete(world, cube)
    remove = world.index.remove

    async def late(embedder, ids):
        """The cube comes back, and another worker finishes, before the old vector is removed."""
        monkeypatch.setattr(world.index, "remove", remove)
        world.clock.advance(seconds=11)
        await undelete(world, cube)
        while await world.follow():
            pass
        await remove(embedder, ids)

    monkeypatch.setattr(world.index, "remove", late)
    await world.follow()
    assert await world.index.contents(EMBEDDER, DIMENSIONS, after="", until=None) == [(cube.uid, 3)]


async def test_what_is_not_deleted_is_refused_and_what_is_hidden_is_not_there(world):
    cube = await world.add("tea")
    with pytest.raises(ResourceExists):
        await undelete(world, cube)
    with pytest.raises(CubeNotFound):
        await undelete(world, cube, by=grant(NOTES))
    await delete(world, cube)
    for by in (grant(NOTES), grant(FOREIGN)):
        with pytest.raises(CubeNotFound):
            await undelete(world, cube, by=by)
    with pytest.raises(CubeNotFound):
        await undelete(world, wanted("never stored"))


async def test_from_its_purge_time_on_a_cube_is_gone(world):
    cube = await world.add("tea")
    await delete(world, cube)
    world.clock.time += limits.DELETED_RETENTION
    with pytest.raises(CubeNotFound):
        await undelete(world, cube)


async def test_content_that_was_stored_again_meanwhile_stays_where_it_is(world):
    cube = await world.add("tea", seed=1)
    await delete(world, cube)
    other = await world.add("tea", seed=1)
    with pytest.raises(DuplicateContent) as caught:
        await undelete(world, cube)
    assert caught.value.metadata["existing"] == str(other.name)
    await delete(world, other)
    assert (await undelete(world, cube)).revision == 3


async def test_an_etag_a_request_id_and_a_full_outbox_are_heeded(world, monkeypatch):
    cube = await world.add("tea", seed=1)
    gone = await delete(world, cube)
    with pytest.raises(EtagMismatch):
        await undelete(world, cube, etag=cube.etag)
    monkeypatch.setattr(limits, "PENDING_ROWS", 2)
    with pytest.raises(Overloaded):
        await undelete(world, cube)
    monkeypatch.undo()
    back = await undelete(world, cube, etag=gone.etag, request_id="r1")
    assert await undelete(world, cube, etag=gone.etag, request_id="r1") == back


async def test_a_cube_that_comes_back_is_what_it_was(world):
    cube = await world.add("tea", labels={"a": "b"}, priority=7)
    await delete(world, cube)
    back = await undelete(world, cube)
    assert (back.labels, back.priority, back.state, back.uid) == (cube.labels, 7, cube.state, cube.uid)
    with pytest.raises(ResourceExists):
        await undelete(world, cube)
