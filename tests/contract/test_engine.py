"""What every Engine must do."""

import asyncio
from contextlib import aclosing
from dataclasses import replace
from functools import partial

import pytest

from checkpoints import write_checkpoint
from engines import make_batcher
from memos_inference.adapters.checkpoint import FileDigests
from memos_inference.adapters.loading import load_model
from memos_inference.adapters.memory import EchoEngine, WordCache
from memos_inference.adapters.transformers_engine import TransformersEngine
from memos_inference.config import InferenceConfig
from memos_inference.domain.generation import Delta, Ended, FinishReason, Prompt, Role, Sampling, Turn
from memos_kernel.blobs import SAFETENSORS
from memos_kernel.cube import Activation, BlobRef, Kind, MemCube, Plaintext
from memos_kernel.errors import ContextExceeded
from memos_kernel.names import CubeName, VaultName

QUESTION = Prompt((Turn(Role.USER, "What colour is the bicycle of Nora?"),))


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    return write_checkpoint(tmp_path_factory.mktemp("models") / "random")


@pytest.fixture(params=["echo", "transformers"])
async def engine(request, checkpoint, tmp_path):
    if request.param == "echo":
        yield EchoEngine()
        return
    config = InferenceConfig(model=str(checkpoint), threads=1)
    load = partial(load_model, config, FileDigests(tmp_path / "digests.json"))
    made = TransformersEngine(load, batcher=make_batcher())
    made.start()
    yield made
    await made.close()


MEMORIES = tuple(
    MemCube(name=CubeName("t", f"c{number}"), vault=VaultName("t", "v"), kind=Kind.PLAINTEXT, payload=Plaintext(text))
    for number, text in enumerate(("a red bicycle", "a dog, Ada."))
)


async def cache_of(engine, memories, path):
    """Return a cache as `generate` takes it, and what it was made of."""
    encoded = await engine.encode(memories, path)
    if isinstance(engine, EchoEngine):
        return WordCache(tuple(path.read_text().split())), encoded
    blob = BlobRef("b", path.stat().st_size, "0" * 64, SAFETENSORS)
    payload = Activation(blob, encoded.identity, encoded.token_count)
    cube = MemCube(name=CubeName("t", "kv"), vault=VaultName("t", "v"), kind=Kind.ACTIVATION, payload=payload)
    return await engine.open_cache(path, cube), encoded


async def answered(engine, memories, question="Which colour?", **options):
    prompt = Prompt((Turn(Role.USER, question),), tuple(memories))
    *pieces, end = [event async for event in engine.generate(prompt, Sampling(max_tokens=12), **options)]
    return "".join(piece.text for piece in pieces), replace(end, first_token_ms=0, queue_ms=0)


async def collect(engine, **options):
    return [event async for event in engine.generate(QUESTION, Sampling(**options))]


async def test_pieces_come_first_and_one_end_comes_last(engine):
    *pieces, end = await collect(engine, max_tokens=30)
    assert isinstance(end, Ended)
    assert pieces
    assert all(isinstance(piece, Delta) and piece.text for piece in pieces)
    assert end.model == (await engine.describe()).model
    assert end.prompt_tokens > 0


async def test_greedy_answers_repeat(engine):
    assert [event for event in await collect(engine) if isinstance(event, Delta)] == [
        event for event in await collect(engine) if isinstance(event, Delta)
    ]


async def test_the_answer_ends_at_the_most_tokens(engine):
    *_, end = await collect(engine, max_tokens=3)
    assert (end.finish_reason, end.completion_tokens) == (FinishReason.LENGTH, 3)


async def test_a_prompt_without_room_for_an_answer_is_refused_with_both_numbers(engine):
    limit = (await engine.describe()).context_length
    with pytest.raises(ContextExceeded) as caught:
        await anext(engine.generate(Prompt((Turn(Role.USER, "long words " * limit),)), Sampling()))
    assert int(caught.value.metadata["tokens"]) >= int(caught.value.metadata["limit"]) == limit


async def test_a_caller_that_leaves_disturbs_nobody(engine):
    whole = await collect(engine, max_tokens=5)
    async with aclosing(engine.generate(QUESTION, Sampling(max_tokens=100))) as events:
        await anext(events)
    assert [event for event in await collect(engine, max_tokens=5) if isinstance(event, Delta)] == whole[:-1]


async def test_tokens_are_counted_text_by_text(engine):
    counts = await engine.count_tokens(["", "one", "one two three", "one"])
    assert counts[0] == 0 < counts[1] == counts[3] < counts[2]


async def test_the_identity_leaves_only_the_tokens_of_a_payload_open(engine):
    identity = (await engine.describe()).identity
    assert identity.token_ids_sha256 == ""
    assert identity.adapter == "base"
    assert all((identity.model, identity.weights_sha256, identity.tokenizer_sha256, identity.chat_template_sha256))
    assert all((identity.rope_config, identity.dtype, identity.quantization))


async def test_a_cache_changes_the_answer_in_nothing_but_the_tokens_that_are_read(engine, tmp_path):
    cache, encoded = await cache_of(engine, MEMORIES, tmp_path / "kv")
    for question in ("Which colour?", "Who is Ada?"):
        plain, end = await answered(engine, MEMORIES, question)
        answer, with_cache = await answered(engine, MEMORIES, question, caches=[cache])
        assert answer == plain
        assert with_cache == replace(end, cached_tokens=encoded.token_count)
    assert 0 < encoded.token_count < end.prompt_tokens


async def test_a_cache_serves_prompts_that_tell_more_memories_after_its_own(engine, tmp_path):
    cache, encoded = await cache_of(engine, MEMORIES[:1], tmp_path / "kv")
    plain, end = await answered(engine, MEMORIES)
    assert await answered(engine, MEMORIES, caches=[cache]) == (plain, replace(end, cached_tokens=encoded.token_count))


async def test_of_a_cache_over_other_memories_only_what_is_the_same_is_used(engine, tmp_path):
    other = replace(MEMORIES[1], payload=Plaintext("a cat"))
    cache, encoded = await cache_of(engine, (MEMORIES[0], other), tmp_path / "kv")
    plain, end = await answered(engine, MEMORIES)
    answer, with_cache = await answered(engine, MEMORIES, caches=[cache])
    assert (answer, with_cache.prompt_tokens) == (plain, end.prompt_tokens)
    assert 0 < with_cache.cached_tokens < encoded.token_count


async def test_many_share_a_cache_and_none_changes_it(engine, tmp_path):
    cache, _ = await cache_of(engine, MEMORIES, tmp_path / "kv")
    questions = ["Which colour?", "Who is Ada?", "Which colour?"]
    alone = [await answered(engine, MEMORIES, question) for question in questions]
    shared = await asyncio.gather(*(answered(engine, MEMORIES, question, caches=[cache]) for question in questions))
    assert [answer for answer, _ in shared] == [answer for answer, _ in alone]


async def test_the_identity_of_a_cache_is_the_engines_with_the_tokens(engine, tmp_path):
    identity = (await engine.describe()).identity
    _, one = await cache_of(engine, MEMORIES, tmp_path / "one")
    _, same = await cache_of(engine, MEMORIES, tmp_path / "same")
    _, other = await cache_of(engine, MEMORIES[::-1], tmp_path / "other")
    assert one == same
    assert replace(one.identity, token_ids_sha256="") == identity
    assert len(one.identity.token_ids_sha256) == 64
    assert one.identity.token_ids_sha256 != other.identity.token_ids_sha256


async def test_memories_that_leave_no_room_for_an_answer_are_refused(engine, tmp_path):
    long = replace(MEMORIES[0], payload=Plaintext("long words " * 600))
    with pytest.raises(ContextExceeded):
        await engine.encode([long], tmp_path / "kv")
    assert not (tmp_path / "kv").exists()
