"""Two processes of storage over one PostgreSQL and one Milvus server."""

import asyncio
import uuid

import grpc
import pytest

import s3
from deployment import Deployment
from memos_api.v1 import memory_service_pb2 as memory
from milvus_server import shared_server
from postgres import new_database

VAULT = "tenants/local/vaults/main"
WRITERS, EACH = 5, 10
LOST = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)


@pytest.fixture
def system(tmp_path):
    env = {
        "MEMOS_STORAGE__DATABASE_URL": new_database("replicas"),
        "MEMOS_STORAGE__MILVUS_URI": shared_server().uri,
        "MEMOS_STORAGE__BLOBS_URL": s3.shared_server().bucket()[0],
        "MEMOS_STORAGE__BLOBS_ACCESS_KEY": s3.ACCESS_KEY,
        "MEMOS_STORAGE__BLOBS_SECRET_KEY": s3.SECRET_KEY,
    }
    with Deployment.six_processes(tmp_path / "cluster", env=env, replicas={"storage": 2}) as running:
        yield running


async def answered(call, request):
    """Call again, as a client does, while a process is being lost."""
    for _ in range(50):
        try:
            return await call(request)
        except grpc.aio.AioRpcError as error:
            assert error.code() in LOST, error.details()
            await asyncio.sleep(0.1)
    raise AssertionError("the system did not come back")


async def add(caller, text):
    request = memory.AddMemoriesRequest(vault=VAULT, texts=[text], request_id=str(uuid.uuid4()))
    (added,) = (await answered(caller.memory.AddMemories, request)).added
    return added.cube.name


async def best(caller, text):
    request = memory.SearchMemoriesRequest(vaults=[VAULT], query=text, top_k=1)
    (hit,) = (await answered(caller.memory.SearchMemories, request)).hits
    return hit.cube.plaintext.text


async def test_each_finds_at_once_what_the_other_wrote_and_one_may_be_killed(system):
    async with system.caller() as caller:

        async def write(number):
            names = []
            for turn in range(EACH):
                text = f"Writer {number} counted {turn} sheep on hill {number * EACH + turn}."
                names.append(await add(caller, text))
                # Calls take turns: of two searches each process answers one.
                assert [await best(caller, text), await best(caller, text)] == [text, text]
                if (number, turn) == (0, EACH // 2):
                    await asyncio.to_thread(system.kill_one, "storage-2")
            return names

        written = await asyncio.gather(*map(write, range(WRITERS)))
        await system.settled(caller)
        listed = await caller.memory.ListMemories(memory.ListMemoriesRequest(vault=VAULT, page_size=100))
        assert sorted(cube.name for cube in listed.cubes) == sorted(name for names in written for name in names)
