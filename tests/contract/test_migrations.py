"""Tables of an earlier version come to the newest one with what they hold, on both databases."""

import asyncio
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from alembic import command
from alembic.config import Config

import memos_governance.migrations
import memos_storage.migrations
from memos_governance.adapters.sql.database import Database as GovernanceDatabase
from memos_governance.adapters.sql.policy_store import SqlPolicyStore
from memos_governance.domain.records import PrincipalRecord, Vault
from memos_kernel.names import PrincipalName, TenantName, VaultName
from memos_kernel.permission import Role
from memos_kernel.quotas import VaultUsage
from memos_kernel.vaults import VaultPolicy, VaultType
from memos_runtime.sql.engine import open_engine
from memos_storage.adapters.sql.catalog import Database as StorageDatabase
from memos_storage.adapters.sql.catalog import SqlCatalog
from memos_storage.adapters.sql.turn_reader import SqlTurnReader
from memos_storage.domain import revisions
from memos_storage.domain.named_times import told_times
from memos_storage.domain.pool import NOBODY
from postgres import new_database
from storage_cubes import MAIN, NOTES, NOW, empty_database, retold, said, stored, vector

ACME, ADMIN = TenantName("acme"), PrincipalName("acme", "admin")


def _to(url, migrations, version):
    """Take a database back to a version, and then to the newest."""
    config = Config()
    config.set_main_option("script_location", str(Path(migrations.__file__).parent))
    config.set_main_option("path_separator", "os")
    engine = open_engine(url)
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.downgrade(config, version)
        command.upgrade(config, "head")
    engine.dispose()


@asynccontextmanager
async def catalogue(url):
    database = StorageDatabase(url, readers=1, read_queue=8, write_queue=8, group_size=4)
    database.open()
    yield SqlCatalog(database)
    await database.close()


@asynccontextmanager
async def policies(url):
    database = GovernanceDatabase(url, readers=1)
    await asyncio.to_thread(database.open)
    yield SqlPolicyStore(database)
    await database.close()


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
async def test_a_catalogue_that_counted_nothing_is_counted(kind, tmp_path):
    url = await asyncio.to_thread(empty_database, kind, tmp_path)
    first, second, third = stored("Nora moved to Oslo."), stored("ä"), stored("elsewhere", NOTES)

    def fill(tx):
        for number, cube in enumerate((first, second, third)):
            tx.insert(cube, vector=vector(number))
        tx.replace(retold(second, "äöü"), vector=vector(9), content=True)
        tx.replace(revisions.deleted(first, now=NOW + timedelta(minutes=1)))

    async with catalogue(url) as catalog:
        await catalog.write(fill)
    await asyncio.to_thread(_to, url, memos_storage.migrations, "0008")
    async with catalogue(url) as catalog:
        assert await catalog.usage(MAIN) == VaultUsage(cubes=2, bytes=19 + 6, deleted_cubes=1)
        assert await catalog.usage(NOTES) == VaultUsage(cubes=1, bytes=9)


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
async def test_vaults_of_before_they_had_rules_are_private_and_without_limits(kind, tmp_path):
    url = f"sqlite:///{tmp_path / 'governance.db'}" if kind == "sqlite" else await asyncio.to_thread(new_database, "g")
    await asyncio.to_thread(memos_governance.migrations.migrate, url)
    made = Vault(
        name=VaultName("acme", "main"),
        display_name="Main",
        create_time=datetime(2026, 3, 2, tzinfo=UTC),
        owner=ADMIN,
        type=VaultType.EXPERT,
        policy=VaultPolicy(member_role=Role.READER),
    )

    def fill(tx):
        tx.add_tenant(create_time=made.create_time)
        tx.put_principal(PrincipalRecord(name=ADMIN, admin=True), create_time=made.create_time)
        tx.add_vault(made)

    async with policies(url) as store:
        await store.write(ACME, fill)
    await asyncio.to_thread(_to, url, memos_governance.migrations, "0001")
    async with policies(url) as store:
        found = await store.write(ACME, lambda tx: tx.vault(made.name))
    assert (found.type, found.policy) == (VaultType.USER_PRIVATE, VaultPolicy())
    assert (found.display_name, found.create_time, found.owner) == ("Main", made.create_time, ADMIN)


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
async def test_texts_of_before_take_their_places_in_conversations(kind, tmp_path):
    url = await asyncio.to_thread(empty_database, kind, tmp_path)
    cubes = [
        stored(f"number {number}?", sources=(said("Nora", session="s1", at=NOW + timedelta(minutes=place)),))
        for number, place in enumerate((3, 1, 2))
    ]
    dated = stored("I left yesterday.", sources=(said("Nora", session="s2", at=NOW),))
    alone = stored("alone")
    async with catalogue(url) as store:
        await store.write(lambda tx: [tx.insert(cube, vector=vector(1)) for cube in (*cubes, alone, dated)])
    await asyncio.to_thread(_to, url, memos_storage.migrations, "0010")
    database = StorageDatabase(url, readers=1, read_queue=8, write_queue=8, group_size=1)
    database.open()
    try:
        seen = await SqlTurnReader(database).turns([cubes[2].uid, alone.uid, dated.uid], "number")
    finally:
        await database.close()
    place = {uid: row for row, uid in enumerate(seen.uids)}
    around = [seen.uids[row] if row != NOBODY else "" for row in seen.around[place[cubes[2].uid]].tolist()]
    assert around == ["", cubes[1].uid, cubes[0].uid, ""]
    assert (seen.around[place[alone.uid]] == NOBODY).all()
    assert (seen.speakers[place[cubes[2].uid]], seen.lengths[place[cubes[2].uid]]) == ("nora", 3)
    (told,) = seen.named[place[dated.uid]]
    assert told == told_times("I left yesterday.", said=NOW)[0]
