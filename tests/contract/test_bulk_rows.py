"""Many rows at once go into PostgreSQL by COPY, whose failures mean what those of an INSERT mean."""

import pytest
from sqlalchemy import func, select
from sqlalchemy.exc import DBAPIError

from memos_kernel.errors import DependencyUnavailable
from memos_runtime.sql.engine import open_engine
from memos_runtime.sql.faults import fault_of, lost_a_race
from memos_storage.adapters.sql import schema
from memos_storage.adapters.sql.bulk import insert_all
from storage_cubes import empty_database

ROWS = [{"name": f"name {number}", "value": bytes([number])} for number in range(100)]


@pytest.fixture(params=["sqlite", "postgresql"])
def engine(request, tmp_path):
    made = open_engine(empty_database(request.param, tmp_path), pool_size=2)
    yield made
    made.dispose()


def held(connection):
    return connection.execute(select(func.count()).where(schema.meta.c.name.like("name %"))).scalar_one()


def test_rows_are_there_as_they_were_given(engine):
    with engine.begin() as connection:
        insert_all(connection, schema.meta, ROWS)
    with engine.begin() as connection:
        found = connection.execute(select(schema.meta).where(schema.meta.c.name.like("name %"))).mappings()
        assert sorted(map(dict, found), key=lambda row: row["value"]) == ROWS


def test_a_row_that_somebody_else_made_first_undoes_them_all_and_is_worth_another_try(engine):
    with engine.begin() as connection:
        insert_all(connection, schema.meta, ROWS[50:51])
    with pytest.raises(DBAPIError) as caught, engine.begin() as connection:
        insert_all(connection, schema.meta, ROWS)
    assert lost_a_race(caught.value) == (engine.dialect.name != "sqlite")
    with engine.begin() as connection:
        assert held(connection) == 1


@pytest.mark.parametrize("engine", ["postgresql"], indirect=True)
def test_a_connection_that_breaks_is_told_as_such_and_another_one_works(engine):
    with engine.connect() as connection:
        pid = connection.execute(select(func.pg_backend_pid())).scalar_one()
        with engine.execution_options(isolation_level="AUTOCOMMIT").connect() as other:
            other.execute(select(func.pg_terminate_backend(pid)))
        with pytest.raises(DBAPIError) as caught:
            insert_all(connection, schema.meta, ROWS)
    assert isinstance(fault_of(caught.value, store="catalogue"), DependencyUnavailable)
    with engine.begin() as connection:
        assert held(connection) == 0
