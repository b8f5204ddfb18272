"""The read path: get, list, search, and the audit of it."""

import asyncio
from dataclasses import replace

import pytest

from memos_interface.domain.search import SearchQuery
from memos_interface.usecases.add_memories import AddRequest
from memos_kernel.cube import TraceRef
from memos_kernel.errors import CubeNotFound, InvalidField, LimitExceeded, MissingField, Overloaded, VaultNotFound
from memos_kernel.names import CubeName, VaultName
from memos_kernel.requests import RequestKey


async def add(desk, *texts):
    answer = await desk.do.add(AddRequest(vault=desk.vault, texts=texts), caller=desk.caller, key=RequestKey())
    return [stored.cube for stored in answer.added]


async def search(desk, query, **options):
    return await desk.do.search(SearchQuery(query=query, **options), caller=desk.caller)


async def test_a_batch_answers_each_name_with_a_cube_or_its_error(desk):
    (cube,) = await add(desk, "one")
    found, missing = await desk.do.read.batch_get([cube.name, CubeName("t", "none")], full=True, caller=desk.caller)
    assert found == cube
    assert isinstance(missing, CubeNotFound)
    assert desk.audit.notes == [("cube.read", str(cube.name))]


async def test_a_batch_has_bounds(desk):
    with pytest.raises(MissingField):
        await desk.do.read.batch_get([], full=True, caller=desk.caller)
    with pytest.raises(LimitExceeded):
        await desk.do.read.batch_get([CubeName("t", "x")] * 101, full=True, caller=desk.caller)


async def test_a_list_is_headers_and_pages(desk):
    await add(desk, "one", "two", "three")
    list_ = desk.do.read.list
    first = await list_(desk.vault, filter=None, page_size=2, page_token="", caller=desk.caller)
    rest = await list_(desk.vault, filter=None, page_size=2, page_token=first.next_page_token, caller=desk.caller)
    assert len(first.cubes) == 2
    assert len(rest.cubes) == 1
    assert not rest.next_page_token
    assert all(cube.payload is None for cube in first.cubes)
    assert desk.audit.notes == [("cube.list", str(desk.vault))] * 2


async def test_a_search_finds_the_best_and_names_its_legs(desk):
    await add(desk, "the cat sleeps", "the dog barks at the cat", "rain")
    answer = await search(desk, "dog barks cat", vaults=(desk.vault,))
    assert [hit.cube.text for hit in answer.hits] == ["the dog barks at the cat", "the cat sleeps"]
    assert {leg.name: leg.ran for leg in answer.legs} == {"dense": True, "lexical": True}
    assert not answer.degraded
    assert desk.audit.notes == [("cube.search", str(hit.cube.name)) for hit in answer.hits]


async def test_reads_link_to_the_trace_in_which_a_cube_was_written(desk):
    (cube,) = await add(desk, "the cat sleeps")
    origin = TraceRef("a" * 32, "b" * 16)
    desk.storage.cubes[cube.name] = replace(cube, origin_trace=origin)
    await search(desk, "cat")
    await desk.do.read.get(cube.name, full=True, caller=desk.caller)
    assert desk.spans.links == [("search", origin), ("read", origin)]


async def test_a_search_that_finds_nothing_is_noted_too(desk):
    await search(desk, "unicorn")
    assert desk.audit.notes == [("cube.search", "tenants/t")]


async def test_without_the_embedder_a_search_is_lexical_and_says_why(desk):
    await add(desk, "the cat sleeps")
    desk.models.failure = Overloaded("The engine's queue is full.", retry_after=1.0)
    answer = await search(desk, "cat")
    assert [hit.cube.text for hit in answer.hits] == ["the cat sleeps"]
    assert answer.degraded
    assert [leg.reason for leg in answer.legs if not leg.ran] == ["The engine's queue is full."]


async def test_a_slow_embedder_counts_as_away(desk, monkeypatch):
    async def slow(texts):
        await asyncio.sleep(60)

    await add(desk, "the cat sleeps")
    monkeypatch.setattr(desk.models, "embed", slow)
    answer = await replace(desk.do.search, embed_timeout=0.01)(SearchQuery(query="cat"), caller=desk.caller)
    assert answer.hits
    assert answer.degraded


@pytest.mark.parametrize(
    ("options", "error", "field"),
    [
        ({"query": ""}, MissingField, "query"),
        ({"query": "x" * 4_097}, LimitExceeded, "query"),
        ({"query": "a\x1bb"}, InvalidField, "query"),
        ({"query": "a", "top_k": -1}, InvalidField, "top_k"),
        ({"query": "a", "top_k": 101}, LimitExceeded, "top_k"),
        ({"query": "a", "vaults": tuple(VaultName("t", f"v{n}") for n in range(33))}, LimitExceeded, "vaults"),
    ],
)
async def test_a_bad_search_is_refused_by_its_field(desk, options, error, field):
    with pytest.raises(error) as caught:
        await search(desk, **options)
    assert caught.value.field == field


async def test_an_unknown_vault_is_not_an_empty_answer(desk):
    with pytest.raises(VaultNotFound):
        await search(desk, "cat", vaults=(VaultName("t", "nowhere"),))
