"""With the vector index away, memory goes on and says so."""

import asyncio
import os
import signal

from memos_api.v1 import memory_service_pb2 as memory

VAULT = "tenants/local/vaults/main"


async def find(caller, query: str) -> memory.SearchMemoriesResponse:
    return await caller.memory.SearchMemories(memory.SearchMemoriesRequest(vaults=[VAULT], query=query))


async def test_without_milvus_writes_are_accepted_and_found_and_the_answer_says_degraded(launch, tmp_path):
    system = launch(tmp_path / "state")
    async with system.caller() as caller:
        await caller.memory.AddMemories(memory.AddMemoriesRequest(vault=VAULT, texts=["The goat eats roses."]))
        child = [pid for pid in system.descendants() if "milvus" in system.command_line(pid)]
        assert child, "no milvus process was found"
        for pid in child:
            os.kill(pid, signal.SIGKILL)
        written = await caller.memory.AddMemories(
            memory.AddMemoriesRequest(vault=VAULT, texts=["The goat also eats hats."])
        )
        assert written.added[0].created
        answer = await find(caller, "what does the goat eat")
        texts = {hit.cube.plaintext.text for hit in answer.hits}
        assert texts == {"The goat eats roses.", "The goat also eats hats."}
        assert answer.degraded
        dense = next(leg for leg in answer.legs if leg.name == "dense")
        assert not dense.ran
        assert dense.reason
        for _ in range(300):
            answer = await find(caller, "what does the goat eat")
            if not answer.degraded:
                break
            await asyncio.sleep(0.1)
        assert not answer.degraded
        assert {hit.cube.plaintext.text for hit in answer.hits} == texts
