"""Vaults know how much they hold."""

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from alembic import op

from memos_api.v1 import memcube_pb2

revision = "0009"
down_revision = "0008"

_PAGE = 1_000
_cubes = sa.table("cubes", *map(sa.column, ("key", "vault_key", "revision", "text_bytes")))
_revisions = sa.table("revisions", *map(sa.column, ("cube_key", "revision", "document")))
_vaults = sa.table("vaults", *map(sa.column, ("key", "cubes", "text_bytes")))


def upgrade() -> None:
    """Add the columns, and count."""
    op.add_column("cubes", sa.Column("text_bytes", sa.Integer(), nullable=False, server_default="0"))
    for name in ("cubes", "text_bytes"):
        op.add_column("vaults", sa.Column(name, sa.BigInteger(), nullable=False, server_default="0"))
    last = 0
    while page := _documents(last):
        last = page[-1].key
        sizes = [{"this": row.key, "size": _text_bytes(row.document)} for row in page]
        change = sa.update(_cubes).where(_cubes.c.key == sa.bindparam("this")).values(text_bytes=sa.bindparam("size"))
        op.get_bind().execute(change, sizes)
    of_vault = _cubes.c.vault_key == _vaults.c.key
    op.execute(
        sa.update(_vaults).values(
            cubes=sa.select(sa.func.count()).where(of_vault).scalar_subquery(),
            text_bytes=sa.select(sa.func.coalesce(sa.func.sum(_cubes.c.text_bytes), 0))
            .where(of_vault)
            .scalar_subquery(),
        )
    )


def downgrade() -> None:
    """Drop them."""
    for table, column in (("cubes", "text_bytes"), ("vaults", "cubes"), ("vaults", "text_bytes")):
        op.drop_column(table, column)


def _documents(after: int) -> Sequence[Any]:
    newest = sa.and_(_revisions.c.cube_key == _cubes.c.key, _revisions.c.revision == _cubes.c.revision)
    statement = (
        sa.select(_cubes.c.key, _revisions.c.document)
        .join(_revisions, newest)
        .where(_cubes.c.key > after)
        .order_by(_cubes.c.key)
        .limit(_PAGE)
    )
    return op.get_bind().execute(statement).all()


def _text_bytes(document: bytes) -> int:
    return len(memcube_pb2.MemCube.FromString(document).plaintext.text.encode())
