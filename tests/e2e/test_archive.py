"""Archives: a vault moves between systems of two kinds with all that it holds, and what is damaged is named."""

import asyncio
import json
import os
import random
import shutil
from contextlib import aclosing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

import s3
from deployment import Deployment
from memos_api.v1 import governance_service_pb2, vault_pb2
from memos_client import (
    ArchiveOptions,
    AsyncClient,
    Cube,
    Filter,
    NewMemory,
    NotFound,
    PermissionDenied,
    RequestError,
    Unavailable,
)
from milvus_server import shared_server
from postgres import new_database
from tensors import IDENTITY, tensors

CUBES = int(os.environ.get("MEMOS_TEST_ARCHIVE_CUBES", "1200"))
"""Memories of the vault that moves; `MEMOS_TEST_ARCHIVE_CUBES=10000` for a large one."""

SAMPLE = 60
SOURCE, TARGET = "tenants/local/vaults/source", "tenants/local/vaults/target"
LATER = ("late_interaction", "updates")
"""Stages of what does not move: vectors of tokens that `embed_sweep` makes in each system in its time, and links."""
WORDS = ("violin", "boiler", "harbour", "piano", "letter", "orchard", "signal", "teapot")


@dataclass
class Moved:
    """A vault that went from one system to another as an archive."""

    here: Deployment
    there: Deployment
    archive: Path
    as_of: datetime
    key: str


def here_and_there(tmp_path: Path) -> tuple[Deployment, Deployment]:
    """Start a system of files and one of servers."""
    here = Deployment.one_process(tmp_path / "here")
    env = {
        "MEMOS_STORAGE__DATABASE_URL": new_database("archive"),
        "MEMOS_STORAGE__MILVUS_URI": shared_server().uri,
        "MEMOS_STORAGE__BLOBS_URL": s3.shared_server().bucket()[0],
        "MEMOS_STORAGE__BLOBS_ACCESS_KEY": s3.ACCESS_KEY,
        "MEMOS_STORAGE__BLOBS_SECRET_KEY": s3.SECRET_KEY,
    }
    return here, Deployment.six_processes(tmp_path / "there", env=env)


@pytest.fixture(scope="module")
def moved(tmp_path_factory):
    """A vault with texts, revisions, deletions, snapshots, bytes, lineage and roles, moved."""
    directory = tmp_path_factory.mktemp("archive")
    here, there = here_and_there(directory)
    with here, there:
        archive = directory / "archive"
        as_of = asyncio.run(fill(here))
        here.memosctl("archive", "export", SOURCE, str(archive), "--deleted", "--json")
        told = json.loads(here.memosctl("archive", "check", str(archive), "--json").stdout)
        there.memosctl("key", "create", "ben")
        made = there.memosctl(
            *("archive", "import", str(archive), "--create", "--permissions", "--trust", told["key"], "--json")
        )
        report = json.loads(made.stdout)
        assert report["failures"] == []
        assert report["created"] == told["cubes"] == CUBES + 20 + 2  # with both sides of the chat
        assert report["embedded"] == 0
        assert (report["roles"], report["unknownPrincipals"]) == (1, ["tenants/local/principals/stranger"])
        yield Moved(here, there, archive, as_of, told["key"])


async def fill(system: Deployment) -> datetime:
    """Fill the vault; return a moment in the middle."""
    system.memosctl("vault", "create", "source", "--title", "What moves")
    for principal, role in (("ben", "writer"), ("stranger", "reader")):
        system.memosctl("key", "create", principal)
        system.memosctl("vault", "grant", "source", principal, role)
    async with system.client() as client:
        await import_texts(client)
        names = [cube.name async for cube in client.list(SOURCE)]
        rng = random.Random(1)
        changed = rng.sample(names, CUBES // 5)
        await each(changed, lambda name: client.update(name, text=f"{name.rpartition('/')[2]} is another now."))
        as_of = (await client.get(changed[-1])).message.update_time.ToDatetime(tzinfo=UTC)
        await each(changed[: CUBES // 10], lambda name: client.update(name, priority=7))
        await each(changed[: CUBES // 20], lambda name: client.rollback(name, 1))
        await each(rng.sample(names, CUBES // 20), lambda name: quietly(client.delete(name)))
        await each(
            range(20),
            lambda number: client.create_parametric(
                SOURCE, tensors(number, elements=40_000), identity=IDENTITY, rank=4, name=f"adapter-{number}"
            ),
        )
        async for _ in client.chat("Where is the violin?", vaults=[SOURCE], remember_in=SOURCE):
            pass
    return as_of


async def import_texts(client: AsyncClient) -> None:
    """Import texts with vectors of their own, near to each other where they share a word."""
    rng = np.random.default_rng(5)
    base = rng.standard_normal((len(WORDS), 384))
    near = base[np.arange(CUBES) % len(WORDS)] + 0.7 * rng.standard_normal((CUBES, 384))
    vectors = (near / np.linalg.norm(near, axis=1, keepdims=True)).astype(np.float32)
    answers = client.import_memories(SOURCE, [])
    (embedder,) = [answer.embedder async for answer in answers]
    items = [
        NewMemory(
            text=f"Note {number} is about the {WORDS[number % len(WORDS)]}.",
            name=f"note-{number}",
            vector=vectors[number],
            labels={"word": WORDS[number % len(WORDS)]},
            speaker="Nora" if number % 3 else "Ben",
            session=f"s{number % 11}",
        )
        for number in range(CUBES)
    ]
    async for answer in client.import_memories(SOURCE, items, embedder=embedder):
        assert all(result.error is None for result in answer.results)


async def each(items, work, *, at_once=16):
    """Do something for all of them, some at the same time."""
    gate = asyncio.Semaphore(at_once)

    async def one(item):
        async with gate:
            return await work(item)

    return await asyncio.gather(*map(one, items))


async def quietly(work):
    try:
        await work
    except NotFound:
        return


@pytest.fixture
async def clients(moved):
    async with moved.here.client() as here, moved.there.client() as there:
        yield here, there


def comparable(cube):
    """Return a cube's message without what is of one installation: the name of its bytes."""
    message = type(cube.message)()
    message.CopyFrom(cube.message)
    if message.HasField("parametric"):
        message.parametric.blob.name = ""
    message.usage.heat = round(message.usage.heat, 3)  # it is of the moment of the read
    return message


def seen(cube):
    return comparable(cube) if isinstance(cube, Cube) else cube.reason


async def sample(client) -> list[str]:
    names = sorted([cube.name async for cube in client.list(SOURCE)])
    return random.Random(2).sample(names, SAMPLE) + [name for name in names if "adapter" in name][:5]


def table(archive, name):
    found = [row for path in sorted(archive.glob(f"parts/*/{name}.parquet")) for row in pq.read_table(path).to_pylist()]
    for row in found:
        if "document" in row:
            said = json.loads(row["document"])
            said.pop("usage", None)
            said.get("parametric", {}).get("blob", {}).pop("name", None)
            row["document"] = said
    return sorted(found, key=lambda row: json.dumps(row, sort_keys=True, default=str))


def without_later_tokens(rows, before):
    """Return vectors without those of tokens that came since: a text that has none gets them from `embed_sweep`."""
    bare = {(row["uid"], row["revision"], row["embedder"]) for row in before if row["tokens"] is None}
    kept = [
        {**row, "tokens": None, "codebook": None} if (row["uid"], row["revision"], row["embedder"]) in bare else row
        for row in rows
    ]
    return sorted(kept, key=lambda row: json.dumps(row, sort_keys=True, default=str))


async def test_every_row_of_the_copy_is_that_of_the_vault(moved, tmp_path):
    again = tmp_path / "again"
    moved.there.memosctl("archive", "export", SOURCE, str(again), "--deleted")
    for name in ("revisions", "vectors", "lineage_nodes", "lineage_edges"):
        before, after = table(moved.archive, name), table(again, name)
        assert len(before) > 0
        if name == "vectors":
            after = without_later_tokens(after, before)
        assert before == after, name
    blobs = {path.name: path.read_bytes() for path in moved.archive.glob("parts/*/blobs/*")}
    assert len(blobs) == 20
    assert blobs == {path.name: path.read_bytes() for path in again.glob("parts/*/blobs/*")}


async def test_the_api_tells_the_same_of_both(moved, clients):
    here, there = clients
    for name in await sample(here):
        one, other = await here.get(name), await there.get(name)
        assert comparable(one) == comparable(other)
        history = [[comparable(old) async for old in client.revisions(name)] for client in clients]
        assert history[0] == history[1]
        past = [await client.batch_get([name], as_of=moved.as_of) for client in clients]
        assert seen(past[0][0]) == seen(past[1][0])
        graphs = [await client.provenance(name) for client in clients]
        assert edges_of(graphs[0]) == edges_of(graphs[1])
    for client in clients:
        roles = {one.principal.rpartition("/")[2]: one.role async for one in client.list_permissions(SOURCE)}
        assert roles["ben"] == 2


def edges_of(graph):
    return {(edge.source, edge.target, edge.relation, edge.detail) for edge in graph.edges}


async def test_searches_find_the_same_in_both(moved, clients):
    async with moved.there.caller() as caller:
        await moved.there.settled(caller)
    for word in WORDS:
        found = [
            [
                hit.cube.name
                for hit in (await client.search(f"the {word}", vaults=[SOURCE], top_k=20, without=LATER)).hits
            ]
            for client in clients
        ]
        assert len(found[0]) == 20
        assert set(found[0]) == set(found[1])


async def test_bytes_are_those_of_the_original(clients):
    for number in range(0, 20, 7):
        data = [b"".join([part async for part in client.download_blob(f"adapter-{number}")]) for client in clients]
        assert data[0] == data[1] == tensors(number, elements=40_000)


async def test_done_again_it_changes_nothing_and_a_later_one_brings_what_is_newer(moved, clients, tmp_path):
    here, there = clients
    for client in clients:
        await client.call(new_vault("again"))
    for number in range(3):
        await here.create("again", f"The heron {number} stands in the harbour.", name=f"heron-{number}")

    async def moved_again(step):
        await drained(here.export_vault("again", tmp_path / step))
        answers = await drained(there.import_vault(tmp_path / step, "again", trusted_key=moved.key))
        failures = [failure for answer in answers for failure in answer.failures]
        counts = [sum(getattr(answer, name) for answer in answers) for name in ("created", "extended", "unchanged")]
        return counts, failures

    assert await moved_again("first") == ([3, 0, 0], [])
    assert await moved_again("second") == ([0, 0, 3], [])
    await here.create("again", "The ibis stands there too.", name="ibis")
    await here.update("heron-1", labels={"newer": "yes"})
    assert await moved_again("later") == ([1, 1, 2], [])
    assert (await there.get("heron-1")).labels == {"newer": "yes"}
    await there.update("heron-1", labels={"newer": "here"})
    await here.update("heron-1", labels={"newer": "again"})
    counts, (failure,) = await moved_again("last")
    assert counts == [0, 0, 3]
    assert (failure.name.rpartition("/")[2], failure.error.reason) == ("heron-1", "STATE_CONFLICT")
    assert (await there.get("heron-1")).labels == {"newer": "here"}


DAMAGES = {
    "a flipped byte in a table": "parts/00000/revisions.parquet",
    "a flipped byte in an adapter": "blobs",
    "a flipped byte in a list": "parts/00000/part.json",
}


@pytest.mark.parametrize("damage", DAMAGES)
async def test_a_flipped_byte_is_found_and_named(moved, clients, tmp_path, damage):
    copy = tmp_path / "copy"
    shutil.copytree(moved.archive, copy)
    path = DAMAGES[damage]
    file = next(copy.glob("parts/*/blobs/*")) if path == "blobs" else copy / path
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)
    named = str(file.relative_to(copy))
    for command in (("check", str(copy)), ("import", str(copy), "--trust", moved.key)):
        failed = moved.there.memosctl("archive", *command, check=False)
        assert failed.returncode == 1
        assert named in failed.stderr
    with pytest.raises(RequestError) as refused:
        await drained(clients[1].import_vault(copy, SOURCE, trusted_key=moved.key))
    assert (refused.value.reason, refused.value.metadata["file"]) == ("ARCHIVE_INVALID", named)


async def drained(answers):
    async with aclosing(answers):
        return [answer async for answer in answers]


async def test_only_an_archive_of_somebody_who_is_trusted_is_taken(moved, clients, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(moved.archive, copy)
    for trusted, reason in (("", "ARCHIVE_INVALID"), ("0" * 16, "ARCHIVE_INVALID"), ("me", "INVALID_FIELD")):
        with pytest.raises(RequestError) as refused:
            await drained(clients[1].import_vault(copy, SOURCE, trusted_key=trusted))
        assert refused.value.reason == reason
    manifest = copy / "manifest.json"
    manifest.write_bytes(manifest.read_bytes().replace(b'"deleted":true', b'"deleted":null'))
    with pytest.raises(RequestError, match=r"manifest\.json") as refused:
        await drained(clients[1].import_vault(copy, SOURCE, trusted_key=moved.key))
    assert refused.value.reason == "ARCHIVE_INVALID"
    failed = moved.there.memosctl("archive", "check", str(copy), check=False)
    assert "signature" in failed.stderr


async def test_only_an_owner_of_the_vault_may_do_either(moved, tmp_path):
    made = json.loads(moved.there.memosctl("key", "create", "ben", "--json").stdout)
    async with AsyncClient(**{**moved.there.client_settings(), "api_key": made["secret"]}) as ben:
        assert (await ben.get("note-0")).name
        with pytest.raises(PermissionDenied):
            await drained(ben.export_vault(SOURCE, tmp_path / "stolen"))
        with pytest.raises(PermissionDenied):
            await drained(ben.import_vault(moved.archive, SOURCE, trusted_key=moved.key))
        with pytest.raises(NotFound):
            await drained(ben.export_vault("nowhere", tmp_path / "nothing"))


async def test_a_part_of_a_vault_can_be_taken(moved, clients, tmp_path):
    here, _ = clients
    options = ArchiveOptions(filter=Filter(labels={"word": "violin"}), revisions=False, vectors=False)
    parts = await drained(here.export_vault(SOURCE, tmp_path / "violin", options=options))
    rows = table(tmp_path / "violin", "revisions")
    assert len(rows) == sum(part.cubes for part in parts) == sum(part.revisions for part in parts) > 0
    assert {row["document"]["labels"]["word"] for row in rows} == {"violin"}
    assert table(tmp_path / "violin", "vectors") == []


async def test_what_identifies_people_can_stay_behind(moved, clients, tmp_path):
    here, there = clients
    for client in clients:
        await client.call(new_vault("people"))
    await here.add("people", ["Write to nora@example.org or call +44 20 7946 0958, card 4111 1111 1111 1111.", "Tea."])
    redacted = ArchiveOptions(redactions=("EMAIL", "PHONE", "CARD"))
    await drained(here.export_vault("people", tmp_path / "redacted", options=redacted))
    texts = {row["text"] for row in table(tmp_path / "redacted", "revisions")}
    assert texts == {"Write to [email] or call [phone], card [card].", "Tea."}
    files = [path.read_bytes() for path in (tmp_path / "redacted").rglob("*") if path.is_file()]
    assert not any(b"nora@example.org" in data for data in files)
    answers = await drained(there.import_vault(tmp_path / "redacted", "people", trusted_key=moved.key))
    assert sum(answer.created for answer in answers) == 2
    assert sum(answer.embedded for answer in answers) == 2


async def test_vectors_that_are_missing_are_computed(moved, clients, tmp_path):
    here, there = clients
    for client, name in zip(clients, ("plain", "plain"), strict=True):
        await client.call(new_vault(name))
    await here.add("plain", ["Orchids like the shade.", "A kettle boils at noon."])
    await drained(here.export_vault("plain", tmp_path / "plain", options=ArchiveOptions(vectors=False)))
    answers = await drained(there.import_vault(tmp_path / "plain", "plain", trusted_key=moved.key))
    assert sum(answer.embedded for answer in answers) == 2
    async with moved.there.caller() as caller:
        await moved.there.settled(caller)
    found = await there.search("flowers that prefer little light", vaults=["plain"], top_k=1)
    assert found.hits[0].cube.text == "Orchids like the shade."
    assert "dense" in found.hits[0].leg_scores


def new_vault(name):
    return governance_service_pb2.CreateVaultRequest(vault=vault_pb2.Vault(name=f"tenants/local/vaults/{name}"))


async def test_an_export_that_broke_off_goes_on_behind_its_last_part(tmp_path, launch):
    system = launch(tmp_path / "state")
    async with system.client() as client:
        await client.call(new_vault("source"))
        items = [NewMemory(text=f"Crate {number} stands on pier {number * 7}.") for number in range(1_300)]
        async for _ in client.import_memories("source", items):
            pass
        async with aclosing(client.export_vault("source", tmp_path / "out")) as parts:
            first = await anext(parts)
        with pytest.raises(RequestError, match="unfinished"):
            await drained(client.import_vault(tmp_path / "out", "source"))
        with pytest.raises(FileExistsError, match="other options"):
            await drained(client.export_vault("source", tmp_path / "out", options=ArchiveOptions(blobs=False)))
        await client.add("source", ["Added later."])
        state = json.loads((tmp_path / "out" / "unfinished.json").read_text())
        for wrong in ({"parts": ["0" * 64]}, {"parts": []}, {"resume_token": "x.y"}):
            shutil.copytree(tmp_path / "out", tmp_path / "wrong")
            (tmp_path / "wrong" / "unfinished.json").write_text(json.dumps({**state, **wrong}))
            with pytest.raises(RequestError) as refused:
                await drained(client.export_vault("source", tmp_path / "wrong"))
            assert refused.value.reason == "PAGE_TOKEN_MISMATCH"
            shutil.rmtree(tmp_path / "wrong")
    system.kill()
    system = launch(tmp_path / "state")
    async with system.client() as client:
        rest = await drained(client.export_vault("source", tmp_path / "out"))
        assert first.number == 0
        assert [part.number for part in rest] == list(range(1, len(rest) + 1))
        assert first.cubes + sum(part.cubes for part in rest) == 1_300  # as it was when it began
        assert not (tmp_path / "out" / "unfinished.json").exists()
        with pytest.raises(FileExistsError, match="complete"):
            await drained(client.export_vault("source", tmp_path / "out"))
        answers = await drained(client.import_vault(tmp_path / "out", "source"))
        assert sum(answer.unchanged for answer in answers) == 1_300


async def test_an_import_that_is_killed_goes_on_and_stores_nothing_twice(moved, tmp_path, launch):
    system = launch(tmp_path / "state")
    async with system.client() as client:
        await client.call(new_vault("source"))
        parts = client.import_vault(moved.archive, "source", trusted_key=moved.key)
        while (await anext(parts)).number < 0:
            continue
        system.kill()
        with pytest.raises(Unavailable):
            await drained(parts)
    system = launch(tmp_path / "state")
    async with system.client() as client:
        answers = await drained(client.import_vault(moved.archive, "source", trusted_key=moved.key))
        done = [sum(getattr(answer, name) for answer in answers) for name in ("created", "unchanged")]
        assert sum(done) == CUBES + 20 + 2
        assert done[1] >= 900
        kept = Filter(states=("GENERATED", "ACTIVATED", "ARCHIVED"))
        listed = [cube.name async for cube in client.list(SOURCE, filter=kept)]
        assert len(set(listed)) == len(listed) == CUBES + 20 + 2 - CUBES // 20
