"""How long lists go to the database: in parts, or as one parameter."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeVar

from sqlalchemy import BigInteger, Connection, Select, String, Text, bindparam, cast, func, select
from sqlalchemy.dialects.postgresql import JSON

T = TypeVar("T")

PART = 500
"""Keys in one IN list."""


def parts(items: Sequence[T]) -> Iterator[Sequence[T]]:
    """Return a sequence in parts of at most `PART`."""
    return (items[start : start + PART] for start in range(0, len(items), PART))


def listed(name: str, kind: type[String] | type[BigInteger], dialect: str) -> Select[Any]:
    """Return the items of a list that comes as the JSON text `name`: one parameter, however long the list is."""
    if dialect == "sqlite":
        return select(func.json_each(bindparam(name, type_=Text)).table_valued("value").c.value)
    items = func.json_array_elements_text(cast(bindparam(name, type_=Text), JSON)).table_valued("value")
    return select(cast(items.c.value, kind))


def fetched(connection: Connection, statement: Select[Any], values: Mapping[str, Any]) -> list[Any]:
    """Return rows as the driver gives them: hundreds of rows as objects take longer to make."""
    cursor = connection.execute(statement, values).cursor
    return [] if cursor is None else list(cursor.fetchall())
