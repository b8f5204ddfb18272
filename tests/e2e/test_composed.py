"""KV caches that lie in an S3 store, and several of which serve one prompt."""

import asyncio
import uuid

import pytest

import s3
from deployment import Deployment
from talk import chat, ended

FACTS = (
    "The violin of Marta is in the cellar.",
    "Olaf keeps his lantern in the boat.",
    "The ladder of Ines is behind the barn.",
)
QUESTION = "Where is the violin of Marta?"


@pytest.fixture
async def client(tmp_path):
    env = {
        "MEMOS_STORAGE__BLOBS_URL": s3.shared_server().bucket()[0],
        "MEMOS_STORAGE__BLOBS_ACCESS_KEY": s3.ACCESS_KEY,
        "MEMOS_STORAGE__BLOBS_SECRET_KEY": s3.SECRET_KEY,
        "MEMOS_INFERENCE__KV_COMPOSE": "true",
        "MEMOS_SCHEDULER__ENGINE_CACHE_SECONDS": "0",
    }
    with Deployment.one_process(tmp_path / "state", env=env) as system:
        async with system.client() as opened:
            yield opened


async def built(client, vault, fact):
    (added,) = (await client.add(vault, [fact])).added
    job = await ended(client, await client.build_activation(vault, [added.cube.name]))
    assert job.state == 3, job.last_error
    return job.result["cube"]


async def test_memories_that_were_read_apart_answer_together_once_the_model_has_shown_that_it_can(client):
    vault = f"v{uuid.uuid4().hex[:12]}"
    await client.create_vault(vault)
    caches = [await built(client, vault, fact) for fact in FACTS]
    shown = False
    async with asyncio.timeout(120):  # two hundred questions, asked both ways
        while True:
            plan, end = await chat(client, vault, QUESTION, form="kv")
            assert "cellar" in end.text
            assert end.refusals == ()
            if len(plan.caches) > 1:
                break
            assert len(plan.caches) == 1
            assert not shown, "the next plan has all the caches"
            shown = end.approximate_tokens > 0  # the model has shown it between plan and answer
            await asyncio.sleep(1)
    assert {cache.cube.name for cache in plan.caches} == set(caches)
    assert [memory.form for memory in plan.chosen] == ["kv"] * 3
    assert 0 < end.approximate_tokens < end.cached_tokens < end.prompt_tokens
    _, plain = await chat(client, vault, QUESTION, form="text")
    assert (plain.text, plain.cached_tokens) == (end.text, 0)
