"""Changing cubes that are there."""

from dataclasses import replace
from datetime import timedelta

import pytest

from memos_kernel import limits
from memos_kernel.cube import Plaintext, SemanticType, State
from memos_kernel.errors import (
    CubeFrozen,
    CubeNotFound,
    DuplicateContent,
    EtagMismatch,
    GrantInvalid,
    ImmutableField,
    InvalidField,
    MissingField,
)
from memos_kernel.names import CubeName
from memos_kernel.permission import Action
from storage_cubes import FOREIGN, MAIN, NOTES, NOW, grant, scope, vector, wanted
from storage_world import mutation


async def update(world, cube, *mask, seed=None, by=None, request_id="", **fields):
    return await world.update(
        replace(cube, **{"etag": "", **fields}),
        mask=mask,
        vector=vector(seed) if seed is not None else None,
        mutation=mutation(by, request_id=request_id),
    )


async def move(world, cube, state=None, *, frozen=None, revision=None, by=None):
    decided = replace(cube, state=state or cube.state, frozen=cube.frozen if frozen is None else frozen)
    expected = cube.revision if revision is None else revision
    return await world.transition(decided, expected_revision=expected, reason="because", mutation=mutation(by))


async def test_the_fields_of_the_mask_change_and_no_others(world):
    cube = await world.add("tea", priority=10)
    changed = await update(
        world, cube, "labels", "semantic_type", labels={"a": "b"}, semantic_type=SemanticType.FACT, priority=99
    )
    assert (changed.labels, changed.semantic_type, changed.priority) == ({"a": "b"}, SemanticType.FACT, 10)
    assert (changed.revision, changed.parent_revisions) == (2, (1,))
    assert changed.etag != cube.etag
    assert (await world.find(cube)).labels == {"a": "b"}


async def test_an_update_that_changes_nothing_makes_no_revision(world):
    cube = await world.add("tea", priority=10)
    assert (await update(world, cube, "priority", "plaintext.text", priority=10)).revision == 1
    assert [event.action for event in world.catalog.tables.audit] == ["cube.create"]


async def test_a_new_text_needs_its_vector_and_is_searched_by_it(world):
    cube = await world.add("tea", seed=1)
    with pytest.raises(MissingField):
        await update(world, cube, "plaintext.text", payload=Plaintext("coffee"))
    changed = await update(world, cube, "plaintext.text", payload=Plaintext("coffee"), seed=2)
    assert changed.content_hash != cube.content_hash
    hit = (await world.search("coffee", vector=vector(2))).hits[0]
    assert hit.fused.legs["pending"] == pytest.approx(1.0, abs=1e-5)
    assert not (await world.search("tea")).hits


async def test_a_text_that_another_cube_holds_is_refused(world):
    await world.add("tea")
    cube = await world.add("coffee")
    with pytest.raises(DuplicateContent):
        await update(world, cube, "plaintext.text", payload=Plaintext("tea"), seed=3)


@pytest.mark.parametrize("path", ["uid", "state", "plaintext", "labels.a", "*", "usage.hits", "nothing"])
async def test_a_mask_of_what_cannot_be_set_is_refused(world, path):
    cube = await world.add("tea")
    with pytest.raises(ImmutableField) as caught:
        await update(world, cube, "labels", path)
    assert caught.value.metadata["path"] == path


async def test_an_empty_mask_and_bad_values_are_refused(world):
    cube = await world.add("tea")
    with pytest.raises(MissingField):
        await update(world, cube)
    with pytest.raises(InvalidField):
        await update(world, cube, "priority", priority=-1)
    with pytest.raises(InvalidField):
        await update(world, cube, "valid_until", valid_from=NOW, valid_until=NOW - timedelta(days=1))


async def test_a_period_is_checked_with_what_is_stored(world):
    cube = await world.add("tea", valid_from=NOW)
    with pytest.raises(InvalidField):
        await update(world, cube, "valid_until", valid_from=None, valid_until=NOW - timedelta(days=1))
    assert (await world.find(cube)).revision == 1


async def test_a_stale_etag_loses(world):
    cube = await world.add("tea")
    await update(world, cube, "priority", priority=1)
    with pytest.raises(EtagMismatch):
        await update(world, cube, "priority", priority=2, etag=cube.etag)
    with pytest.raises(EtagMismatch):
        await world.delete(cube.name, etag=cube.etag, mutation=mutation())


async def test_a_frozen_cube_refuses_updates_but_counts_uses(world):
    cube = await move(world, await world.add("tea"), frozen=True)
    with pytest.raises(CubeFrozen):
        await update(world, cube, "priority", priority=1)
    (used,) = await world.use([(cube.name, NOW)], grant=grant(MAIN))
    assert used.usage.hits == 1
    thawed = await move(world, cube, frozen=False)
    assert (await update(world, thawed, "priority", priority=1)).priority == 1


async def test_a_deleted_cube_is_gone_from_everything_until_its_purge_time(world):
    cube = await world.add("tea", seed=1)
    await world.follow()
    gone = await world.delete(cube.name, etag=cube.etag, mutation=mutation())
    assert (gone.delete_time, gone.purge_time) == (NOW, NOW + limits.DELETED_RETENTION)
    for call in (
        world.find(cube),
        update(world, cube, "priority", priority=1),
        world.delete(cube.name, etag="", mutation=mutation()),
        move(world, cube, State.ARCHIVED),
    ):
        with pytest.raises(CubeNotFound):
            await call
    assert await world.use([(cube.name, NOW)], grant=grant(MAIN)) == []
    assert not (await world.search("tea", vector=vector(1))).hits
    await world.follow()
    assert await world.index.search(vector(1), scope(MAIN), limit=9) == []


async def test_a_hidden_cube_is_refused_in_the_words_of_a_missing_one(world):
    hidden, missing = await world.add("tea", vault=NOTES, id="hidden"), CubeName("acme", "missing")
    texts = []
    for name in (hidden.name, missing, CubeName("globex", "missing")):
        for call in (
            world.delete(name, etag="", mutation=mutation()),
            update(world, wanted("x", id=name.id), "priority", priority=1),
        ):
            with pytest.raises(CubeNotFound) as caught:
                await call
            texts.append(caught.value.message.replace(str(name), "X").replace(f"tenants/acme/cubes/{name.id}", "X"))
    assert len(set(texts)) == 1


async def test_a_transition_is_applied_only_to_the_revision_it_was_decided_on(world):
    cube = await world.add("tea")
    moved = await move(world, cube, State.ACTIVATED)
    assert (moved.state, moved.revision) == (State.ACTIVATED, 2)
    with pytest.raises(EtagMismatch):
        await move(world, cube, State.ARCHIVED)
    assert (await move(world, moved, State.ACTIVATED)).revision == 2
    event = world.catalog.tables.audit[-1]
    assert (event.action, event.reason) == ("cube.transition", "because")


async def test_a_grant_that_only_reads_moves_nothing(world):
    cube = await world.add("tea")
    with pytest.raises(GrantInvalid):
        await move(world, cube, State.ARCHIVED, by=grant(MAIN, actions=frozenset({Action.CUBE_READ})))
    with pytest.raises(CubeNotFound):
        await move(world, cube, State.ARCHIVED, by=grant(FOREIGN))


async def test_heat_halves_in_a_week_and_uses_make_no_revision(world):
    cube = await world.add("tea")
    await world.use([(cube.name, NOW), (cube.name, NOW)], grant=grant(MAIN))
    assert (await world.find(cube)).usage.heat == pytest.approx(2.0)
    world.clock.advance(days=7)
    found = await world.find(cube)
    assert (found.usage.hits, found.usage.last_used_time, found.revision) == (2, NOW, 1)
    assert found.usage.heat == pytest.approx(1.0)
    (used,) = await world.use([(cube.name, world.clock.now() + timedelta(days=9))], grant=grant(MAIN))
    assert used.usage.last_used_time == world.clock.now()
    assert used.usage.heat == pytest.approx(2.0)


async def test_uses_of_hidden_cubes_are_left_out(world):
    cube, hidden = await world.add("tea"), await world.add("tea", vault=NOTES)
    used = await world.use([(hidden.name, NOW), (cube.name, NOW)], grant=grant(MAIN))
    assert [each.uid for each in used] == [cube.uid]


async def test_a_repeated_update_and_delete_get_their_first_answer(world):
    cube = await world.add("tea")
    first = await update(world, cube, "priority", priority=1, request_id="u")
    assert await update(world, cube, "priority", priority=1, request_id="u") == first
    gone = await world.delete(cube.name, etag="", mutation=mutation(request_id="d"))
    assert await world.delete(cube.name, etag="", mutation=mutation(request_id="d")) == gone
