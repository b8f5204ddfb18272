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
from memos_inference.domain.models import TokenUse
from memos_kernel.token_codes import MAX_TOKENS, maxima, query_tokens, to_bytes

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


async def test_vectors_of_tokens_come_where_they_are_asked_for(embedder):
    dimensions = (await embedder.describe()).dimensions
    plain = await embedder.embed(TEXTS)
    assert [text.tokens for text in plain.texts] == [None] * len(TEXTS)
    stored = await embedder.embed(TEXTS, tokens=TokenUse.STORE)
    codes = [to_bytes(text.tokens, dimensions) for text in stored.texts]
    for text, found in zip(plain.vectors, stored.vectors, strict=True):
        assert cosine(text, found) > 1 - 1e-5
    (asked,) = (await embedder.embed(["Nora's bicycle!"], tokens=TokenUse.QUERY)).texts
    query = query_tokens(asked.tokens, dimensions)
    met = maxima(query, codes)
    assert met.shape == (len(TEXTS), len(query.words))
    bicycle = [place for place, word in enumerate(query.words) if "bicycle" in word]
    assert met[0, bicycle].min() > met[2, bicycle].max()
    assert "Nora" in " ".join(query.words)


async def test_a_text_without_letters_and_digits_has_no_vectors_of_tokens(embedder):
    (found,) = (await embedder.embed(["?!"], tokens=TokenUse.STORE)).texts
    assert not found.tokens.codes or isinstance(embedder, HashEmbedder)


async def test_a_long_text_has_vectors_of_its_first_tokens(embedder):
    (found,) = (await embedder.embed(["long words " * 400], tokens=TokenUse.STORE)).texts
    dimensions = (await embedder.describe()).dimensions
    assert len(to_bytes(found.tokens, dimensions)) <= 1 + MAX_TOKENS * dimensions // 4
