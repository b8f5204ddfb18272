"""Bytes that are not those that were computed never reach the model: real caches, files and engine, and any damage."""

import random
from dataclasses import replace
from functools import partial

import pytest

from checkpoints import write_checkpoint
from engines import make_batcher
from memos_inference.adapters.checkpoint import FileDigests
from memos_inference.adapters.loading import load_model
from memos_inference.adapters.memory import MemoryBlobs, MemoryCopies, RecordingTracer
from memos_inference.adapters.tiers import TieredCopies
from memos_inference.adapters.transformers_engine import TransformersEngine
from memos_inference.config import InferenceConfig
from memos_inference.domain.generation import Delta, Role, Sampling, Turn
from memos_inference.domain.injection import Injection
from memos_inference.domain.seals import Seals
from memos_inference.usecases.build_activation import BuildActivation
from memos_inference.usecases.generate_answer import GenerateAnswer
from memos_kernel.cube import Kind, RevisionRef
from memos_kernel.names import CubeName, VaultName

SEED = 11
FLIPS = 120
SEALS = Seals(b"secret")
VAULT = VaultName("local", "main")


class Models:
    """An engine with what stands around it in the service."""

    def __init__(self, folder, checkpoint, clock, **options):
        load = partial(load_model, InferenceConfig(model=str(checkpoint), threads=1), FileDigests(folder / "digests"))
        self.engine = TransformersEngine(load, batcher=make_batcher(), **options)
        self.blobs = MemoryBlobs()
        self.folder, self.clock = folder, clock
        self.build = BuildActivation(engine=self.engine, clock=clock, seals=SEALS, folder=folder)
        self.rounds = 0

    async def __aenter__(self):
        self.engine.start()
        return self

    async def __aexit__(self, *_):
        await self.engine.close()

    async def built(self, sources, grant):
        """Return the payload of a cache, and its bytes."""
        payload, *data = [part async for part in self.build(sources, vault=VAULT, grant=grant)]
        return payload, b"".join(data)

    async def answered(self, sources, grant, *given):
        """Return the answer and its end, with no copy of any cache at hand."""
        self.rounds += 1
        caches = TieredCopies(
            self.folder / f"kv-{self.rounds}",
            self.blobs,
            self.engine.open_cache,
            settings="kv",
            disk_bytes=10**9,
            memory_bytes=10**9,
            patience=30,
            clock=self.clock,
        )
        await caches.start()
        try:
            ask = GenerateAnswer(self.engine, caches, MemoryCopies(), RecordingTracer(), self.clock, SEALS)
            turns = [Turn(Role.USER, "Who?")]
            told = [Injection(source, "text") for source in sources]
            events = [event async for event in ask(turns, told, Sampling(max_tokens=6), caches=given, grant=grant)]
        finally:
            await caches.close()
        return "".join(event.text for event in events if isinstance(event, Delta)), events[-1]


@pytest.fixture
async def models(tmp_path, checkpoint, clock):
    async with Models(tmp_path, checkpoint, clock) as made:
        yield made


@pytest.fixture
def sources(cube):
    return cube("a dog", name=CubeName("local", "c1")), cube("Ada", name=CubeName("local", "c2"))


@pytest.fixture
async def cache(models, sources, cube, grant):
    payload, data = await models.built(sources, grant())
    made = cube(
        name=CubeName("local", "kv"),
        uid="kv",
        kind=Kind.ACTIVATION,
        payload=payload,
        derived_from=tuple(RevisionRef(source.name, source.revision) for source in sources),
    )
    models.blobs.data[str(made.name)] = data
    return made


def sealed(cube):
    """Return a cube with the right seal, so that something else has to notice what is wrong with it."""
    seal = SEALS.of(cube.payload, vault=cube.vault, sources=cube.derived_from)
    return replace(cube, payload=replace(cube.payload, seal=seal))


async def refused(models, cache, sources, grant):
    """Return the reason why a cache was not used; the answer is that of the text all the same."""
    plain, _ = await models.answered(sources, grant)
    answer, end = await models.answered(sources, grant, cache)
    assert answer == plain
    if not end.refusals:
        assert end.cached_tokens == cache.payload.token_count
        return ""
    assert end.cached_tokens == 0
    (refusal,) = end.refusals
    return refusal.reason


async def test_what_was_computed_is_used(models, cache, sources, grant):
    assert await refused(models, cache, sources, grant()) == ""


async def test_any_changed_byte_is_noticed(models, cache, sources, grant):
    good, rng = models.blobs.data[str(cache.name)], random.Random(SEED)
    for _ in range(FLIPS):
        data = bytearray(good)
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        models.blobs.data[str(cache.name)] = bytes(data)
        _, end = await models.answered(sources, grant(), cache)
        assert [one.reason for one in end.refusals] == ["DATA_CORRUPTED"]
        assert end.cached_tokens == 0


@pytest.mark.parametrize(
    "change", [lambda data: data[:-1], lambda data: data[:100], lambda data: data + b"\0", lambda _: b""]
)
async def test_missing_or_added_bytes_are_noticed(models, cache, sources, grant, change):
    models.blobs.data[str(cache.name)] = change(models.blobs.data[str(cache.name)])
    assert await refused(models, cache, sources, grant()) == "DATA_CORRUPTED"


async def test_bytes_of_a_like_cache_are_not_taken_for_those_of_this_one(models, cache, sources, grant):
    other, models.blobs.data[str(cache.name)] = await models.built(sources[::-1], grant())
    assert await refused(models, cache, sources, grant()) == "DATA_CORRUPTED"
    liar = sealed(replace(cache, payload=replace(cache.payload, blob=other.blob)))
    assert await refused(models, liar, sources, grant()) == "INCOMPATIBLE_PAYLOAD"  # its tokens are others


async def test_a_cache_of_another_model_is_refused_though_it_has_the_same_shape(
    models, tmp_path, cache, sources, grant, clock
):
    (tmp_path / "other").mkdir()
    async with Models(tmp_path / "other", write_checkpoint(tmp_path / "foreign", seed=1), clock) as other:
        other.blobs.data.update(models.blobs.data)
        assert await refused(other, cache, sources, grant()) == "INCOMPATIBLE_PAYLOAD"
        running = (await other.engine.describe()).identity
        token_ids = cache.payload.identity.token_ids_sha256
        forged = replace(cache.payload, identity=replace(running, token_ids_sha256=token_ids))
        liar = sealed(replace(cache, payload=forged))
        assert await refused(other, liar, sources, grant()) == "INCOMPATIBLE_PAYLOAD"


@pytest.mark.parametrize("field", ["adapter", "dtype", "rope_config", "quantization", "tokenizer_sha256"])
async def test_a_cache_that_was_computed_otherwise_is_refused(models, cache, sources, grant, field):
    identity = replace(cache.payload.identity, **{field: "another"})
    other = sealed(replace(cache, payload=replace(cache.payload, identity=identity)))
    assert await refused(models, other, sources, grant()) == "INCOMPATIBLE_PAYLOAD"


async def test_a_cache_in_eight_bits_is_smaller_and_is_used_where_that_is_set(
    models, tmp_path, checkpoint, cache, sources, grant, clock
):
    (tmp_path / "small").mkdir()
    async with Models(tmp_path / "small", checkpoint, clock, kv_encoding="int8") as small:
        payload, data = await small.built(sources, grant())
        assert len(data) < 0.7 * cache.payload.blob.size_bytes
        made = sealed(replace(cache, payload=payload))
        for place in (small, models):
            place.blobs.data[str(cache.name)] = data
        _, end = await small.answered(sources, grant(), made)
        assert end.cached_tokens == payload.token_count
        assert await refused(models, made, sources, grant()) == "INCOMPATIBLE_PAYLOAD"
