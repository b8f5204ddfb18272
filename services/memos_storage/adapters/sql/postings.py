"""How texts leave the lexical index and the turns."""

from collections.abc import Sequence

from sqlalchemy import Connection, bindparam, delete, func, select

from memos_storage.adapters.sql import schema, turns
from memos_storage.adapters.sql.vaults import Growth

_POSTINGS = schema.postings
_KEYS = _POSTINGS.c.cube_key.in_(bindparam("keys", expanding=True))

_LENGTHS = (
    select(_POSTINGS.c.vault_key, _POSTINGS.c.length)
    .where(_KEYS)
    .group_by(_POSTINGS.c.vault_key, _POSTINGS.c.cube_key, _POSTINGS.c.length)
    .subquery()
)
_LEAVING = select(
    _LENGTHS.c.vault_key, func.count().label("documents"), func.sum(_LENGTHS.c.length).label("terms")
).group_by(_LENGTHS.c.vault_key)
_LEAVE = delete(_POSTINGS).where(_KEYS)


def unindex(connection: Connection, keys: Sequence[int]) -> dict[int, Growth]:
    """Take the terms of cubes out of the index; return by how much the counts of their vaults shrink."""
    turns.take_out(connection, keys)
    leaving = connection.execute(_LEAVING, {"keys": keys}).all()
    if leaving:
        connection.execute(_LEAVE, {"keys": keys})
    return {row.vault_key: Growth(documents=-row.documents, terms=-int(row.terms)) for row in leaving}
