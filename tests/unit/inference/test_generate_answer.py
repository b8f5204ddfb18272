from contextlib import aclosing
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from memos_inference.adapters.memory import EchoEngine, MemoryCopies, RecordingTracer, WordAdapter, WordCache
from memos_inference.domain.generation import Delta, Ended, Role, Sampling, Turn
from memos_inference.domain.injection import Injection
from memos_inference.domain.seals import Seals
from memos_inference.prompt import system_text
from memos_inference.usecases.generate_answer import GenerateAnswer
from memos_kernel import limits
from memos_kernel.blobs import SAFETENSORS
from memos_kernel.cube import Activation, BlobRef, Kind, Parametric, Plaintext, RevisionRef, State
from memos_kernel.errors import ContextExceeded, DataCorrupted, GrantInvalid, InvalidField, LimitExceeded, StateConflict
from memos_kernel.names import CubeName, VaultName
from memos_kernel.permission import Action

EARLIER = datetime(2026, 1, 1, tzinfo=UTC)
SEALS = Seals(b"secret")
QUESTION = [Turn(Role.USER, "What colour is the bicycle?")]


@pytest.fixture
def tracer():
    return RecordingTracer()


@pytest.fixture
def caches():
    return MemoryCopies()


@pytest.fixture
def adapters():
    return MemoryCopies()


@pytest.fixture
def generate(clock, tracer, caches, adapters):
    return GenerateAnswer(EchoEngine(context_length=64), caches, adapters, tracer, clock, SEALS)


async def test_the_pieces_join_to_the_answer_and_the_end_comes_last(generate, grant):
    *pieces, end = [event async for event in generate(QUESTION, [], Sampling(), grant=grant())]
    assert "".join(piece.text for piece in pieces) == "What colour is the bicycle?"
    assert isinstance(end, Ended)


async def test_memories_take_room_in_the_prompt(generate, grant, cube):
    memory = Injection(cube("one two three"), "text")
    ends = [
        [event async for event in generate(QUESTION, given, Sampling(), grant=grant())][-1]
        for given in ([memory], [memory, memory])
    ]
    assert ends[1].prompt_tokens == ends[0].prompt_tokens + 4


async def test_the_trace_links_to_every_injected_cube_and_takes_the_end(generate, grant, cube, tracer):
    given = cube()
    async for _ in generate(QUESTION, [Injection(given, "text")], Sampling(max_tokens=2), grant=grant()):
        pass
    (recorded,) = tracer.generations
    assert (recorded.model, recorded.cubes, recorded.max_tokens) == ("echo", (given,), 2)
    assert [end.completion_tokens for end in recorded.ends] == [2]


async def test_one_cube_that_may_not_be_injected_stops_the_generation_before_it_begins(generate, grant, cube, tracer):
    injections = [Injection(cube(), "text"), Injection(cube(state=State.STALE), "text")]
    with pytest.raises(StateConflict):
        await anext(generate(QUESTION, injections, Sampling(), grant=grant()))
    assert not tracer.generations


async def test_a_prompt_that_does_not_fit_names_its_tokens_and_the_limit(generate, grant, cube):
    with pytest.raises(ContextExceeded) as caught:
        await anext(generate(QUESTION, [Injection(cube("word " * 80), "text")], Sampling(), grant=grant()))
    assert int(caught.value.metadata["tokens"]) > int(caught.value.metadata["limit"]) == 64


async def test_a_caller_that_leaves_ends_the_generation_without_an_end(generate, grant, tracer):
    async with aclosing(generate(QUESTION, [], Sampling(), grant=grant())) as events:
        assert await anext(events) == Delta("What")
    assert tracer.generations[0].ends == []


@pytest.fixture
def sources(cube):
    return cube("one two", name=CubeName("local", "c1")), cube("three", name=CubeName("local", "c2"))


@pytest.fixture
async def cached(cube, sources):
    """A KV cache of two memories that the running engine can use."""

    async def make(**fields):
        running = (await EchoEngine().describe()).identity
        identity = replace(running, **{"token_ids_sha256": "d" * 64, **fields.pop("identity", {})})
        payload = Activation(BlobRef("b", 100, "e" * 64, SAFETENSORS), identity, 9)
        refs = tuple(RevisionRef(source.name, 1) for source in sources)
        given = {
            "name": CubeName("local", "kv"),
            "kind": Kind.ACTIVATION,
            "payload": replace(payload, seal=SEALS.of(payload, vault=VaultName("local", "main"), sources=refs)),
            "derived_from": refs,
        }
        return cube(**{**given, **fields})

    return make


def as_text(cubes):
    return [Injection(cube, "text") for cube in cubes]


async def answered(generate, injections, grant, cache=None, adapter=None):
    given = {"caches": [] if cache is None else [cache], "adapter": adapter, "grant": grant}
    events = [event async for event in generate(QUESTION, injections, Sampling(), **given)]
    return "".join(event.text for event in events[:-1]), events[-1]


async def test_a_cache_spares_the_reading_of_its_memories_and_changes_nothing_else(
    generate, grant, cached, sources, caches, cube
):
    kv, told = await cached(), as_text([*sources, cube("four")])
    plain, end = await answered(generate, told, grant())
    caches.opened[kv.name] = WordCache(tuple(system_text(sources).split()))
    answer, with_cache = await answered(generate, told, grant(), kv)
    assert answer == plain
    assert with_cache == replace(end, cached_tokens=len(system_text(sources).split()))
    assert with_cache.prompt_tokens == end.prompt_tokens


async def test_several_caches_serve_one_prompt_where_the_model_may_be_given_them(
    grant, cached, sources, caches, adapters, tracer, clock
):
    generate = GenerateAnswer(EchoEngine(context_length=128, composes=True), caches, adapters, tracer, clock, SEALS)
    parts = [await cached(name=CubeName("local", f"kv{number}")) for number in range(2)]
    long = [replace(source, payload=Plaintext(" ".join([source.text] * 12))) for source in sources]
    for part, source in zip(parts, long, strict=True):
        caches.opened[part.name] = WordCache(tuple(system_text([source]).split()))
    given = {"caches": parts, "grant": grant()}
    *_, end = [event async for event in generate(QUESTION, as_text(long), Sampling(), **given)]
    assert 0 < end.approximate_tokens < end.cached_tokens < end.prompt_tokens


async def test_a_cache_that_holds_what_the_prompt_does_not_tell_is_not_used(generate, grant, cached, sources, caches):
    kv = await cached()
    caches.opened[kv.name] = WordCache(tuple(system_text(sources).split()))
    _, end = await answered(generate, as_text(sources[:1]), grant(), kv)
    assert end.cached_tokens == 0
    assert [(refusal.name, refusal.reason) for refusal in end.refusals] == [(kv.name, "INCOMPATIBLE_PAYLOAD")]


async def test_more_caches_than_a_prompt_may_use_are_refused(generate, grant, cached, sources):
    given = {"caches": [await cached()] * (limits.PROMPT_CACHES + 1), "grant": grant()}
    with pytest.raises(LimitExceeded) as caught:
        await anext(generate(QUESTION, as_text(sources), Sampling(), **given))
    assert caught.value.metadata["field"] == "caches"


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"state": State.STALE}, "STATE_CONFLICT"),
        ({"delete_time": EARLIER}, "STATE_CONFLICT"),
        ({"expire_time": EARLIER}, "STATE_CONFLICT"),
        ({"identity": {"weights_sha256": "0"}}, "INCOMPATIBLE_PAYLOAD"),
        ({"identity": {"adapter": "another"}}, "INCOMPATIBLE_PAYLOAD"),
        ({"identity": {"dtype": ""}}, "INCOMPATIBLE_PAYLOAD"),
        ({"identity": {"token_ids_sha256": ""}}, "INCOMPATIBLE_PAYLOAD"),
    ],
)
async def test_a_cache_that_does_not_fit_gives_way_to_the_text(
    generate, grant, cached, sources, caches, fields, reason
):
    kv = await cached(**fields)
    caches.broken = AssertionError("nobody may look for it")
    plain, end = await answered(generate, as_text(sources), grant())
    answer, told = await answered(generate, as_text(sources), grant(), kv)
    assert (answer, told.prompt_tokens, told.cached_tokens) == (plain, end.prompt_tokens, 0)
    assert [(one.name, one.reason) for one in told.refusals] == [(kv.name, reason)]
    (changed,) = fields.values()
    assert not isinstance(changed, dict) or next(iter(changed)) in told.refusals[0].message


async def test_a_cache_that_cannot_be_had_gives_way_to_the_text(generate, grant, cached, sources, caches):
    kv = await cached()
    caches.broken = DataCorrupted("The bytes are lost.")
    _, told = await answered(generate, as_text(sources), grant(), kv)
    assert [(one.reason, one.message) for one in told.refusals] == [("DATA_CORRUPTED", "The bytes are lost.")]


async def test_whatever_is_wrong_with_a_cache_there_is_an_answer(generate, grant, cached, sources, caches):
    kv = await cached()
    caches.broken = RuntimeError("out of memory")
    plain, _ = await answered(generate, as_text(sources), grant())
    answer, told = await answered(generate, as_text(sources), grant(), kv)
    assert (answer, [one.reason for one in told.refusals]) == (plain, ["DATA_CORRUPTED"])


async def test_a_cache_needs_a_grant_for_its_vault(generate, grant, cached, sources, caches):
    kv = await cached()
    caches.opened[kv.name] = WordCache(())
    hidden = replace(kv, vault=VaultName("local", "other"))
    with pytest.raises(GrantInvalid):
        await answered(generate, as_text(sources), grant(), hidden)
    for injections in ([], as_text(sources)):
        with pytest.raises(GrantInvalid):
            await answered(generate, injections, grant(actions=frozenset({Action.MODEL_USE})), kv)


async def test_a_cache_is_given_as_one_and_a_memory_as_text(generate, grant, cached, sources):
    kv = await cached()
    wrong = {
        "injections[1].form": ([*as_text(sources[:1]), Injection(kv, "kv")], None),
        "injections[0].cube": ([Injection(kv, "text")], None),
        "caches[0]": (as_text(sources), sources[0]),
    }
    for field, (injections, cache) in wrong.items():
        with pytest.raises(InvalidField) as caught:
            await answered(generate, injections, grant(), cache)
        assert caught.value.metadata["field"] == field


@pytest.mark.parametrize(
    "change",
    [
        lambda kv: replace(kv, payload=replace(kv.payload, seal="")),
        lambda kv: replace(kv, payload=replace(kv.payload, seal="é")),
        lambda kv: replace(kv, payload=replace(kv.payload, blob=replace(kv.payload.blob, sha256="f" * 64))),
        lambda kv: replace(kv, payload=replace(kv.payload, token_count=8)),
        lambda kv: replace(kv, derived_from=(kv.derived_from[0], RevisionRef(kv.derived_from[1].name, 2))),
        lambda kv: replace(
            kv,
            payload=replace(kv.payload, seal=Seals(b"other").of(kv.payload, vault=kv.vault, sources=kv.derived_from)),
        ),
    ],
)
async def test_a_cache_that_was_not_computed_here_is_not_used(generate, grant, cached, sources, caches, change):
    kv = change(await cached())
    caches.opened[kv.name] = WordCache(tuple(system_text(sources).split()))
    _, told = await answered(generate, as_text(sources), grant(), kv)
    assert [one.reason for one in told.refusals] == ["INCOMPATIBLE_PAYLOAD"]
    assert "seal" in told.refusals[0].message
    assert told.cached_tokens == 0


async def test_the_seal_of_one_vault_is_none_in_another(generate, grant, cached, sources):
    other = VaultName("local", "other")
    moved = [replace(cube, vault=other) for cube in (await cached(), *sources)]
    _, told = await answered(generate, as_text(moved[1:]), grant(vaults=frozenset({other})), moved[0])
    assert "seal" in told.refusals[0].message


@pytest.fixture
async def trained(cube, sources):
    """An adapter of two memories that the running engine can use."""

    async def make(**fields):
        identity = replace((await EchoEngine().describe()).identity, **fields.pop("identity", {}))
        payload = Parametric(BlobRef("b", 100, "e" * 64, SAFETENSORS), identity, 16)
        refs = tuple(RevisionRef(source.name, 1) for source in sources)
        seal = fields.pop("seal", SEALS.of(payload, vault=VaultName("local", "main"), sources=refs))
        given = {
            "name": CubeName("local", "lora"),
            "kind": Kind.PARAMETRIC,
            "payload": replace(payload, seal=seal),
            "derived_from": refs,
        }
        return cube(**{**given, **fields})

    return make


async def test_what_an_adapter_knows_is_not_in_the_prompt(generate, grant, trained, sources, adapters, cube, tracer):
    lora, other = await trained(), cube("four five six", name=CubeName("local", "c4"))
    adapters.opened[lora.name] = WordAdapter("I know.")
    known = [Injection(source, "lora") for source in sources]
    _, beside = await answered(generate, as_text([other]), grant())
    answer, end = await answered(generate, [*known, *as_text([other])], grant(), adapter=lora)
    assert (answer, end.refusals) == ("I know.", ())
    assert end.prompt_tokens == beside.prompt_tokens
    assert tracer.generations[-1].cubes == (*sources, other, lora)


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"state": State.STALE}, "STATE_CONFLICT"),
        ({"delete_time": EARLIER}, "STATE_CONFLICT"),
        ({"identity": {"weights_sha256": "0"}}, "INCOMPATIBLE_PAYLOAD"),
        ({"identity": {"adapter": "another"}}, "INCOMPATIBLE_PAYLOAD"),
        ({"seal": "0" * 64}, "INCOMPATIBLE_PAYLOAD"),
        ({"derived_from": ()}, "INCOMPATIBLE_PAYLOAD"),
    ],
)
async def test_an_adapter_that_does_not_fit_gives_way_to_the_text(
    generate, grant, trained, sources, adapters, fields, reason
):
    lora = await trained(**fields)
    adapters.broken = AssertionError("nobody may look for it")
    plain, end = await answered(generate, as_text(sources), grant())
    known = [Injection(source, "lora") for source in sources]
    answer, told = await answered(generate, known, grant(), adapter=lora)
    assert (answer, told.prompt_tokens) == (plain, end.prompt_tokens)
    assert [(one.name, one.reason) for one in told.refusals] == [(lora.name, reason)]


async def test_an_adapter_that_cannot_be_had_gives_way_to_the_text(generate, grant, trained, sources, adapters):
    lora = await trained()
    known = [Injection(source, "lora") for source in sources]
    _, end = await answered(generate, as_text(sources), grant())
    for broken, reason in ((DataCorrupted("Lost."), "DATA_CORRUPTED"), (RuntimeError("no room"), "DATA_CORRUPTED")):
        adapters.broken = broken
        _, told = await answered(generate, known, grant(), adapter=lora)
        assert (told.prompt_tokens, [one.reason for one in told.refusals]) == (end.prompt_tokens, [reason])


async def test_an_adapter_of_a_vault_beyond_the_grant_stops_the_generation(generate, grant, trained, sources):
    elsewhere = await trained(vault=VaultName("local", "other"))
    with pytest.raises(GrantInvalid):
        await answered(generate, as_text(sources), grant(), adapter=elsewhere)


async def test_a_cache_is_no_adapter_and_an_adapter_no_cache(generate, grant, trained, cached):
    lora, kv = await trained(), await cached()
    for given, field in (({"cache": lora}, "caches[0]"), ({"adapter": kv}, "adapter")):
        with pytest.raises(InvalidField) as caught:
            await answered(generate, [], grant(), **given)
        assert caught.value.field == field


async def test_what_an_adapter_was_not_trained_on_is_read_whatever_the_caller_says(
    generate, grant, trained, sources, adapters, cube
):
    lora, other = await trained(), cube("four five six", name=CubeName("local", "c4"))
    adapters.opened[lora.name] = WordAdapter("I know.")
    _, beside = await answered(generate, as_text([other]), grant())
    told = [Injection(one, "lora") for one in (*sources, other)]
    assert (await answered(generate, told, grant(), adapter=lora))[1].prompt_tokens == beside.prompt_tokens
