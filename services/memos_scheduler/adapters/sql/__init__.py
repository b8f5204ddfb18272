"""The durable queue on SQL: SQLite by default, PostgreSQL in a cluster."""
