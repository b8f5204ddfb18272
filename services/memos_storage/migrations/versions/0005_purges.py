"""Cubes are erased for good; what they were derived from is a table."""

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from alembic import op

from memos_api.v1 import memcube_pb2
from memos_kernel.names import CubeName

revision = "0005"
down_revision = "0004"

_TABLES = ("tombstones", "purge_points", "purge_cubes", "purges", "derivations")
_PAGE = 1_000
_KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_revisions = sa.table("revisions", sa.column("cube_key"), sa.column("revision"), sa.column("document"))
_derivations = sa.table("derivations", sa.column("cube_key"), sa.column("source"))


def upgrade() -> None:
    """Make the tables, and fill the one of derivations from the documents."""
    _make_derivations()
    _make_purges()
    _make_what_purges_need()
    set_times = sa.text("purge_time IS NOT NULL")
    op.create_index(
        "ix_cubes_purgeable",
        "cubes",
        ["tenant", "purge_time"],
        sqlite_where=set_times,
        postgresql_where=set_times,
    )


def downgrade() -> None:
    """Drop them."""
    op.drop_index("ix_cubes_purgeable", "cubes")
    for table in _TABLES:
        op.drop_table(table)


def _make_derivations() -> None:
    op.create_table(
        "derivations",
        sa.Column("cube_key", _KEY, nullable=False),
        sa.Column("source", sa.String(length=63), nullable=False),
        sa.ForeignKeyConstraint(
            ["cube_key"], ["cubes.key"], name=op.f("fk_derivations_cube_key_cubes"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("cube_key", "source", name=op.f("pk_derivations")),
    )
    op.create_index(op.f("ix_derivations_source"), "derivations", ["source"])
    last = 0
    while page := _first_revisions(last):
        last = page[-1].cube_key
        if rows := [source for row in page for source in _sources(row.cube_key, row.document)]:
            op.bulk_insert(_derivations, rows)


def _first_revisions(after: int) -> Sequence[Any]:
    statement = (
        sa.select(_revisions.c.cube_key, _revisions.c.document)
        .where(_revisions.c.revision == 1, _revisions.c.cube_key > after)
        .order_by(_revisions.c.cube_key)
        .limit(_PAGE)
    )
    return op.get_bind().execute(statement).all()


def _sources(key: int, document: bytes) -> list[dict[str, Any]]:
    cube = memcube_pb2.MemCube.FromString(document)
    return [
        {"cube_key": key, "source": source}
        for source in sorted({CubeName.parse(ref.name).id for ref in cube.derived_from})
    ]


def _make_purges() -> None:
    op.create_table(
        "purges",
        sa.Column("key", _KEY, autoincrement=True, nullable=False),
        sa.Column("tenant", sa.String(length=63), nullable=False),
        sa.Column("purge", sa.String(length=63), nullable=False),
        sa.Column("vault", sa.String(length=63), nullable=False),
        sa.Column("principal", sa.String(length=160), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("cubes", sa.Integer(), nullable=False),
        sa.Column("stale", sa.Integer(), nullable=False),
        sa.Column("kept", sa.Integer(), nullable=False),
        sa.Column("state", sa.SmallInteger(), nullable=False),
        sa.Column("create_time", sa.BigInteger(), nullable=False),
        sa.Column("end_time", sa.BigInteger(), nullable=True),
        sa.Column("lift_time", sa.BigInteger(), nullable=True),
        sa.Column("statement", sa.LargeBinary(), nullable=True),
        sa.Column("signature", sa.LargeBinary(), nullable=True),
        sa.Column("public_key", sa.LargeBinary(), nullable=True),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_purges")),
        sa.UniqueConstraint("tenant", "purge", name=op.f("uq_purges_tenant_purge")),
    )
    op.create_index("ix_purges_newest", "purges", ["tenant", "vault", "create_time", "purge"])
    unfinished = sa.text("end_time IS NULL")
    op.create_index(
        "ix_purges_unfinished",
        "purges",
        ["tenant", "create_time"],
        sqlite_where=unfinished,
        postgresql_where=unfinished,
    )


def _make_what_purges_need() -> None:
    op.create_table(
        "purge_cubes",
        sa.Column("purge_key", _KEY, nullable=False),
        sa.Column("uid", sa.String(length=36), nullable=False),
        sa.Column("cube", sa.String(length=63), nullable=False),
        sa.Column("revisions", sa.Integer(), nullable=False),
        sa.Column("erased", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(["purge_key"], ["purges.key"], name=op.f("fk_purge_cubes_purge_key_purges")),
        sa.PrimaryKeyConstraint("purge_key", "uid", name=op.f("pk_purge_cubes")),
    )
    op.create_index(op.f("ix_purge_cubes_uid"), "purge_cubes", ["uid"], unique=True)
    op.create_table(
        "purge_points",
        sa.Column("purge_key", _KEY, nullable=False),
        sa.Column("embedder", sa.String(length=256), nullable=False),
        sa.Column("uid", sa.String(length=36), nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["purge_key"], ["purges.key"], name=op.f("fk_purge_points_purge_key_purges")),
        sa.PrimaryKeyConstraint("purge_key", "embedder", "uid", "revision", name=op.f("pk_purge_points")),
    )
    op.create_table(
        "tombstones",
        sa.Column("digest", sa.LargeBinary(length=32), nullable=False),
        sa.Column("purge_key", _KEY, nullable=False),
        sa.ForeignKeyConstraint(["purge_key"], ["purges.key"], name=op.f("fk_tombstones_purge_key_purges")),
        sa.PrimaryKeyConstraint("digest", "purge_key", name=op.f("pk_tombstones")),
    )
    op.create_index(op.f("ix_tombstones_purge_key"), "tombstones", ["purge_key"])
