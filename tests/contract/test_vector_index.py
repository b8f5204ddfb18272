"""What every VectorIndex does; it is a DerivedTier."""

import asyncio
import os
import signal
import subprocess
import sys
import tempfile
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest
from pymilvus import MilvusClient

from memos_kernel.errors import DependencyUnavailable
from memos_kernel.ids import uuid7
from memos_storage.adapters.hot_index import HotVectorIndex
from memos_storage.adapters.memory import MemoryCatalog, MemoryOutbox, MemoryVectorIndex
from memos_storage.adapters.milvus import MilvusVectorIndex
from memos_storage.adapters.milvus_lite import MilvusLiteServer
from memos_storage.domain.values import Point, PointId, Scope, Vector
from milvus_server import shared_server
from storage_cubes import DIMENSIONS, EMBEDDER, FOREIGN, MAIN, NOTES, NOW, grant, scope, vector


def milvus(uri, *, embedded, installation="own", seconds=20):
    return MilvusVectorIndex(
        uri, installation=lambda: installation, embedded=embedded, timeout_seconds=seconds, search_seconds=seconds
    )


@pytest.fixture(scope="module")
def lite():
    """Start one server for the module; it is the command that the service starts, too."""
    with tempfile.TemporaryDirectory() as directory:
        command = ["memos_storage.adapters.milvus_child", "--data-dir", f"{directory}/data"]
        socket = f"{directory}/milvus.sock"
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
        with subprocess.Popen(
            [sys.executable, "-m", *command, "--socket", socket], stdin=subprocess.PIPE, env=environment
        ) as child:
            yield f"unix:{socket}:0"
            child.stdin.close()
            assert child.wait(20) == 0


@pytest.fixture(params=["memory", "memory, copied", "milvus-lite", "milvus-server"])
async def index(request):
    if request.param.startswith("memory"):
        twin = MemoryVectorIndex()
        hot = HotVectorIndex(twin, MemoryOutbox(MemoryCatalog()), rows=1000)
        await hot.load()
        yield hot if "copied" in request.param else twin
        return
    lite = request.param == "milvus-lite"
    uri = request.getfixturevalue("lite") if lite else shared_server().uri
    made = milvus(lambda: uri, embedded=lite)
    await answering(made)
    yield made
    await made.close()


async def answering(index):
    for _ in range(300):
        if await index.probe():
            return
        await asyncio.sleep(0.1)
    raise AssertionError(index.reason)


@pytest.fixture
def embedder():
    """Name an embedder of this test alone: its collection is empty."""
    return f"{EMBEDDER}-{uuid7()}"


def points(embedder, count, vault=MAIN, *, seed=1, revision=1):
    return [Point(uuid7(), vault, revision, vector(seed + number, embedder), NOW) for number in range(count)]


async def found(index, query, *vaults, limit=10):
    return [hit.uid for hit in await index.search(query, scope(*(vaults or (MAIN,))), limit=limit)]


async def contents(index, embedder, *, after="", until=None):
    return await index.contents(embedder, DIMENSIONS, after=after, until=until)


async def test_the_nearest_come_first_with_their_cosine(index, embedder):
    made = points(embedder, 20)
    await index.put(made)
    hits = await index.search(vector(3, embedder), scope(MAIN), limit=5)
    expected = sorted(made, key=lambda point: -float(point.vector.values @ vector(3).values))
    assert [hit.uid for hit in hits] == [point.uid for point in expected[:5]]
    assert hits[0].score == pytest.approx(1.0, abs=1e-4)
    assert hits[0].revision == 1


async def test_a_vault_is_searched_alone(index, embedder):
    here, there, foreign = (points(embedder, 3, vault) for vault in (MAIN, NOTES, FOREIGN))
    await index.put([*here, *there, *foreign])
    assert set(await found(index, vector(1, embedder))) == {point.uid for point in here}
    assert set(await found(index, vector(1, embedder), MAIN, NOTES)) == {point.uid for point in here + there}
    everywhere = Scope.of(grant(MAIN, all_vaults=True))
    hits = await index.search(vector(1, embedder), everywhere, limit=99)
    assert {hit.uid for hit in hits} == {point.uid for point in here + there}


async def test_only_what_was_recorded_until_a_moment_is_found(index, embedder):
    old, same, new = points(embedder, 3)
    same = replace(same, recorded=NOW + timedelta(hours=1))
    new = replace(new, recorded=NOW + timedelta(hours=1, microseconds=1))
    await index.put([old, same, new])
    until = NOW + timedelta(hours=1)
    hits = await index.search(vector(1, embedder), scope(MAIN), limit=9, until=until)
    assert {hit.uid for hit in hits} == {old.uid, same.uid}
    everywhere = Scope.of(grant(MAIN, all_vaults=True))
    hits = await index.search(vector(1, embedder), everywhere, limit=9, until=NOW)
    assert {hit.uid for hit in hits} == {old.uid}


async def test_nothing_is_found_in_no_vault_or_by_an_unknown_embedder(index, embedder):
    await index.put(points(embedder, 3))
    assert await index.search(vector(1, embedder), Scope("acme", frozenset()), limit=9) == []
    assert await found(index, vector(1, f"{embedder}-other")) == []


async def test_embedders_never_meet_and_neither_do_sizes(index, embedder):
    await index.put(points(embedder, 2))
    await index.put([Point(uuid7(), MAIN, 1, vector(1, f"{embedder}-wide", DIMENSIONS * 2), NOW)])
    assert len(await found(index, vector(1, embedder))) == 2
    assert len(await found(index, vector(1, f"{embedder}-wide", DIMENSIONS * 2))) == 1


async def test_what_was_put_is_found_by_the_next_search(index, embedder):
    for number in range(9):
        (point,) = points(embedder, 1, seed=number)
        await index.put([point])
        assert point.uid in await found(index, vector(number, embedder))
        await index.remove(embedder, [point.id])
        assert point.uid not in await found(index, vector(number, embedder))


async def test_a_new_revision_stands_beside_the_old_one_until_that_is_removed(index, embedder):
    (old,) = points(embedder, 1)
    new = Point(old.uid, MAIN, 2, vector(9, embedder), NOW)
    await index.put([new])
    await index.put([old])  # the worker that sent it stalled
    hits = await index.search(vector(9, embedder), scope(MAIN), limit=9)
    assert (hits[0].uid, hits[0].revision) == (old.uid, 2)
    assert hits[0].score == pytest.approx(1.0, abs=1e-4)
    await index.remove(embedder, [old.id])
    (hit,) = await index.search(vector(9, embedder), scope(MAIN), limit=9)
    assert hit.revision == 2


async def test_a_point_that_is_put_twice_is_there_once(index, embedder):
    made = points(embedder, 3)
    await index.put(made)
    await index.put(made)
    assert len(await found(index, vector(1, embedder))) == 3
    assert sorted(await contents(index, embedder)) == sorted(point.id for point in made)


async def test_a_server_misses_little_of_what_was_put_a_while_ago():
    made = milvus(lambda: shared_server().uri, embedded=False)
    embedder = f"{EMBEDDER}-{uuid7()}"
    rng = np.random.default_rng(1)
    values = rng.standard_normal((8_000, 64), dtype=np.float32)
    values /= np.linalg.norm(values, axis=1, keepdims=True)
    rows = [Point(uuid7(), MAIN, 1, Vector(embedder, each), NOW) for each in values]
    for start in range(0, len(rows), 2_000):
        await made.put(rows[start : start + 2_000])
    await made.finish()

    async def recall():
        hits = 0
        for query in values[:50] + values[50:100]:
            query /= np.linalg.norm(query)
            nearest = {rows[number].uid for number in np.argsort(-values @ query)[:10]}
            hits += len(nearest & set(await found(made, Vector(embedder, query))))
        return hits / 500

    for _ in range(60):
        if (reached := await recall()) >= 0.97:
            break
        await asyncio.sleep(1)
    await made.close()
    assert reached >= 0.97


async def test_what_is_removed_is_not_found(index, embedder):
    made = points(embedder, 4)
    await index.put(made)
    await index.remove(embedder, [made[0].id, PointId(made[1].uid, 2), PointId("nobody", 1)])
    assert set(await found(index, vector(1, embedder))) == {point.uid for point in made[1:]}


async def test_the_contents_are_told_by_ranges_of_uids(index, embedder):
    made = sorted(points(embedder, 5), key=lambda point: point.uid)
    await index.put([*made, Point(made[1].uid, MAIN, 2, vector(9, embedder), NOW)])
    ids = [point.id for point in made]
    everything = {*ids, PointId(made[1].uid, 2)}
    assert set(await contents(index, embedder)) == everything
    assert set(await contents(index, embedder, until=made[1].uid)) == {ids[0], ids[1], PointId(made[1].uid, 2)}
    assert await contents(index, embedder, after=made[1].uid, until=made[2].uid) == [ids[2]]
    assert set(await contents(index, embedder, after=made[2].uid)) == {ids[3], ids[4]}
    assert await contents(index, f"{embedder}-other") == []


async def test_searches_and_writes_at_the_same_time_do_not_disturb_each_other(index, embedder):
    await index.put(points(embedder, 3))
    writes = [index.put(points(embedder, 5, NOTES)) for _ in range(4)]
    searches = [found(index, vector(1, embedder)) for _ in range(8)]
    results = await asyncio.gather(*writes, *searches)
    assert all(len(result) == 3 for result in results[4:])
    assert len(await found(index, vector(1, embedder), NOTES, limit=99)) == 20


@pytest.mark.parametrize("kind", ["milvus-lite", "milvus-server"])
async def test_installations_on_one_server_do_not_see_each_other(kind, request, embedder):
    lite = kind == "milvus-lite"
    uri = request.getfixturevalue("lite") if lite else shared_server().uri
    ours, theirs = (milvus(lambda: uri, embedded=lite, installation=id) for id in ("ours", "theirs"))
    try:
        await answering(ours)
        await answering(theirs)
        made = points(embedder, 3)
        await ours.put(made)
        assert await theirs.contents(embedder, DIMENSIONS, after="", until=None) == []
        await theirs.remove(embedder, [point.id for point in made])
        assert set(await found(ours, vector(1, embedder))) == {point.uid for point in made}
    finally:
        await ours.close()
        await theirs.close()


async def test_it_says_which_of_some_points_it_holds(index, embedder):
    made = points(embedder, 5)
    await index.put(made)
    ids = [point.id for point in made]
    assert sorted(await index.held(embedder, DIMENSIONS, ids)) == sorted(ids)
    await index.remove(embedder, ids[:2])
    assert sorted(await index.held(embedder, DIMENSIONS, ids)) == sorted(ids[2:])
    assert await index.held(embedder, DIMENSIONS, [PointId("unknown", 1)]) == []
    assert await index.held(embedder, DIMENSIONS, []) == []


async def test_scrubbed_it_holds_what_it_held_and_can_be_written(index, embedder):
    made = points(embedder, 5)
    await index.put(made)
    await index.remove(embedder, [made[0].id])
    for _ in range(2):
        reach = await index.scrub(embedder, DIMENSIONS, now=NOW)
        assert embedder in reach.tier
        assert bool(reach.remains) is (reach.until is not None)
    assert set(await found(index, vector(1, embedder))) == {point.uid for point in made[1:]}
    await index.put(points(embedder, 1, seed=9))
    assert len(await found(index, vector(1, embedder))) == 5


async def test_an_embedded_index_that_was_killed_before_it_had_its_name_begins_anew(tmp_path, monkeypatch):
    async with embedded(tmp_path) as (_, index):
        monkeypatch.setattr(MilvusClient, "create_alias", unable)
        with pytest.raises(DependencyUnavailable):
            await index.put(points(EMBEDDER, 2))
        monkeypatch.undo()
        await index.put(points(EMBEDDER, 2))
        assert len(await found(index, vector(1))) == 2


def unable(*_, **__):
    raise ConnectionError("killed")


async def test_searches_are_answered_while_an_embedded_index_is_scrubbed(tmp_path):
    async with embedded(tmp_path) as (_, index):
        made = points(EMBEDDER, 500)
        await index.put(made)
        losses = index.losses
        scrubbing = asyncio.create_task(index.scrub(EMBEDDER, DIMENSIONS, now=NOW))
        answers = 0
        while not scrubbing.done():
            assert len(await found(index, vector(1), limit=500)) == 500
            answers += 1
        await scrubbing
        assert answers
        assert index.losses == losses


async def test_scrubbed_an_embedded_index_holds_no_byte_of_what_was_removed(tmp_path):
    def holds(point):
        return any(
            point.uid.encode() in path.read_bytes() or point.vector.values.tobytes() in path.read_bytes()
            for path in tmp_path.rglob("*")
            if path.is_file()
        )

    async with embedded(tmp_path) as (_, index):
        made = points(EMBEDDER, 40)
        await index.put(made)
        assert holds(made[0])
        await index.remove(EMBEDDER, [point.id for point in made[:20]])
        assert holds(made[0])
        await index.scrub(EMBEDDER, DIMENSIONS, now=NOW)
        assert not any(holds(point) for point in made[:20])
        assert all(holds(point) for point in made[20:])
    async with embedded(tmp_path) as (_, index):
        assert set(await found(index, vector(1), limit=99)) == {point.uid for point in made[20:]}


@asynccontextmanager
async def embedded(directory):
    server = MilvusLiteServer(directory)
    await server.start()
    index = milvus(lambda: server.uri, embedded=True)
    try:
        await answering(index)
        yield server, index
    finally:
        await index.close()
        await server.close()


async def test_an_index_that_is_away_says_so_and_comes_back_with_everything(tmp_path):
    made = points(EMBEDDER, 5)
    async with embedded(tmp_path) as (server, index):
        await index.put(made)
        first = server.pid
        os.kill(first, signal.SIGKILL)
        with pytest.raises(DependencyUnavailable):
            await found(index, vector(1))
        assert not index.healthy
        assert "does not answer" in index.reason
        await answering(index)
        assert server.pid != first
        assert set(await found(index, vector(1))) == {point.uid for point in made}
        assert index.healthy
    assert server.pid is None


@pytest.mark.parametrize(("damaged", "lost"), [("*.idx", False), ("*.parquet", True), ("manifest*", True)], ids=str)
async def test_an_embedded_index_whose_files_are_damaged_can_be_filled_again(tmp_path, capfd, damaged, lost):
    made = points(EMBEDDER, 5)
    async with embedded(tmp_path) as (_, index):
        await index.put(made)
    files = list(tmp_path.rglob(damaged))
    assert files
    for path in files:
        os.truncate(path, path.stat().st_size // 2)
    async with embedded(tmp_path) as (_, index):
        assert set(await found(index, vector(1))) == (set() if lost else {point.uid for point in made})
        assert ("is damaged and will be filled again" in capfd.readouterr().err) is lost
        await index.put(made)
        assert set(await found(index, vector(1))) == {point.uid for point in made}


async def test_a_server_that_crashed_comes_back_with_everything():
    server = shared_server()
    index = milvus(lambda: server.uri, embedded=False, seconds=30)
    embedder = f"{EMBEDDER}-{uuid7()}"
    try:
        await answering(index)
        made = points(embedder, 5)
        await index.put(made)
        await index.remove(embedder, [made[0].id])
        server.kill()
        with pytest.raises(DependencyUnavailable):
            await found(index, vector(1, embedder))
        assert not index.healthy
        server.start()
        await answering(index)
        assert set(await found(index, vector(1, embedder))) == {point.uid for point in made[1:]}
    finally:
        await index.close()
