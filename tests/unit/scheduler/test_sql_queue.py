"""What only the queue on SQL promises: durability, and a schema that its migrations build."""

from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from memos_kernel.errors import InternalError, Overloaded
from memos_kernel.names import JobName, PrincipalName
from memos_runtime.sql.engine import open_engine, sqlite_url
from memos_runtime.workers import Worker
from memos_scheduler.adapters.sql.migrations import migrate
from memos_scheduler.adapters.sql.queue import SqlJobQueue
from memos_scheduler.adapters.sql.schema import VERSION_TABLE, Moment, jobs, metadata
from memos_scheduler.domain.jobs import NewJob


def test_the_migrations_build_the_schema_and_can_run_twice(tmp_path):
    url = sqlite_url(tmp_path / "jobs.db")
    migrate(url)
    migrate(url)
    engine = open_engine(url)

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


@pytest.fixture
async def queue(tmp_path, clock):
    engine, worker = open_engine(sqlite_url(tmp_path / "jobs.db")), Worker("test.queue")
    await worker.run(migrate, sqlite_url(tmp_path / "jobs.db"))
    yield SqlJobQueue(engine, worker, clock=clock, queued_limit=10)
    await worker.close()
    engine.dispose()


async def test_a_missing_table_is_a_fault_of_ours_that_nobody_repeats(queue):
    with queue._engine.begin() as connection:
        connection.exec_driver_sql(f"DROP TABLE {jobs.name}")

    with pytest.raises(InternalError) as caught:
        await queue.get(JobName("acme", "j"))

    assert caught.value.metadata == {"store": "queue"}
    assert "no such table" in str(caught.value.__cause__)


async def test_a_queue_that_another_writer_holds_for_too_long_is_overloaded(queue, monkeypatch):
    with queue._engine.begin() as connection:
        connection.exec_driver_sql("PRAGMA busy_timeout = 1")  # the pool gives this connection out again
    other = open_engine(str(queue._engine.url))
    with other.begin(), pytest.raises(Overloaded):
        await queue.get(JobName("acme", "j"))
    other.dispose()


async def test_the_log_tells_of_a_job_whose_last_worker_stopped_answering(queue, clock, caplog):
    name, alice = JobName("acme", "j"), PrincipalName("acme", "alice")
    await queue.enqueue(NewJob(name=name, kind="count", principal=alice, max_attempts=1))
    caplog.clear()
    for worker in ("w1", "w2"):
        await queue.lease(frozenset({"count"}), worker=worker, ttl=timedelta(seconds=60))
        clock.pass_time(seconds=61)

    [line] = caplog.records
    assert line.levelname == "ERROR"
    assert line.getMessage() == f"job {name} (count) is dead: Worker w1 stopped answering in attempt 1."


async def test_a_job_is_there_after_a_restart_with_its_times_unchanged(tmp_path, clock):
    clock.time = datetime(2026, 3, 2, 12, 0, 0, 123_457, tzinfo=UTC)
    asked = NewJob(name=JobName("acme", "j"), kind="count", principal=PrincipalName("acme", "alice"), max_attempts=1)
    found = []
    for _ in range(2):
        engine, worker = open_engine(sqlite_url(tmp_path / "jobs.db")), Worker("test.queue")
        await worker.run(migrate, sqlite_url(tmp_path / "jobs.db"))
        queue = SqlJobQueue(engine, worker, clock=clock, queued_limit=10)
        found.append(await (queue.get(asked.name) if found else queue.enqueue(asked)))
        await worker.close()
        engine.dispose()

    assert found[0] == found[1]
    assert found[1].create_time == clock.time
