"""KV caches as people and agents meet them: made of memories, used in a chat, and out of use when a memory changes."""

import asyncio
import json
import uuid
from datetime import UTC, datetime, timedelta

import pytest

from memos_api.v1 import memcube_pb2, memory_service_pb2
from memos_client import AsyncClient, NotFound, RequestError
from talk import chat, ended

FACTS = (
    "The violin of Marta is in the cellar.",
    "Olaf keeps his lantern in the boat.",
    "The ladder of Ines is behind the barn.",
)
QUESTION = "Where is the violin of Marta?"


@pytest.fixture
async def client(system):
    async with system.client() as opened:
        yield opened


@pytest.fixture
async def vault(client):
    name = f"v{uuid.uuid4().hex[:12]}"
    await client.create_vault(name)
    return name


async def remember(client, vault, *facts):
    answer = await client.add(vault, list(facts))
    return [added.cube for added in answer.added]


async def built(client, vault, cubes):
    job = await ended(client, await client.build_activation(vault, [cube.name for cube in cubes]))
    assert job.state == 3, job.last_error
    return await client.get(job.result["cube"])


async def test_a_cache_gives_the_same_answer_and_spares_the_reading(client, vault):
    cubes = await remember(client, vault, *FACTS)
    cache = await built(client, vault, cubes)
    payload = cache.message.activation
    assert payload.token_count > 20
    assert payload.blob.size_bytes > 1_000
    assert [ref.name for ref in cache.message.derived_from] == [cube.name for cube in cubes]
    _, plain = await chat(client, vault, QUESTION, form="text")
    plan, end = await chat(client, vault, QUESTION, form="kv")
    assert (end.text, end.prompt_tokens) == (plain.text, plain.prompt_tokens)
    assert (plain.cached_tokens, end.cached_tokens) == (0, payload.token_count)
    assert end.refusals == ()
    assert [(memory.form, memory.cube.text) for memory in plan.chosen] == [("kv", fact) for fact in FACTS]
    assert plan.caches[0].cube.name == cache.name
    assert "cellar" in end.text


async def test_a_cache_is_written_down_as_the_memories_that_it_was_made_of(client, vault):
    cubes = await remember(client, vault, *FACTS)
    cache = await built(client, vault, cubes)
    job = await ended(client, await client.recover_text(vault, cache.name))
    assert (job.state, job.last_error) == (3, "")
    assert (job.result["texts"], job.result["new"], job.result["confidence"]) == ("3", "0", "1.00")


async def test_what_is_told_beside_a_cache_counts_too(client, vault):
    cubes = await remember(client, vault, *FACTS[1:])
    await built(client, vault, cubes)
    await remember(client, vault, FACTS[0])
    plan, end = await chat(client, vault, QUESTION, form="kv")
    assert [memory.form for memory in plan.chosen] == ["kv", "kv", "text"]
    assert end.cached_tokens
    _, plain = await chat(client, vault, QUESTION, form="text")
    assert end.text == plain.text


async def test_a_changed_memory_takes_the_cache_out_of_use_at_once(client, vault):
    cubes = await remember(client, vault, *FACTS)
    cache = await built(client, vault, cubes)
    await client.update(cubes[0].name, text="The violin of Marta is in the attic.")
    assert (await client.get(cache.name)).state == "STALE"
    plan, end = await chat(client, vault, QUESTION, form="kv")
    assert [memory.form for memory in plan.chosen] == ["text"] * 3
    assert not plan.caches
    assert (end.cached_tokens, end.refusals) == (0, ())
    assert "attic" in end.text
    fresh = await built(client, vault, [await client.get(cube.name) for cube in cubes])
    assert fresh.name != cache.name
    _, end = await chat(client, vault, QUESTION, form="kv")
    assert end.cached_tokens
    assert "attic" in end.text


async def test_what_comes_back_to_its_old_text_can_be_built_again(client, vault):
    (cube,) = await remember(client, vault, FACTS[0])
    cache = await built(client, vault, [cube])
    await client.update(cube.name, text="The violin of Marta is in the attic.")
    await client.rollback(cube.name, 1)
    fresh = await built(client, vault, [cube])
    assert (fresh.name != cache.name, fresh.state) == (True, "GENERATED")
    _, end = await chat(client, vault, QUESTION, form="kv")
    assert end.cached_tokens


async def test_the_way_back_from_an_answer_leads_through_the_cache_to_the_memories(client, vault):
    cubes = await remember(client, vault, *FACTS)
    cache = await built(client, vault, cubes)
    _, end = await chat(client, vault, QUESTION, form="kv", remember_in=vault)
    graph = await client.provenance(end.answer)
    names = {node.name for node in graph.nodes}
    assert {cache.name, *(cube.name for cube in cubes)} <= names
    recorded = await client.get(end.recorded[-1])
    assert cache.name not in [ref.name for ref in recorded.message.derived_from]


async def test_a_purged_memory_takes_the_cache_with_it(client, vault):
    cubes = await remember(client, vault, *FACTS)
    cache = await built(client, vault, cubes)
    counted = await client.purge(vault, [cubes[0].name], validate_only=True)
    assert (counted.count, counted.derived_count) == (2, 1)
    asked = await client.purge(vault, [cubes[0].name], expected_count=2)
    with pytest.raises(NotFound):
        await client.get(cache.name)
    plan, end = await chat(client, vault, QUESTION, form="kv")
    assert [memory.form for memory in plan.chosen] == ["text"] * 2
    assert "cellar" not in end.text
    async with asyncio.timeout(60):
        while (purge := await client.get_purge(asked.purge.name)).state != 3:
            await asyncio.sleep(0.1)
    tiers = {tier["tier"]: tier for tier in json.loads(purge.receipt.statement)["tiers"]}
    assert "Blobs 1." in tiers["blobs"]["done"]
    until = datetime.fromisoformat(tiers["copies of inference"]["until"])
    assert until - purge.create_time.ToDatetime(UTC) <= timedelta(hours=1, milliseconds=1)


async def test_who_may_not_read_the_vault_gets_nothing_of_its_cache_though_it_is_warm(system, client, vault):
    await built(client, vault, await remember(client, vault, *FACTS))
    await chat(client, vault, QUESTION, form="kv")
    other = f"v{uuid.uuid4().hex[:12]}"
    await client.create_vault(other)
    same = await remember(client, other, *FACTS)
    key = await client.create_key("guest")
    await client.set_permission(other, "guest", "READER")
    async with AsyncClient(**{**system.client_settings(), "api_key": key.secret}) as guest:
        plan, end = await chat(guest, other, QUESTION, form="kv")
        assert {memory.cube.name for memory in plan.chosen} == {cube.name for cube in same}
        assert end.cached_tokens == 0
        with pytest.raises(NotFound):
            await chat(guest, vault, QUESTION, form="kv")


async def test_a_cache_over_nothing_or_too_much_or_of_elsewhere_is_refused(client, vault):
    with pytest.raises(RequestError):
        await client.build_activation(vault, [])
    with pytest.raises(RequestError):
        await client.build_activation(vault, [f"c{number}" for number in range(101)])
    other = f"v{uuid.uuid4().hex[:12]}"
    await client.create_vault(other)
    (cube,) = await remember(client, other, FACTS[0])
    job = await client.build_activation(vault, [cube.name])
    async with asyncio.timeout(30):
        while not (job := await client.get_job(job.name)).last_error:
            await asyncio.sleep(0.1)
    assert "CUBE_NOT_FOUND" in job.last_error
    assert (job.state, job.attempts) == (4, 1)


async def test_a_cache_that_somebody_brings_along_is_not_used(client, vault):
    """What it would make the model say, nobody can read in it."""
    other = f"v{uuid.uuid4().hex[:12]}"
    await client.create_vault(other)
    told = [await remember(client, name, *FACTS) for name in (vault, other)]
    cache = await built(client, vault, told[0])
    data = b"".join([part async for part in client.download_blob(cache.name)])
    payload = memcube_pb2.ActivationPayload()
    payload.CopyFrom(cache.message.activation)
    payload.blob.CopyFrom(await client.upload_blob(other, data))
    copied = memcube_pb2.MemCube(
        vault=f"tenants/local/vaults/{other}",
        derived_from=[memcube_pb2.CubeRevisionRef(name=cube.name, revision=cube.revision) for cube in told[1]],
        activation=payload,
    )
    await client.call(memory_service_pb2.CreateMemoryRequest(cube=copied))
    plan, end = await chat(client, other, QUESTION, form="kv")
    assert [memory.form for memory in plan.chosen] == ["kv"] * 3
    assert (end.cached_tokens, [refusal.reason for refusal in end.refusals]) == (0, ["INCOMPATIBLE_PAYLOAD"])
    assert "cellar" in end.text
