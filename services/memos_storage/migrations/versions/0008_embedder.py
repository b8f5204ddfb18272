"""The catalogue says which embedder searches go by: so far it was the one that everything has a vector of."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"

_META = sa.table("meta", sa.column("name", sa.String), sa.column("value", sa.LargeBinary))
_MOST = sa.text(
    "SELECT vectors.embedder FROM vectors JOIN cubes ON cubes.key = vectors.cube_key"
    " AND cubes.content_revision = vectors.revision GROUP BY vectors.embedder ORDER BY count(*) DESC LIMIT 1"
)


def upgrade() -> None:
    """Name the one that most texts have a vector of."""
    embedder = op.get_bind().execute(_MOST).scalar()
    if embedder is not None:
        op.bulk_insert(_META, [{"name": "embedder", "value": embedder.encode()}])


def downgrade() -> None:
    """Forget it."""
    op.execute(_META.delete().where(_META.c.name == "embedder"))
