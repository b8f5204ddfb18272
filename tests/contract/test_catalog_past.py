"""What every Catalog knows of the past."""

from dataclasses import replace
from datetime import timedelta

import pytest

from memos_kernel.cube import State
from memos_storage.domain import revisions
from memos_storage.domain.filters import CubeFilter
from storage_cubes import (
    FOREIGN,
    MAIN,
    NOTES,
    NOW,
    change,
    put,
    retold,
    scope,
    selected,
    stored,
    vector,
)

LATER = NOW + timedelta(days=40)


def hour(number):
    return NOW + timedelta(hours=number)


async def then(store, cube, moment, *, now=None, vault=MAIN):
    found = await store.catalog.get_as_of([cube.name], scope(vault), as_of=moment, now=now or hour(9))
    return found.get(cube.name)


async def listed(store, moment, filter=None, *, now=None, **page):
    selection = selected(scope(MAIN), filter, now=now or hour(9), as_of=moment)
    rows = await store.catalog.page(selection, after=page.get("after"), limit=page.get("limit", 99))
    return [row.cube.text for row in rows]


async def told_and_retold(store):
    """Return a cube that says three things at the hours 0, 2 and 4, and is deleted at 6."""
    first = stored("in Oslo", labels={"topic": "home"})
    second = retold(first, "in Bergen", now=hour(2))
    third = replace(retold(second, "in Rome", now=hour(4)), labels={"topic": "travel"})
    gone = revisions.deleted(third, now=hour(6))
    await put(store, first, seed=1)
    await change(store, second, content=True, seed=2)
    await change(store, third, content=True, seed=3)
    await change(store, gone)
    return first, second, third, gone


async def test_a_cube_is_read_as_it_was_at_any_moment(store):
    first, second, third, _ = await told_and_retold(store)
    before_it_was = NOW - timedelta(microseconds=1)
    assert await then(store, first, before_it_was) is None
    for moment, expected in ((0, first), (1.9, first), (2, second), (3, second), (4, third), (5.9, third)):
        assert (await then(store, first, hour(moment))).cube == expected
    assert await then(store, first, hour(6)) is None
    row = await then(store, first, hour(3))
    assert row.content_revision == 2
    assert await then(store, first, hour(3), vault=NOTES) is None


async def test_what_is_past_its_purge_time_has_no_past(store):
    first, *_ = await told_and_retold(store)
    assert await then(store, first, hour(1), now=LATER) is None
    assert await listed(store, hour(1), now=LATER) == []
    assert await store.catalog.history(first.name, scope(MAIN), before=None, limit=9, now=LATER) == []


async def test_a_page_of_the_past_holds_what_was_live_then_and_fulfilled_the_filter(store):
    await told_and_retold(store)
    other = stored("tea", labels={"topic": "home"}, now=hour(1))
    later = stored("coffee", now=hour(5))
    await put(store, other, later, stored("elsewhere", NOTES), stored("foreign", FOREIGN))
    home = CubeFilter(labels={"topic": "home"})
    assert await listed(store, hour(0)) == ["in Oslo"]
    assert await listed(store, hour(3)) == ["tea", "in Bergen"]
    assert await listed(store, hour(3), home) == ["tea", "in Bergen"]
    assert await listed(store, hour(4), home) == ["tea"]
    assert await listed(store, hour(5)) == ["coffee", "tea", "in Rome"]
    assert await listed(store, hour(7)) == ["coffee", "tea"]


async def test_pages_of_the_past_follow_each_other_and_miss_nothing(store):
    cubes = [stored(f"note {number}", now=NOW + timedelta(seconds=number // 3)) for number in range(10)]
    await put(store, *cubes)
    for cube in cubes[::2]:
        await change(store, retold(cube, f"{cube.text}, changed", now=hour(2)), content=True)
    seen, after = [], None
    selection = selected(scope(MAIN), now=hour(3), as_of=hour(1))
    while rows := await store.catalog.page(selection, after=after, limit=3):
        seen += [row.cube for row in rows]
        after = (seen[-1].create_time, seen[-1].uid)
    assert seen == sorted(cubes, key=lambda cube: (cube.create_time, cube.uid), reverse=True)


async def test_what_expired_since_had_not_expired_then(store):
    cube = stored("soon over", expire_time=hour(2))
    await put(store, cube)
    assert await listed(store, hour(1)) == ["soon over"]
    assert await listed(store, hour(3)) == []
    await change(store, revisions.moved(cube, state=State.EXPIRED, frozen=False, now=hour(4)))
    assert await listed(store, hour(1)) == ["soon over"]
    assert await listed(store, hour(5), CubeFilter(states=frozenset({State.EXPIRED}))) == ["soon over"]


async def test_candidates_of_the_past_are_those_that_have_not_changed_since_and_the_others_come_apart(store):
    same, changed = stored("same"), stored("changed")
    await put(store, same, changed, seed=1)
    await change(store, retold(changed, "changed since", now=hour(2)), content=True, seed=9)
    await put(store, stored("new", now=hour(3)), seed=5)
    selection = selected(scope(MAIN), now=hour(4), as_of=hour(1))
    uids = [same.uid, changed.uid]
    assert await store.catalog.eligible(uids, selection) == {same.uid: 1}
    resolved = await store.catalog.resolve(uids, selection)
    assert {uid: row.cube.text for uid, row in resolved.items()} == {same.uid: "same", changed.uid: "changed"}
    near = await store.catalog.nearest(vector(1), selection, bound=9, limit=9)
    assert [hit.uid for hit in near] == [same.uid]
    (old,) = await store.catalog.changed(selection, embedder=vector(1).embedder, bound=1)
    assert (old.stored.cube, old.stored.content_revision) == (changed, 1)
    assert old.vector.values.tolist() == vector(2).values.tolist()
    (bare,) = await store.catalog.changed(selection, embedder="other", bound=1)
    assert bare.vector is None
    assert await store.catalog.changed(selection, embedder=None, bound=0) is None


async def test_words_of_a_text_that_is_gone_are_scored_as_if_it_were_there(store):
    cubes = [stored("Nora moved to Oslo."), stored("Ben likes tea."), stored("Oslo is cold.")]
    await put(store, *cubes)
    there = await store.lexical.search("cold Oslo", selected(scope(MAIN)), limit=9)
    scored = await store.lexical.score("cold Oslo", cubes)
    assert {item.uid: pytest.approx(item.score) for item in scored} == {item.uid: item.score for item in there}
    assert await store.lexical.score("the", cubes) == []
    for cube in cubes:
        await change(store, revisions.deleted(cube, now=hour(1)))
    assert {item.uid for item in await store.lexical.score("cold Oslo", cubes)} == {cubes[0].uid, cubes[2].uid}


async def test_the_history_of_a_cube_is_every_revision_newest_first(store):
    first, second, third, gone = await told_and_retold(store)
    rows = await store.catalog.history(first.name, scope(MAIN), before=None, limit=9, now=hour(9))
    assert [row.cube for row in rows] == [gone, third, second, first]
    assert [row.content_revision for row in rows] == [3, 3, 2, 1]
    rows = await store.catalog.history(first.name, scope(MAIN), before=4, limit=2, now=hour(9))
    assert [row.cube.revision for row in rows] == [3, 2]
    assert await store.catalog.history(first.name, scope(NOTES), before=None, limit=9, now=hour(9)) == []


async def test_a_transaction_finds_any_revision_and_the_vector_of_its_text(store):
    first, second, *_ = await told_and_retold(store)

    def command(tx):
        found = tx.revision(first.uid, 2)
        assert found.cube == second
        assert tx.vector(first.uid, found.content_revision).values.tolist() == vector(2).values.tolist()
        assert tx.revision(first.uid, 7) is None

    await store.catalog.write(command)


async def test_facts_are_selected_by_when_they_hold_in_the_world(store):
    await put(
        store,
        stored("always"),
        stored("from noon", valid_from=hour(12)),
        stored("until noon", valid_until=hour(12)),
    )
    at = {moment: CubeFilter(valid_at=hour(moment)) for moment in (11, 12)}
    rows = {moment: await store.catalog.page(selected(scope(MAIN), at[moment]), after=None, limit=9) for moment in at}
    texts = {moment: {row.cube.text for row in found} for moment, found in rows.items()}
    assert texts == {11: {"always", "until noon"}, 12: {"always", "from noon"}}
