import pytest

from memos_inference.adapters.memory import EchoEngine, HashEmbedder, MemoryCopies
from memos_inference.usecases.choose_embedder import ServedEmbedders
from memos_inference.usecases.count_tokens import CountTokens
from memos_inference.usecases.describe_models import DescribeEmbedder, DescribeModels
from memos_inference.usecases.embed_texts import EmbedTexts
from memos_kernel.errors import LimitExceeded, MissingField
from memos_kernel.speed import Speed


async def test_texts_are_embedded_in_order_under_the_embedders_name():
    embed = EmbedTexts(ServedEmbedders(HashEmbedder()))
    both, second = await embed(["red bicycle", "blue boat"]), await embed(["blue boat"])
    assert both.vectors[1] == second.vectors[0] != both.vectors[0]
    assert both.embedder == (await HashEmbedder().describe()).id


async def test_an_empty_text_is_not_embedded():
    with pytest.raises(MissingField):
        await EmbedTexts(ServedEmbedders(HashEmbedder()))(["a", ""])


async def test_an_empty_text_counts_no_tokens():
    assert await CountTokens(EchoEngine())(["", "two words"]) == [0, 2]


async def test_too_many_texts_are_not_counted():
    with pytest.raises(LimitExceeded):
        await CountTokens(EchoEngine())(["a"] * 257)


async def test_both_models_are_described():
    describe = DescribeModels(
        EchoEngine(memories_read_well=4), HashEmbedder(dimensions=8), MemoryCopies(fetching=Speed(1.0, 2.0))
    )
    engine, embedder, fetching = await describe()
    assert (engine.memories_read_well, embedder.dimensions, fetching) == (4, 8, Speed(1.0, 2.0))


async def test_the_next_embedder_answers_to_its_id_and_the_main_one_to_everything_else():
    main, following = HashEmbedder(dimensions=8), HashEmbedder(dimensions=16)
    served = ServedEmbedders(main, following)
    embed = EmbedTexts(served)
    assert [(await embed(["a"], embedder=id)).embedder for id in ("", "hash-8", "hash-16", "other")] == [
        *("hash-8", "hash-8", "hash-16", "hash-8")
    ]
    describe = DescribeEmbedder(served)
    assert [((found := await describe(id))[0].id, found[1]) for id in ("", "hash-16")] == [
        ("hash-8", "hash-16"),
        ("hash-16", "hash-16"),
    ]
    alone = DescribeEmbedder(ServedEmbedders(main))
    assert [found.id for found, _ in [await alone("hash-16")]] == ["hash-8"]
    assert (await alone(""))[1] == "hash-8"
