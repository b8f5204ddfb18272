"""Storing new cubes."""

from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest

from memos_kernel import limits
from memos_kernel.cube import Access, State, TraceRef, Usage
from memos_kernel.errors import (
    CubeNotFound,
    DuplicateContent,
    InvalidField,
    LimitExceeded,
    MalformedName,
    MissingField,
    Overloaded,
    RequestIdReused,
    ResourceExists,
    VaultNotFound,
)
from memos_kernel.permission import ROLE_ACTIONS, Role
from memos_kernel.states import freeze
from memos_storage.domain.values import NewCube, Vector
from storage_cubes import BEN, FOREIGN, NOTES, NOW, grant, item, said, vector, wanted
from storage_world import mutation

TRACE = TraceRef("a" * 32, "b" * 16)


async def outcomes(world, *items, return_existing=False, **options):
    made = await world.create(items, return_existing=return_existing, mutation=mutation(**options))
    return made.answer.outcomes


async def error_of(world, new, **options):
    (outcome,) = await outcomes(world, new, **options)
    return outcome.error


async def test_what_only_storage_sets_is_set_whatever_was_given(world):
    given = replace(wanted("Nora moved."), uid="mine", revision=7, frozen=True, content_hash="x", etag="e")
    (outcome,) = await outcomes(world, NewCube(given, vector(1)), trace=TRACE)
    cube = outcome.cube
    assert outcome.created
    assert cube.name == given.name
    assert (cube.revision, cube.state, cube.frozen, cube.parent_revisions) == (1, State.GENERATED, False, ())
    assert cube.create_time == cube.update_time == NOW
    assert cube.access == Access(BEN, ROLE_ACTIONS[Role.WRITER])
    assert cube.origin_trace == TRACE
    assert cube.uid not in ("", "mine")
    assert len(cube.content_hash) == len(cube.fingerprint) == 64
    assert cube.etag not in ("", "e")
    assert cube.provenance_id


async def test_a_cube_can_be_born_in_the_archive_and_in_no_later_state(world):
    (outcome,) = await outcomes(world, NewCube(replace(wanted("A record."), state=State.ARCHIVED), vector(1)))
    assert outcome.cube.state is State.ARCHIVED
    error = await error_of(world, NewCube(replace(wanted("Over."), state=State.EXPIRED), vector(2)))
    assert isinstance(error, InvalidField)
    assert error.field == "items[0].cube.state"


async def test_all_cubes_of_a_call_share_a_provenance_id(world):
    made = await world.create([item("a", 1), item("b", 2)], return_existing=False, mutation=mutation())
    assert {outcome.cube.provenance_id for outcome in made.answer.outcomes} == {made.answer.provenance_id}


async def test_each_item_has_an_outcome_of_its_own(world):
    taken = await world.add("taken", id="taken")
    results = await outcomes(
        world,
        item("good", 1),
        MalformedName("no", field="items[1].cube.name"),
        item("elsewhere", 2, NOTES),
        item("abroad", 2, FOREIGN),
        item("taken", 3),
        item("other", 3, id="taken"),
        item("good", 1),
        item(" \n", 1),
    )
    errors = [type(outcome.error) for outcome in results[1:]]
    assert results[0].created
    assert errors == [
        MalformedName,
        VaultNotFound,
        VaultNotFound,
        DuplicateContent,
        ResourceExists,
        DuplicateContent,
        MissingField,
    ]
    assert results[4].error.metadata["existing"] == str(taken.name)


async def test_content_that_is_there_is_answered_with_its_cube_if_asked(world):
    first = await world.add("same")
    (again, twice, thrice) = await outcomes(
        world, item("same", 1), item("new", 2), item("new", 2), return_existing=True
    )
    assert (again.cube.uid, again.created) == (first.uid, False)
    assert (twice.created, thrice.created) == (True, False)
    assert twice.cube.uid == thrice.cube.uid


@pytest.mark.parametrize("return_existing", [True, False])
async def test_content_whose_cube_has_expired_is_stored_anew(world, return_existing):
    brief = replace(wanted("Rain today."), expire_time=NOW + timedelta(hours=1))
    (first,) = await outcomes(world, NewCube(brief, vector(1)))
    world.clock.time = NOW + timedelta(hours=2)
    (second,) = await outcomes(world, item("Rain today.", 1), return_existing=return_existing)
    assert second.created
    assert second.cube.uid != first.cube.uid
    assert second.cube.expire_time is None
    (found,) = [hit.cube for hit in (await world.search("rain")).hits]
    assert found == second.cube


async def test_a_frozen_cube_outlives_its_time(world):
    brief = replace(wanted("Rain today."), expire_time=NOW + timedelta(hours=1))
    (first,) = await outcomes(world, NewCube(brief, vector(1)))
    await world.transition(freeze(first.cube), expected_revision=1, reason="", mutation=mutation())
    world.clock.time = NOW + timedelta(hours=2)
    (second, other) = await outcomes(world, item("Rain today.", 1), item("Sun today.", 2), return_existing=True)
    assert (second.created, second.cube.uid, other.created) == (False, first.cube.uid, True)
    assert first.cube.uid in [hit.cube.uid for hit in (await world.search("rain")).hits]


async def test_content_that_was_put_aside_is_taken_back_into_use(world):
    (record,) = await outcomes(world, NewCube(replace(wanted("Rain today."), state=State.ARCHIVED), vector(1)))
    (second,) = await outcomes(world, item("Rain today.", 1), return_existing=True)
    assert (second.created, second.cube.name, second.cube.state) == (False, record.cube.name, State.ACTIVATED)
    (found,) = [hit.cube for hit in (await world.search("rain")).hits]
    assert found.name == record.cube.name
    (again,) = await outcomes(
        world, NewCube(replace(wanted("Rain today."), state=State.ARCHIVED), vector(1)), return_existing=True
    )
    assert again.cube.state is State.ACTIVATED


async def test_the_same_words_said_twice_are_two_memories(world):
    nora = item("Yes!", 1, sources=(said("Nora", session="s1"),))
    ben = item("Yes!", 1, sources=(said("Ben", session="s1"),))
    assert all(outcome.created for outcome in await outcomes(world, nora, ben))


async def test_no_items_or_too_many_are_refused(world):
    with pytest.raises(MissingField):
        await outcomes(world)
    with pytest.raises(LimitExceeded):
        await outcomes(world, *[item("x", 1)] * (limits.BATCH_ITEMS + 1))


BAD_FIELDS = [
    ({"priority": 101}, InvalidField, "items[0].cube.priority"),
    ({"labels": {"UP": "x"}}, InvalidField, "items[0].cube.labels"),
    ({"expire_time": NOW}, InvalidField, "items[0].cube.expire_time"),
    ({"valid_from": NOW, "valid_until": NOW}, InvalidField, "items[0].cube.valid_until"),
    ({"sensitivity_tags": ("",)}, MissingField, "items[0].cube.sensitivity_tags[0]"),
    ({"sources": (said("x\x00"),)}, InvalidField, "items[0].cube.sources[0].speaker"),
    ({"sources": (said("x" * 300),)}, LimitExceeded, "items[0].cube.sources[0].speaker"),
    ({"sources": (said("x"),) * 65}, LimitExceeded, "items[0].cube.sources"),
    (
        {"sources": (said("x", at=NOW.replace(year=1, month=1, day=1)),)},
        InvalidField,
        "items[0].cube.sources[0].event_time",
    ),
    ({"sources": (replace(said("x"), start_char=5, end_char=3),)}, InvalidField, "items[0].cube.sources[0].end_char"),
]


@pytest.mark.parametrize(("fields", "error", "field"), BAD_FIELDS)
async def test_a_bad_field_is_named(world, fields, error, field):
    refused = await error_of(world, item("text", 1, **fields))
    assert isinstance(refused, error)
    assert refused.field == field


@pytest.mark.parametrize("text", ["x" * (limits.TEXT_BYTES + 1), "a\x07b", "\ud800"])
async def test_text_that_breaks_a_rule_is_refused(world, text):
    refused = await error_of(world, item(text, 1))
    assert refused.field == "items[0].cube.plaintext.text"


@pytest.mark.parametrize(
    "values",
    [[np.nan] + [0.0] * 7, [np.inf] + [0.0] * 7, [0.0] * 8, [1.0] * 8, [0.99] + [0.0] * 7, []],
    ids=["nan", "inf", "zero", "long", "short", "empty"],
)
async def test_a_vector_that_cannot_be_compared_is_refused(world, values):
    refused = await error_of(world, NewCube(wanted("text"), Vector("toy@1", np.array(values, np.float32))))
    assert isinstance(refused, InvalidField)
    assert refused.field == "items[0].embedding"


async def test_a_vector_of_another_size_or_without_embedder_is_refused(world):
    await world.add("first", seed=1)
    refused = await error_of(world, NewCube(wanted("second"), vector(1, dimensions=9)))
    assert isinstance(refused, InvalidField)
    refused = await error_of(world, NewCube(wanted("second"), vector(1, embedder="")))
    assert refused.field == "embedder"
    assert await error_of(world, NewCube(wanted("second"), vector(1, "other", 9))) is None


async def test_a_request_that_is_repeated_gets_the_same_answer_and_stores_nothing(world):
    first = await outcomes(world, item("once", 1, id="once"), request_id="r1")
    second = await outcomes(world, item("once", 1, id="another"), request_id="r1")
    assert second == first
    assert len(world.catalog.tables.audit) == 1


async def test_a_request_id_with_another_body_is_refused(world):
    await outcomes(world, item("once", 1), request_id="r1")
    with pytest.raises(RequestIdReused):
        await outcomes(world, item("twice", 1), request_id="r1", body="bb")


async def test_a_repeated_request_is_authorized_again(world):
    await outcomes(world, item("once", 1), request_id="r1")
    with pytest.raises(CubeNotFound):
        await outcomes(world, item("once", 1), request_id="r1", by=grant(NOTES))


async def test_rows_that_the_index_cannot_take_are_bounded(world, monkeypatch):
    monkeypatch.setattr(limits, "PENDING_ROWS", 2)
    world.index.away = True
    await outcomes(world, item("one", 1), item("two", 2))
    with pytest.raises(Overloaded) as caught:
        await outcomes(world, item("three", 3))
    assert caught.value.retry_after
    assert (await outcomes(world, NewCube(wanted("without vector"))))[0].created


async def test_an_index_that_is_away_is_told(world):
    world.index.away = True
    made = await world.create([item("x", 1)], return_existing=False, mutation=mutation())
    assert made.degraded
    assert made.answer.outcomes[0].created


async def test_a_mutation_leaves_an_audit_event_without_content(world):
    cube = await world.add("a secret", trace=TRACE)
    (event,) = world.catalog.tables.audit
    assert (event.action, event.resource, event.principal) == ("cube.create", str(cube.name), str(BEN))
    assert event.trace_id == TRACE.trace_id
    assert "secret" not in repr(event)


async def test_usage_cannot_be_written_by_a_caller(world):
    cube = await world.add("x", usage=Usage(hits=9, last_used_time=NOW - timedelta(days=1), heat=9.0))
    assert cube.usage == Usage()
