"""Taking a vault back to a moment."""

from dataclasses import replace
from datetime import timedelta

import pytest

from memos_kernel import limits
from memos_kernel.errors import CubeNotFound, InvalidField, Overloaded, VaultNotFound
from memos_storage.domain.filters import CubeFilter
from memos_storage.usecases.restore_cubes import Restoration
from storage_cubes import MAIN, NOTES, NOW, grant, vector, wanted
from storage_world import mutation


async def retell(world, cube, text, seed):
    new = wanted(text, id=cube.name.id)
    return await world.update(new, mask=["plaintext.text"], vector=vector(seed), mutation=mutation())


async def delete(world, cube):
    return await world.delete(cube.name, etag="", mutation=mutation())


async def restore(world, as_of=NOW, *, limit=200, begun=None, vault=MAIN):
    """Go through all pages; return how many revisions were made, and what was skipped."""
    goal = Restoration(vault=vault, as_of=as_of, begun=begun or world.clock.now())
    changed, skipped = 0, []
    for work in (world.restore.remove, world.restore.bring_back):
        after, going = "", True
        while going:
            page = await work(goal, after=after, limit=limit, mutation=mutation())
            changed, after, going = changed + page.changed, page.last, bool(page.last)
            skipped += page.skipped
    return changed, skipped


async def texts(world):
    cubes, _ = await world.page(MAIN, CubeFilter(), after=None, size=99, grant=grant(MAIN))
    return sorted(cube.text for cube in cubes)


async def test_a_vault_is_as_it_was_with_new_revisions(world):
    told, gone, same = [await world.add(text, seed=number) for number, text in enumerate(("tea", "piano", "oslo"))]
    world.clock.advance(hours=1)
    await retell(world, told, "coffee", 5)
    await delete(world, gone)
    await world.add("new", seed=6)
    assert await restore(world) == (3, [])
    assert await texts(world) == ["oslo", "piano", "tea"]
    assert (await world.find(told)).parent_revisions == (2, 1)
    assert (await world.find(same)).revision == 1
    (hit,) = (await world.search("tea", vector=vector(0), top_k=1)).hits
    assert hit.cube.text == "tea"
    assert {event.action for event in world.catalog.tables.audit[-3:]} == {"cube.delete", "cube.restore"}
    assert world.catalog.tables.audit[-1].reason == f"The vault goes back to {NOW.isoformat()}."


async def test_to_do_it_again_changes_nothing_and_it_can_itself_be_taken_back(world):
    cube = await world.add("tea", seed=1)
    world.clock.advance(hours=1)
    await retell(world, cube, "coffee", 2)
    before = world.clock.now()
    world.clock.advance(hours=1)
    assert await restore(world) == (1, [])
    assert await restore(world) == (0, [])
    world.clock.advance(hours=1)
    assert await restore(world, before) == (1, [])
    assert await texts(world) == ["coffee"]


@pytest.mark.parametrize("limit", [1, 200])
async def test_cubes_that_changed_their_contents_with_each_other_get_them_back(world, limit):
    cubes = [await world.add(text, seed=number) for number, text in enumerate("abc")]
    world.clock.advance(hours=1)
    await retell(world, cubes[0], "meanwhile", 9)
    await retell(world, cubes[1], "a", 0)
    await retell(world, cubes[2], "b", 1)
    await retell(world, cubes[0], "c", 2)
    _, skipped = await restore(world, limit=limit)
    assert skipped == []
    assert [(await world.find(cube)).text for cube in cubes] == ["a", "b", "c"]


async def test_a_frozen_cube_stays_and_is_told(world):
    told = await world.add("tea", seed=1)
    world.clock.advance(hours=1)
    newer = await retell(world, told, "coffee", 2)
    new = await world.add("new", seed=3)
    for cube in (newer, new):
        frozen = replace(cube, frozen=True)
        await world.transition(frozen, expected_revision=cube.revision, reason="", mutation=mutation())
    changed, skipped = await restore(world)
    assert (changed, set(skipped)) == (0, {told.name, new.name})
    assert await texts(world) == ["coffee", "new"]


async def test_content_that_a_frozen_cube_holds_stays_there(world):
    cube = await world.add("tea", seed=1)
    world.clock.advance(hours=1)
    await delete(world, cube)
    other = await world.add("tea", seed=1)
    await world.transition(replace(other, frozen=True), expected_revision=1, reason="", mutation=mutation())
    _, skipped = await restore(world)
    assert set(skipped) == {cube.name, other.name}
    assert await texts(world) == ["tea"]


async def test_what_is_created_while_it_goes_on_stays(world):
    await world.add("tea", seed=1)
    world.clock.advance(hours=1)
    begun = world.clock.now()
    world.clock.advance(seconds=1)
    await world.add("meanwhile", seed=2)
    assert await restore(world, begun=begun) == (0, [])
    assert await texts(world) == ["meanwhile", "tea"]


async def test_what_is_past_its_purge_time_does_not_come_back(world):
    cube = await world.add("tea", seed=1)
    world.clock.advance(hours=1)
    await delete(world, cube)
    world.clock.time += limits.DELETED_RETENTION
    assert await restore(world) == (0, [])
    with pytest.raises(CubeNotFound):
        await world.find(cube)


async def test_a_hidden_vault_a_moment_to_come_and_a_bad_page_are_refused(world, monkeypatch):
    cube = await world.add("tea", seed=1)
    with pytest.raises(VaultNotFound):
        await restore(world, vault=NOTES)
    with pytest.raises(InvalidField) as caught:
        await restore(world, NOW + timedelta(days=1))
    assert caught.value.metadata["field"] == "as_of"
    for limit in (0, 201):
        with pytest.raises(InvalidField):
            await restore(world, limit=limit)
    world.clock.advance(hours=1)
    await retell(world, cube, "coffee", 2)
    monkeypatch.setattr(limits, "PENDING_ROWS", 3)
    with pytest.raises(Overloaded):
        await restore(world)
    assert await texts(world) == ["coffee"]
