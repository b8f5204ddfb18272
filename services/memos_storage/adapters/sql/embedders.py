"""The embedder that searches go by."""

from sqlalchemy import Connection, delete, insert, select

from memos_storage.adapters.sql import schema

_META = schema.meta
_NAME = "embedder"
_CURRENT = select(_META.c.value).where(_META.c.name == _NAME)


def current(connection: Connection) -> str:
    """Return its id; empty as long as nothing has a vector."""
    value = connection.execute(_CURRENT).scalar()
    return bytes(value).decode() if value is not None else ""


def adopt(connection: Connection, embedder: str) -> None:
    """Put another one in its place."""
    connection.execute(delete(_META).where(_META.c.name == _NAME))
    connection.execute(insert(_META), {"name": _NAME, "value": embedder.encode()})
