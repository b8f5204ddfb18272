"""Cubes in the archive: out of the hot index, still found by a filter, and back in it with their next use."""

from dataclasses import replace
from datetime import timedelta

import pytest

from memos_kernel.cube import State
from memos_kernel.errors import CubeFrozen, EtagMismatch, InvalidField, MissingField, VaultNotFound
from memos_kernel.permission import Action
from memos_storage.domain.filters import CubeFilter
from memos_storage.usecases import legs
from storage_cubes import DIMENSIONS, EMBEDDER, FOREIGN, MAIN, grant, vector
from storage_world import mutation

ARCHIVE = CubeFilter(states=frozenset({State.ARCHIVED}))
ALL = CubeFilter(states=frozenset({State.GENERATED, State.ACTIVATED, State.ARCHIVED}))


async def move(world, cube, state, **fields):
    decided = replace(cube, state=state, **fields)
    return await world.transition(decided, expected_revision=cube.revision, reason="", mutation=mutation())


async def index_of(world):
    return {id.uid for id in await world.index.contents(EMBEDDER, DIMENSIONS, after="", until=None)}


def uids(found):
    return [hit.cube.uid for hit in found.hits]


def dense(found):
    return next(leg for leg in found.legs if leg.name == "dense")


async def archived(world, text="Nora moved to Oslo.", seed=1):
    cube = await world.add(text, seed=seed)
    await world.follow()
    cold = await move(world, cube, State.ARCHIVED)
    await world.follow()
    return cold


async def test_an_archived_cube_leaves_the_index_and_is_found_by_its_state_alone(world):
    warm = await world.add("Ben sings.", seed=2)
    cold = await archived(world)
    assert await index_of(world) == {warm.uid}
    assert uids(await world.search("Nora Oslo", vector=vector(1))) == [warm.uid]
    assert uids(await world.search("?", vector=vector(1), filter=ARCHIVE)) == [cold.uid]
    assert uids(await world.search("?", vector=vector(1), filter=ALL)) == [cold.uid, warm.uid]


async def test_use_brings_it_back_with_the_same_vector(world):
    cold = await archived(world)
    warm = await move(world, cold, State.ACTIVATED)
    assert uids(await world.search("?", vector=vector(1))) == [cold.uid]
    await world.follow()
    assert await index_of(world) == {cold.uid}
    found = await world.search("?", vector=vector(1))
    assert found.hits[0].fused.legs == {"dense": pytest.approx(1.0, abs=1e-5)}
    assert warm.text == cold.text


async def test_it_may_come_and_go_before_the_index_hears_of_it(world):
    cold = await archived(world)
    warm = await move(world, cold, State.ACTIVATED)
    again = await move(world, warm, State.ARCHIVED)
    await world.follow()
    assert await index_of(world) == set()
    await move(world, await move(world, again, State.ACTIVATED), State.ARCHIVED)
    await world.follow()
    assert await index_of(world) == set()


async def test_a_comparison_neither_misses_nor_removes_anything(world):
    cold, warm = await archived(world), await world.add("Ben sings.", seed=2)
    await world.follow()
    before = await index_of(world)
    await world.reconcile()
    assert await index_of(world) == before == {warm.uid}
    await world.index.put(await world.outbox.points(EMBEDDER, [cold.uid]))
    assert await index_of(world) == {warm.uid}


async def test_words_reach_the_archive_however_large_it_is_and_vectors_up_to_a_bound(world, monkeypatch):
    monkeypatch.setattr(legs, "EXACT_ROWS", 1)
    monkeypatch.setattr(legs, "COLD_ROWS", 1)
    cold = await archived(world)
    found = await world.search("Oslo", vector=vector(1), filter=ARCHIVE)
    assert (uids(found), dense(found).reason) == ([cold.uid], "")
    await archived(world, "Ben moved to Rome.", seed=2)
    found = await world.search("Oslo", vector=vector(1), filter=ARCHIVE)
    assert uids(found) == [cold.uid]
    assert dense(found).reason == legs.TOO_COLD
    assert found.degraded


async def test_the_past_in_which_it_was_warm_still_finds_it(world):
    cube = await world.add("Nora moved to Oslo.", seed=1)
    await world.follow()
    world.clock.advance(minutes=1)
    then = world.clock.now()
    world.clock.advance(minutes=1)
    await move(world, cube, State.ARCHIVED)
    await world.follow()
    world.clock.advance(minutes=1)
    assert uids(await world.search("?", vector=vector(1), as_of=then)) == [cube.uid]
    assert uids(await world.search("?", vector=vector(1))) == []
    archive_of_now = await world.search("?", vector=vector(1), filter=ARCHIVE, as_of=world.clock.now())
    assert uids(archive_of_now) == [cube.uid]


async def test_an_old_cube_is_deleted_once_by_the_revision_that_was_looked_at(world):
    cube = await world.add("Nora moved to Oslo.", seed=1)
    system = grant(MAIN, actions=frozenset({Action.CUBE_EXPIRE}), all_vaults=True)
    with pytest.raises(EtagMismatch):
        await world.retire(cube.name, expected_revision=7, reason="old", mutation=mutation(system))
    gone = await world.retire(cube.name, expected_revision=1, reason="old", mutation=mutation(system))
    assert gone.purge_time > gone.delete_time
    assert [event.reason for event in await world.audit.unsent(limit=9)][-1] == "old"


async def test_a_frozen_cube_is_neither_listed_nor_deleted(world):
    cube = await world.add("Nora moved to Oslo.", seed=1)
    frozen = await move(world, cube, cube.state, frozen=True)
    world.clock.advance(days=9)
    rule = {"made_before": world.clock.now(), "idle_since": None, "limit": 9}
    assert await world.aged(MAIN, **rule, grant=grant(MAIN)) == []
    with pytest.raises(CubeFrozen):
        await world.retire(frozen.name, expected_revision=2, reason="old", mutation=mutation())


async def test_a_list_needs_a_rule_a_bound_and_a_vault(world):
    rule = {"made_before": world.clock.now() - timedelta(days=1), "idle_since": None}
    with pytest.raises(MissingField):
        await world.aged(MAIN, made_before=None, idle_since=None, limit=9, grant=grant(MAIN))
    with pytest.raises(InvalidField):
        await world.aged(MAIN, **rule, limit=0, grant=grant(MAIN))
    with pytest.raises(VaultNotFound):
        await world.aged(FOREIGN, **rule, limit=9, grant=grant(MAIN))
