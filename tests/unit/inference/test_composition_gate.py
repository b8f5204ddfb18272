"""Several caches in one prompt: only with a model that was asked both ways first, and answers as well."""

import asyncio
import json
from dataclasses import replace
from functools import partial

import pytest

from checkpoints import write_checkpoint
from engines import make_batcher
from memos_inference.adapters import composition_gate
from memos_inference.adapters.checkpoint import FileDigests
from memos_inference.adapters.composition_gate import Marks
from memos_inference.adapters.loading import load_model
from memos_inference.adapters.transformers_engine import Compose, TransformersEngine
from memos_inference.config import InferenceConfig
from memos_inference.domain.generation import Delta, Prompt, Role, Sampling, Turn
from memos_kernel.blobs import SAFETENSORS
from memos_kernel.cube import Activation, BlobRef, Kind, MemCube, Plaintext
from memos_kernel.names import CubeName, VaultName

FACTS = ("The violin of Marta is in the cellar.", "Olaf keeps his lantern in the boat.")
VAULT = VaultName("t", "v")


@pytest.fixture(autouse=True)
def few_questions(monkeypatch):
    monkeypatch.setattr(composition_gate, "_QUESTIONS", 30)


@pytest.fixture
async def start(tmp_path):
    """Start an engine that may compose, and wait until it knows whether it does."""
    made = []

    async def start(**config):
        load = partial(load_model, InferenceConfig(threads=1, **config), FileDigests(tmp_path / "digests.json"))
        engine = TransformersEngine(load, batcher=make_batcher(), compose=Compose(0.15, tmp_path / "composed.json"))
        made.append(engine)
        engine.start()
        async with asyncio.timeout(120):
            await engine._trying
        return engine

    yield start
    for engine in made:
        await engine.close()


def memory(number):
    return MemCube(name=CubeName("t", f"c{number}"), vault=VAULT, kind=Kind.PLAINTEXT, payload=Plaintext(FACTS[number]))


async def cache_of(engine, cube, path):
    encoded = await engine.encode([cube], path)
    blob = BlobRef("b", path.stat().st_size, "0" * 64, SAFETENSORS)
    payload = Activation(blob, encoded.identity, encoded.token_count)
    kv = MemCube(name=CubeName("t", path.name), vault=VAULT, kind=Kind.ACTIVATION, payload=payload)
    return await engine.open_cache(path, kv)


async def answered(engine, question, memories, caches):
    prompt = Prompt((Turn(Role.USER, question),), tuple(memories))
    *pieces, end = [event async for event in engine.generate(prompt, Sampling(max_tokens=24), caches=caches)]
    return "".join(piece.text for piece in pieces if isinstance(piece, Delta)), end


async def test_a_model_that_answers_as_well_from_several_caches_is_given_them(start, tmp_path):
    engine = await start()
    assert (await engine.describe()).composes
    memories = [memory(number) for number in (0, 1)]
    caches = [await cache_of(engine, cube, tmp_path / f"kv{number}") for number, cube in enumerate(memories)]
    for order in (memories, memories[::-1]):
        text, end = await answered(engine, "Where is the violin of Marta?", order, caches)
        assert "cellar" in text
        assert 0 < end.approximate_tokens < end.cached_tokens < end.prompt_tokens
    _, end = await answered(engine, "Where is the violin of Marta?", memories[:1], caches)
    assert (end.cached_tokens > 0, end.approximate_tokens) == (True, 0)


async def test_a_model_that_cannot_read_proves_nothing_and_is_given_one_cache(start, tmp_path):
    engine = await start(model=str(write_checkpoint(tmp_path / "random")))
    assert not (await engine.describe()).composes
    memories = [memory(number) for number in (0, 1)]
    caches = [await cache_of(engine, cube, tmp_path / f"kv{number}") for number, cube in enumerate(memories)]
    _, end = await answered(engine, "Where?", memories, caches)
    assert (end.cached_tokens > 0, end.approximate_tokens) == (True, 0)


async def test_a_model_is_asked_once(start, tmp_path, monkeypatch):
    await start()
    (marks,) = json.loads((tmp_path / "composed.json").read_text()).values()
    assert marks["text"] >= 0.5
    monkeypatch.setattr(composition_gate, "_questions", lambda: pytest.fail("it is asked again"))
    assert (await (await start()).describe()).composes


@pytest.mark.parametrize("torn", ["{", "5", '{"a": 3}', '{"a": {"other": 1}}'])
async def test_marks_that_are_torn_are_made_again(start, tmp_path, torn):
    (tmp_path / "composed.json").write_text(torn)
    assert (await (await start()).describe()).composes


async def test_without_the_setting_nobody_asks(tmp_path):
    load = partial(load_model, InferenceConfig(threads=1), FileDigests(tmp_path / "digests.json"))
    engine = TransformersEngine(load, batcher=make_batcher())
    engine.start()
    try:
        await engine._trying
        assert not (await engine.describe()).composes
    finally:
        await engine.close()


@pytest.mark.parametrize(
    ("text", "composed", "passed"),
    [(0.95, 0.95, True), (0.95, 0.93, True), (0.95, 0.92, False), (0.49, 0.49, False), (0.9, 1.0, True)],
)
def test_at_most_two_answers_in_a_hundred_may_be_lost(text, composed, passed):
    assert Marks(text, composed).passed is passed


async def test_a_gate_that_breaks_leaves_the_engine_as_it_is(start, monkeypatch):
    def broken():
        raise OSError("no words")

    monkeypatch.setattr(composition_gate, "_questions", broken)
    engine = await start()
    assert not (await engine.describe()).composes
    _, end = await answered(engine, "Where?", [memory(0)], [])
    assert replace(end, queue_ms=0).cached_tokens == 0
