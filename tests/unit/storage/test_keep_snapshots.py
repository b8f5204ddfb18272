"""Naming moments of a vault."""

from datetime import timedelta

import pytest

from memos_kernel.errors import (
    InvalidField,
    LimitExceeded,
    RequestIdReused,
    ResourceExists,
    ResourceNotFound,
    VaultNotFound,
)
from memos_kernel.names import SnapshotName, VaultName
from memos_storage.usecases.keep_snapshots import NewSnapshot
from storage_cubes import BEN, FOREIGN, MAIN, NOTES, NOW, grant
from storage_world import mutation


async def name_it(world, *, request_id="", body="aa", by=None, **fields):
    wanted = NewSnapshot(**{"vault": MAIN, **fields})
    return await world.create_snapshot(wanted, mutation=mutation(by, request_id=request_id, body=body))


async def test_a_moment_gets_a_name_and_is_read_by_it(world):
    made = await name_it(world, name=SnapshotName("acme", "before"), display_name="Before the move")
    assert (made.as_of, made.create_time, made.creator) == (NOW, NOW, BEN)
    assert await world.snapshots.get(made.name, grant=grant(MAIN)) == made
    assert world.catalog.tables.audit[-1].action == "snapshot.create"
    assert world.catalog.tables.audit[-1].resource == "tenants/acme/snapshots/before"


async def test_a_moment_of_the_past_can_be_named_and_one_to_come_cannot(world):
    past = NOW - timedelta(days=3)
    made = await name_it(world, as_of=past)
    assert (made.as_of, made.create_time) == (past, NOW)
    with pytest.raises(InvalidField) as caught:
        await name_it(world, as_of=NOW + timedelta(seconds=1))
    assert caught.value.metadata["field"] == "snapshot.as_of"


async def test_what_may_not_be_named_is_refused(world):
    with pytest.raises(VaultNotFound):
        await name_it(world, vault=NOTES)
    with pytest.raises(InvalidField):
        await name_it(world, name=SnapshotName("globex", "x"))
    with pytest.raises(LimitExceeded):
        await name_it(world, display_name="x" * 129)
    await name_it(world, name=SnapshotName("acme", "x"))
    with pytest.raises(ResourceExists):
        await name_it(world, name=SnapshotName("acme", "x"))


async def test_pages_show_the_latest_moment_first(world):
    for days in (3, 1, 2, 1):
        await name_it(world, as_of=NOW - timedelta(days=days))
    await name_it(world, vault=NOTES, by=grant(NOTES))
    seen, after = [], None
    while True:
        found, after = await world.snapshots.list(MAIN, after=after, size=2, grant=grant(MAIN))
        seen += found
        if after is None:
            break
    assert [(NOW - one.as_of).days for one in seen] == [1, 1, 2, 3]
    assert len({one.name for one in seen}) == 4
    with pytest.raises(VaultNotFound):
        await world.snapshots.list(VaultName("acme", "none"), after=None, size=2, grant=grant(MAIN))


async def test_a_deleted_snapshot_and_a_hidden_one_are_not_there(world):
    made = await name_it(world)
    for by in (grant(NOTES), grant(FOREIGN)):
        with pytest.raises(ResourceNotFound):
            await world.snapshots.get(made.name, grant=by)
        with pytest.raises(ResourceNotFound):
            await world.delete_snapshot(made.name, mutation=mutation(by))
    await world.delete_snapshot(made.name, mutation=mutation())
    with pytest.raises(ResourceNotFound):
        await world.snapshots.get(made.name, grant=grant(MAIN))
    assert world.catalog.tables.audit[-1].action == "snapshot.delete"


async def test_a_request_id_makes_one_snapshot_and_one_deletion(world):
    made = await name_it(world, request_id="r1")
    assert await name_it(world, request_id="r1") == made
    with pytest.raises(RequestIdReused):
        await name_it(world, request_id="r1", body="bb")
    for _ in range(2):
        await world.delete_snapshot(made.name, mutation=mutation(request_id="r2"))
    with pytest.raises(ResourceNotFound):
        await world.delete_snapshot(made.name, mutation=mutation(request_id="r3"))
