"""What every Engine must do."""

from contextlib import aclosing
from functools import partial

import pytest

from checkpoints import write_checkpoint
from memos_inference.adapters.checkpoint import FileDigests
from memos_inference.adapters.loading import load_model
from memos_inference.adapters.memory import EchoEngine
from memos_inference.adapters.transformers_engine import TransformersEngine
from memos_inference.config import InferenceConfig
from memos_inference.domain import Delta, Ended, FinishReason, Prompt, Role, Sampling, Turn
from memos_kernel.errors import ContextExceeded

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
    made = TransformersEngine(partial(load_model, config, FileDigests(tmp_path / "digests.json")), max_queue=4)
    made.start()
    yield made
    await made.close()


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
