"""What is purged is in no answer and in no file, whatever happens meanwhile."""

import asyncio
import json
import time

import grpc
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from memos_api.v1 import job_pb2
from memos_api.v1 import job_service_pb2 as jobs
from memos_api.v1 import memory_service_pb2 as memory
from memos_api.v1 import purge_service_pb2 as purges

VAULT = "tenants/local/vaults/main"


async def add(caller, vault, *texts, **labels):
    answer = await caller.memory.AddMemories(memory.AddMemoriesRequest(vault=vault, texts=texts, labels=labels))
    return [item.cube for item in answer.added]


async def ended(caller, job):
    async for change in caller.jobs.WatchJob(jobs.WatchJobRequest(name=job.name)):
        job = change.job
    return job


async def get(caller, name):
    return (await caller.purges.GetPurge(purges.GetPurgeRequest(name=name))).purge


async def done(caller, name):
    deadline = time.monotonic() + 120
    while (purge := await get(caller, name)).state != purges.PURGE_STATE_DONE:
        assert time.monotonic() < deadline, purge
        await asyncio.sleep(0.2)
    return purge


async def test_what_is_purged_is_in_no_answer_and_in_no_file(caller, vault, system):
    secret = "The zebrafish vault opens with 4711."
    (doomed,) = await add(caller, vault, secret)
    (kept,) = await add(caller, vault, "The harbour is full of crates.")
    assert system.files_with(b"zebrafish vault")
    wanted = purges.PurgeMemoriesRequest(vault=vault, names=[doomed.name], expected_count=1, reason="a mistake")
    asked = await caller.purges.PurgeMemories(wanted)
    found = await caller.memory.SearchMemories(memory.SearchMemoriesRequest(vaults=[vault], query=secret))
    assert [hit.cube.name for hit in found.hits] == [kept.name]
    job = await ended(caller, asked.job)
    assert (job.state, dict(job.result)) == (job_pb2.JOB_STATE_SUCCEEDED, {"erased": "1"}), job
    purge = await get(caller, asked.purge.name)
    key = Ed25519PublicKey.from_public_bytes(purge.receipt.public_key)
    key.verify(purge.receipt.signature, purge.receipt.statement)
    assert [cube["name"] for cube in json.loads(purge.receipt.statement)["cubes"]] == [doomed.name]
    assert system.files_with(b"zebrafish vault") == []
    assert system.files_with(b"harbour is full")
    again = await caller.memory.AddMemories(memory.AddMemoriesRequest(vault=vault, texts=[secret]))
    assert [entry.reason for entry in again.skipped] == ["purged"]
    read = memory.GetMemoryRequest(name=doomed.name, as_of=doomed.create_time)
    await caller.refused(caller.memory.GetMemory(read), grpc.StatusCode.NOT_FOUND, "CUBE_NOT_FOUND")


async def test_a_filter_is_counted_first_and_the_count_has_to_be_right(caller, vault):
    await add(caller, vault, "Nora likes tea.", "Nora likes fish.", of="nora")
    (tom,) = await add(caller, vault, "Tom likes bread.", of="tom")
    nora = memory.CubeFilter(labels={"of": "nora"})
    counted = await caller.purges.PurgeMemories(
        purges.PurgeMemoriesRequest(vault=vault, filter=nora, validate_only=True)
    )
    assert (counted.count, len(counted.sample)) == (2, 2)

    def purge(**fields):
        return caller.purges.PurgeMemories(purges.PurgeMemoriesRequest(vault=vault, **fields))

    precondition, invalid = grpc.StatusCode.FAILED_PRECONDITION, grpc.StatusCode.INVALID_ARGUMENT
    await caller.refused(purge(filter=nora, expected_count=3), precondition, "COUNT_MISMATCH")
    await caller.refused(purge(filter=nora), invalid, "MISSING_FIELD", "expected_count")
    await caller.refused(purge(filter=memory.CubeFilter(), expected_count=3), invalid, "MISSING_FIELD", "filter")
    await ended(caller, (await purge(filter=nora, expected_count=2)).job)
    listed = await caller.memory.ListMemories(memory.ListMemoriesRequest(vault=vault))
    assert [cube.name for cube in listed.cubes] == [tom.name]


async def test_a_purge_that_is_killed_is_finished_by_the_next_process(launch, tmp_path):
    state = tmp_path / "state"
    haste = {"MEMOS_STORAGE__INDEX_LEASE_SECONDS": "3", "MEMOS_SCHEDULER__LEASE_SECONDS": "1"}
    system = launch(state, env=haste)
    async with system.caller() as caller:
        for start in range(0, 600, 200):
            texts = [f"Crate {number} holds zebrafish." for number in range(start, start + 200)]
            await add(caller, VAULT, *texts, of="harbour")
        (kept,) = await add(caller, VAULT, "Nora likes tea.")
        filter = memory.CubeFilter(labels={"of": "harbour"})
        wanted = purges.PurgeMemoriesRequest(vault=VAULT, filter=filter, expected_count=600)
        asked = await caller.purges.PurgeMemories(wanted)
        system.kill()

    system = launch(state, env=haste)
    async with system.caller() as caller:
        listed = await caller.memory.ListMemories(memory.ListMemoriesRequest(vault=VAULT))
        assert [cube.name for cube in listed.cubes] == [kept.name]
        purge = await done(caller, asked.purge.name)
        assert len(json.loads(purge.receipt.statement)["cubes"]) == 600
        assert system.files_with(b"holds zebrafish") == []
