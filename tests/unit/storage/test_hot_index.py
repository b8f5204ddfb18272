"""The copy in front of a vector index."""

from memos_storage.adapters.hot_index import HotVectorIndex
from memos_storage.domain.values import Point
from storage_cubes import MAIN, NOTES, NOW, scope, vector


class Counting:
    """An index that counts how often it is searched."""

    def __init__(self, inner):
        self.inner = inner
        self.searches = 0

    def __getattr__(self, name):
        return getattr(self.inner, name)

    async def search(self, *args, **options):
        self.searches += 1
        return await self.inner.search(*args, **options)


async def found(index, seed=1):
    return [hit.uid for hit in await index.search(vector(seed), scope(MAIN), limit=9)]


async def test_what_the_index_held_before_is_loaded_and_searched_in_memory(world):
    cube = await world.add("tea", seed=1)
    await world.add("tea", seed=1, vault=NOTES)
    await world.follow()
    inner = Counting(world.index)
    hot = HotVectorIndex(inner, world.outbox, rows=10)
    assert await found(hot) == [cube.uid]
    assert inner.searches == 1, "it is not loaded yet"
    await hot.load()
    assert await found(hot) == [cube.uid]
    assert inner.searches == 1


async def test_what_waits_for_the_index_is_not_in_the_copy_either(world):
    await world.add("tea", seed=1)
    hot = HotVectorIndex(world.index, world.outbox, rows=10)
    await hot.load()
    assert await found(hot) == []


async def test_a_copy_that_grows_too_large_gives_way_to_the_index(world):
    inner = Counting(world.index)
    hot = HotVectorIndex(inner, world.outbox, rows=2)
    await hot.load()
    for number in range(3):
        await hot.put([Point(f"u{number}", MAIN, 1, vector(number), NOW)])
    assert not hot.complete
    assert set(await found(hot)) == {"u0", "u1", "u2"}
    assert inner.searches == 1
    await world.create_crowd(3)
    await world.follow()
    await hot.load()
    assert not hot.complete


async def test_an_index_that_is_away_is_away_with_its_copy(world):
    hot = HotVectorIndex(world.index, world.outbox, rows=10)
    await hot.load()
    world.index.away = True
    assert not hot.healthy
    assert hot.reason
