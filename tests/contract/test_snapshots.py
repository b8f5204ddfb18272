"""What every Catalog does with snapshots, and with what has changed since a moment."""

from dataclasses import replace
from datetime import timedelta

import pytest

from memos_kernel.errors import ResourceExists
from memos_kernel.names import SnapshotName
from memos_storage.domain import revisions
from memos_storage.domain.snapshots import Snapshot
from storage_cubes import BEN, FOREIGN, MAIN, NOTES, NOW, change, put, retold, scope, stored


def snapshot(id, vault=MAIN, *, days=0):
    name = SnapshotName(vault.tenant, id)
    as_of = NOW - timedelta(days=days)
    return Snapshot(name=name, vault=vault, as_of=as_of, display_name="Ünder way", creator=BEN, create_time=NOW)


async def keep(store, *snapshots):
    def command(tx):
        for one in snapshots:
            tx.add_snapshot(one)

    await store.catalog.write(command)


async def test_a_snapshot_comes_back_with_every_field_within_its_scope(store):
    made = snapshot("one", days=2)
    await keep(store, made)
    assert await store.catalog.snapshot(made.name, scope(MAIN)) == made
    assert await store.catalog.snapshot(made.name, scope(NOTES)) is None
    assert await store.catalog.snapshot(SnapshotName("globex", "one"), scope(FOREIGN)) is None
    assert await store.catalog.write(lambda tx: tx.snapshot(made.name)) == made
    await store.catalog.write(lambda tx: tx.remove_snapshot(made.name))
    assert await store.catalog.snapshot(made.name, scope(MAIN)) is None


async def test_a_name_is_taken_once_a_tenant_and_the_refusal_can_be_caught(store):
    await keep(store, snapshot("one"), snapshot("one", FOREIGN))

    def command(tx):
        with pytest.raises(ResourceExists):
            tx.add_snapshot(replace(snapshot("one"), vault=NOTES))
        tx.add_snapshot(snapshot("two"))

    await store.catalog.write(command)
    assert (await store.catalog.snapshot(SnapshotName("acme", "one"), scope(MAIN))).vault == MAIN
    assert await store.catalog.snapshot(SnapshotName("acme", "two"), scope(MAIN))


async def test_snapshots_of_a_vault_are_paged_the_latest_first(store):
    made = [snapshot(f"s{number}", days=number // 2) for number in range(5)]
    await keep(store, *made, snapshot("elsewhere", NOTES), snapshot("foreign", FOREIGN))
    seen, after = [], None
    while found := await store.catalog.snapshots(MAIN, after=after, limit=2):
        seen += found
        after = (found[-1].as_of, found[-1].name.id)
    assert [one.name.id for one in seen] == ["s1", "s0", "s3", "s2", "s4"]


async def test_what_has_changed_since_is_listed_by_uid_deleted_or_not(store):
    hour = timedelta(hours=1)
    same, told, gone, purged = [stored(text) for text in ("same", "told", "gone", "purged")]
    await put(store, same, told, gone, purged)
    new, late = stored("new", now=NOW + hour), stored("late", now=NOW + 3 * hour)
    await put(store, new, late, stored("elsewhere", NOTES, now=NOW + hour))
    await change(store, retold(told, "retold", now=NOW + hour), content=True)
    await change(store, revisions.deleted(gone, now=NOW + hour))
    await change(store, replace(revisions.deleted(purged, now=NOW + hour), purge_time=NOW + 2 * hour))

    async def altered(**fields):
        options = {"after": "", "limit": 9, "created_until": NOW + 2 * hour, "now": NOW + 3 * hour, **fields}
        return [name for _, name in await store.catalog.altered(MAIN, since=NOW, **options)]

    expected = [cube.name for cube in sorted((told, gone, new), key=lambda cube: cube.uid)]
    assert await altered() == expected
    first = await store.catalog.altered(
        MAIN, since=NOW, created_until=NOW + 2 * hour, after="", limit=1, now=NOW + 3 * hour
    )
    assert await altered(after=first[0][0]) == expected[1:]
    assert late.name in await altered(created_until=NOW + 9 * hour)


async def test_a_transaction_finds_the_revision_of_a_moment(store):
    cube = stored("old")
    await put(store, cube)
    newer = retold(cube, "new", now=NOW + timedelta(hours=1))
    await change(store, newer, content=True)

    def command(tx):
        assert tx.at(cube.uid, NOW - timedelta(microseconds=1)) is None
        assert tx.at(cube.uid, NOW).cube == cube
        assert tx.at(cube.uid, NOW + timedelta(hours=1)).cube == newer
        assert tx.at("nobody", NOW) is None

    await store.catalog.write(command)
