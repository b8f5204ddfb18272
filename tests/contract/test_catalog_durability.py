"""What the catalogue on disk does when the process dies, the disk is full, or too many write."""

import asyncio
import os
import signal
import sqlite3
import subprocess
import sys
import threading

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from memos_kernel.errors import DependencyUnavailable, Draining, Overloaded, StoreFull
from memos_runtime.sql.engine import open_engine, sqlite_url
from memos_storage.adapters.sql.catalog import Database, SqlCatalog
from memos_storage.adapters.sql.outbox import SqlOutbox
from memos_storage.adapters.sql.schema import VERSION_TABLE, metadata
from memos_storage.migrations import migrate
from storage_cubes import EMBEDDER, MAIN, scope, selected, stored, vector

WRITER = """
import asyncio, sys
from pathlib import Path
from storage_cubes import stored, vector
from memos_storage.adapters.sql.catalog import Database, SqlCatalog

async def main():
    database = Database(sys.argv[1], readers=1, read_queue=8, write_queue=64, group_size=16)
    database.open()
    catalog = SqlCatalog(database)

    async def add(number):
        cube = stored(f"note {number}")
        await catalog.write(lambda tx: tx.insert(cube, vector=vector(number)))
        print(cube.uid, flush=True)

    for start in range(0, 100_000, 8):
        await asyncio.gather(*(add(start + offset) for offset in range(8)))

asyncio.run(main())
"""


def database_of(path, **sizes):
    return Database(sqlite_url(path), **{"readers": 1, "read_queue": 8, "write_queue": 64, "group_size": 16, **sizes})


def _write_until_killed(url):
    """Return the uids that a process acknowledged before it was killed in the middle of its writes."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", WRITER, url]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as child:
        acknowledged = [child.stdout.readline().strip() for _ in range(150)]
        child.send_signal(signal.SIGKILL)
        return acknowledged + [line.strip() for line in child.stdout if line.endswith("\n")]


@pytest.fixture
async def database(tmp_path):
    path = tmp_path / "catalogue.db"
    await asyncio.to_thread(migrate, sqlite_url(path))
    made = database_of(path)
    made.open()
    yield made
    await made.close()


async def test_what_was_acknowledged_before_a_kill_is_there_once(tmp_path):
    path = tmp_path / "catalogue.db"
    await asyncio.to_thread(migrate, sqlite_url(path))
    acknowledged = await asyncio.to_thread(_write_until_killed, sqlite_url(path))
    assert len(acknowledged) >= 150
    reopened = database_of(path)
    reopened.open()
    try:
        rows = await SqlCatalog(reopened).page(selected(scope(MAIN)), after=None, limit=10_000)
        uids = [row.cube.uid for row in rows]
        assert set(acknowledged) <= set(uids)
        assert len(uids) == len(set(uids)) == len({row.cube.text for row in rows})
        points = (await SqlOutbox(reopened).waiting(known=frozenset())).points
        assert {point.uid for point in points} == set(uids), "rows and what waits for the index are one transaction"
    finally:
        await reopened.close()
    assert sqlite3.connect(path).execute("PRAGMA integrity_check").fetchone() == ("ok",)


async def test_a_server_that_is_away_is_told_as_such_and_storage_is_not_ready():
    database = Database(
        "postgresql+psycopg://nobody@127.0.0.1:1/none", readers=1, read_queue=8, write_queue=8, group_size=4
    )
    database.open()
    assert database.is_ready
    for call in (database.read, database.write):
        with pytest.raises(DependencyUnavailable):
            await call(lambda connection: connection.execute(text("SELECT 1")))
    assert not database.is_ready
    await database.close()


async def test_storage_is_ready_again_with_the_first_answer(database):
    def away(connection):
        raise OperationalError("SELECT 1", {}, sqlite3.OperationalError("unable to open database file"))

    with pytest.raises(DependencyUnavailable):
        await database.read(away)
    assert not database.is_ready
    await database.read(lambda connection: connection.execute(text("SELECT 1")))
    assert database.is_ready


async def test_a_full_disk_stores_nothing_and_says_so(database):
    catalog = SqlCatalog(database)
    before = stored("before")
    await catalog.write(lambda tx: tx.insert(before, vector=vector(1)))

    def shrink(connection):
        pages = connection.execute(text("PRAGMA page_count")).scalar()
        connection.execute(text(f"PRAGMA max_page_count = {pages}"))

    await database.write(shrink)
    cubes = [stored(f"{number} " + "x " * 8000) for number in range(6)]
    results = await asyncio.gather(
        *(catalog.write(lambda tx, c=cube: tx.insert(c, vector=vector(1))) for cube in cubes), return_exceptions=True
    )
    assert all(isinstance(result, StoreFull) for result in results)
    rows = await catalog.page(selected(scope(MAIN)), after=None, limit=99)
    assert [row.cube.uid for row in rows] == [before.uid]
    await database.write(lambda connection: connection.execute(text("PRAGMA max_page_count = 1000000")).scalar())
    await catalog.write(lambda tx: tx.insert(cubes[0], vector=vector(1)))
    assert len(await catalog.get([cubes[0].name], scope(MAIN))) == 1


async def test_too_many_writers_are_told_to_come_back(tmp_path):
    path = tmp_path / "catalogue.db"
    await asyncio.to_thread(migrate, sqlite_url(path))
    database = database_of(path, write_queue=2)
    database.open()
    go = threading.Event()
    try:
        stuck = asyncio.create_task(database.write(lambda _: go.wait(10)))
        await asyncio.sleep(0.1)
        waiting = [asyncio.create_task(database.write(lambda _: 1)) for _ in range(2)]
        await asyncio.sleep(0)
        with pytest.raises(Overloaded) as caught:
            await database.write(lambda _: 1)
        assert caught.value.retry_after
        waiting[0].cancel()
        go.set()
        assert await stuck
        assert await waiting[1] == 1
    finally:
        go.set()
        await database.close()
    with pytest.raises(Draining):
        await database.write(lambda _: 1)
    await database.close()


async def test_closing_finishes_what_waits(tmp_path):
    path = tmp_path / "catalogue.db"
    await asyncio.to_thread(migrate, sqlite_url(path))
    database = database_of(path)
    database.open()
    catalog = SqlCatalog(database)
    cubes = [stored(f"note {number}") for number in range(30)]
    writes = [asyncio.create_task(catalog.write(lambda tx, c=c: tx.insert(c, vector=None))) for c in cubes]
    await asyncio.sleep(0)
    await database.close()
    await asyncio.gather(*writes)
    assert sqlite3.connect(path).execute("SELECT count(*) FROM cubes").fetchone() == (30,)


async def test_a_commit_is_on_the_disk_when_it_returns(database):
    settings = await database.write(
        lambda connection: [
            connection.execute(text(f"PRAGMA {name}")).scalar()
            for name in ("journal_mode", "synchronous", "foreign_keys")
        ]
    )
    assert settings == ["wal", 2, 1]


async def test_readers_cannot_write(database):
    with pytest.raises(StoreFull, match="refuses to write"):
        await database.read(lambda connection: connection.execute(text("DELETE FROM cubes")))


async def test_a_value_that_the_database_refuses_fails_its_own_command_alone(database):
    catalog = SqlCatalog(database)
    good = [stored(f"note {number}") for number in range(6)]

    def broken(tx):
        tx.insert(stored("gone with it"), vector=None)
        tx._connection.execute(text("INSERT INTO vaults (tenant, vault, documents, terms) VALUES (NULL, 'x', 0, 0)"))

    def add(cube):
        return catalog.write(lambda tx: tx.insert(cube, vector=vector(1)))

    commands = [*map(add, good[:3]), catalog.write(broken), *map(add, good[3:])]
    results = await asyncio.gather(*commands, return_exceptions=True)
    assert [isinstance(result, Exception) for result in results] == [False] * 3 + [True] + [False] * 3
    rows = await catalog.page(selected(scope(MAIN)), after=None, limit=99)
    assert {row.cube.uid for row in rows} == {cube.uid for cube in good}


def test_the_migrations_make_the_tables_of_the_code_and_can_be_repeated(tmp_path):
    url = sqlite_url(tmp_path / "catalogue.db")
    migrate(url)
    migrate(url)
    engine = open_engine(url, pool_size=1)
    options = {"version_table": VERSION_TABLE}
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection, opts=options), metadata) == []
        made = connection.execute(text("SELECT sql FROM sqlite_master WHERE name IN ('postings', 'outbox')")).scalars()
        assert sorted("WITHOUT ROWID" in sql or "AUTOINCREMENT" in sql for sql in made) == [True, True]
    engine.dispose()


async def test_an_embedder_that_was_rolled_back_is_not_known(database):
    catalog = SqlCatalog(database)

    def fails(tx):
        tx.insert(stored("x"), vector=vector(1))
        tx.dimensions(EMBEDDER)
        raise RuntimeError("undone")

    with pytest.raises(RuntimeError):
        await catalog.write(fails)
    assert await catalog.write(lambda tx: tx.dimensions(EMBEDDER)) is None
