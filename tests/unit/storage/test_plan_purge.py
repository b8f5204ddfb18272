"""Selecting what is to be erased: everything that was meant, nothing more, and hidden at once."""

from dataclasses import replace
from datetime import timedelta

import pytest

from memos_kernel.cube import RevisionRef, State
from memos_kernel.errors import (
    ContentPurged,
    CountMismatch,
    CubeFrozen,
    CubeNotFound,
    InvalidField,
    LimitExceeded,
    MissingField,
    RequestIdReused,
    ResourceNotFound,
    StateConflict,
    VaultNotFound,
)
from memos_kernel.names import CubeName
from memos_kernel.permission import Action
from memos_storage.domain.filters import CubeFilter
from memos_storage.domain.purges import PurgeState
from memos_storage.usecases.plan_purge import ANY_STATE, PurgeRequest
from memos_storage.usecases.restore_cubes import Restoration
from storage_cubes import FOREIGN, MAIN, NOTES, NOW, SourceSpan, grant, vector, wanted
from storage_world import mutation


async def plan(world, *cubes, by=None, request_id="", body="aa", **fields):
    names = [cube.name for cube in cubes]
    wished = PurgeRequest(**{"vault": MAIN, "names": names, "expected": len(names), **fields})
    return await world.plan_purge(wished, mutation=mutation(by, request_id=request_id, body=body))


def conditions(**fields):
    return CubeFilter(**{"states": ANY_STATE, **fields})


async def test_cubes_are_gone_as_soon_as_they_are_to_be_erased(world):
    doomed, kept = await world.add("a secret"), await world.add("no matter")
    planned = await plan(world, doomed, reason="a mistake")
    assert (planned.count, planned.purge.cubes, planned.purge.state) == (1, 1, PurgeState.ERASING)
    assert (planned.purge.reason, planned.purge.create_time) == ("a mistake", NOW)
    with pytest.raises(CubeNotFound):
        await world.find(doomed)
    with pytest.raises(CubeNotFound):
        await world.undelete(doomed.name, etag="", mutation=mutation())
    assert (await world.search("secret")).hits == ()
    assert await world.find(kept)
    assert world.catalog.tables.audit[-1].action == "purge.plan"


async def test_they_can_be_counted_first_and_nothing_happens(world):
    doomed = await world.add("a secret")
    counted = await plan(world, doomed, validate_only=True, expected=0)
    assert (counted.count, counted.purge, counted.sample) == (1, None, (doomed.name,))
    assert await world.find(doomed)
    assert not world.catalog.tables.purges


async def test_a_filter_selects_deleted_and_expired_cubes_too(world):
    for text in ("one", "two", "three"):
        await world.add(text, labels={"of": "nora"})
    gone = await world.add("four", labels={"of": "nora"})
    await world.delete(gone.name, etag="", mutation=mutation())
    await world.add("five", labels={"of": "nora"}, expire_time=NOW + timedelta(hours=1))
    await world.add("six", labels={"of": "tom"})
    await world.add("seven", vault=NOTES, labels={"of": "nora"})
    world.clock.advance(hours=2)
    filter = conditions(labels={"of": "nora"})
    counted = await plan(world, filter=filter, validate_only=True)
    assert counted.count == 5
    with pytest.raises(CountMismatch) as caught:
        await plan(world, filter=filter, expected=4)
    assert (caught.value.metadata["count"], caught.value.metadata["expected"]) == ("5", "4")
    assert (await plan(world, filter=filter, expected=5)).count == 5


@pytest.mark.parametrize(
    ("fields", "error", "field"),
    [
        ({}, MissingField, "names"),
        ({"filter": conditions()}, MissingField, "filter"),
        ({"filter": conditions(speakers=frozenset({"x"})), "names": [CubeName("acme", "x")]}, InvalidField, "names"),
        ({"names": [CubeName("acme", "x")], "expected": 0}, MissingField, "expected_count"),
        ({"names": [CubeName("globex", "x")]}, InvalidField, "names[0]"),
        ({"names": [CubeName("acme", f"x{number}") for number in range(1001)]}, LimitExceeded, "names"),
        ({"names": [CubeName("acme", "x")], "reason": "x" * 257}, LimitExceeded, "reason"),
        ({"names": [CubeName("acme", "x")], "vault": NOTES}, VaultNotFound, None),
        ({"names": [CubeName("acme", "x")]}, CubeNotFound, None),
    ],
)
async def test_what_is_not_clear_is_refused(world, fields, error, field):
    with pytest.raises(error) as caught:
        await plan(world, **{"names": (), "expected": 1, **fields})
    if field:
        assert caught.value.metadata["field"] == field
    assert not world.catalog.tables.purges


async def test_a_cube_of_another_vault_is_not_there(world):
    notes = await world.add("elsewhere", vault=NOTES)
    with pytest.raises(CubeNotFound):
        await plan(world, notes, by=grant(MAIN, NOTES))


async def test_a_frozen_cube_keeps_all_of_them(world):
    frozen, free = await world.add("frozen"), await world.add("free")
    await world.transition(replace(frozen, frozen=True), expected_revision=1, reason="", mutation=mutation())
    with pytest.raises(CubeFrozen):
        await plan(world, free, frozen)
    assert await world.find(free)


async def test_what_is_derived_goes_as_well_and_is_out_of_use_in_other_vaults(world):
    both = grant(MAIN, NOTES)
    source = await world.add("source")
    summary = await world.add("summary", derived_from=(RevisionRef(source.name, 1),))
    digest = await world.add("digest", derived_from=(RevisionRef(summary.name, 1),))
    report = await world.add("report", vault=NOTES, derived_from=(RevisionRef(digest.name, 1),))
    counted = await plan(world, source, validate_only=True)
    assert (counted.count, counted.derived) == (3, 2)
    planned = await plan(world, source, expected=3)
    assert (planned.purge.cubes, planned.purge.stale, planned.purge.kept) == (3, 1, 0)
    for cube in (summary, digest):
        with pytest.raises(CubeNotFound):
            await world.find(cube)
    assert (await world.find(report, by=both)).state is State.STALE
    with pytest.raises(ContentPurged):
        await world.add("too late", derived_from=(RevisionRef(source.name, 1),))


async def test_derivation_is_followed_through_other_vaults(world):
    both = grant(MAIN, NOTES)
    source = await world.add("source")
    report = await world.add("report", vault=NOTES, derived_from=(RevisionRef(source.name, 1),))
    frozen = await world.add("frozen", vault=NOTES, derived_from=(RevisionRef(source.name, 1),))
    back = await world.add("back", derived_from=(RevisionRef(report.name, 1),))
    freeze = replace(frozen, frozen=True)
    await world.transition(freeze, expected_revision=1, reason="", mutation=mutation(both))
    planned = await plan(world, source, expected=2)
    assert (planned.purge.cubes, planned.purge.stale, planned.purge.kept) == (2, 1, 1)
    with pytest.raises(CubeNotFound):
        await world.find(back)


async def test_what_was_derived_from_another_cube_of_the_same_name_stays(world):
    first = await world.add("first", id="x")
    summary = await world.add("summary", derived_from=(RevisionRef(first.name, 1),))
    await world.delete(first.name, etag="", mutation=mutation())
    world.clock.advance(days=31)
    purge = await world.plan_purge.due(mutation=mutation())
    await world.run_purge(purge.name, mutation=mutation(grant(MAIN, actions=frozenset({Action.CUBE_PURGE}))))
    second = await world.add("second", id="x")
    assert (await plan(world, second)).count == 1
    assert await world.find(summary)


async def test_a_whole_message_and_its_places_stop_each_other(world):
    def place(start, end, message="m1"):
        return {"sources": (SourceSpan(message_id=message, session="s", start_char=start, end_char=end),)}

    fact = await world.add("Nora's code is 4711", **place(0, 40))
    await plan(world, fact)
    with pytest.raises(ContentPurged):
        await world.add("My code is 4711, and I like tea.", **place(0, 0))
    assert await world.add("Nora likes tea", **place(20, 40))
    whole = await world.add("All of it", **place(0, 0, "m2"))
    await plan(world, whole)
    with pytest.raises(ContentPurged):
        await world.add("Some of it", **place(3, 9, "m2"))


async def test_words_do_not_come_back_with_a_vault_or_an_undeletion(world):
    told = await world.add("Nora's code is 4711", sources=(SourceSpan(message_id="m1"),))
    same = await world.add("Nora's code is 4711", sources=(SourceSpan(message_id="m2"),))
    other = await world.add("Nora's code is 4711", sources=(SourceSpan(message_id="m3"),))
    then = world.clock.now()
    world.clock.advance(hours=1)
    change = wanted("Nora has a code", id=other.name.id)
    await world.update(change, mask=["plaintext.text"], vector=vector(1), mutation=mutation())
    await world.delete(same.name, etag="", mutation=mutation())
    await plan(world, told)
    with pytest.raises(ContentPurged):
        await world.undelete(same.name, etag="", mutation=mutation())
    with pytest.raises(ContentPurged):
        await world.roll_back(other.name, revision=1, etag="", vector=None, mutation=mutation())
    goal = Restoration(vault=MAIN, as_of=then, begun=world.clock.now())
    page = await world.restore.bring_back(goal, after="", limit=9, mutation=mutation())
    assert set(page.skipped) == {same.name, other.name}
    assert (await world.find(other)).text == "Nora has a code"


async def test_what_was_erased_does_not_come_back_until_the_purge_is_lifted(world):
    place = SourceSpan(message_id="m1", session="s", start_char=3, end_char=9)
    told = await world.add("Nora's code is 1234", sources=(place,))
    sibling = await world.add("Nora likes tea", sources=(replace(place, start_char=0, end_char=2),))
    planned = await plan(world, told)
    for text, fields in (
        ("  nora's CODE is 1234", {}),
        ("The code is 1234", {"sources": (place,)}),
    ):
        with pytest.raises(ContentPurged) as caught:
            await world.add(text, **fields)
        assert caught.value.metadata["purge"] == str(planned.purge.name)
    change = wanted("Nora's code is 1234", id=sibling.name.id)
    with pytest.raises(ContentPurged):
        await world.update(change, mask=["plaintext.text"], vector=vector(1), mutation=mutation())
    renamed = wanted("Nora likes green tea", id=sibling.name.id)
    assert await world.update(renamed, mask=["plaintext.text"], vector=vector(2), mutation=mutation())
    assert await world.add("Nora's code is 1234", vault=NOTES)
    assert await world.add("The other code is 99", sources=(replace(place, message_id="m2"),))
    lifted = await world.lift_purge(planned.purge.name, mutation=mutation())
    assert lifted.lift_time == NOW
    assert await world.add("Nora's code is 1234", sources=(place,))
    with pytest.raises(StateConflict):
        await world.lift_purge(planned.purge.name, mutation=mutation())


async def test_every_text_that_a_cube_had_is_stopped(world):
    told = await world.add("an old secret")
    await world.update(
        wanted("a new secret", id=told.name.id), mask=["plaintext.text"], vector=vector(3), mutation=mutation()
    )
    await plan(world, told)
    for text in ("an old secret", "a new secret"):
        with pytest.raises(ContentPurged):
            await world.add(text)


async def test_a_request_is_answered_once(world):
    doomed = await world.add("secret")
    first = await plan(world, doomed, request_id="r")
    again = await plan(world, doomed, request_id="r")
    assert first == again
    with pytest.raises(RequestIdReused):
        await plan(world, doomed, request_id="r", body="bb")


async def test_the_time_of_deleted_cubes_comes(world):
    early, late, live = await world.add("early"), await world.add("late"), await world.add("live")
    summary = await world.add("summary", derived_from=(RevisionRef(early.name, 1),))
    await world.delete(early.name, etag="", mutation=mutation())
    world.clock.advance(days=20)
    await world.delete(late.name, etag="", mutation=mutation())
    assert await world.plan_purge.due(mutation=mutation()) is None
    world.clock.advance(days=10)
    purge = await world.plan_purge.due(mutation=mutation())
    assert (purge.cubes, purge.stale, purge.vault) == (1, 1, MAIN)
    assert await world.add("early")  # nobody asked for these words to be forgotten
    assert (await world.find(summary)).state is State.STALE
    assert await world.find(live)
    assert await world.undelete(late.name, etag="", mutation=mutation())
    assert await world.plan_purge.due(mutation=mutation()) is None
    world.clock.advance(minutes=11)
    assert (await world.plan_purge.due(mutation=mutation())).name == purge.name  # nobody went on with it


async def test_purges_are_read_within_the_grant(world):
    doomed = await world.add("secret")
    purge = (await plan(world, doomed)).purge
    assert await world.purges.get(purge.name, grant=grant(MAIN)) == purge
    found, last = await world.purges.list(MAIN, after=None, size=5, grant=grant(MAIN))
    assert (found, last) == ([purge], None)
    for by in (grant(NOTES), grant(FOREIGN)):
        with pytest.raises(ResourceNotFound):
            await world.purges.get(purge.name, grant=by)
        with pytest.raises(VaultNotFound):
            await world.purges.list(MAIN, after=None, size=5, grant=by)
        with pytest.raises(ResourceNotFound):
            await world.lift_purge(purge.name, mutation=mutation(by))
