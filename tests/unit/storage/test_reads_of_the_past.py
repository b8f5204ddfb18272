"""Reads at a moment of the past, where they are refused and where they know less."""

from datetime import timedelta

import pytest

from memos_kernel import limits
from memos_kernel.errors import InvalidField
from memos_storage.domain.filters import CubeFilter
from memos_storage.usecases import past_leg
from memos_storage.usecases.search_cubes import DEPTH
from storage_cubes import MAIN, NOW, grant, vector, wanted
from storage_world import mutation

TOMORROW = NOW + timedelta(days=1)


async def retell(world, cube, text, given):
    world.clock.advance(hours=1)
    new = wanted(text, id=cube.name.id)
    return await world.update(new, mask=["plaintext.text"], vector=given, mutation=mutation())


async def test_a_moment_that_has_not_come_is_refused(world):
    cube = await world.add("tea")
    reads = (
        world.get([cube.name], as_of=TOMORROW, grant=grant(MAIN)),
        world.page(MAIN, CubeFilter(), as_of=TOMORROW, after=None, size=3, grant=grant(MAIN)),
        world.search("tea", as_of=TOMORROW),
    )
    for read in reads:
        with pytest.raises(InvalidField) as caught:
            await read
        assert caught.value.metadata["field"] == "as_of"


async def test_the_past_is_searched_by_meaning_and_words(world):
    cube = await world.add("tea in Oslo", seed=1)
    await world.follow()
    await retell(world, cube, "coffee in Rome", vector(2))
    await world.follow()
    found = await world.search("oslo", vector=vector(1), as_of=NOW)
    assert [leg.name for leg in found.legs] == ["dense", "pending", "past", "lexical"]
    (hit,) = found.hits
    assert (hit.cube.text, hit.cube.revision) == ("tea in Oslo", 1)
    assert set(hit.fused.legs) == {"past", "lexical"}
    assert not found.degraded
    assert [leg.name for leg in (await world.search("oslo", vector=vector(1))).legs] == ["dense", "pending", "lexical"]


async def test_a_search_of_the_past_without_a_vector_finds_by_words(world):
    cube = await world.add("tea in Oslo", seed=1)
    await retell(world, cube, "coffee in Rome", vector(2))
    (hit,) = (await world.search("oslo", as_of=NOW)).hits
    assert set(hit.fused.legs) == {"lexical"}


async def test_what_changes_while_the_past_is_searched_is_found_as_it_was(world, monkeypatch):
    cube = await world.add("tea in Oslo", seed=1)
    await world.follow()
    world.clock.advance(hours=1)
    search = world.index.search

    async def changed_meanwhile(*args, **members):
        monkeypatch.setattr(world.index, "search", search)
        await retell(world, cube, "coffee in Rome", vector(2))
        await world.follow()
        return await search(*args, **members)

    monkeypatch.setattr(world.index, "search", changed_meanwhile)
    found = await world.search("unheard", vector=vector(1), as_of=NOW)
    assert [hit.cube.text for hit in found.hits] == ["tea in Oslo"]


async def test_too_many_changes_since_are_said_and_not_hidden(world, monkeypatch):
    monkeypatch.setattr(limits, "PAST_ROWS", 1)
    cubes = [await world.add(f"tea {number}", seed=number) for number in range(2)]
    for number, cube in enumerate(cubes):
        await retell(world, cube, f"coffee {number}", vector(9 + number))
    found = await world.search("tea", vector=vector(1), as_of=NOW)
    (leg,) = [leg for leg in found.legs if leg.name == "past"]
    assert (leg.ran, leg.reason) == (False, past_leg.TOO_MANY)
    assert found.degraded


async def test_texts_whose_vectors_are_of_another_embedder_are_searched_by_words_and_it_is_said(world):
    cube = await world.add("tea in Oslo", seed=1)
    await retell(world, cube, "coffee in Rome", vector(2))
    found = await world.search("oslo", vector=vector(1, "newer@2"), as_of=NOW)
    assert [hit.cube.text for hit in found.hits] == ["tea in Oslo"]
    (leg,) = [leg for leg in found.legs if leg.name == "past"]
    assert leg.ran
    assert leg.reason.startswith("1 of the texts")
    assert found.degraded


async def test_only_the_best_of_what_changed_are_candidates(world, monkeypatch):
    cubes = [await world.add(f"note {number}", seed=number) for number in range(DEPTH + 50)]
    world.clock.advance(hours=1)
    for cube in cubes:
        await world.delete(cube.name, etag="", mutation=mutation())
    found = await world.search("unheard", vector=vector(7), as_of=NOW, top_k=3)
    (leg,) = [leg for leg in found.legs if leg.name == "past"]
    assert len(leg.scores) == DEPTH
    assert found.hits[0].cube.text == "note 7"
