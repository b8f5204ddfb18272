"""What every MemoryLinks does, and the ledger that writes what it reads."""

from dataclasses import replace
from datetime import timedelta

from memos_kernel.memory_links import LinkKind
from memos_storage.domain.memory_links import StoredLink
from memos_storage.domain.revisions import deleted
from storage_cubes import BEN, NOW, stored


async def put(store, *cubes):
    await store.catalog.write(lambda tx: [tx.insert(cube, vector=None) for cube in cubes])


async def linked(store, *links):
    await store.catalog.write(lambda tx: [tx.links.put(link) for link in links])


def link(newer, older, kind=LinkKind.SUPERSEDES, *, later=0, **fields):
    return StoredLink(
        newer=newer.name,
        newer_uid=newer.uid,
        older=older.name,
        older_uid=older.uid,
        kind=kind,
        evidence=0.75,
        time=NOW + timedelta(seconds=later),
        **fields,
    )


async def test_a_link_is_read_from_both_ends_and_to_the_older(store):
    first, second = stored("Nora lives in Oslo."), stored("Nora moved to Bergen.")
    await put(store, first, second)
    made = link(second, first, closed_until=NOW, open_until=NOW + timedelta(days=1), decided_by=BEN)
    await linked(store, made)
    assert await store.links.of(first.uid) == await store.links.of(second.uid) == [made]
    assert await store.links.to([first.uid, second.uid]) == [made]
    assert await store.links.to([second.uid]) == await store.links.to([]) == []
    assert await store.links.to([first.uid], least=0.9) == [made]  # what supersedes, for sure
    doubted = link(second, first, LinkKind.MAY_SUPERSEDE)
    await linked(store, doubted)
    assert await store.links.to([first.uid], least=0.75) == [doubted]
    assert await store.links.to([first.uid], least=0.76) == []


async def test_the_transaction_reads_what_it_wrote(store):
    first, second = stored("Nora lives in Oslo."), stored("Nora moved to Bergen.")
    made = link(second, first, LinkKind.MAY_SUPERSEDE)

    def work(tx):
        tx.insert(first, vector=None)
        tx.insert(second, vector=None)
        tx.links.put(made)
        return tx.links.of(first.uid)

    assert await store.catalog.write(work) == [made]


async def test_of_the_same_two_the_last_link_stays(store):
    first, second = stored("Nora lives in Oslo."), stored("Nora moved to Bergen.")
    await put(store, first, second)
    changed = link(second, first, LinkKind.UNRELATED, later=1)
    await linked(store, link(second, first), changed)
    assert await store.links.of(first.uid) == [changed]


async def test_links_come_the_latest_first(store):
    cubes = [stored(f"Home number {number}.") for number in range(4)]
    await put(store, *cubes)
    made = [link(cube, cubes[0], later=number) for number, cube in enumerate(cubes[1:])]
    await linked(store, *made)
    assert await store.links.of(cubes[0].uid) == made[::-1]
    assert sorted(one.newer_uid for one in await store.links.to([cubes[0].uid])) == sorted(
        cube.uid for cube in cubes[1:]
    )


async def test_links_of_a_deleted_cube_are_not_told(store):
    first, second = stored("Nora lives in Oslo."), stored("Nora moved to Bergen.")
    await put(store, first, second)
    await linked(store, link(second, first))
    await store.catalog.write(lambda tx: tx.replace(deleted(second, now=NOW)))
    assert await store.links.of(first.uid) == await store.links.to([first.uid]) == []


async def test_what_fails_later_leaves_no_link(store):
    first, second = stored("Nora lives in Oslo."), stored("Nora moved to Bergen.")
    await put(store, first, second)

    def work(tx):
        tx.links.put(link(second, first))
        tx.insert(replace(first, uid=second.uid), vector=None)

    try:
        await store.catalog.write(work)
    except Exception:  # which one is told by the catalogue's own suite
        assert await store.links.of(first.uid) == []
    else:
        raise AssertionError("it did not fail")
