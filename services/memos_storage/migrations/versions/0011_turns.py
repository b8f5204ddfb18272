"""Texts have vectors of their tokens, and a place in their conversations."""

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from alembic import op

from memos_api.v1 import memcube_pb2
from memos_kernel.cube import Kind
from memos_storage.adapters.terms import frequencies
from memos_storage.domain.turns import turn_of
from memos_wire.cubes import cube_from_proto

revision = "0011"
down_revision = "0010"

_PAGE = 1_000
_KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_cubes = sa.table("cubes", *map(sa.column, ("key", "vault_key", "revision", "kind", "delete_time")))
_revisions = sa.table("revisions", *map(sa.column, ("cube_key", "revision", "document")))
_TURN = ("cube_key", "vault_key", "session", "event_time", "uid", "speaker", "role", "length", "marks")
_turns = sa.table("turns", *map(sa.column, _TURN))
_FOLLOW = """
    UPDATE turns SET previous = ordered.before
    FROM (
        SELECT cube_key, lag(cube_key) OVER (PARTITION BY vault_key, session ORDER BY event_time, uid) AS before
        FROM turns WHERE session <> ''
    ) AS ordered
    WHERE ordered.cube_key = turns.cube_key
"""


def upgrade() -> None:
    """Add the column and the table, and fill that."""
    op.add_column("vectors", sa.Column("tokens", sa.LargeBinary(), nullable=True))
    op.create_table(
        "turns",
        sa.Column("cube_key", _KEY, nullable=False),
        sa.Column("vault_key", _KEY, nullable=False),
        sa.Column("session", sa.String(length=256), nullable=False),
        sa.Column("event_time", sa.BigInteger(), nullable=False),
        sa.Column("uid", sa.String(length=36), nullable=False),
        sa.Column("previous", _KEY, nullable=True),
        sa.Column("speaker", sa.String(length=256), nullable=False),
        sa.Column("role", sa.SmallInteger(), nullable=False),
        sa.Column("length", sa.Integer(), nullable=False),
        sa.Column("marks", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["cube_key"], ["cubes.key"], name=op.f("fk_turns_cube_key_cubes"), ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["vault_key"], ["vaults.key"], name=op.f("fk_turns_vault_key_vaults")),
        sa.PrimaryKeyConstraint("cube_key", name=op.f("pk_turns")),
        sa.UniqueConstraint("uid", name=op.f("uq_turns_uid")),
    )
    op.create_index("ix_turns_order", "turns", ["vault_key", "session", "event_time", "uid"])
    op.create_index(op.f("ix_turns_previous"), "turns", ["previous"])
    last = 0
    while page := _documents(last):
        last = page[-1].key
        op.get_bind().execute(sa.insert(_turns), [_row(row) for row in page])
    op.execute(_FOLLOW)


def downgrade() -> None:
    """Drop them."""
    op.drop_table("turns")
    op.drop_column("vectors", "tokens")


def _documents(after: int) -> Sequence[Any]:
    newest = sa.and_(_revisions.c.cube_key == _cubes.c.key, _revisions.c.revision == _cubes.c.revision)
    statement = (
        sa.select(_cubes.c.key, _cubes.c.vault_key, _revisions.c.document)
        .join(_revisions, newest)
        .where(_cubes.c.key > after, _cubes.c.kind == int(Kind.PLAINTEXT), _cubes.c.delete_time.is_(None))
        .order_by(_cubes.c.key)
        .limit(_PAGE)
    )
    return op.get_bind().execute(statement).all()


def _row(row: Any) -> dict[str, Any]:
    cube = cube_from_proto(memcube_pb2.MemCube.FromString(row.document))
    turn = turn_of(cube, length=frequencies(cube).total())
    return {
        "cube_key": row.key,
        "vault_key": row.vault_key,
        "session": turn.session,
        "event_time": turn.time,
        "uid": cube.uid,
        "speaker": turn.speaker,
        "role": int(turn.role),
        "length": turn.length,
        "marks": int(turn.marks),
    }
