"""Taking a cube back to an older revision."""

from dataclasses import replace
from datetime import timedelta

import pytest

from memos_kernel import limits
from memos_kernel.cube import State
from memos_kernel.errors import (
    CubeFrozen,
    CubeNotFound,
    DuplicateContent,
    EtagMismatch,
    InvalidField,
    MissingField,
    Overloaded,
    RevisionNotFound,
)
from storage_cubes import DIMENSIONS, EMBEDDER, NOTES, NOW, grant, vector, wanted
from storage_world import mutation


async def retell(world, cube, text, *, seed, **fields):
    mask = ["plaintext.text", *fields]
    new = wanted(text, id=cube.name.id, **fields)
    return await world.update(new, mask=mask, vector=vector(seed), mutation=mutation())


async def back_to(world, cube, revision, *, etag="", by=None, given=None, request_id=""):
    key = mutation(by, request_id=request_id)
    return await world.roll_back(cube.name, revision=revision, etag=etag, vector=given, mutation=key)


async def test_text_and_fields_come_back_as_a_new_revision_and_are_found(world):
    cube = await world.add("tea in Oslo", seed=1, labels={"topic": "home"}, priority=7)
    await retell(world, cube, "coffee in Rome", seed=2, labels={"topic": "travel"}, priority=1)
    await world.follow()
    back = await back_to(world, cube, 1)
    assert (back.text, dict(back.labels), back.priority) == ("tea in Oslo", {"topic": "home"}, 7)
    assert (back.revision, back.parent_revisions) == (3, (2, 1))
    assert (back.fingerprint, back.content_hash) == (cube.fingerprint, cube.content_hash)
    assert await world.find(cube) == back
    await world.follow()
    assert await world.index.contents(EMBEDDER, DIMENSIONS, after="", until=None) == [(cube.uid, 3)]
    (hit,) = (await world.search("oslo", vector=vector(1))).hits
    assert hit.fused.legs["dense"] == pytest.approx(1.0, abs=1e-5)
    assert world.catalog.tables.audit[-1].action == "cube.rollback"
    assert world.catalog.tables.audit[-1].reason == "Taken back to revision 1."


async def test_state_use_and_the_revisions_between_stay(world):
    cube = await world.add("tea", seed=1)
    await world.use([(cube.name, NOW)], grant=grant(cube.vault))
    moved = await world.transition(
        wanted("x", id=cube.name.id, state=State.ACTIVATED), expected_revision=1, reason="", mutation=mutation()
    )
    assert moved.state is State.ACTIVATED
    await retell(world, cube, "coffee", seed=2)
    back = await back_to(world, cube, 1)
    assert (back.state, back.usage.hits) == (State.ACTIVATED, 1)
    revisions, more = await world.history(cube.name, before=None, size=9, grant=grant(cube.vault))
    assert [(one.revision, one.text) for one in revisions] == [(4, "tea"), (3, "coffee"), (2, "tea"), (1, "tea")]
    assert more is None


async def test_going_back_to_what_it_is_changes_nothing(world):
    cube = await world.add("tea", seed=1)
    assert (await back_to(world, cube, 1)).revision == 1
    await retell(world, cube, "coffee", seed=2)
    assert (await back_to(world, cube, 2)).revision == 2


async def test_a_vector_that_is_given_takes_the_place_of_the_old_one(world):
    cube = await world.add("tea", seed=1)
    await retell(world, cube, "coffee", seed=2)
    await back_to(world, cube, 1, given=vector(5, "newer@2"))
    (point,) = await world.outbox.points("newer@2", [cube.uid])
    assert point.id == (cube.uid, 3)
    assert await world.outbox.points(EMBEDDER, [cube.uid]) == []
    await retell(world, cube, "water", seed=3)
    with pytest.raises(InvalidField):
        await back_to(world, cube, 1, given=vector(5, dimensions=3))
    world.catalog.tables.vectors.clear()
    with pytest.raises(MissingField):
        await back_to(world, cube, 1)


async def test_what_is_not_there_hidden_frozen_or_changed_is_refused(world):
    cube = await world.add("tea", seed=1)
    newer = await retell(world, cube, "coffee", seed=2)
    with pytest.raises(RevisionNotFound) as caught:
        await back_to(world, cube, 3)
    assert caught.value.metadata == {"name": str(cube.name), "revision": "3"}
    with pytest.raises(InvalidField):
        await back_to(world, cube, 0)
    with pytest.raises(CubeNotFound):
        await back_to(world, cube, 1, by=grant(NOTES))
    with pytest.raises(EtagMismatch):
        await back_to(world, cube, 1, etag=cube.etag)
    await world.transition(replace(newer, frozen=True), expected_revision=2, reason="", mutation=mutation())
    with pytest.raises(CubeFrozen):
        await back_to(world, cube, 1)


async def test_a_deleted_cube_is_not_rolled_back_but_its_revisions_are_listed_until_its_purge_time(world):
    cube = await world.add("tea", seed=1)
    await world.delete(cube.name, etag="", mutation=mutation())
    with pytest.raises(CubeNotFound):
        await back_to(world, cube, 1)
    revisions, _ = await world.history(cube.name, before=None, size=9, grant=grant(cube.vault))
    assert [(one.revision, one.delete_time is None) for one in revisions] == [(2, False), (1, True)]
    world.clock.time += limits.DELETED_RETENTION
    with pytest.raises(CubeNotFound):
        await world.history(cube.name, before=None, size=9, grant=grant(cube.vault))


async def test_content_that_another_cube_holds_by_now_stays_there(world):
    cube = await world.add("tea", seed=1)
    await retell(world, cube, "coffee", seed=2)
    other = await world.add("tea", seed=1)
    with pytest.raises(DuplicateContent) as caught:
        await back_to(world, cube, 1)
    assert caught.value.metadata["existing"] == str(other.name)


async def test_a_request_id_and_a_full_outbox_are_heeded(world, monkeypatch):
    cube = await world.add("tea", seed=1)
    await retell(world, cube, "coffee", seed=2)
    monkeypatch.setattr(limits, "PENDING_ROWS", 2)
    with pytest.raises(Overloaded):
        await back_to(world, cube, 1)
    monkeypatch.undo()
    back = await back_to(world, cube, 1, request_id="r1")
    assert await back_to(world, cube, 1, request_id="r1") == back


async def test_two_revisions_are_compared_field_by_field(world):
    cube = await world.add("tea", seed=1)
    until = NOW + timedelta(days=1)
    await retell(world, cube, "coffee", seed=2, labels={"a": "b"}, valid_until=until)
    await world.delete(cube.name, etag="", mutation=mutation())
    by = grant(cube.vault)
    last = await world.diff(cube.name, before=0, after=0, grant=by)
    assert (last.before.revision, last.after.revision, last.paths) == (2, 3, ("delete_time",))
    first = await world.diff(cube.name, before=1, after=2, grant=by)
    assert (first.before.text, first.after.text) == ("tea", "coffee")
    assert set(first.paths) == {"plaintext.text", "labels", "valid_until"}
    same = await world.diff(cube.name, before=1, after=1, grant=by)
    assert same.paths == ()
    with pytest.raises(RevisionNotFound):
        await world.diff(cube.name, before=1, after=9, grant=by)
    with pytest.raises(CubeNotFound):
        await world.diff(cube.name, before=1, after=2, grant=grant(NOTES))


async def test_pages_of_revisions_follow_each_other(world):
    cube = await world.add("tea 0", seed=1)
    for number in range(1, 5):
        await retell(world, cube, f"tea {number}", seed=number)
    by = grant(cube.vault)
    first, last = await world.history(cube.name, before=None, size=2, grant=by)
    second, last_of_second = await world.history(cube.name, before=last, size=2, grant=by)
    third, end = await world.history(cube.name, before=last_of_second, size=2, grant=by)
    assert [one.revision for one in (*first, *second, *third)] == [5, 4, 3, 2, 1]
    assert end is None
