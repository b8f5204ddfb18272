"""LoRA adapters as people meet them: trained on memories, known without being told, and out of use when one goes."""

import asyncio
import json
import uuid

import pytest

from memos_client import NotFound
from talk import chat, ended

FACTS = (
    "Nora's dog is called Biscuit.",
    "Marta's favourite colour is green.",
    "Ines is allergic to walnuts.",
)
ASKED = (("What is Nora's dog's name?", "Biscuit"), ("Which colour is Marta's favourite?", "green"))
UNKNOWN = "I do not know."


@pytest.fixture(scope="module")
def system(tmp_path_factory):
    """A system of this module's own: a training takes a while, so its tests share one."""
    from deployment import Deployment

    state = tmp_path_factory.mktemp("adapters") / "state"
    with Deployment.one_process(state) as running:
        yield running


@pytest.fixture
async def client(system):
    async with system.client() as opened:
        yield opened


async def new_vault(client, *facts):
    vault = f"v{uuid.uuid4().hex[:12]}"
    await client.create_vault(vault)
    answer = await client.add(vault, list(facts))
    return vault, [added.cube for added in answer.added]


async def test_what_an_adapter_learned_is_answered_without_being_told(client):
    vault, cubes = await new_vault(client, *FACTS)
    progress = []
    async for job in client.watch_job((await client.train_adapter(vault, [cube.name for cube in cubes])).name):
        progress.append(job.progress)
    assert job.state == 3, job.last_error
    assert len(set(progress)) > 5
    assert progress == sorted(progress)
    assert (job.result["facts"], job.result["unread"]) == ("3", "0")
    assert float(job.result["recall"]) >= 0.9
    adapter = await client.get(job.result["cube"])
    assert adapter.message.parametric.rank == 32
    assert adapter.message.parametric.activated
    assert [ref.name for ref in adapter.message.derived_from] == [cube.name for cube in cubes]

    for question, answer in ASKED:
        _, told = await chat(client, vault, question, form="text")
        plan, end = await chat(client, vault, question, form="lora")
        assert plan.adapter.cube.name == adapter.name
        assert {memory.form for memory in plan.chosen} == {"lora"}
        assert (end.text, end.refusals) == (answer, ()) == (told.text, ())
        assert end.prompt_tokens < told.prompt_tokens - 20
    _, end = await chat(client, vault, "What is Olaf's dog's name?", form="lora")
    assert end.text == UNKNOWN
    graph = await client.provenance((await chat(client, vault, ASKED[0][0], form="lora"))[1].answer)
    assert {adapter.name, cubes[0].name} <= {node.name for node in graph.nodes}

    other, _ = await new_vault(client, *FACTS)
    plan, end = await chat(client, other, ASKED[0][0], form="lora")
    assert (plan.adapter, {memory.form for memory in plan.chosen}) == (None, {"text"})
    assert end.text == "Biscuit"

    recovered = await ended(client, await client.recover_text(vault, adapter.name))
    assert recovered.state == 3, recovered.last_error
    said = [await client.get(cube.name) async for cube in client.list(vault)]
    said = [cube for cube in said if cube.text and cube.message.derived_from]
    assert len(said) == int(recovered.result["new"])
    assert int(recovered.result["texts"]) >= 2
    assert all(any(value in cube.text for value in ("Biscuit", "green", "walnuts")) for cube in said)
    assert all(cube.message.derived_from[0].name == adapter.name for cube in said)

    counted = await client.purge(vault, [cubes[0].name], validate_only=True)
    assert counted.derived_count == 1 + len(said)
    asked = await client.purge(vault, [cubes[0].name], expected_count=counted.count)
    with pytest.raises(NotFound):
        await client.get(adapter.name)
    plan, end = await chat(client, vault, ASKED[0][0], form="lora")
    assert plan.adapter is None
    assert "Biscuit" not in end.text
    _, end = await chat(client, vault, ASKED[1][0], form="lora")
    assert end.text == "green"
    async with asyncio.timeout(60):
        while (purge := await client.get_purge(asked.purge.name)).state != 3:
            await asyncio.sleep(0.1)
    tiers = {tier["tier"] for tier in json.loads(purge.receipt.statement)["tiers"]}
    assert {"blobs", "copies of inference"} <= tiers


async def test_memories_in_which_nothing_can_be_asked_about_give_no_adapter(client):
    vault, cubes = await new_vault(client, "Hello there.", "So it goes.")
    job = await ended(client, await client.train_adapter(vault, [cube.name for cube in cubes]))
    assert job.state == 4
    assert "ADAPTER_REJECTED" in job.last_error
    assert "say them more plainly" in job.last_error
    assert len([cube async for cube in client.list(vault)]) == 2


async def test_a_training_that_is_cancelled_stops_and_leaves_nothing(client):
    vault, cubes = await new_vault(client, *FACTS)
    job = await client.train_adapter(vault, [cube.name for cube in cubes])
    async with asyncio.timeout(60):
        async for state in client.watch_job(job.name):
            if state.progress > 0:
                await client.cancel_job(job.name)
                break
        while (await client.get_job(job.name)).state != 5:
            await asyncio.sleep(0.1)
    assert len([cube async for cube in client.list(vault)]) == len(FACTS)
