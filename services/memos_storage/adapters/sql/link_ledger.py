"""Links between statements as rows: which one outdates which."""

import json
from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any

from sqlalchemy import Connection, Select, String, bindparam, delete, insert, or_, select

from memos_kernel.memory_links import LinkKind
from memos_kernel.moments import micros, moment
from memos_kernel.names import CubeName, PrincipalName
from memos_storage.adapters.sql import schema
from memos_storage.adapters.sql.parts import listed
from memos_storage.domain.memory_links import MOST_TOLD, StoredLink

_LINKS = schema.memory_links
_NEWER, _OLDER = schema.cubes.alias("newer"), schema.cubes.alias("older")
_BOTH = _LINKS.join(_NEWER, _NEWER.c.key == _LINKS.c.newer_key).join(_OLDER, _OLDER.c.key == _LINKS.c.older_key)
_LIVE: Select[Any] = (
    select(
        _NEWER.c.tenant,
        _NEWER.c.cube.label("newer"),
        _NEWER.c.uid.label("newer_uid"),
        _OLDER.c.cube.label("older"),
        _OLDER.c.uid.label("older_uid"),
        *(_LINKS.c[name] for name in ("kind", "evidence", "record_time", "decided_by", "closed_until", "open_until")),
    )
    .select_from(_BOTH)
    .where(_NEWER.c.delete_time.is_(None), _OLDER.c.delete_time.is_(None))
)
_OF = tuple(
    _LIVE.where(side.c.uid == bindparam("uid")).order_by(_LINKS.c.record_time.desc()).limit(MOST_TOLD)
    for side in (_NEWER, _OLDER)
)
"""Apart, so that each goes by an index."""
_KEYS = select(schema.cubes.c.uid, schema.cubes.c.key).where(schema.cubes.c.uid.in_(bindparam("uids", expanding=True)))
_FORGET = delete(_LINKS).where(_LINKS.c.newer_key == bindparam("newer_of"), _LINKS.c.older_key == bindparam("older_of"))


class SqlLinkLedger:
    """Implements `ports.LinkLedger`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def of(self, uid: str) -> list[StoredLink]:
        """Return the links of a cube."""
        return links_of(self._connection, uid)

    def put(self, link: StoredLink) -> None:
        """Store a link, in the place of one of the same two cubes if there is one."""
        found = self._connection.execute(_KEYS, {"uids": [link.newer_uid, link.older_uid]})
        keys = {row.uid: row.key for row in found}
        newer, older = keys[link.newer_uid], keys[link.older_uid]
        self._connection.execute(_FORGET, {"newer_of": newer, "older_of": older})
        self._connection.execute(
            insert(_LINKS),
            {
                "newer_key": newer,
                "older_key": older,
                "kind": int(link.kind),
                "evidence": link.evidence,
                "record_time": micros(link.time),
                "decided_by": "" if link.decided_by is None else str(link.decided_by),
                "closed_until": micros(link.closed_until),
                "open_until": micros(link.open_until),
            },
        )


def links_of(connection: Connection, uid: str) -> list[StoredLink]:
    """Return the links of a cube, to what it outdates and to what outdates it, the latest first."""
    found = [link for statement in _OF for link in _links(connection, statement, {"uid": uid})]
    return sorted(found, key=lambda link: (link.time, link.newer_uid, link.older_uid), reverse=True)[:MOST_TOLD]


def links_to(connection: Connection, uids: Sequence[str], least: float) -> list[StoredLink]:
    """Return the links to what outdates some cubes, and to what may with at least some evidence."""
    values = {"uids": json.dumps(list(uids)), "least": least}
    return list(_links(connection, _to(connection.dialect.name), values))


@cache
def _to(dialect: str) -> Select[Any]:
    enough = or_(_LINKS.c.kind == int(LinkKind.SUPERSEDES), _LINKS.c.evidence >= bindparam("least"))
    return _LIVE.where(_OLDER.c.uid.in_(listed("uids", String, dialect)), enough)


def _links(connection: Connection, statement: Select[Any], values: dict[str, Any]) -> Iterator[StoredLink]:
    for row in connection.execute(statement, values):
        yield StoredLink(
            newer=CubeName(row.tenant, row.newer),
            newer_uid=row.newer_uid,
            older=CubeName(row.tenant, row.older),
            older_uid=row.older_uid,
            kind=LinkKind(row.kind),
            evidence=row.evidence,
            time=moment(row.record_time),
            decided_by=PrincipalName.parse(row.decided_by, field="decided_by") if row.decided_by else None,
            closed_until=moment(row.closed_until),
            open_until=moment(row.open_until),
        )
