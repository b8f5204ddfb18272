"""KV caches and adapters follow the memories that they were made from."""

import hashlib
from dataclasses import replace
from datetime import timedelta

import pytest

from memos_kernel.blobs import SAFETENSORS
from memos_kernel.cube import Origin, RevisionRef, State
from memos_kernel.errors import CubeNotFound, IllegalTransition, InvalidField, StateConflict
from memos_storage.domain.blobs import BlobChunk, BlobHeader
from memos_storage.domain.values import NewCube
from memos_storage.usecases.restore_cubes import Restoration
from storage_cubes import MAIN, NOTES, NOW, adapter, grant, said, vector, wanted
from storage_world import mutation
from tensors import tensors


async def upload(world, vault=MAIN, *, seed=0):
    data = tensors(elements=100 + seed)

    async def chunks():
        yield BlobChunk(0, data)

    header = BlobHeader(vault, SAFETENSORS, len(data), hashlib.sha256(data).hexdigest())
    return (await world.upload(header, chunks(), grant=grant(vault))).blob


async def made_from(world, *refs, vault=MAIN, seed=0, **fields):
    """Store an adapter over revisions of memories."""
    cube = adapter(await upload(world, vault, seed=seed), vault, derived_from=refs, **fields)
    made = await world.create([NewCube(cube)], return_existing=False, mutation=mutation(grant(vault)))
    (outcome,) = made.answer.outcomes
    if outcome.error:
        raise outcome.error
    return outcome.cube


def ref(cube, revision=0):
    return RevisionRef(cube.name, revision or cube.revision)


async def update(world, cube, *mask, embedding=None, **fields):
    change = replace(wanted(fields.pop("text", cube.text), id=cube.name.id), **fields)
    return await world.update(change, mask=mask, vector=embedding, mutation=mutation())


async def edit(world, cube):
    await update(world, cube, "plaintext.text", text="another", embedding=vector(2))


async def delete(world, cube):
    await world.delete(cube.name, etag="", mutation=mutation())


async def expire(world, cube):
    await move(world, cube, State.EXPIRED)


async def reclassify(world, cube):
    await update(world, cube, "sensitivity_tags", sensitivity_tags=("health",))


async def supersede(world, cube):
    await update(world, cube, "valid_until", valid_until=NOW)


async def shorten(world, cube):
    await update(world, cube, "expire_time", expire_time=NOW + timedelta(hours=1))


async def retire(world, cube):
    await world.retire(cube.name, expected_revision=cube.revision, reason="old", mutation=mutation())


async def relabel(world, cube):
    await update(world, cube, "labels", labels={"seen": "yes"})


async def use(world, cube):
    await move(world, cube, State.ACTIVATED)


async def cool(world, cube):
    await move(world, cube, State.ARCHIVED)


async def move(world, cube, state, *, frozen=False):
    moved = replace(cube, state=state, frozen=frozen)
    await world.transition(moved, expected_revision=cube.revision, reason="", mutation=mutation())


@pytest.mark.parametrize("change", [edit, delete, expire, reclassify, supersede, shorten, retire])
async def test_a_changed_source_takes_what_was_made_from_it_out_of_use(world, change):
    tea, coffee = await world.add("tea", seed=1), await world.add("coffee", seed=2)
    both, other = await made_from(world, ref(tea), ref(coffee)), await made_from(world, ref(coffee), seed=1)
    await change(world, tea)
    stale = await world.find(both)
    assert (stale.state, stale.revision) == (State.STALE, 2)
    assert (await world.find(other)).state is State.GENERATED
    event = world.catalog.tables.audit[-2]
    assert (event.action, event.resource) == ("cube.transition", str(both.name))
    assert event.reason == f"{tea.name} has changed."


@pytest.mark.parametrize("change", [relabel, use, cool])
async def test_what_does_not_change_what_a_source_tells_changes_nothing(world, change):
    tea = await world.add("tea")
    cube = await made_from(world, ref(tea))
    await change(world, tea)
    assert (await world.find(cube)) == cube


async def test_going_back_to_the_old_text_does_not_bring_back_what_was_made_from_it(world):
    tea = await world.add("tea")
    cube = await made_from(world, ref(tea))
    await edit(world, tea)
    await world.roll_back(tea.name, revision=1, etag="", vector=None, mutation=mutation())
    assert (await world.find(cube)).state is State.STALE


async def test_rolling_a_source_back_takes_out_of_use_what_was_made_from_the_newer_text(world):
    tea = await world.add("tea")
    await edit(world, tea)
    cube = await made_from(world, ref(tea, 2))
    await world.roll_back(tea.name, revision=1, etag="", vector=None, mutation=mutation())
    assert (await world.find(cube)).state is State.STALE


async def test_restoring_a_vault_takes_out_of_use_what_was_made_since(world):
    tea = await world.add("tea")
    then = world.clock.now()
    world.clock.advance(seconds=1)
    await edit(world, tea)
    cube = await made_from(world, ref(tea, 2))
    world.clock.advance(seconds=1)
    goal = Restoration(vault=MAIN, as_of=then, begun=world.clock.now())
    await world.restore.bring_back(goal, after="", limit=10, mutation=mutation())
    assert (await world.find(tea)).text == "tea"
    assert (await world.find(cube)).state is State.STALE


async def test_what_is_frozen_becomes_stale_too_and_so_does_what_was_made_from_that(world):
    tea = await world.add("tea")
    first = await made_from(world, ref(tea))
    second = await made_from(world, ref(first), seed=1)
    await move(world, first, State.GENERATED, frozen=True)
    await edit(world, tea)
    stale = await world.find(first)
    assert (stale.state, stale.frozen) == (State.STALE, False)
    assert (await world.find(second)).state is State.STALE


async def test_a_text_that_was_derived_from_others_stays_as_it_is(world):
    tea = await world.add("tea")
    summary = await world.add("summary", derived_from=(ref(tea),))
    await edit(world, tea)
    assert await world.find(summary) == summary


@pytest.mark.parametrize("change", [edit, delete])
async def test_a_text_that_was_written_down_from_an_adapter_follows_the_memories_of_that(world, change):
    tea = await world.add("tea")
    lora = await made_from(world, ref(tea), sensitivity_tags=("health",))
    text = await world.add("tea, recovered", derived_from=(ref(lora),), origin=Origin.CONVERSION)
    assert (await world.find(text)).sensitivity_tags == ("health",)
    await change(world, tea)
    assert (await world.find(text)).state is State.STALE


async def test_nothing_is_written_down_from_an_adapter_that_is_out_of_use(world):
    tea = await world.add("tea")
    lora = await made_from(world, ref(tea))
    await edit(world, tea)
    with pytest.raises(StateConflict):
        await world.add("tea, recovered", derived_from=(ref(lora),), origin=Origin.CONVERSION)


@pytest.mark.parametrize(("change", "state"), [(edit, State.STALE), (relabel, State.GENERATED)])
async def test_a_deletion_taken_back_looks_at_the_sources_anew(world, change, state):
    tea = await world.add("tea")
    cube = await made_from(world, ref(tea))
    await delete(world, cube)
    await change(world, tea)
    with pytest.raises(CubeNotFound):
        await world.find(cube)
    back = await world.undelete(cube.name, etag="", mutation=mutation())
    assert (back.state, back.delete_time) == (state, None)


async def test_it_ends_with_its_first_source_and_is_as_sensitive_as_all_of_them(world):
    soon, late = NOW + timedelta(hours=1), NOW + timedelta(days=1)
    tea = await world.add("tea", expire_time=late, sensitivity_tags=("health",))
    coffee = await world.add("coffee", expire_time=soon, sensitivity_tags=("pii.email",))
    cube = await made_from(world, ref(tea), ref(coffee), sensitivity_tags=("mine",))
    assert (cube.expire_time, set(cube.sensitivity_tags)) == (soon, {"mine", "health", "pii.email"})
    assert await world.find(cube) == cube


@pytest.mark.parametrize("change", [edit, expire, reclassify])
async def test_it_is_made_from_what_the_sources_are_now(world, change):
    tea = await world.add("tea", sources=(said("Nora"),))
    await change(world, tea)
    with pytest.raises(StateConflict) as caught:
        await made_from(world, ref(tea))
    assert caught.value.metadata["name"] == str(tea.name)


async def test_a_revision_that_differs_in_its_labels_alone_will_do(world):
    tea = await world.add("tea")
    await relabel(world, tea)
    assert (await made_from(world, ref(tea))).derived_from == (ref(tea),)


async def test_a_source_whose_time_is_over_is_not_used(world):
    tea = await world.add("tea", expire_time=NOW + timedelta(hours=1))
    world.clock.advance(hours=1)
    with pytest.raises(StateConflict):
        await made_from(world, ref(tea))


async def test_what_is_made_from_a_vault_stays_in_it(world):
    tea = await world.add("tea", vault=NOTES)
    with pytest.raises(InvalidField) as caught:
        await made_from(world, ref(tea))
    assert caught.value.metadata["field"] == "derived_from[0].name"


@pytest.mark.parametrize("target", [State.ARCHIVED, State.ACTIVATED])
async def test_nothing_brings_a_stale_one_back(world, target):
    tea = await world.add("tea")
    cube = await made_from(world, ref(tea))
    await edit(world, tea)
    with pytest.raises(IllegalTransition):
        await move(world, await world.find(cube), target)


@pytest.mark.parametrize(("change", "back"), [(shorten, False), (relabel, True)])
async def test_an_expired_one_comes_back_only_with_the_sources_that_it_had(world, change, back):
    tea = await world.add("tea")
    cube = await made_from(world, ref(tea))
    await move(world, cube, State.EXPIRED)
    await change(world, tea)
    expired = await world.find(cube)
    if back:
        await move(world, expired, State.ARCHIVED)
    else:
        with pytest.raises(IllegalTransition):
            await move(world, expired, State.ARCHIVED)


async def test_it_gets_the_sensitivity_that_its_source_got(world):
    tea = await world.add("tea")
    cube = await made_from(world, ref(tea))
    await reclassify(world, tea)
    assert (await world.find(cube)).sensitivity_tags == ("health",)


async def test_what_it_has_from_its_sources_cannot_be_taken_away(world):
    tea = await world.add("tea", sensitivity_tags=("health",), expire_time=NOW + timedelta(hours=1))
    cube = await made_from(world, ref(tea))
    for mask, fields in [
        ("sensitivity_tags", {"sensitivity_tags": ()}),
        ("expire_time", {"expire_time": None}),
        ("expire_time", {"expire_time": NOW + timedelta(hours=2)}),
    ]:
        with pytest.raises(InvalidField):
            await update(world, cube, mask, **fields)
    await update(world, cube, "sensitivity_tags", sensitivity_tags=("health", "mine"))
    await update(world, cube, "expire_time", expire_time=NOW + timedelta(minutes=1))
