"""What every Embedder must do."""

import asyncio
import math
from functools import partial

import pytest

from memos_inference.adapters.checkpoint import FileDigests
from memos_inference.adapters.loading import load_encoder
from memos_inference.adapters.memory import HashEmbedder
from memos_inference.adapters.transformers_embedder import TransformersEmbedder
from memos_inference.config import BUNDLED_EMBEDDER, InferenceConfig

TEXTS = ["Nora has a red bicycle.", "The bicycle of Nora is red.", "It rained in Oslo.", "x", "long words " * 400]


@pytest.fixture(params=["hash", "minilm"])
async def embedder(request, tmp_path):
    if request.param == "hash":
        yield HashEmbedder()
        return
    digests = FileDigests(tmp_path / "digests.json")
    load = partial(load_encoder, BUNDLED_EMBEDDER, InferenceConfig(threads=1), digests, setting="embedder")
    made = TransformersEmbedder(load, max_batch_texts=4, max_queue_tokens=100_000)
    await made.start()
    yield made
    await made.close()


def cosine(a, b) -> float:
    return sum(x * y for x, y in zip(a, b, strict=True))


async def test_each_text_gets_a_vector_of_the_described_length_and_of_length_one(embedder):
    described = await embedder.describe()
    result = await embedder.embed(TEXTS)
    assert result.embedder == described.id
    assert [len(vector) for vector in result.vectors] == [described.dimensions] * len(TEXTS)
    assert all(math.isclose(cosine(vector, vector), 1.0, abs_tol=1e-5) for vector in result.vectors)


async def test_company_does_not_change_a_vector(embedder):
    together = (await embedder.embed(TEXTS)).vectors
    for text, vector in zip(TEXTS, together, strict=True):
        alone = (await embedder.embed([text])).vectors[0]
        assert cosine(alone, vector) > 1 - 1e-5


async def test_nearer_in_meaning_is_nearer(embedder):
    first, alike, other, *_ = (await embedder.embed(TEXTS)).vectors
    assert cosine(first, alike) > cosine(first, other) + 0.2


async def test_callers_at_the_same_time_get_their_own_vectors(embedder):
    apart = [(await embedder.embed([text])).vectors[0] for text in TEXTS]
    results = await asyncio.gather(*(embedder.embed([text, TEXTS[0]]) for text in TEXTS))
    for result, alone in zip(results, apart, strict=True):
        assert cosine(result.vectors[0], alone) > 1 - 1e-5
        assert cosine(result.vectors[1], apart[0]) > 1 - 1e-5
