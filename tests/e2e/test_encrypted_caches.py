"""KV caches whose bytes the blob store cannot read."""

import asyncio
import base64
import json
import shutil

from deployment import Deployment
from talk import chat, ended

FACT = "The violin of Marta is in the cellar."
QUESTION = "Where is the violin of Marta?"


def key(byte):
    return base64.b64encode(bytes([byte]) * 32).decode()


def system(state, keys):
    return Deployment.one_process(state, env={"MEMOS_STORAGE__BLOBS_KEY": keys})


async def test_a_cache_is_encrypted_where_it_lies_and_its_key_goes_with_its_purge(tmp_path):
    state = tmp_path / "state"
    with system(state, key(1)) as running:
        async with running.client() as client:
            (added,) = (await client.add("main", [FACT])).added
            job = await ended(client, await client.build_activation("main", [added.cube.name]))
            assert job.state == 3, job.last_error
            _, told = await chat(client, "main", QUESTION, form="text")
            _, end = await chat(client, "main", QUESTION, form="kv")
            assert (end.text, end.cached_tokens > 0, end.refusals) == (told.text, True, ())
            (stored,) = [path for path in (state / "storage" / "blobs").rglob("*") if path.is_file()]
            assert b"__metadata__" not in stored.read_bytes()

    shutil.rmtree(state / "inference" / "kv")  # the copy of inference
    with system(state, key(2)) as running:  # the key of the store is lost: text serves, and a purge is complete
        async with running.client() as client:
            _, end = await chat(client, "main", QUESTION, form="kv")
            assert (end.text, end.cached_tokens) == (told.text, 0)
            assert "storage.blobs_key" in end.refusals[0].message
            copy = stored.read_bytes()
            asked = await client.purge("main", [added.cube.name], expected_count=2)
            async with asyncio.timeout(60):
                while (purge := await client.get_purge(asked.purge.name)).state != 3:
                    await asyncio.sleep(0.1)
            tiers = {tier["tier"]: tier for tier in json.loads(purge.receipt.statement)["tiers"]}
            assert "keys" in tiers["blobs"]["done"]
            assert not stored.exists()
    for path in state.rglob("*"):
        assert not path.is_file() or copy[:32] not in path.read_bytes()
