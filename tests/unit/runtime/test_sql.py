"""What failures of real SQLite databases mean, and those that a PostgreSQL would tell in words."""

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.exc import OperationalError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from memos_kernel.errors import DependencyUnavailable, InternalError, Overloaded, StoreFull
from memos_runtime.sql.faults import fault_of


@pytest.fixture
def failure(tmp_path):
    """Runs statements on one connection of a database and returns what the last one fails with."""
    engines = []

    def run(*statements):
        engines.append(create_engine(f"sqlite:///{tmp_path / 'x.db'}"))
        with engines[-1].connect() as connection:
            for statement in statements[:-1]:
                connection.execute(text(statement))
            with pytest.raises(SQLAlchemyError) as caught:
                connection.execute(text(statements[-1]))
        return fault_of(caught.value, store="test")

    yield run
    for engine in engines:
        engine.dispose()


def test_a_full_disk_is_told_apart(failure):
    fault = failure("CREATE TABLE t (v)", "PRAGMA max_page_count = 2", "INSERT INTO t VALUES (zeroblob(100000))")
    assert isinstance(fault, StoreFull)
    assert fault.metadata == {"store": "test"}


def test_a_database_that_cannot_be_opened_may_be_there_later(tmp_path):
    engine = create_engine(f"sqlite:///{tmp_path / 'no' / 'folder.db'}")
    with pytest.raises(SQLAlchemyError) as caught:
        engine.connect()
    fault = fault_of(caught.value, store="test")
    assert isinstance(fault, DependencyUnavailable)
    assert fault.retry_after


@pytest.mark.parametrize("statement", ["SELECT * FROM nothing", "SELEC", "INSERT INTO sqlite_master VALUES (1)"])
def test_what_the_database_does_not_understand_is_a_fault_of_ours(failure, statement):
    fault = failure(statement)
    assert isinstance(fault, InternalError)
    assert fault.retry_after is None


@pytest.mark.parametrize(
    ("words", "kind"),
    [
        ("connection failed: Connection refused", DependencyUnavailable),
        ("server closed the connection unexpectedly", DependencyUnavailable),
        ("deadlock detected", Overloaded),
        ("could not extend file: No space left on device", StoreFull),
        ('relation "jobs" does not exist', InternalError),
    ],
)
def test_a_server_tells_what_is_wrong_in_words(words, kind):
    assert isinstance(fault_of(OperationalError("SELECT 1", {}, Exception(words)), store="test"), kind)


def test_a_lost_connection_is_away_and_a_pool_without_a_free_one_busy():
    lost = OperationalError("SELECT 1", {}, Exception("gone"), connection_invalidated=True)
    assert isinstance(fault_of(lost, store="test"), DependencyUnavailable)
    assert isinstance(fault_of(PoolTimeout(), store="test"), Overloaded)
