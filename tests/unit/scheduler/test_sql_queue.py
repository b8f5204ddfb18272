"""What only the queue on SQL promises: durability, and a schema that its migrations build."""

from datetime import UTC, datetime

import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from memos_kernel.names import JobName, PrincipalName
from memos_runtime.workers import Worker
from memos_scheduler.adapters.sql.database import migrate, open_engine, sqlite_url
from memos_scheduler.adapters.sql.queue import SqlJobQueue
from memos_scheduler.adapters.sql.schema import VERSION_TABLE, Moment, metadata
from memos_scheduler.domain.jobs import NewJob


def test_the_migrations_build_the_schema_and_can_run_twice(tmp_path):
    engine = open_engine(sqlite_url(tmp_path / "jobs.db"))
    migrate(engine)
    migrate(engine)

    with engine.connect() as connection:
        context = MigrationContext.configure(
            connection, opts={"compare_type": same_type, "version_table": VERSION_TABLE}
        )
        assert compare_metadata(context, metadata) == []
    engine.dispose()


def same_type(context, inspected_column, metadata_column, inspected_type, metadata_type):
    return False if isinstance(metadata_type, Moment) and isinstance(inspected_type, sa.BigInteger) else None


def test_commits_are_on_disk_before_they_are_acknowledged(tmp_path):
    engine = open_engine(sqlite_url(tmp_path / "jobs.db"))
    with engine.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar_one() == 2
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar_one() == "wal"
    engine.dispose()


async def test_a_job_is_there_after_a_restart_with_its_times_unchanged(tmp_path, clock):
    clock.time = datetime(2026, 3, 2, 12, 0, 0, 123_457, tzinfo=UTC)
    asked = NewJob(name=JobName("acme", "j"), kind="count", principal=PrincipalName("acme", "alice"), max_attempts=1)
    found = []
    for _ in range(2):
        engine, worker = open_engine(sqlite_url(tmp_path / "jobs.db")), Worker("test.queue")
        await worker.run(migrate, engine)
        queue = SqlJobQueue(engine, worker, clock=clock, queued_limit=10)
        found.append(await (queue.get(asked.name) if found else queue.enqueue(asked)))
        await worker.close()
        engine.dispose()

    assert found[0] == found[1]
    assert found[1].create_time == clock.time
