"""Texts know the times that they tell of."""

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from alembic import op

from memos_api.v1 import memcube_pb2
from memos_storage.adapters.sql.named import named_to_json
from memos_storage.domain.turns import times_of
from memos_wire.cubes import cube_from_proto

revision = "0013"
down_revision = "0012"

_PAGE = 1_000
_cubes = sa.table("cubes", *map(sa.column, ("key", "revision")))
_revisions = sa.table("revisions", *map(sa.column, ("cube_key", "revision", "document")))
_turns = sa.table("turns", *map(sa.column, ("cube_key", "named")))
_SET = sa.update(_turns).where(_turns.c.cube_key == sa.bindparam("key")).values(named=sa.bindparam("times"))


def upgrade() -> None:
    """Add the column, and fill it."""
    op.add_column("turns", sa.Column("named", sa.Text(), server_default="", nullable=False))
    last = 0
    while page := _documents(last):
        last = page[-1].key
        if rows := [row for row in map(_row, page) if row["times"]]:
            op.get_bind().execute(_SET, rows)


def downgrade() -> None:
    """Drop it."""
    op.drop_column("turns", "named")


def _documents(after: int) -> Sequence[Any]:
    newest = sa.and_(_revisions.c.cube_key == _cubes.c.key, _revisions.c.revision == _cubes.c.revision)
    statement = (
        sa.select(_cubes.c.key, _revisions.c.document)
        .join(_revisions, newest)
        .join(_turns, _turns.c.cube_key == _cubes.c.key)
        .where(_cubes.c.key > after)
        .order_by(_cubes.c.key)
        .limit(_PAGE)
    )
    return op.get_bind().execute(statement).all()


def _row(row: Any) -> dict[str, Any]:
    cube = cube_from_proto(memcube_pb2.MemCube.FromString(row.document))
    return {"key": row.key, "times": named_to_json(times_of(cube))}
