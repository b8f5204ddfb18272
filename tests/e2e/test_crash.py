"""What was acknowledged is there, once, whatever happens to the process."""

import asyncio
import re
import shutil
import signal
import subprocess

import grpc
import pytest

from memos_api.v1 import memory_service_pb2 as memory

VAULT = "tenants/local/vaults/main"


async def stored_texts(caller) -> list[str]:
    texts, token = [], ""
    while True:
        request = memory.ListMemoriesRequest(vault=VAULT, page_size=100, page_token=token)
        page = await caller.memory.ListMemories(request)
        names = [cube.name for cube in page.cubes]
        if names:
            got = await caller.memory.BatchGetMemories(memory.BatchGetMemoriesRequest(names=names))
            texts += [result.cube.plaintext.text for result in got.results]
        token = page.next_page_token
        if not token:
            return texts


async def test_after_kill_9_every_acknowledged_add_is_there_once(launch, tmp_path):
    acknowledged: list[str] = []

    async def write(caller, worker: int) -> None:
        for number in range(10_000):
            text = f"Writer {worker} noted that crate {number} went to the harbour."
            try:
                await caller.memory.AddMemories(memory.AddMemoriesRequest(vault=VAULT, texts=[text]))
            except grpc.aio.AioRpcError:
                return
            acknowledged.append(text)

    system = launch(tmp_path / "state")
    async with system.caller() as caller:
        writers = [asyncio.create_task(write(caller, worker)) for worker in range(8)]
        while len(acknowledged) < 60:
            await asyncio.sleep(0.01)
        system.kill()
        await asyncio.gather(*writers)
    assert len(acknowledged) >= 60

    system = launch(tmp_path / "state")
    async with system.caller() as caller:
        texts = await stored_texts(caller)
        assert set(acknowledged) <= set(texts)
        assert len(texts) == len(set(texts))
        request = memory.SearchMemoriesRequest(vaults=[VAULT], query=acknowledged[-1], top_k=1)
        found = await caller.memory.SearchMemories(request)
        assert found.hits[0].cube.plaintext.text == acknowledged[-1]


async def test_the_disk_is_synced_before_the_answer(launch, tmp_path):
    strace = shutil.which("strace")
    if strace is None:
        pytest.skip("strace is not installed (apt-get install strace)")
    system = launch(tmp_path / "state")
    log = tmp_path / "trace"
    calls = "trace=fsync,fdatasync,sendmsg,write,writev"
    tracer = subprocess.Popen(
        [strace, "-f", "-yy", "-s", "4000", "-e", calls, "-o", str(log), "-p", str(system.pid)],
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        await asyncio.to_thread(tracer.stderr.readline)
        async with system.caller() as caller:
            text = "The lighthouse keeper wrote marker-4242 into the book."
            await caller.memory.AddMemories(memory.AddMemoriesRequest(vault=VAULT, texts=[text]))
    finally:
        tracer.send_signal(signal.SIGINT)
        await asyncio.to_thread(tracer.communicate)
    lines = log.read_text(errors="replace").splitlines()
    synced = [at for at, line in enumerate(lines) if re.search(r"(fsync|fdatasync)\(.*storage", line)]
    answered = [at for at, line in enumerate(lines) if "sendmsg(" in line and "TCP" in line and "marker-4242" in line]
    assert synced, "no sync of a file of the storage service was seen"
    assert answered, "the answer was not seen"
    assert synced[0] < answered[0]
