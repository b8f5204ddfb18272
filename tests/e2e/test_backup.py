"""A backup that is made under writes brings a machine back, whole, after everything on it is gone."""

import asyncio
import json
import shutil

from memosctl.backup import MANIFEST
from tensors import IDENTITY, tensors

VAULT = "tenants/local/vaults/main"


async def test_what_was_acknowledged_before_a_backup_is_there_after_the_machine_was_lost(launch, tmp_path):
    state, copy = tmp_path / "state", tmp_path / "copy"
    system = launch(state)
    stored: list[str] = []
    async with system.client() as client:
        await client.create_parametric(VAULT, tensors(1), identity=IDENTITY, rank=4, name="adapter")
        await client.update((await client.add(VAULT, ["The otter lives in Oslo."])).added[0].cube.name, text="In Rome.")
        stop = asyncio.Event()

        async def write():
            number = 0
            while not stop.is_set():
                stored.append(f"Heron {number} stands by pond {number * 7}.")
                await client.add(VAULT, [stored[-1]])
                number += 1

        writer = asyncio.create_task(write())
        while len(stored) < 20:
            await asyncio.sleep(0.05)
        acknowledged = stored[:-1]
        made = json.loads((await asyncio.to_thread(system.memosctl, "backup", str(copy), "--json")).stdout)
        stop.set()
        await writer
    assert made["missing"] == 0
    assert (copy.stat().st_mode & 0o077, (copy / "admin.key").stat().st_mode & 0o077) == (0, 0)
    refused = system.memosctl("backup", str(copy), check=False)
    assert (refused.returncode, "already" in refused.stderr) == (1, True)
    refused = system.memosctl("restore", str(copy), check=False)
    assert (refused.returncode, "not empty" in refused.stderr) == (1, True)
    system.kill()
    shutil.rmtree(state)
    system.memosctl("restore", str(copy))
    system = launch(state)
    async with system.client() as client:
        texts = {(await client.get(cube.name)).text async for cube in client.list(VAULT)}
        assert texts >= {*acknowledged, "In Rome."}
        assert texts <= {*stored, "In Rome.", ""}
        data = b"".join([part async for part in client.download_blob("adapter")])
        assert data == tensors(1)
        async with system.caller() as caller:
            await system.settled(caller)
        for _ in range(60):
            answer = await client.search("where does heron 7 stand?", vaults=[VAULT], top_k=2)
            if not answer.degraded:
                break
            await asyncio.sleep(1)
        assert not answer.degraded
        # beside it only the one at pond 7, which has the same words
        assert "Heron 7 stands by pond 49." in [hit.cube.text for hit in answer.hits]
        assert (await client.add(VAULT, ["After the way back."])).added[0].created
    found = json.loads(system.memosctl("doctor", "--json", check=False).stdout)["findings"]
    assert {one["check"]: one["verdict"] for one in found}["audit chain"] == "ok"


def damaged(copy, damage):
    """Damage a backup."""
    catalogue, manifest = copy / "storage" / "catalogue.db", copy / MANIFEST
    match damage:
        case "changed":
            data = bytearray(catalogue.read_bytes())
            data[len(data) // 2] ^= 1
            catalogue.write_bytes(data)
        case "missing":
            catalogue.unlink()
        case "no manifest":
            manifest.unlink()
        case "newer":
            manifest.write_text(manifest.read_text().replace("backup.v1", "backup.v2"))


async def test_a_damaged_backup_is_named_and_nothing_is_put_back(launch, tmp_path):
    system = launch(tmp_path / "state")
    async with system.client() as client:
        await client.add(VAULT, ["The otter lives in Oslo."])
    system.memosctl("backup", str(tmp_path / "copy"))
    system.stop()
    shutil.rmtree(tmp_path / "state")
    for damage in ("changed", "missing", "no manifest", "newer"):
        shutil.copytree(tmp_path / "copy", tmp_path / damage)
        damaged(tmp_path / damage, damage)
        failed = system.memosctl("restore", str(tmp_path / damage), check=False)
        assert failed.returncode == 1, damage
        assert not (tmp_path / "state").exists() or not any((tmp_path / "state").iterdir())
