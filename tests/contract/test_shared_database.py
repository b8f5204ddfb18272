"""The services that keep rows may share one database."""

import asyncio

import pytest
from sqlalchemy import create_engine, inspect

from memos_governance import migrations as governance
from memos_governance.adapters.sql.schema import metadata as governance_tables
from memos_scheduler.adapters.sql import database as scheduler
from memos_scheduler.adapters.sql.schema import metadata as scheduler_tables
from memos_storage import migrations as storage
from memos_storage.adapters.sql.schema import metadata as storage_tables
from postgres import new_database


def migrate_all(url):
    storage.migrate(url)
    engine = scheduler.open_engine(url)
    scheduler.migrate(engine)
    engine.dispose()
    governance.migrate(url)


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
async def test_each_service_finds_its_own_tables_and_version(kind, tmp_path):
    url = f"sqlite:///{tmp_path / 'all.db'}" if kind == "sqlite" else await asyncio.to_thread(new_database, "shared")
    for _ in range(2):
        await asyncio.to_thread(migrate_all, url)
    engine = create_engine(url)
    made = set(inspect(engine).get_table_names())
    engine.dispose()
    wanted = {name for tables in (storage_tables, scheduler_tables, governance_tables) for name in tables.tables}
    assert made == wanted | {"storage_version", "scheduler_version", "governance_version"}
