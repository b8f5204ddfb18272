"""Tables of the queue. The migrations build them; a test compares the two."""

import sqlalchemy as sa

from memos_runtime.sql.types import Moment

VERSION_TABLE = "scheduler_version"
"""A version table of its own, so that services can share a database."""

metadata = sa.MetaData()

jobs = sa.Table(
    "jobs",
    metadata,
    sa.Column("tenant", sa.Text, primary_key=True),
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("state", sa.SmallInteger, nullable=False),
    sa.Column("principal", sa.Text, nullable=False),
    sa.Column("vaults", sa.JSON, nullable=False),
    sa.Column("parameters", sa.JSON, nullable=False),
    sa.Column("progress", sa.Float, nullable=False),
    sa.Column("attempts", sa.Integer, nullable=False),
    sa.Column("max_attempts", sa.Integer, nullable=False),
    sa.Column("last_error", sa.Text, nullable=False),
    sa.Column("result", sa.JSON, nullable=False),
    sa.Column("create_time", Moment, nullable=False),
    sa.Column("due_time", Moment, nullable=False),
    sa.Column("start_time", Moment),
    sa.Column("end_time", Moment),
    sa.Column("fence", sa.BigInteger, nullable=False),
    sa.Column("worker", sa.Text, nullable=False),
    sa.Column("lease_expire", Moment),
    sa.Column("cancel_requested", sa.Boolean, nullable=False),
    sa.Column("unique_key", sa.Text),
    sa.Column("quiet", sa.Boolean, nullable=False),
    sa.UniqueConstraint("tenant", "unique_key", name="jobs_unique_key"),
    sa.Index("jobs_due", "state", "due_time"),
    sa.Index("jobs_ended", "state", "end_time"),
)

requests = sa.Table(
    "requests",
    metadata,
    sa.Column("tenant", sa.Text, primary_key=True),
    sa.Column("principal", sa.Text, primary_key=True),
    sa.Column("method", sa.Text, primary_key=True),
    sa.Column("request_id", sa.Text, primary_key=True),
    sa.Column("body_sha256", sa.Text, nullable=False),
    sa.Column("job", sa.Text, nullable=False),
    sa.Column("create_time", Moment, nullable=False),
)
