"""Importing batch by batch, with patience."""

import asyncio
from dataclasses import replace

import pytest

from memos_interface.domain.imports import ImportItem
from memos_interface.ports import EmbedderFacts
from memos_interface.usecases import import_memories
from memos_kernel.cube import Kind, MemCube, Plaintext
from memos_kernel.errors import InvalidField, LimitExceeded, MissingField, Overloaded, StoreFull, VaultNotFound
from memos_kernel.names import CubeName, VaultName


def item(desk, text, *, id="", vector=()):
    name = CubeName("t", id or desk.new_id())
    cube = MemCube(name=name, vault=desk.vault, kind=Kind.PLAINTEXT, payload=Plaintext(text))
    return ImportItem(cube, vector)


async def run(desk, *batches, embedder="", start=0, vault=None):
    async def source():
        for batch in batches:
            yield batch

    pages = desk.do.import_(vault or desk.vault, source(), embedder=embedder, start=start, caller=desk.caller)
    return [page async for page in pages]


async def test_batches_are_answered_in_order_and_counted_on(desk):
    batches = [[item(desk, f"fact {batch}.{number}") for number in range(batch + 1)] for batch in range(7)]
    first, *pages = await run(desk, *batches, start=100)
    assert (first.start, first.outcomes, first.embedder) == (100, (), "hash-4")
    assert [page.start for page in pages] == [100, 101, 103, 106, 110, 115, 121]
    assert [len(page.outcomes) for page in pages] == [1, 2, 3, 4, 5, 6, 7]
    assert len(desk.storage.cubes) == 28


async def test_refused_items_keep_their_place(desk):
    stranger = replace(item(desk, "x"), cube=replace(item(desk, "x").cube, vault=desk.other))
    unread = MissingField("no name", field="cube.name")
    _, page = await run(desk, [item(desk, "good"), item(desk, ""), unread, stranger, item(desk, "too")])
    errors = [outcome.error for outcome in page.outcomes]
    assert [type(error).__name__ for error in errors] == [
        "NoneType",
        "MissingField",
        "MissingField",
        "InvalidField",
        "NoneType",
    ]
    assert errors[3].field == "cube.vault"


async def test_a_busy_part_is_waited_for(desk, monkeypatch):
    create, tries = desk.storage.create, []

    async def busy(*args, **options):
        tries.append(1)
        if len(tries) < 4:
            raise Overloaded("too many rows wait", retry_after=0.01, queue="vector index")
        return await create(*args, **options)

    monkeypatch.setattr(desk.storage, "create", busy)
    _, page = await run(desk, [item(desk, "patience")])
    assert page.outcomes[0].created
    assert len(tries) == 4


async def test_a_full_disk_is_not_waited_for(desk, monkeypatch):
    async def full(*_, **__):
        raise StoreFull("full", store="catalogue")

    monkeypatch.setattr(desk.storage, "create", full)
    with pytest.raises(StoreFull):
        await run(desk, [item(desk, "x")], [item(desk, "y")])


async def test_no_more_than_a_few_batches_are_taken_in_ahead(desk, monkeypatch):
    taken, go_on = [], asyncio.Event()
    create = desk.storage.create

    async def slow(*args, **options):
        await go_on.wait()
        return await create(*args, **options)

    monkeypatch.setattr(desk.storage, "create", slow)

    async def source():
        for number in range(20):
            taken.append(number)
            yield [item(desk, f"fact {number}")]

    pages = desk.do.import_(desk.vault, source(), embedder="", start=0, caller=desk.caller)
    assert (await anext(pages)).start == 0
    waiting = asyncio.create_task(anext(pages))
    await asyncio.sleep(0.05)
    assert len(taken) == import_memories.AHEAD
    go_on.set()
    assert (await waiting).start == 0
    await pages.aclose()


async def test_who_leaves_early_leaves_nothing_running(desk, monkeypatch):
    running = []

    async def endless(*_, **__):
        running.append(1)
        try:
            await asyncio.sleep(60)
        finally:
            running.pop()

    monkeypatch.setattr(desk.storage, "create", endless)

    async def source():
        yield [item(desk, "a")]
        await asyncio.sleep(60)

    pages = desk.do.import_(desk.vault, source(), embedder="", start=0, caller=desk.caller)
    await anext(pages)
    waiting = asyncio.create_task(anext(pages))
    await asyncio.sleep(0.05)
    assert running
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    await pages.aclose()
    assert not running


async def test_vectors_have_to_be_of_the_embedder_that_runs(desk):
    with pytest.raises(InvalidField, match="runs here"):
        await run(desk, embedder="another@1")
    good, short = item(desk, "a", vector=(1.0, 0, 0, 0)), item(desk, "b", vector=(1.0,))
    _, page = await run(desk, [good, short, item(desk, "c")], embedder="hash-4")
    assert [outcome.created for outcome in page.outcomes] == [True, False, True]
    assert page.outcomes[1].error.field == "embedding"
    assert desk.models.embedded == ["c"]
    _, page = await run(desk, [item(desk, "d", vector=(1.0, 0, 0, 0))])
    assert page.outcomes[0].error.field == "embedding"


async def test_a_batch_too_large_and_a_vault_that_is_none_end_it(desk):
    with pytest.raises(LimitExceeded):
        await run(desk, [item(desk, f"{number}") for number in range(257)])
    foreign = VaultName("t", "nowhere")
    lost = replace(item(desk, "x"), cube=replace(item(desk, "x").cube, vault=foreign))
    with pytest.raises(VaultNotFound):
        await run(desk, [lost], vault=foreign)


async def test_a_batch_is_answered_once_it_is_stored_though_no_other_comes(desk):
    more = asyncio.Event()

    async def source():
        yield [item(desk, "a")]
        await more.wait()
        yield [item(desk, "b")]

    pages = desk.do.import_(desk.vault, source(), embedder="", start=0, caller=desk.caller)
    await anext(pages)
    assert (await asyncio.wait_for(anext(pages), 2)).outcomes[0].created
    more.set()
    assert (await asyncio.wait_for(anext(pages), 2)).start == 1
    assert [page async for page in pages] == []


async def test_what_came_before_a_broken_stream_is_answered_first(desk):
    async def source():
        yield [item(desk, "a")]
        yield [item(desk, "b")]
        raise InvalidField("no batch", field="batch")

    pages = desk.do.import_(desk.vault, source(), embedder="", start=0, caller=desk.caller)
    assert [(await anext(pages)).start for _ in range(3)] == [0, 0, 1]
    with pytest.raises(InvalidField, match="no batch"):
        await anext(pages)


async def test_vectors_are_computed_once_while_storage_is_busy(desk, monkeypatch):
    create, tries = desk.storage.create, []

    async def busy(*args, **options):
        tries.append(1)
        if len(tries) < 4:
            raise Overloaded("too many rows wait", retry_after=0.01, queue="vector index")
        return await create(*args, **options)

    monkeypatch.setattr(desk.storage, "create", busy)
    await run(desk, [item(desk, "once")])
    assert desk.models.embedded == ["once"]


async def test_long_texts_are_stored_in_more_than_one_message(desk, monkeypatch):
    create, sizes = desk.storage.create, []

    async def counted(cubes, *args, **options):
        sizes.append(len(cubes))
        return await create(cubes, *args, **options)

    monkeypatch.setattr(desk.storage, "create", counted)
    _, page = await run(desk, [item(desk, f"{number} " + "x" * 16_000) for number in range(256)])
    assert all(outcome.created for outcome in page.outcomes)
    assert sum(sizes) == 256
    assert len(sizes) > 1


async def test_another_embedder_in_the_middle_ends_it(desk, monkeypatch):
    async def source():
        yield [item(desk, "a", vector=(1.0, 0, 0, 0))]
        monkeypatch.setattr(desk.models, "describe_embedder", changed)
        yield [item(desk, "b", vector=(1.0, 0, 0, 0))]

    async def changed():
        return EmbedderFacts("another@1", 4)

    with pytest.raises(InvalidField, match="another@1"):
        async for _ in desk.do.import_(desk.vault, source(), embedder="hash-4", start=0, caller=desk.caller):
            pass
