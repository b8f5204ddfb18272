"""Older texts keep their vectors, and each revision says which one brought its text.

Vectors of texts that were replaced before this version are gone; such a revision names itself.
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

_cubes = sa.table("cubes", sa.column("key"), sa.column("content_revision"))
_revisions = sa.table("revisions", sa.column("cube_key"), sa.column("revision"), sa.column("content_revision"))
_vectors = sa.table("vectors", sa.column("cube_key"), sa.column("revision"))


def upgrade() -> None:
    """Add the column and the index, and widen the key of the vectors."""
    op.add_column("revisions", sa.Column("content_revision", sa.BigInteger(), nullable=True))
    newest = _newest_text_of(_revisions)
    own = sa.case((_revisions.c.revision < newest, _revisions.c.revision), else_=newest)
    op.execute(sa.update(_revisions).values(content_revision=own))
    with op.batch_alter_table("revisions") as table:
        table.alter_column("content_revision", existing_type=sa.BigInteger(), nullable=False)
    _rekey(["cube_key", "embedder", "revision"])
    op.create_index("ix_cubes_changed", "cubes", ["vault_key", "update_time"])


def downgrade() -> None:
    """Drop them, and the vectors of older texts."""
    op.drop_index("ix_cubes_changed", "cubes")
    op.execute(sa.delete(_vectors).where(_vectors.c.revision != _newest_text_of(_vectors)))
    _rekey(["cube_key", "embedder"])
    with op.batch_alter_table("revisions") as table:
        table.drop_column("content_revision")


def _newest_text_of(table: sa.TableClause) -> sa.ScalarSelect[int]:
    return sa.select(_cubes.c.content_revision).where(_cubes.c.key == table.c.cube_key).scalar_subquery()


def _rekey(columns: list[str]) -> None:
    with op.batch_alter_table("vectors") as table:
        table.drop_constraint("pk_vectors", type_="primary")
        table.create_primary_key("pk_vectors", columns)
