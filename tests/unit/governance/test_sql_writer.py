"""The writer of the SQL stores, on real SQLite files."""

import asyncio
import threading

import pytest
from sqlalchemy import text

from memos_governance.adapters.sql.writer import Writer
from memos_kernel.errors import Overloaded, ResourceExists, StoreFull
from memos_runtime.sql.engine import open_engine


@pytest.fixture
def engine(tmp_path):
    engine = open_engine(f"sqlite:///{tmp_path / 'x.db'}")
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE rows (value TEXT)"))
    yield engine
    engine.dispose()


@pytest.fixture
async def writer(engine):
    writer = Writer(engine, group=16, waiting=32)
    yield writer
    await writer.close()


def _insert(value, error=None):
    def work(connection):
        connection.execute(text("INSERT INTO rows VALUES (:value)"), {"value": value})
        if error is not None:
            raise error
        return value

    return work


def _values(engine):
    with engine.connect() as connection:
        return list(connection.scalars(text("SELECT value FROM rows ORDER BY rowid")))


class Held:
    """Keeps the writer busy until it is let go."""

    def __init__(self, writer):
        self._go, self._begun = threading.Event(), threading.Event()
        self._task = asyncio.create_task(writer.run(self._wait))

    def _wait(self, _):
        self._begun.set()
        self._go.wait(10)

    async def __aenter__(self):
        await asyncio.to_thread(self._begun.wait, 10)

    async def __aexit__(self, *_):
        self._go.set()
        await self._task


async def test_work_in_a_group_that_raises_is_undone_alone(engine, writer):
    async with Held(writer):
        work = [writer.run(_insert(str(n), ResourceExists("taken") if n == 1 else None)) for n in range(3)]
        running = asyncio.gather(*work, return_exceptions=True)
        await asyncio.sleep(0)
    first, refused, last = await running
    assert (first, last) == ("0", "2")
    assert isinstance(refused, ResourceExists)
    assert _values(engine) == ["0", "2"]


async def test_a_broken_statement_does_not_take_its_group_along(engine, writer):
    async with Held(writer):
        work = [
            writer.run(_insert("good")),
            writer.run(lambda connection: connection.execute(text("INSERT INTO nothing VALUES (1)"))),
        ]
        running = asyncio.gather(*work, return_exceptions=True)
        await asyncio.sleep(0)
    good, bad = await running
    assert good == "good"
    assert isinstance(bad, Exception)
    assert _values(engine) == ["good"]


async def test_nothing_is_acknowledged_on_a_full_disk(engine, writer):
    await writer.run(lambda connection: connection.execute(text("PRAGMA max_page_count = 8")))
    found = await asyncio.gather(
        *(writer.run(_insert(f"{n} " + "x" * 3_000)) for n in range(20)), return_exceptions=True
    )
    acknowledged = [value for value in found if isinstance(value, str)]
    refused = [value for value in found if not isinstance(value, str)]
    assert refused
    assert all(isinstance(error, StoreFull) for error in refused)
    assert _values(engine) == acknowledged


async def test_too_much_waiting_work_is_refused_with_the_time_to_come_back(engine, writer):
    async with Held(writer):
        waiting = [asyncio.create_task(writer.run(_insert(str(n)))) for n in range(32)]
        await asyncio.sleep(0)
        with pytest.raises(Overloaded) as refused:
            await writer.run(_insert("late"))
        assert refused.value.retry_after
    assert len(await asyncio.gather(*waiting)) == 32
    assert "late" not in _values(engine)


async def test_cancelled_work_is_never_run(engine, writer):
    async with Held(writer):
        task = asyncio.create_task(writer.run(_insert("gone")))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    await writer.run(_insert("kept"))
    assert _values(engine) == ["kept"]


async def test_closing_finishes_what_waits(engine):
    writer = Writer(engine, group=4, waiting=32)
    waiting = [asyncio.create_task(writer.run(_insert(str(n)))) for n in range(10)]
    await asyncio.sleep(0)
    await writer.close()
    assert len(await asyncio.gather(*waiting)) == 10
    assert len(_values(engine)) == 10
