"""Snapshots as rows."""

from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Select, delete, select, tuple_

from memos_kernel.errors import ResourceExists
from memos_kernel.moments import micros, moment
from memos_kernel.names import PrincipalName, SnapshotName, VaultName
from memos_runtime.sql.engine import insert_or_ignore
from memos_storage.adapters.sql import schema
from memos_storage.domain.snapshots import Snapshot

_TABLE = schema.snapshots


def find(connection: Connection, name: SnapshotName) -> Snapshot | None:
    """Return a snapshot."""
    wanted = select(_TABLE).where(_TABLE.c.tenant == name.tenant, _TABLE.c.snapshot == name.id)
    row = connection.execute(wanted).one_or_none()
    return None if row is None else _snapshot(row)


def latest(
    connection: Connection, vault: VaultName, *, after: tuple[datetime, str] | None, limit: int
) -> list[Snapshot]:
    """Return the snapshots of a vault, the latest moment first."""
    place = tuple_(_TABLE.c.as_of, _TABLE.c.snapshot)
    wanted: Select[Any] = (
        select(_TABLE)
        .where(_TABLE.c.tenant == vault.tenant, _TABLE.c.vault == vault.id)
        .order_by(_TABLE.c.as_of.desc(), _TABLE.c.snapshot.desc())
        .limit(limit)
    )
    if after is not None:
        wanted = wanted.where(place < tuple_(micros(after[0]), after[1]))
    return [_snapshot(row) for row in connection.execute(wanted)]


def add(connection: Connection, snapshot: Snapshot) -> None:
    """Store a snapshot.

    Raises:
        ResourceExists: the tenant has one of that name.
    """
    made = connection.execute(
        insert_or_ignore(connection.dialect.name, _TABLE).returning(_TABLE.c.snapshot),
        {
            "tenant": snapshot.name.tenant,
            "snapshot": snapshot.name.id,
            "vault": snapshot.vault.id,
            "as_of": micros(snapshot.as_of),
            "display_name": snapshot.display_name,
            "creator": str(snapshot.creator),
            "create_time": micros(snapshot.create_time),
        },
    )
    if made.scalar() is None:
        raise ResourceExists(f"{snapshot.name} is taken; choose another id.", name=str(snapshot.name))


def remove(connection: Connection, name: SnapshotName) -> None:
    """Forget a snapshot."""
    connection.execute(delete(_TABLE).where(_TABLE.c.tenant == name.tenant, _TABLE.c.snapshot == name.id))


def _snapshot(row: Any) -> Snapshot:
    return Snapshot(
        name=SnapshotName(row.tenant, row.snapshot),
        vault=VaultName(row.tenant, row.vault),
        as_of=moment(row.as_of),
        display_name=row.display_name,
        creator=PrincipalName.parse(row.creator, field="creator"),
        create_time=moment(row.create_time),
    )
