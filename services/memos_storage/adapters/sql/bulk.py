"""Many rows at once."""

import json
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Connection,
    Float,
    Integer,
    LargeBinary,
    Row,
    SmallInteger,
    String,
    Table,
    Text,
    bindparam,
    cast,
    column,
    func,
    insert,
    select,
)
from sqlalchemy.dialects.postgresql import JSON
from sqlalchemy.exc import DBAPIError

from memos_runtime.sql.engine import insert_or_ignore

_NAMES = {
    BigInteger: "int8",
    Integer: "int4",
    SmallInteger: "int2",
    Boolean: "bool",
    Float: "float8",
    String: "text",
    LargeBinary: "bytea",
}
"""What PostgreSQL calls the types of the schema."""

_MANY = 32
"""Rows from which on a COPY is worth its additional round trips: of many, one costs us a tenth of an INSERT."""


def insert_all(connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
    """Insert rows that all have the same columns."""
    if connection.dialect.name == "sqlite" or len(rows) < _MANY:
        connection.execute(insert(table), list(rows))
    else:
        _copy(connection, table, tuple(rows[0]), (list(row.values()) for row in rows))


def insert_free(
    connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]], returning: Sequence[Column[Any]]
) -> Sequence[Row[Any]]:
    """Insert those rows that break no unique constraint; return columns of them. No column may be binary."""
    if connection.dialect.name == "sqlite":
        return connection.execute(insert_or_ignore("sqlite", table).returning(*returning), list(rows)).all()
    statement = _from_json(table, tuple(rows[0])).returning(*returning)
    return connection.execute(statement, {"rows": json.dumps(rows)}).all()


def _copy(connection: Connection, table: Table, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """COPY rows. Its failures are raised as SQLAlchemy does it with those of statements."""
    statement = f"COPY {table.name} ({', '.join(columns)}) FROM STDIN (FORMAT BINARY)"
    dialect: Any = connection.dialect
    driver: Any = connection.connection
    try:
        with driver.cursor() as cursor, cursor.copy(statement) as copy:
            copy.set_types([_type_of(table.c[name]) for name in columns])
            for row in rows:
                copy.write_row(row)
    except dialect.loaded_dbapi.Error as error:
        lost = dialect.is_disconnect(error, driver.dbapi_connection, None)
        if lost:
            connection.invalidate(error)
        raise DBAPIError.instance(
            statement,
            None,
            error,
            dialect.loaded_dbapi.Error,
            hide_parameters=True,
            connection_invalidated=lost,
            dialect=dialect,
        ) from error


def _type_of(column: Column[Any]) -> str:
    return next(_NAMES[kind] for kind in type(column.type).__mro__ if kind in _NAMES)


@cache
def _from_json(table: Table, columns: tuple[str, ...]) -> Any:
    """Return an INSERT of rows that come as one text: as parameters of their own they would have to be parsed."""
    kinds = [column(name, table.c[name].type) for name in columns]
    source = func.json_to_recordset(cast(bindparam("rows", type_=Text), JSON)).table_valued(*kinds)
    new = source.render_derived("new", with_types=True)
    return insert_or_ignore("postgresql", table).from_select(columns, select(*(new.c[name] for name in columns)))
