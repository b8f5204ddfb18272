"""Searching."""

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest

from memos_kernel import limits
from memos_kernel.cube import Plaintext, State, TraceRef
from memos_kernel.errors import DependencyUnavailable, InvalidField, LimitExceeded, MissingField, VaultNotFound
from memos_storage.domain.filters import CubeFilter
from memos_storage.usecases import legs
from memos_storage.usecases.pending_rows import PendingRows
from storage_cubes import FOREIGN, MAIN, NOTES, NOW, grant, said, scope, vector
from storage_world import mutation


def leg(found, name):
    (result,) = [each for each in found.legs if each.name == name]
    return result


def uids(found):
    return [hit.cube.uid for hit in found.hits]


async def test_a_new_cube_is_found_at_once_and_again_after_it_was_indexed(world):
    cube = await world.add("Nora moved to Oslo.", seed=1)
    found = await world.search("?", vector=vector(1))
    assert uids(found) == [cube.uid]
    assert found.hits[0].fused.legs == {"pending": pytest.approx(1.0, abs=1e-5)}
    assert await world.follow() == 1
    found = await world.search("?", vector=vector(1))
    assert found.hits[0].fused.legs == {"dense": pytest.approx(1.0, abs=1e-5)}
    assert not found.degraded
    assert len(world.pending) == 0


async def test_a_cube_that_is_indexed_during_the_search_is_found(world, monkeypatch):
    cube = await world.add("Nora moved to Oslo.", seed=1)
    search, waiting = world.index.search, world.outbox.waiting

    async def overtaken(*args, **options):
        hits = await search(*args, **options)
        await world.follow()
        return hits

    async def slow(**options):
        await asyncio.sleep(0.01)
        return await waiting(**options)

    monkeypatch.setattr(world.index, "search", overtaken)
    monkeypatch.setattr(world.outbox, "waiting", slow)
    assert uids(await world.search("?", vector=vector(1))) == [cube.uid]


async def test_rows_that_another_process_writes_and_settles_come_and_go(world):
    other = PendingRows(world.outbox)
    cube = await world.add("Nora moved to Oslo.", seed=1)
    await other.refresh()
    assert [hit.uid for hit in other.search(vector(1), scope(MAIN), limit=9)] == [cube.uid]
    await world.follow()
    await other.refresh()
    assert len(other) == 0


async def test_a_row_whose_number_is_smaller_but_was_committed_later_is_found(world):
    first, second = await world.add("tea", seed=1), await world.add("coffee", seed=2)
    late = world.catalog.tables.outbox.pop(1)
    assert uids(await world.search("?", vector=vector(1))) == [second.uid]
    world.catalog.tables.outbox[1] = late
    assert uids(await world.search("?", vector=vector(1))) == [first.uid, second.uid]


async def test_a_text_that_changes_during_the_search_is_found(world, monkeypatch):
    cube = await world.add("tea", seed=1)
    await world.follow()
    search = world.index.search

    async def overtaken(*args, **options):
        hits = await search(*args, **options)
        wanted = replace(cube, payload=Plaintext("green tea"), etag="")
        await world.update(wanted, mask=["plaintext.text"], vector=vector(1), mutation=mutation())
        return hits

    monkeypatch.setattr(world.index, "search", overtaken)
    found = await world.search("?", vector=vector(1))
    assert [hit.cube.text for hit in found.hits] == ["green tea"]


async def test_searches_that_come_together_share_their_looks_at_what_waits(world, monkeypatch):
    await world.add("tea", seed=1)
    waiting, looks = world.outbox.waiting, []

    async def slow(**options):
        looks.append(options)
        await asyncio.sleep(0.005)
        return await waiting(**options)

    monkeypatch.setattr(world.outbox, "waiting", slow)
    first = asyncio.create_task(world.pending.refresh())
    await asyncio.sleep(0)
    await asyncio.gather(first, *(world.pending.refresh() for _ in range(20)))
    assert len(looks) == 2
    assert len(world.pending) == 1


async def test_a_look_that_failed_fails_those_who_waited_for_it_and_no_later_one(world, monkeypatch):
    await world.add("tea", seed=1)
    waiting = world.outbox.waiting

    async def away(**options):
        raise DependencyUnavailable("The catalogue does not answer.", dependency="catalogue database")

    monkeypatch.setattr(world.outbox, "waiting", away)
    results = await asyncio.gather(*(world.pending.refresh() for _ in range(3)), return_exceptions=True)
    assert all(isinstance(result, DependencyUnavailable) for result in results)
    monkeypatch.setattr(world.outbox, "waiting", waiting)
    await world.pending.refresh()
    assert len(world.pending) == 1


async def test_an_index_that_may_lack_something_is_searched_and_the_answer_says_so(world):
    cube = await world.add("tea", seed=1)
    await world.follow()
    world.doubt = "it is being compared"
    found = await world.search("?", vector=vector(1))
    assert uids(found) == [cube.uid]
    assert found.degraded
    assert leg(found, "dense").ran
    assert leg(found, "dense").reason == "it is being compared"


async def test_words_and_meaning_add_up(world):
    both = await world.add("tea in Oslo", seed=1)
    words = await world.add("tea in Rome", seed=500)
    meaning = await world.add("a hot drink", seed=1)
    found = await world.search("tea", vector=vector(1))
    assert uids(found)[0] == both.uid
    assert set(uids(found)) == {both.uid, words.uid, meaning.uid}
    assert [hit.fused.score for hit in found.hits] == sorted((hit.fused.score for hit in found.hits), reverse=True)


async def test_without_a_vector_the_words_alone_answer_and_the_answer_says_so(world):
    cube = await world.add("tea", seed=1)
    found = await world.search("tea")
    assert uids(found) == [cube.uid]
    assert found.degraded
    assert [(each.name, each.ran) for each in found.legs] == [("dense", False), ("pending", False), ("lexical", True)]
    assert "no vector" in leg(found, "dense").reason


async def test_an_index_that_is_away_is_named_and_what_it_lacks_is_found(world):
    world.index.away = True
    cube = await world.add("tea", seed=1)
    found = await world.search("?", vector=vector(1))
    assert uids(found) == [cube.uid]
    assert found.degraded
    assert not leg(found, "dense").ran
    assert leg(found, "dense").reason == "the vector index is away"
    world.index.away = False
    await world.follow()
    assert not (await world.search("?", vector=vector(1))).degraded


async def test_equal_scores_come_in_the_order_of_uids(world):
    cubes = [await world.add("tea", seed=1, sources=(said("", session=str(number)),)) for number in range(5)]
    assert uids(await world.search("tea", vector=vector(1))) == sorted(cube.uid for cube in cubes)


async def test_a_stale_vector_finds_nothing(world):
    cube = await world.add("tea", seed=1)
    stale = (await world.outbox.waiting(known=frozenset())).points
    await world.follow()
    await world.delete(cube.name, etag="", mutation=mutation())
    await world.follow()
    await world.index.put(stale)
    assert not (await world.search("?", vector=vector(1))).hits


async def test_only_granted_vaults_are_searched_and_others_are_not_there(world):
    here = await world.add("tea", seed=1)
    await world.add("tea", seed=1, vault=NOTES)
    await world.add("tea", seed=1, vault=FOREIGN)
    await world.follow()
    assert uids(await world.search("tea", vector=vector(1))) == [here.uid]
    assert len((await world.search("tea", vector=vector(1), by=grant(MAIN, NOTES))).hits) == 2
    narrowed = await world.search("tea", vector=vector(1), vaults=(NOTES,), by=grant(MAIN, NOTES))
    assert [hit.cube.vault for hit in narrowed.hits] == [NOTES]
    for vault in (NOTES, FOREIGN):
        with pytest.raises(VaultNotFound):
            await world.search("tea", vaults=(vault,))


async def test_a_selective_filter_loses_nothing_in_a_crowd(world, monkeypatch):
    monkeypatch.setattr(legs, "EXACT_ROWS", 3)
    kept = await world.add("the one", seed=900, labels={"keep": "yes"})
    await world.create_crowd(60)
    await world.follow()
    found = await world.search("?", vector=vector(1), filter=CubeFilter(labels={"keep": "yes"}), top_k=1)
    assert uids(found) == [kept.uid]


async def test_the_index_is_asked_for_more_until_enough_are_confirmed(world, monkeypatch):
    monkeypatch.setattr(legs, "EXACT_ROWS", 0)
    kept = [await world.add(f"kept {number}", seed=900 + number, labels={"keep": "yes"}) for number in range(3)]
    await world.create_crowd(200)
    await world.follow()
    await world.follow()
    await world.follow()
    found = await world.search("?", vector=vector(1), filter=CubeFilter(labels={"keep": "yes"}), top_k=3)
    assert set(uids(found)) == {cube.uid for cube in kept}


async def test_archived_and_overdue_cubes_are_not_found_by_default(world):
    archived = await world.add("tea one", seed=1)
    await world.add("tea two", seed=1, expire_time=NOW + timedelta(hours=1))
    from dataclasses import replace

    decided = replace(archived, state=State.ARCHIVED)
    await world.transition(decided, expected_revision=1, reason="", mutation=mutation())
    world.clock.advance(hours=1)
    assert not (await world.search("tea", vector=vector(1))).hits
    found = await world.search("tea", vector=vector(1), filter=CubeFilter(states=frozenset({State.ARCHIVED})))
    assert uids(found) == [archived.uid]
    with pytest.raises(InvalidField):
        await world.search("tea", filter=CubeFilter(states=frozenset({State.EXPIRED})))


@pytest.mark.parametrize(
    ("text", "members", "error"),
    [
        (" ", {}, MissingField),
        ("x" * (limits.QUERY_BYTES + 1), {}, LimitExceeded),
        ("a\x00", {}, InvalidField),
        ("tea", {"top_k": -1}, InvalidField),
        ("tea", {"top_k": limits.TOP_K + 1}, LimitExceeded),
        ("tea", {"vaults": tuple(type(MAIN)("acme", f"v{number}") for number in range(33))}, LimitExceeded),
    ],
)
async def test_a_bad_query_is_refused(world, text, members, error):
    with pytest.raises(error):
        await world.search(text, **members)


async def test_a_search_is_a_span_with_links_to_the_origins_of_what_it_found(world):
    trace = TraceRef("a" * 32, "b" * 16)
    await world.add("tea", seed=1, trace=trace)
    await world.search("tea", vector=vector(1))
    names = [span.name for span in world.spans.made]
    assert names[0] == "storage.search"
    assert {"storage.search.dense", "storage.search.pending", "storage.search.lexical"} <= set(names)
    assert world.spans.made[0].links == [trace]
    assert not any("tea" in str(value) for span in world.spans.made for value in span.attributes.values())
