"""Many memories at once: what is answered is stored, what is refused is named, and what breaks off goes on."""

import json

import grpc
import numpy as np
import pytest

from memos_api.v1 import memory_service_pb2 as memory
from memos_client import Client, NewMemory, NotFound, RequestError, Unavailable

VAULT = "tenants/local/vaults/main"


@pytest.fixture
async def client(system):
    async with system.client() as opened:
        yield opened


def facts(count, **fields):
    return [NewMemory(text=f"Crate {number} stands on pier {number * 7}.", **fields) for number in range(count)]


async def imported(client, vault, items, **options):
    answers = [answer async for answer in client.import_memories(vault, items, **options)]
    return answers, [result for answer in answers for result in answer.results]


async def test_every_item_is_answered_stored_and_found(client, vault):
    items = [NewMemory(text="Nora's cat is called Biscuit.", name="cat", labels={"of": "nora"}, speaker="Nora")]
    answers, results = await imported(client, vault, [*items, *facts(700)])
    assert [result.index for result in results] == list(range(701))
    assert all(result.created and result.error is None for result in results)
    assert (answers[0].results, answers[0].next) == ((), 0)
    assert answers[-1].next == 701
    cube = await client.get("cat")
    assert (cube.text, cube.labels, cube.speaker) == (items[0].text, {"of": "nora"}, "Nora")
    found = await client.search("what is the cat called?", vaults=[vault], top_k=1)
    assert found.hits[0].cube.name == cube.name


async def test_what_is_refused_is_named_and_the_others_are_stored(client, vault):
    items = [
        NewMemory(text="good"),
        NewMemory(text=""),
        NewMemory(text="bad label", labels={"Not A Key": "x"}),
        NewMemory(text="good"),
        NewMemory(text="bad priority", priority=101),
        NewMemory(text="also good", name="mine"),
        NewMemory(text="of the same name", name="mine"),
    ]
    _, results = await imported(client, vault, items)
    assert [result.created for result in results] == [True, False, False, False, False, True, False]
    reasons = [result.error.reason if result.error else "" for result in results]
    assert reasons == ["", "MISSING_FIELD", "INVALID_FIELD", "", "INVALID_FIELD", "", "RESOURCE_EXISTS"]
    assert results[3].name == results[0].name


async def test_an_import_goes_on_where_it_broke_off_and_stores_nothing_twice(client, vault):
    items, token, begun = facts(1_000), "", 0
    async for answer in client.import_memories(vault, items):
        token, begun = answer.resume_token, answer.next
        if begun >= 256:
            break
    answers, results = await imported(client, vault, items, resume_token=token)
    assert answers[0].next == begun
    assert [result.index for result in results] == list(range(begun, 1_000))
    names = [cube.name async for cube in client.list(vault, page_size=500)]
    assert len(names) == len(set(names)) == 1_000
    _, again = await imported(client, vault, items)
    assert not any(result.created for result in again)
    assert {result.name for result in again} == set(names)
    with pytest.raises(RequestError, match="resume_token"):
        await imported(client, VAULT, items, resume_token=token)


async def test_vectors_of_ones_own_are_taken_if_the_embedder_runs_here(client, vault):
    vector = np.zeros(384, dtype=np.float32)
    vector[5] = 1
    (first,), _ = await imported(client, vault, [])
    assert first.embedder
    items = [
        NewMemory(text="with a vector", vector=vector.tolist()),
        NewMemory(text="without one"),
        NewMemory(text="too short", vector=[1.0, 0.0]),
        NewMemory(text="too long", vector=(2 * vector).tolist()),
        NewMemory(text="not a number", vector=[float("nan")] * 384),
    ]
    _, results = await imported(client, vault, items, embedder=first.embedder)
    assert [result.created for result in results] == [True, True, False, False, False]
    assert all("embedding" in str(result.error) for result in results[2:])
    _, unnamed = await imported(client, vault, items[:1])
    assert "header.embedder" in str(unnamed[0].error)
    with pytest.raises(RequestError, match="runs here"):
        await imported(client, vault, items, embedder="another@1")


async def test_a_stream_that_is_wrong_is_refused(client, vault, caller):
    batch = memory.ImportMemoriesRequest(batch=memory.ImportBatch(items=[memory.ImportItem(cube={"vault": vault})]))
    header = memory.ImportMemoriesRequest(header=memory.ImportHeader(vault=vault))

    async def stream(*requests):
        for request in requests:
            yield request

    async def call(*requests):
        async for _ in caller.memory.ImportMemories(stream(*requests)):
            pass

    invalid = grpc.StatusCode.INVALID_ARGUMENT
    await caller.refused(call(batch), invalid, "MISSING_FIELD", "header")
    await caller.refused(call(header, header), invalid, "INVALID_FIELD", "batch")
    many = memory.ImportMemoriesRequest(
        batch=memory.ImportBatch(items=[memory.ImportItem(cube={"vault": vault})] * 257)
    )
    await caller.refused(call(header, many), invalid, "LIMIT_EXCEEDED", "batch.items")
    with pytest.raises(NotFound):
        await imported(client, "nowhere", facts(1))


async def test_an_import_goes_on_after_a_kill(launch, tmp_path):
    system = launch(tmp_path / "state")
    items, token = facts(900), ""
    async with system.client() as client:
        try:
            async for answer in client.import_memories(VAULT, items):
                token = answer.resume_token
                if answer.next:
                    system.kill()
        except Unavailable:
            assert token
        else:
            raise AssertionError("it was killed, and went on")
    system = launch(tmp_path / "state")
    async with system.client() as client:
        await imported(client, VAULT, items, resume_token=token)
        names = [cube.name async for cube in client.list(VAULT, page_size=500)]
        assert len(names) == len(set(names)) == 900


def test_the_command_line_loads_a_file(system, vault, tmp_path):
    file = tmp_path / "memories.jsonl"
    lines = [{"text": f"Line {number}.", "labels": {"n": str(number)}} for number in range(300)]
    lines.append({"text": "", "name": "empty"})
    file.write_text("\n".join(map(json.dumps, lines)))
    ran = system.memosctl("load", str(file), "-v", vault, "--json", check=False)
    answer = json.loads(ran.stdout)
    assert (ran.returncode, answer["added"], [bad["line"] for bad in answer["errors"]]) == (1, 300, [301])
    again = json.loads(system.memosctl("load", str(file), "-v", vault, "--json", check=False).stdout)
    assert (again["added"], again["known"]) == (0, 300)
    file.write_text('{"text": "good"}\n{"txt": "typo"}\n')
    broken = system.memosctl("load", str(file), "-v", vault, check=False)
    assert broken.returncode == 1
    assert 'Line 2 has no object with a "text"' in broken.stderr
    for field, value in (("priority", "high"), ("vector", ["a"]), ("labels", ["a"])):
        file.write_text('{"text": "good"}\n' + json.dumps({"text": "x", field: value}))
        ran = system.memosctl("load", str(file), "-v", vault, check=False)
        assert (ran.returncode, f'Line 2 has a field "{field}"' in ran.stderr) == (1, True), ran.stderr


def test_a_vault_is_copied_with_one_blocking_client(system, vault):
    with Client(**system.client_settings()) as client:
        list(client.import_memories(vault, (NewMemory(text=f"Original {number}.") for number in range(5))))
        copies = (NewMemory(text=f"Copy of {cube.name}.") for cube in client.list(vault))
        results = [result for answer in client.import_memories(vault, copies) for result in answer.results]
        assert len(results) == 5
        assert all(result.created for result in results)
