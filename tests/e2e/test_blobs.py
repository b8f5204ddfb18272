"""Adapters and KV caches as memories: their bytes come back, go with a purge, and survive what a machine does."""

import asyncio
import hashlib
import json
import shutil
import time

import grpc
import numpy as np
import pytest
from safetensors.numpy import save_file

from memos_api.v1 import blob_service_pb2 as blobs
from memos_api.v1 import memcube_pb2
from memos_api.v1 import memory_service_pb2 as memory
from memos_client import DuplicateContent, NotFound, RequestError
from tensors import IDENTITY, tensors

VAULT = "tenants/local/vaults/main"
PLANTED = np.frombuffer(b"zebrafish-4711-tensor" * 3, dtype=np.uint8)


@pytest.fixture
async def client(system):
    async with system.client() as opened:
        yield opened


async def test_an_adapter_is_stored_listed_and_read_back(client, vault, tmp_path):
    file, copy = tmp_path / "adapter.safetensors", tmp_path / "copy.safetensors"
    save_file({"lora_A": np.arange(1_500_000, dtype=np.float32)}, file)
    told: list[int] = []
    cube = await client.create_parametric(vault, file, identity=IDENTITY, rank=8, progress=told.append)
    assert sum(told) == file.stat().st_size
    assert cube.message.parametric.blob.sha256 == hashlib.sha256(file.read_bytes()).hexdigest()
    assert await client.save_blob(cube.name, copy) == file.stat().st_size
    assert copy.read_bytes() == file.read_bytes()
    part = b"".join([data async for data in client.download_blob(cube.name, offset=1_000_000, limit=2_000_000)])
    assert part == file.read_bytes()[1_000_000:3_000_000]
    (listed,) = [held async for held in client.list(vault)]
    assert memcube_pb2.CubeKind.Name(listed.message.kind) == "CUBE_KIND_PARAMETRIC"
    found = await client.search("lora adapter", vaults=[vault])
    assert found.hits == ()
    with pytest.raises(DuplicateContent):
        await client.create_parametric(vault, file, identity=IDENTITY, rank=8)


async def test_a_kv_cache_needs_every_field_of_its_identity(client, vault):
    with pytest.raises(RequestError) as refused:
        await client.create_activation(vault, tensors(1), identity=IDENTITY, token_count=7)
    assert refused.value.field.endswith("activation.identity.token_ids_sha256")
    made = await client.create_activation(
        vault, tensors(1), identity={**IDENTITY, "token_ids_sha256": "d" * 64}, token_count=7
    )
    assert made.message.activation.token_count == 7


async def test_what_holds_code_or_differs_from_its_hash_is_refused(client, vault, caller):
    with pytest.raises(RequestError, match="no safetensors file"):
        await client.upload_blob(vault, b"\x80\x04\x95\x10\x00\x00\x00\x00\x00\x00\x00 a pickle")
    with pytest.raises(NotFound):
        await client.upload_blob("nowhere", tensors())
    data = tensors()

    async def requests(**wrong):
        fields = {"vault": vault, "media_type": "application/vnd.safetensors", "size_bytes": len(data)}
        yield blobs.UploadBlobRequest(header=blobs.BlobHeader(**{**fields, "sha256": "0" * 64, **wrong}))
        yield blobs.UploadBlobRequest(chunk=blobs.BlobChunk(data=data))

    async def nothing():
        return
        yield

    async def backwards():
        yield blobs.UploadBlobRequest(chunk=blobs.BlobChunk(data=data))

    invalid, upload = grpc.StatusCode.INVALID_ARGUMENT, caller.blobs.UploadBlob
    await caller.refused(upload(requests()), invalid, "INVALID_FIELD", "header.sha256")
    await caller.refused(upload(requests(media_type="a/b")), invalid, "INVALID_FIELD", "header.media_type")
    await caller.refused(upload(requests(sha256="")), invalid, "MISSING_FIELD", "header.sha256")
    await caller.refused(upload(backwards()), invalid, "MISSING_FIELD", "header")
    await caller.refused(upload(nothing()), invalid, "MISSING_FIELD")


async def test_a_purged_adapter_is_in_no_file(client, vault, system, tmp_path):
    file = tmp_path / "adapter.safetensors"
    save_file({"lora_A": PLANTED}, file)
    cube = await client.create_parametric(vault, file, identity=IDENTITY, rank=1)
    with pytest.raises(DuplicateContent):
        await client.create_parametric(vault, file, identity=IDENTITY, rank=1)
    await client.upload_blob(vault, file)  # a copy that no cube has
    assert system.files_with(PLANTED.tobytes())
    sha256 = hashlib.sha256(file.read_bytes()).hexdigest().encode()
    assert system.files_with(sha256)
    asked = await client.purge(vault, [cube.name], expected_count=1)
    deadline = time.monotonic() + 60
    while not (purge := await client.get_purge(asked.purge.name)).receipt.statement:
        assert time.monotonic() < deadline
    tiers = {tier["tier"]: tier["done"] for tier in json.loads(purge.receipt.statement)["tiers"]}
    assert "Blobs 2." in tiers["blobs"] or "Blobs 3." in tiers["blobs"]
    assert system.files_with(PLANTED.tobytes()) == []
    assert system.files_with(sha256) == []
    with pytest.raises(NotFound):
        await client.save_blob(cube.name, tmp_path / "gone")
    assert not (tmp_path / "gone").exists()


def test_the_command_line_stores_and_gets_a_file(system, vault, tmp_path):
    file, copy, fits = tmp_path / "a.safetensors", tmp_path / "copy", tmp_path / "identity.json"
    save_file({"lora_A": np.arange(9, dtype=np.float32)}, file)
    fits.write_text(json.dumps(IDENTITY))
    put = system.memosctl("blob", "put", str(file), "--identity", str(fits), "--rank", "4", "-v", vault, "--json")
    name = json.loads(put.stdout)["cube"]["name"]
    shown = system.memosctl("get", name).stdout
    assert "a LoRA adapter of rank 4 for tiny@1" in shown
    got = json.loads(system.memosctl("blob", "get", name, str(copy), "--json").stdout)
    assert copy.read_bytes() == file.read_bytes()
    assert got["sha256"] == hashlib.sha256(file.read_bytes()).hexdigest()
    again = system.memosctl("blob", "get", name, str(copy), check=False)
    assert again.returncode == 2
    assert "--force" in again.stderr


async def test_a_download_that_is_left_early_leaves_no_trace(client, vault, system, tmp_path):
    file = tmp_path / "adapter.safetensors"
    save_file({"lora_A": np.arange(2_000_000, dtype=np.float32)}, file)
    cube = await client.create_parametric(vault, file, identity=IDENTITY, rank=8)
    for _ in range(5):
        download = client.download_blob(cube.name)
        await anext(download)
        await download.aclose()
    await asyncio.sleep(0.5)
    assert "different Context" not in system.log()
    assert "never retrieved" not in system.log()


async def test_what_was_acknowledged_survives_a_kill_and_damage_is_told(launch, tmp_path):
    state, data = tmp_path / "state", tensors(5, elements=100_000)
    system = launch(state)
    async with system.client() as client:
        cube = await client.create_parametric(VAULT, data, identity=IDENTITY, rank=8)
        system.kill()
    (held,) = system.files_with(data)
    half = held.parent / ".part-half"
    half.write_bytes(data[:1_000])
    system = launch(state)
    async with system.client() as client, system.caller() as caller:
        assert b"".join([part async for part in client.download_blob(cube.name)]) == data
        assert not half.exists()
        held.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
        with pytest.raises(Exception, match="differs from its hash"):
            await client.save_blob(cube.name, tmp_path / "damaged")
        assert not (tmp_path / "damaged").exists()
        text = await client.create(VAULT, "a text")
        read = blobs.DownloadBlobRequest(name=text.name)
        await caller.refused(
            anext(aiter(caller.blobs.DownloadBlob(read))), grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD", "name"
        )
        listed = await caller.memory.ListMemories(memory.ListMemoriesRequest(vault=VAULT))
        assert len(listed.cubes) == 2


async def test_the_doctor_compares_the_tiers_and_mends_what_it_can(launch, tmp_path):
    state = tmp_path / "state"
    system = launch(state)
    async with system.client() as client, system.caller() as caller:
        cube = await client.create_parametric(VAULT, tensors(6), identity=IDENTITY, rank=8)
        await client.add(VAULT, ["Nora's cat is called Biscuit."])
        await system.settled(caller)
    running = findings(system, "doctor", "--tiers")
    assert running["index and blobs"]["verdict"] == "skipped"
    system.stop()
    sound = findings(system, "doctor", "--tiers")
    assert {sound[check]["verdict"] for check in ("vector index", "blobs", "blobs without a cube")} == {"ok"}
    assert sound["blobs"]["detail"].startswith("1 read")
    (held,) = system.files_with(tensors(6))
    held.write_bytes(b"something else")
    old = "01000000-0000-7000-8000-000000000000"
    held.with_name(old).write_bytes(b"left by a crash")
    shutil.rmtree(state / "storage" / "milvus")
    found = findings(system, "doctor", "--tiers")
    assert found["vector index"]["detail"].startswith("1 points missing")
    assert found["blobs without a cube"]["verdict"] == "warning"
    assert str(held.name) in found["blobs"]["detail"]
    mended = findings(system, "doctor", "--repair")
    assert mended["vector index"] == {**mended["vector index"], "verdict": "ok"}
    assert "mended" in mended["vector index"]["detail"]
    assert not held.with_name(old).exists()
    again = findings(system, "doctor", "--tiers")
    assert again["vector index"]["detail"] == "holds what the catalogue says"
    assert again["blobs"]["verdict"] == "failed"
    assert cube.name


def findings(system, *arguments):
    ran = system.memosctl(*arguments, "--json", check=False)
    return {one["check"]: one for one in json.loads(ran.stdout)["findings"]}
