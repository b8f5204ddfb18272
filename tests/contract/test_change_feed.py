"""What every ChangeFeed does: each change once, in order, and nothing of what was purged."""

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest

from memos_kernel.changes import ChangeKind
from memos_kernel.names import PurgeName
from memos_storage.domain import revisions
from memos_storage.domain.feed import Place
from memos_storage.domain.purges import Purge
from storage_cubes import BEN, MAIN, NOTES, NOW, change, opened, put, retold, stored

CREATED, UPDATED, DELETED, UNDELETED, PURGED = ChangeKind
HOUR = timedelta(hours=1)


async def told(store, after=None, *, vault=MAIN, limit=99, now=NOW):
    after = after or Place()
    found = await store.feed.after(vault, after, limit=limit, now=now)
    assert [place for place, _ in found] == sorted(place for place, _ in found)
    assert all(place > after for place, _ in found)
    return [one for _, one in found]


async def purge(store, *cubes):
    made = Purge(
        name=PurgeName("acme", "p"), vault=MAIN, principal=BEN, reason="", cubes=len(cubes), create_time=NOW + HOUR
    )
    await store.catalog.write(lambda tx: tx.purges.add(made, [cube.uid for cube in cubes]))
    return made.name


async def test_every_sort_of_change_is_told_with_its_revision(store):
    cube = stored("old")
    await put(store, cube)
    newer = retold(cube, "new", now=NOW + HOUR)
    await change(store, newer, content=True)
    gone = revisions.deleted(newer, now=NOW + 2 * HOUR)
    await change(store, gone)
    back = revisions.undeleted(gone, now=NOW + 3 * HOUR)
    await change(store, back, content=True, seed=2)
    found = await told(store)
    assert [(one.kind, one.revision, one.time) for one in found] == [
        (CREATED, 1, NOW),
        (UPDATED, 2, NOW + HOUR),
        (DELETED, 3, NOW + 2 * HOUR),
        (UNDELETED, 4, NOW + 3 * HOUR),
    ]
    assert [one.cube for one in found] == [cube, newer, gone, back]
    assert {(one.name, one.uid) for one in found} == {(cube.name, cube.uid)}


async def test_a_place_is_gone_on_from_page_by_page(store):
    cubes = [stored(f"c{number}") for number in range(5)]
    await put(store, *cubes)
    await put(store, stored("elsewhere", NOTES))
    seen, place = [], Place()
    while found := await store.feed.after(MAIN, place, limit=2, now=NOW):
        seen += [one.name for _, one in found]
        place = found[-1][0]
    assert seen == [cube.name for cube in cubes]
    assert [one.cube.vault for one in await told(store, vault=NOTES)] == [NOTES]


async def test_from_the_newest_place_only_what_comes_is_told(store):
    await put(store, stored("before"))
    place = await store.feed.latest(MAIN)
    assert await told(store, place) == []
    after = stored("after")
    await put(store, after)
    assert [one.name for one in await told(store, place)] == [after.name]
    empty = await store.feed.latest(NOTES)
    await put(store, stored("notes", NOTES))
    assert len(await told(store, empty, vault=NOTES)) == 1


async def test_what_was_undone_is_not_told(store):
    def command(tx):
        tx.insert(stored("never"), vector=None)
        raise RuntimeError

    with pytest.raises(RuntimeError):
        await store.catalog.write(command)
    assert await told(store) == []


async def test_of_a_purged_cube_its_name_alone_is_told(store):
    doomed, kept = stored("secret"), stored("kept")
    await put(store, doomed, kept)
    name = await purge(store, doomed)
    for _ in range(2):
        found = await told(store, now=NOW - HOUR)  # a clock that jumped back
        assert [(one.kind, one.uid, one.cube and one.cube.text) for one in found] == [
            (CREATED, doomed.uid, None),
            (CREATED, kept.uid, "kept"),
            (PURGED, doomed.uid, None),
        ]
        assert (found[-1].revision, found[-1].time) == (1, NOW + HOUR)
        await store.catalog.write(lambda tx: tx.purges.erase(name, limit=9, now=NOW))


async def test_past_its_purge_time_a_deleted_cube_is_not_shown(store):
    cube = stored("old")
    await put(store, cube)
    await change(store, replace(revisions.deleted(cube, now=NOW), purge_time=NOW + HOUR))
    assert all(one.cube for one in await told(store))
    assert not any(one.cube for one in await told(store, now=NOW + HOUR))


async def test_old_changes_are_forgotten_and_places_stay_good(store):
    await put(store, stored("old"))
    place = await store.feed.latest(MAIN)
    new = stored("new", now=NOW + 2 * HOUR)
    await put(store, new)
    assert await store.feed.forget(before=NOW + HOUR) == 1
    assert [one.name for one in await told(store)] == [new.name]
    assert [one.name for one in await told(store, place)] == [new.name]


async def test_on_postgresql_nothing_overtakes_a_transaction_that_is_under_way(tmp_path):
    """The first one has the smaller number, and ends last."""
    async with opened("postgresql", tmp_path) as store:
        slow, quick = stored("slow"), stored("quick")
        await put(store, slow)
        place = await store.feed.latest(MAIN)
        loop, begun, go_on = asyncio.get_running_loop(), asyncio.Event(), asyncio.Event()

        def command(tx):
            tx.replace(revisions.moved(slow, state=slow.state, frozen=True, now=NOW))  # locks no more than its own row
            tx.flush()
            loop.call_soon_threadsafe(begun.set)
            asyncio.run_coroutine_threadsafe(go_on.wait(), loop).result()

        writing = asyncio.create_task(store.catalog.write(command))
        await begun.wait()
        await put(store, quick)
        assert await told(store, place) == []
        assert await store.feed.latest(MAIN) == place
        go_on.set()
        await writing
        assert {one.name for one in await told(store, place)} == {slow.name, quick.name}
