"""Copies of KV caches on this machine: fetched once, kept within their budgets, given up when nobody uses them."""

import asyncio
import hashlib
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import pytest

from memos_inference.adapters.memory import MemoryBlobs
from memos_inference.adapters.tiers import TieredCopies
from memos_kernel import limits
from memos_kernel.blobs import SAFETENSORS
from memos_kernel.cube import Activation, BlobRef, Kind
from memos_kernel.errors import DataCorrupted, DependencyUnavailable, IncompatiblePayload, LimitExceeded, StoreFull
from memos_kernel.identity import CompatibilityIdentity
from memos_kernel.names import CubeName, VaultName

IDENTITY = CompatibilityIdentity("m", "w", "t", "c", "{}", "float32", "none", "i", "base")
SIZE = 4_000


@dataclass
class Clock:
    time: object

    def now(self):
        return self.time


@dataclass
class Opener:
    """Stands for the engine: a cache is the bytes of its file."""

    opened: list[Path] = field(default_factory=list)
    checked: list[bool] = field(default_factory=list)
    refusal: Exception | None = None

    async def __call__(self, path, cube, *, checked=False):
        self.checked.append(checked)
        if self.refusal is not None:
            raise self.refusal
        self.opened.append(path)
        return path.read_bytes()


@pytest.fixture
def source():
    return MemoryBlobs()


@pytest.fixture
def opener():
    return Opener()


@pytest.fixture
def moving(clock):
    return Clock(clock.now())


@pytest.fixture
def uses():
    """Where each copy was when it was used."""
    return []


@pytest.fixture
async def caches(tmp_path, source, opener, moving, uses):
    made = []

    async def start(*, disk=100 * SIZE, memory=100 * SIZE, patience=5.0, source=source):
        tiers = TieredCopies(
            tmp_path / "kv",
            source,
            opener,
            settings="kv",
            disk_bytes=disk,
            memory_bytes=memory,
            patience=patience,
            clock=moving,
            used=uses.append,
        )
        made.append(tiers)
        await tiers.start()
        return tiers

    yield start
    for tiers in made:
        await tiers.close()


@pytest.fixture
def kv(cube, source):
    def make(id="kv", *, data=None, vault="main", uid="", tokens=100):
        data = hashlib.sha256(id.encode()).digest() * (SIZE // 32) if data is None else data
        name = CubeName("local", id)
        source.data.setdefault(str(name), data)
        blob = BlobRef(f"blobs/{id}", len(data), hashlib.sha256(data).hexdigest(), SAFETENSORS)
        payload = Activation(blob, IDENTITY, tokens)
        vault = VaultName("local", vault)
        return cube(name=name, vault=vault, uid=uid or id, kind=Kind.ACTIVATION, payload=payload)

    return make


async def used(tiers, cube):
    async with tiers.use(cube) as prefix:
        return prefix


def files(folder):
    return sorted(path.suffix for path in (folder / "kv").iterdir())


async def test_it_is_told_where_a_copy_was(caches, kv, uses, opener):
    tiers = await caches()
    for _ in range(2):
        async with tiers.use(kv()):
            pass
    async with (await caches()).use(kv()):
        pass
    opener.refusal = DataCorrupted("no numbers")
    with pytest.raises(DataCorrupted):
        async with tiers.use(kv("other")):
            pass
    assert uses == ["storage", "memory", "disk", "none"]


async def test_a_cache_is_fetched_and_opened_once_also_for_many_at_a_time(caches, kv, source, opener):
    tiers, cube = await caches(), kv()
    found = await asyncio.gather(*(used(tiers, cube) for _ in range(8)))
    assert set(found) == {source.data[str(cube.name)]}
    assert (source.reads, len(opener.opened)) == (1, 1)


async def test_two_vaults_with_the_same_bytes_share_nothing(caches, kv, source, tmp_path):
    tiers = await caches()
    for vault in ("main", "other"):
        await used(tiers, kv(vault=vault))
    assert source.reads == 2
    assert files(tmp_path) == [".safetensors"] * 2


async def test_a_name_that_was_given_to_another_cube_is_another_cache(caches, kv, source):
    tiers = await caches()
    await used(tiers, kv(uid="first"))
    await used(tiers, kv(uid="second"))
    assert source.reads == 2


async def test_a_file_that_stayed_over_a_restart_is_used_if_it_still_has_its_bytes(caches, kv, source, opener):
    cube = kv()
    await used(await caches(), cube)
    assert await used(await caches(), cube) == source.data[str(cube.name)]
    assert source.reads == 1
    opener.opened[0].write_bytes(b"x" * SIZE)
    assert await used(await caches(), cube) == source.data[str(cube.name)]
    assert source.reads == 2


async def test_what_was_cut_off_is_removed_at_the_start(caches, tmp_path):
    (tmp_path / "kv").mkdir()
    (tmp_path / "kv" / "x.part").write_bytes(b"half")
    await caches()
    assert files(tmp_path) == []


@pytest.mark.parametrize("place", [0, 17, SIZE - 1])
async def test_a_byte_that_is_not_the_one_that_was_stored_is_noticed(caches, kv, source, tmp_path, moving, place):
    tiers, cube = await caches(), kv()
    data = bytearray(source.data[str(cube.name)])
    data[place] ^= 1
    good, source.data[str(cube.name)] = source.data[str(cube.name)], bytes(data)
    for _ in range(3):
        with pytest.raises(DataCorrupted):
            await used(tiers, cube)
    assert (files(tmp_path), source.reads) == ([], 1)
    source.data[str(cube.name)] = good
    moving.time += timedelta(minutes=11)  # until then nobody asks again
    assert await used(tiers, cube) == good


@pytest.mark.parametrize("data", [b"", b"short"])
async def test_bytes_that_are_missing_are_noticed(caches, kv, source, data):
    tiers, cube = await caches(), kv()
    source.data[str(cube.name)] = data
    with pytest.raises(DataCorrupted):
        await used(tiers, cube)


async def test_what_the_engine_refuses_for_its_content_is_not_kept(caches, kv, opener, tmp_path):
    tiers = await caches()
    opener.refusal = DataCorrupted("no numbers")
    with pytest.raises(DataCorrupted):
        await used(tiers, kv())
    assert files(tmp_path) == []


async def test_what_the_engine_refuses_for_its_model_is_not_fetched_again_and_again(caches, kv, opener, source):
    tiers = await caches()
    opener.refusal = IncompatiblePayload("another model")
    for _ in range(2):
        with pytest.raises(IncompatiblePayload):
            await used(tiers, kv())
    assert source.reads == 1


async def test_the_file_that_saves_least_goes_first(caches, kv, source):
    tiers = await caches(disk=2 * SIZE)
    often, seldom = kv("often"), kv("seldom")
    for cube in (often, often, seldom):
        await used(tiers, cube)
    await used(tiers, kv("new"))
    reads = source.reads
    await used(tiers, often)
    assert source.reads == reads
    await used(tiers, seldom)
    assert source.reads == reads + 1


async def test_what_is_used_no_more_gives_way_though_it_was_used_often(caches, kv, source):
    tiers = await caches(disk=2 * SIZE)
    for _ in range(3):
        await used(tiers, kv("often"))
    for number in range(12):
        await used(tiers, kv(f"new-{number}"))
        await used(tiers, kv(f"new-{number}"))
    reads = source.reads
    await used(tiers, kv("often"))
    assert source.reads == reads + 1


async def test_what_is_in_use_stays_and_what_finds_no_room_is_refused(caches, kv):
    tiers = await caches(disk=SIZE)
    async with tiers.use(kv("held")) as prefix:
        with pytest.raises(StoreFull):
            await used(tiers, kv("wanted"))
        assert prefix
    assert await used(tiers, kv("wanted"))


async def test_open_caches_have_a_budget_of_their_own(caches, kv, source, opener):
    tiers = await caches(memory=SIZE)
    for cube in (kv("one"), kv("two"), kv("two"), kv("one")):
        await used(tiers, cube)
    assert (source.reads, len(opener.opened)) == (2, 3)
    assert opener.checked == [False, False, True]


class Slow(MemoryBlobs):
    """A source that waits."""

    def __init__(self):
        super().__init__()
        self.gate = asyncio.Event()

    async def fetch(self, name, path):
        await self.gate.wait()
        return await MemoryBlobs.fetch(self, name, path)


async def test_who_has_waited_long_enough_goes_on_without_and_the_cache_comes_all_the_same(caches, kv, source, opener):
    slow = Slow()
    slow.data = source.data
    tiers, cube = await caches(patience=0.05, source=slow), kv()
    with pytest.raises(DependencyUnavailable) as caught:
        await used(tiers, cube)
    assert caught.value.retry_after
    slow.gate.set()
    async with asyncio.timeout(5):
        while not opener.opened:
            await asyncio.sleep(0.01)
    assert await used(tiers, cube)
    assert slow.reads == 1


async def test_copies_that_nobody_uses_are_removed(caches, kv, moving, tmp_path):
    tiers = await caches()
    await used(tiers, kv("old"))
    async with tiers.use(kv("held")):
        moving.time += limits.KV_COPY_RETENTION + timedelta(seconds=1)
        await used(tiers, kv("new"))
        await tiers.sweep()
        assert len(files(tmp_path)) == 2


@pytest.mark.parametrize("budget", [{"disk": SIZE - 1}, {"memory": SIZE - 1}])
async def test_what_is_larger_than_a_budget_moves_nothing_out(caches, kv, source, opener, tmp_path, budget):
    tiers = await caches(**budget)
    small = kv("small", data=b"x" * 100)
    await used(tiers, small)
    with pytest.raises(LimitExceeded) as caught:
        await used(tiers, kv("large"))
    assert caught.value.metadata["limit"] == str(SIZE - 1)
    assert (source.reads, len(files(tmp_path))) == (1, 1)


async def test_what_came_after_everybody_had_left_stays_for_the_next(caches, kv, source, opener, moving):
    slow = Slow()
    slow.data = source.data
    tiers, cube = await caches(patience=0.05, source=slow), kv()
    with pytest.raises(DependencyUnavailable):
        await used(tiers, cube)
    slow.gate.set()
    async with asyncio.timeout(5):
        while not opener.opened:
            await asyncio.sleep(0.01)
    moving.time += timedelta(minutes=5)
    await tiers.sweep()
    assert await used(tiers, cube)
    assert slow.reads == 1


async def test_a_download_that_breaks_off_leaves_nothing(caches, kv, source, tmp_path):
    class Broken(MemoryBlobs):
        async def fetch(self, name, path):
            path.write_bytes(b"some")
            raise DependencyUnavailable("The store is away.")

    tiers = await caches(source=Broken())
    with pytest.raises(DependencyUnavailable):
        await used(tiers, kv())
    assert files(tmp_path) == []


async def test_a_sweep_goes_on_past_what_has_changed_meanwhile(caches, kv, moving, tmp_path, monkeypatch):
    tiers = await caches()
    for name in ("one", "two", "three"):
        await used(tiers, kv(name))
    moving.time += limits.KV_COPY_RETENTION
    drop, taken = tiers._drop, kv("two")

    async def while_others_come_and_go(key):
        async with tiers.use(taken):
            await drop(key)
        tiers._entries.pop(next(reversed(tiers._entries)), None)

    monkeypatch.setattr(tiers, "_drop", while_others_come_and_go)
    await tiers.sweep()
    monkeypatch.undo()
    await tiers.sweep()
    assert await used(tiers, kv("one"))
