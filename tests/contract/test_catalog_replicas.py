"""Several storage processes over one catalogue: each has its own connections and threads, as here."""

import asyncio
import threading
import time
from collections import Counter
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace

import pytest

from memos_kernel.cube import Plaintext
from memos_kernel.errors import DependencyUnavailable, EtagMismatch, Overloaded
from memos_kernel.ids import uuid7
from memos_runtime.sql import engine as engine_module
from memos_storage.adapters.memory import MemorySpans, MemoryVectorIndex
from memos_storage.adapters.sql import new_rows
from memos_storage.adapters.sql.blobs import SqlBlobRegistry
from memos_storage.adapters.sql.catalog import Database, SqlCatalog
from memos_storage.adapters.sql.outbox import SqlOutbox
from memos_storage.usecases.change_cubes import DeleteCube, RecordUsage, UpdateCube
from memos_storage.usecases.create_cubes import CreateCubes
from memos_storage.usecases.follow_outbox import FollowOutbox
from memos_storage.usecases.pending_rows import PendingRows
from memos_storage.usecases.reconcile import Reconcile
from storage_cubes import DIMENSIONS, EMBEDDER, MAIN, NOTES, NOW, Clock, empty_database, grant, item, scope, vector
from storage_world import TOMBSTONES, find_earlier, mutation

REPLICAS = 3


@dataclass
class Replica:
    """What one process does with the catalogue."""

    catalog: SqlCatalog
    blobs: SqlBlobRegistry
    outbox: SqlOutbox
    index: MemoryVectorIndex
    clock: Clock

    def __post_init__(self):
        shared = {"catalog": self.catalog, "clock": self.clock}
        self.pending = PendingRows(self.outbox)
        earlier = find_earlier(self.catalog, self.index, self.pending, {})
        self.create = CreateCubes(
            blobs=self.blobs, index=self.index, ids=uuid7, tombstones=TOMBSTONES, earlier=earlier, **shared
        )
        self.update = UpdateCube(ids=uuid7, tombstones=TOMBSTONES, **shared)
        self.delete = DeleteCube(ids=uuid7, **shared)
        self.use = RecordUsage(**shared)
        self.reconcile = Reconcile(outbox=self.outbox, index=self.index, window=5)
        self.follow = FollowOutbox(
            outbox=self.outbox,
            index=self.index,
            clock=self.clock,
            spans=MemorySpans(),
            batch_rows=7,
            lease_seconds=10,
        )

    async def add(self, *texts, vault=MAIN):
        items = [item(text, len(text), vault) for text in texts]
        made = await self.create(items, return_existing=True, mutation=mutation(grant(vault)))
        return [outcome.cube for outcome in made.answer.outcomes]

    async def add_one(self, text):
        (cube,) = await self.add(text)
        return cube

    async def retell(self, cube, text, *, etag=""):
        wanted = replace(cube, payload=Plaintext(text), etag=etag)
        return await self.update(wanted, mask=["plaintext.text"], vector=vector(2), mutation=mutation())

    async def contents(self):
        return set(await self.index.contents(EMBEDDER, DIMENSIONS, after="", until=None))


@asynccontextmanager
async def opened(url, index, clock):
    database = Database(url, readers=2, read_queue=64, write_queue=512, group_size=16)
    database.open()
    yield Replica(SqlCatalog(database), SqlBlobRegistry(database), SqlOutbox(database), index, clock)
    await database.close()


@pytest.fixture(params=["sqlite", "postgresql"])
async def replicas(request, tmp_path):
    url = await asyncio.to_thread(empty_database, request.param, tmp_path)
    async with AsyncExitStack() as stack:
        index, clock = MemoryVectorIndex(), Clock()
        yield [await stack.enter_async_context(opened(url, index, clock)) for _ in range(REPLICAS)]


async def test_one_content_that_all_add_at_once_is_one_cube(replicas):
    calls = [replica.add_one(f"note {number}") for number in range(20) for replica in replicas]
    cubes = await asyncio.gather(*calls)
    assert len(cubes) == 60
    assert len({cube.uid for cube in cubes}) == 20


async def test_batches_in_opposite_order_do_not_block_each_other(replicas):
    texts = [f"note {number}" for number in range(30)]
    calls = [
        replica.add(*(texts if number % 2 else reversed(texts)), vault=vault)
        for number, replica in enumerate(replicas * 4)
        for vault in (MAIN, NOTES)
    ]
    uids = {cube.uid for made in await asyncio.gather(*calls) for cube in made}
    assert len(uids) == 60


async def test_of_changes_with_the_same_etag_one_wins(replicas):
    cube = await replicas[0].add_one("note")
    calls = [replica.retell(cube, f"told by {number}", etag=cube.etag) for number, replica in enumerate(replicas * 5)]
    results = await asyncio.gather(*calls, return_exceptions=True)
    assert sum(isinstance(result, EtagMismatch) for result in results) == len(calls) - 1


async def test_each_change_without_an_etag_is_a_revision_of_its_own(replicas):
    cube = await replicas[0].add_one("note")
    calls = [replica.retell(cube, f"told by {number}") for number, replica in enumerate(replicas * 5)]
    assert sorted(changed.revision for changed in await asyncio.gather(*calls)) == list(range(2, 17))


async def test_no_use_is_lost(replicas):
    cubes = await replicas[0].add(*(f"note {number}" for number in range(5)))
    calls = [
        replica.use([(cube.name, NOW) for cube in (cubes if number % 2 else reversed(cubes))], grant=grant(MAIN))
        for number, replica in enumerate(replicas * 5)
    ]
    await asyncio.gather(*calls)
    found = await replicas[0].catalog.get([cube.name for cube in cubes], scope(MAIN))
    assert [stored.cube.usage.hits for stored in found.values()] == [15] * 5


async def test_a_request_that_is_sent_to_all_is_answered_alike_and_done_once(replicas):
    cubes = await replicas[0].add(*(f"note {number}" for number in range(8)))
    calls = [
        replica.delete(cube.name, etag="", mutation=mutation(request_id=f"r{number}"))
        for number, cube in enumerate(cubes)
        for replica in replicas
    ]
    gone = await asyncio.gather(*calls)
    assert len(gone) == 24
    assert {(cube.uid, cube.revision) for cube in gone} == {(cube.uid, 2) for cube in cubes}


async def test_workers_that_claim_at_once_share_the_entries(replicas):
    await replicas[0].add(*(f"note {number}" for number in range(30)))
    claims = await asyncio.gather(
        *(replica.outbox.claim(limit=7, lease_seconds=10, now=NOW) for replica in replicas * 2)
    )
    sequences = [entry.sequence for claim in claims for entry in claim.entries]
    assert len(sequences) == len(set(sequences)) == 30
    assert all([await replicas[0].outbox.settle(claim) for claim in claims if claim.entries])


@asynccontextmanager
async def frozen_with_a_lock(replica, cube):
    """Inside, the process of the replica stands still in a transaction; yields what becomes of it afterwards."""
    thawed = threading.Event()

    def freeze(tx):
        tx.live(cube.name)
        thawed.wait(60)

    holding = asyncio.create_task(replica.catalog.write(freeze))
    try:
        await asyncio.sleep(0.2)
        yield holding
    finally:
        thawed.set()
        await asyncio.wait([holding])


@pytest.mark.parametrize("replicas", ["sqlite"], indirect=True)
async def test_who_waits_for_a_file_that_a_frozen_process_holds_is_told_to_come_back(replicas):
    cube = await replicas[0].add_one("note")
    async with frozen_with_a_lock(replicas[0], cube):
        with pytest.raises(Overloaded):
            await replicas[1].retell(cube, "told")
    assert (await replicas[1].retell(cube, "told")).revision == 2


@pytest.mark.parametrize("replicas", ["postgresql"], indirect=True)
async def test_the_locks_of_a_frozen_process_pass_to_who_waits_and_its_own_write_is_not_acknowledged(replicas):
    cube = await replicas[0].add_one("note")
    async with frozen_with_a_lock(replicas[0], cube) as holding:
        assert (await replicas[1].retell(cube, "told")).revision == 2
    with pytest.raises(DependencyUnavailable):
        await holding


async def test_a_batch_that_takes_long_to_read_is_not_taken_for_a_frozen_process(monkeypatch, tmp_path):
    monkeypatch.setattr(engine_module, "_FROZEN_SECONDS", 2)
    monkeypatch.setattr(new_rows, "frequencies", lambda cube: time.sleep(0.06) or Counter(cube.text.split()))
    url = await asyncio.to_thread(empty_database, "postgresql", tmp_path)
    async with opened(url, MemoryVectorIndex(), Clock()) as replica:
        made = await replica.add(*(f"{number} {'word ' * 3200}" for number in range(48)))
    assert len(made) == 48


async def test_writers_workers_and_comparisons_at_the_same_time_end_in_an_index_like_the_catalogue(replicas):
    async def write(number, replica):
        cube, other = await replica.add(f"note {number}", f"other {number}")
        await replica.retell(cube, f"new {number}")
        await replica.delete(other.name, etag="", mutation=mutation())

    async def work(replica):
        for _ in range(12):
            await replica.follow()
            await replica.reconcile()

    async def look(replica, author):
        """What one process has acknowledged, another one finds as pending or in the index."""
        for number in range(10):
            cube = await author.add_one(f"seen {number} {uuid7()}")
            await replica.pending.refresh()
            waiting = {hit.uid for hit in replica.pending.search(vector(1), scope(MAIN), limit=999)}
            assert cube.uid in waiting | {id.uid for id in await replica.contents()}

    first = replicas[0]
    writes = [write(number, replica) for number, replica in enumerate(replicas * 5)]
    looks = [look(replica, author) for replica, author in zip(replicas, [*replicas[1:], first], strict=True)]
    await asyncio.gather(*writes, *map(work, replicas), *looks)
    while await first.outbox.size():
        first.clock.advance(seconds=11)
        await first.follow()
    expected = await first.outbox.expected(EMBEDDER, after="", limit=999)
    assert len(expected) == 15 + 30
    assert await first.contents() == set(expected)
    assert not await first.reconcile()
    for replica in replicas:
        await replica.pending.refresh()
        assert len(replica.pending) == 0
