"""A system whose model runs on another server, a real one that speaks chat completions."""

import pytest

from chat_server import chat_server
from deployment import Deployment
from memos_inference.adapters.checkpoint import bundled_tiny
from talk import chat, ended

FACT = "The violin of Marta is in the cellar."


@pytest.fixture
async def client(tmp_path):
    checkpoint = bundled_tiny().folder
    with chat_server(checkpoint) as url:
        env = {
            "MEMOS_INFERENCE__ENGINE": "openai",
            "MEMOS_INFERENCE__OPENAI_URL": url,
            "MEMOS_INFERENCE__MODEL": str(checkpoint),
        }
        with Deployment.one_process(tmp_path / "state", env=env) as system:
            async with system.client() as opened:
                yield opened


async def test_it_answers_from_text_and_says_that_it_takes_nothing_else(client):
    (added,) = (await client.add("main", [FACT])).added
    plan, end = await chat(client, "main", "Where is the violin of Marta?", form="kv")
    assert [memory.form for memory in plan.chosen] == ["text"]
    # this server repeats what it was asked before it answers
    assert "cellar" in end.text.rpartition("<|assistant|>")[2]
    assert (end.prompt_tokens > 20, end.completion_tokens > 0, end.cached_tokens) == (True, True, 0)
    for convert in (client.build_activation, client.train_adapter):
        job = await ended(client, await convert("main", [added.cube.name]))
        assert job.state == 4
        assert "text only" in job.last_error
