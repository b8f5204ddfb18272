"""The services that keep rows may share one database."""

import asyncio
import os
import sys
from pathlib import Path

import pytest
from pydantic import SecretStr
from sqlalchemy import create_engine, inspect, text

from memos_governance import migrations as governance
from memos_governance.adapters.sql.schema import metadata as governance_tables
from memos_governance.config import GovernanceConfig
from memos_governance.domain.credentials import new_secret
from memos_governance.local import bootstrap_local, create_tenant
from memos_kernel.ids import SystemClock
from memos_kernel.names import TenantName
from memos_runtime.sql import engine as engine_module
from memos_runtime.sql.migrations import migrate
from memos_scheduler.adapters.sql import migrations as scheduler
from memos_scheduler.adapters.sql.schema import metadata as scheduler_tables
from memos_storage import migrations as storage
from memos_storage.adapters.sql.schema import metadata as storage_tables
from postgres import new_database


def migrate_all(url):
    storage.migrate(url)
    scheduler.migrate(url)
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


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
async def test_processes_that_start_at_the_same_time_migrate_one_after_the_other(kind, tmp_path):
    url = f"sqlite:///{tmp_path / 'all.db'}" if kind == "sqlite" else await asyncio.to_thread(new_database, "shared")
    code = (
        "import sys; from memos_storage import migrations as a; from memos_governance import migrations as b;"
        "from memos_scheduler.adapters.sql import migrations as c; [each.migrate(sys.argv[1]) for each in (a, b, c)]"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = (sys.executable, "-c", code, url)
    starting = [await asyncio.create_subprocess_exec(*command, env=environment) for _ in range(3)]
    assert [await process.wait() for process in starting] == [0] * 3


async def test_what_a_newer_release_has_migrated_stays_and_serves_the_older_one(caplog):
    url = await asyncio.to_thread(new_database, "newer")
    await asyncio.to_thread(migrate_all, url)
    engine = create_engine(url)
    with engine.begin() as connection:
        for service in ("storage", "scheduler", "governance"):
            connection.execute(text(f"UPDATE {service}_version SET version_num = 'of a newer release'"))
    await asyncio.to_thread(migrate_all, url)
    assert caplog.text.count("schema of a newer release") == 3
    assert await asyncio.to_thread(governance.is_current, url)
    with engine.connect() as connection:
        assert connection.scalar(text("SELECT version_num FROM storage_version")) == "of a newer release"
    engine.dispose()


STEP = """
import time

from alembic import op

revision, down_revision = "0001", None


def upgrade():
    op.execute("CREATE TABLE computed (number integer)")
    time.sleep(2)  # nothing is sent meanwhile
    op.execute("INSERT INTO computed VALUES (1)")
"""


async def test_a_step_that_computes_for_long_is_not_taken_for_a_frozen_process(monkeypatch, tmp_path):
    monkeypatch.setattr(engine_module, "_FROZEN_SECONDS", 1)
    (tmp_path / "versions").mkdir()
    (tmp_path / "versions" / "0001_computed.py").write_text(STEP)
    (tmp_path / "env.py").write_text((Path(storage.__file__).parent / "env.py").read_text())
    url = await asyncio.to_thread(new_database, "slow")
    await asyncio.to_thread(migrate, url, tmp_path, version_table="storage_version")
    engine = create_engine(url)
    with engine.connect() as connection:
        assert connection.scalar(text("SELECT number FROM computed")) == 1
    engine.dispose()


async def test_replicas_that_start_at_the_same_time_make_one_tenant(tmp_path):
    key = new_secret()
    url = await asyncio.to_thread(new_database, "bootstrap")
    await asyncio.to_thread(governance.migrate, url)
    config = GovernanceConfig(database_url=SecretStr(url), admin_key=SecretStr(key))
    for number in range(3):  # nobody is quicker than the others each time
        tenant = TenantName(f"t{number}")
        made = await asyncio.gather(*(create_tenant(config, tmp_path, SystemClock(), tenant) for _ in range(6)))
        assert len([secret for secret in made if secret is not None]) == 1
    made = await asyncio.gather(*(bootstrap_local(config, tmp_path, SystemClock()) for _ in range(6)))
    assert sorted(filter(None, made)) == [key]
